"""The Certificate Policy as values: what ``root-cp.yaml`` holds once it is loaded and checked.

Every value says where it comes from (``source``) and how sure that is (``confidence``): ``verified`` was read in its
source, ``inferred`` follows from such a text or from real certificates, ``assumed`` is a choice of ours that an
operator should compare with the Certificate Policy in force.
"""

import enum
import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt

from smpki.asn1.curves import CURVES
from smpki.policy.duration import Duration

T = TypeVar("T")


class CertificateType(enum.StrEnum):
    """The certificate types of the SM-PKI (TR-03109-4 chapters 2 and 3)."""

    ROOT = "root"
    LINK = "link"
    CRL_SIGNER = "crl-signer"
    TLS_SIGNER = "tls-signer"
    ROOT_TLS = "root-tls"
    SUB_CA = "sub-ca"
    SUB_CA_TLS_ROOT = "sub-ca-tls-root"
    SUB_CA_TLS = "sub-ca-tls"
    EMT = "emt"
    GWA = "gwa"
    GWH = "gwh"
    SMGW_G = "smgw-g"
    SMGW_W = "smgw-w"

    @property
    def is_end_user(self) -> bool:
        """Whether holders of this type get triples (Endnutzer)."""
        return self in END_USERS

    @property
    def is_gateway(self) -> bool:
        """Whether the holder is a gateway (Smart-Meter-Gateway)."""
        return self in (CertificateType.SMGW_G, CertificateType.SMGW_W)


END_USERS = (
    CertificateType.EMT,
    CertificateType.GWA,
    CertificateType.GWH,
    CertificateType.SMGW_G,
    CertificateType.SMGW_W,
)


class Confidence(enum.StrEnum):
    """How sure a value is."""

    VERIFIED = "verified"
    INFERRED = "inferred"
    ASSUMED = "assumed"


class Presence(enum.StrEnum):
    """Whether a field has to be there."""

    MANDATORY = "mandatory"
    OPTIONAL = "optional"
    FORBIDDEN = "forbidden"


class Strict(BaseModel):
    """Unknown keys are refused; values don't change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Origin(Strict):
    """Where a value comes from and how sure it is."""

    source: Annotated[str, Field(min_length=1)]
    confidence: Confidence


class Sourced(Origin, Generic[T]):
    """A value with its origin."""

    value: T


def _pattern(text: object) -> object:
    try:
        return re.compile(text) if isinstance(text, str) else text
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None


def _curve(name: object) -> object:
    if not isinstance(name, str) or name not in CURVES:
        raise ValueError(f"{name!r} is not a curve of TR-03116-3 table 4: {', '.join(CURVES)}")
    return name


Pattern = Annotated[re.Pattern[str], BeforeValidator(_pattern)]
CurveName = Annotated[str, BeforeValidator(_curve)]
HashName = Literal["sha256", "sha384", "sha512"]
EnvironmentName = Literal["test", "production"]
SignerClass = Literal["root", "sub-ca", "end-user"]
Oid = Annotated[str, Field(pattern=r"^[0-2](\.(0|[1-9][0-9]*))+$")]
Attribute = Literal["O", "OU", "C", "serialNumber", "street", "postalCode", "L", "ST"]


class Window(Origin):
    """One generation of keys: the algorithm that a class of signers uses, and when its keys may be made."""

    generation: str
    curve: CurveName
    hash: HashName
    start: Annotated[date, Field(alias="from")]
    end: Annotated[date, Field(alias="to")]


class AttributeRule(Origin):
    """Whether a DN attribute is there, and what it may say."""

    presence: Presence
    pattern: Pattern | None = None


class NameScheme(Strict):
    """The subject of a certificate type."""

    common_name: Sourced[Pattern]
    attributes: Mapping[Attribute, AttributeRule]
    first_serial_number: Sourced[StrictInt | None]


class ExtensionRule(Origin):
    """Presence and criticality of an extension."""

    presence: Presence
    critical: StrictBool = False


class KeyUsageRule(ExtensionRule):
    """KeyUsage with exactly these bits."""

    bits: tuple[
        Literal["digital_signature", "key_encipherment", "key_agreement", "key_cert_sign", "crl_sign"], ...
    ] = ()


class ExtendedKeyUsageRule(ExtensionRule):
    """ExtendedKeyUsage with exactly these purposes, in any order."""

    purposes: tuple[Literal["client_auth", "server_auth"], ...] = ()


class BasicConstraintsRule(ExtensionRule):
    """BasicConstraints."""

    ca: StrictBool = False
    path_length: StrictInt | None = None


class CertificatePoliciesRule(ExtensionRule):
    """CertificatePolicies: the SM-PKI's own policy, or that of the issuing Sub-CA."""

    content: Literal["sm-pki", "issuer"] | None = None


class AlternativeNameRule(ExtensionRule):
    """SubjectAltName or IssuerAltName: which general names it holds."""

    email: Presence = Presence.FORBIDDEN
    uri: Presence = Presence.FORBIDDEN
    dns: Presence = Presence.FORBIDDEN


class CrlDistributionPointsRule(ExtensionRule):
    """CRLDistributionPoints: whose CRL, and whether an indirect CRL's signer is named as cRLIssuer."""

    content: Literal["root", "issuer"] | None = None
    crl_issuer: StrictBool = False


class Profile(Strict):
    """Every extension of one kind of certificate (TR-03109-4 annex A.2)."""

    authority_key_identifier: ExtensionRule
    subject_key_identifier: ExtensionRule
    key_usage: KeyUsageRule
    private_key_usage_period: ExtensionRule
    certificate_policies: CertificatePoliciesRule
    subject_alternative_name: AlternativeNameRule
    issuer_alternative_name: AlternativeNameRule
    basic_constraints: BasicConstraintsRule
    extended_key_usage: ExtendedKeyUsageRule
    crl_distribution_points: CrlDistributionPointsRule
    authority_information_access: ExtensionRule


PurposeName = Literal["ca", "crl", "tls", "sig", "enc"]


class TypeRules(Strict):
    """What holds for one certificate type."""

    title: str
    german: str
    issuer: Sourced[CertificateType]
    algorithm: Sourced[SignerClass]
    name: NameScheme
    validity: Sourced[Duration]
    key_use: Sourced[Duration]
    certificates: Mapping[PurposeName, str]


class Environment(Strict):
    """What differs between the test PKI and the production PKI (Wirk-PKI)."""

    organization: Sourced[str]
    root_common_name: Sourced[str]
    country: Sourced[str]
    contact_email: Sourced[str]
    contact_uri: Sourced[str]
    crl_http: Sourced[str]
    crl_ldap: Sourced[str]


class Identifiers(Strict):
    """Policy identifiers that certificates carry."""

    sm_pki: Sourced[Oid]
    sm_pki_cps: Sourced[str]
    sub_ca: Sourced[Oid]


class Names(Strict):
    """What holds for every name."""

    attribute_max_length: Sourced[StrictInt]
    serial_number_max: Sourced[StrictInt]


class Issuing(Strict):
    """How the CA decides."""

    serial_octets: Sourced[Annotated[StrictInt, Field(ge=8, le=20)]]
    not_after_end_of_day: Sourced[StrictBool]
    past_issuer_end: Sourced[Literal["refuse", "cut"]]
    generation_outside_window: Sourced[tuple[EnvironmentName, ...]]
    proof_hashes: Sourced[tuple[HashName, ...]]
    unauthorised_gateway_package: Sourced[Literal["override", "refuse"]]
    manual_approval: Sourced[tuple[CertificateType, ...]]


class CrlRules(Strict):
    """How often the CRLs of an issuer appear."""

    every: Sourced[Duration]
    valid: Sourced[Duration]


class Crl(Strict):
    """CRLs of the CRL signer (for what root and TLS signer issued), of the root (for the CRL signer), of Sub-CAs."""

    root: CrlRules
    crl_signer: CrlRules
    sub_ca: CrlRules
    indirect: Sourced[StrictBool]


class Renewal(Strict):
    """When a triple may be renewed."""

    opens_before_end: Sourced[Duration]
    new_keys: Sourced[StrictBool]


Reason = Literal[
    "unspecified",
    "key_compromise",
    "ca_compromise",
    "affiliation_changed",
    "superseded",
    "cessation_of_operation",
    "certificate_hold",
    "privilege_withdrawn",
    "aa_compromise",
]
"""Why a certificate is taken back (RFC 5280 5.3.1); remove_from_crl ends a suspension and is no reason for one."""


class Revocation(Strict):
    """Taking certificates back (Sperrung) and suspending them (Suspendierung).

    ``entitled`` says whose signed request takes a triple back, besides the operator: its holder, the manufacturer that
    its OU names (GWH), or the administrator in charge (GWA).
    """

    suspension_types: Sourced[tuple[CertificateType, ...]]
    suspension_longest: Sourced[Duration]
    suspension_ends_in: Sourced[Literal["revoke", "resume"]]
    reasons: Sourced[tuple[Reason, ...]]
    entitled: Mapping[CertificateType, Sourced[tuple[Literal["holder", "gwh", "gwa"], ...]]]
    triple_together: Sourced[StrictBool]
    new_guetesiegel_supersedes: Sourced[StrictBool]


class DualControl(Strict):
    """What takes two operators (Vier-Augen-Prinzip), by the type of the certificates it is about."""

    registration: Sourced[tuple[CertificateType, ...]]
    revocation: Sourced[tuple[CertificateType, ...]]


class Policy(Strict):
    """The whole policy. Load it with :func:`smpki.policy.load.load_policy`."""

    title: str
    environments: Mapping[EnvironmentName, Environment]
    identifiers: Identifiers
    names: Names
    algorithms: Mapping[SignerClass, tuple[Window, ...]]
    profiles: Mapping[str, Profile]
    certificates: Mapping[CertificateType, TypeRules]
    issuing: Issuing
    crl: Crl
    renewal: Renewal
    revocation: Revocation
    dual_control: DualControl

    def profile(self, kind: CertificateType, purpose: PurposeName) -> Profile:
        """The extensions of a certificate type's certificate for a purpose.

        :raises KeyError: when the type has no certificate for that purpose
        """
        return self.profiles[self.certificates[kind].certificates[purpose]]
