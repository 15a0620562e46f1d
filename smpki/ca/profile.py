"""What goes into a certificate: the profile of the policy, filled in (TR-03109-4 annex A)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from smpki.asn1 import der
from smpki.asn1.algorithms import SIGNATURE_IDENTIFIERS
from smpki.asn1.signed import encode_extension, encode_time
from smpki.ca.issuer import Issuer, crl_addresses
from smpki.policy.model import (
    BasicConstraintsRule,
    CertificatePoliciesRule,
    CertificateType,
    CrlDistributionPointsRule,
    EnvironmentName,
    ExtendedKeyUsageRule,
    HashName,
    KeyUsageRule,
    Policy,
    Presence,
    PurposeName,
)
from smpki.policy.names import DistinguishedName

_VERSION_3 = der.encode(der.context(0), der.encode_integer(2))
_PURPOSES = {"client_auth": ExtendedKeyUsageOID.CLIENT_AUTH, "server_auth": ExtendedKeyUsageOID.SERVER_AUTH}


@dataclass(frozen=True)
class Plan:
    """One certificate as it is to be made; the issuer adds the rest.

    :param serial: the certificate's serial number, positive
    :param alternative_names: the SubjectAltName, ``None`` where the profile forbids it
    :param generation: name of the key generation for a CA's own key, ``None`` for end users
    :param token_key_id: CKA_ID when the private key lies in the CA's token
    """

    kind: CertificateType
    purpose: PurposeName
    subject: DistinguishedName
    public_key: ec.EllipticCurvePublicKey
    serial: int
    not_before: datetime
    not_after: datetime
    key_use_end: datetime
    alternative_names: x509.SubjectAlternativeName | None
    generation: str | None = None
    token_key_id: bytes | None = None

    @property
    def place(self) -> str:
        """What messages call this certificate."""
        return f"{self.subject.common_name} ({self.purpose})"


class Profiles:
    """Turns plans into what is to be signed; what is the same for every certificate of an issuer is made once."""

    def __init__(self, policy: Policy, environment: EnvironmentName) -> None:
        self._policy = policy
        self._environment = environment
        self._constant: dict[tuple[int, CertificateType, PurposeName], _Constant] = {}

    def body(self, plan: Plan, issuer: Issuer | None, hash_name: HashName) -> bytes:
        """The DER TBSCertificate (RFC 5280 4.1.2).

        pyca encodes the fields. They are put together here and not by its builder, which would encode anew in each
        certificate what all certificates of an issuer share, and take more time than the linter.

        :param issuer: ``None`` for a self-signed certificate
        :param hash_name: of the signature that will be made
        :raises PolicyError: ``name.value`` when X.520 forbids a value in the subject
        :raises ValueError: for text that can't be encoded
        """
        key_identifier = x509.SubjectKeyIdentifier.from_public_key(plan.public_key)
        constant = self._constant_for(plan, issuer, key_identifier)
        subject = _encoded_name(plan.subject)
        alternative_names = b"" if plan.alternative_names is None else encode_extension(plan.alternative_names)
        extensions = der.encode(
            der.SEQUENCE,
            constant.authority_key_identifier,
            encode_extension(key_identifier),
            constant.before_names,
            alternative_names,
            constant.after_names,
        )
        return der.encode(
            der.SEQUENCE,
            _VERSION_3,
            der.encode_integer(plan.serial),
            SIGNATURE_IDENTIFIERS[hash_name],
            constant.issuer_name or subject,
            der.encode(der.SEQUENCE, encode_time(plan.not_before), encode_time(plan.not_after)),
            subject,
            plan.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            der.encode(der.context(3), extensions),
        )

    def _constant_for(self, plan: Plan, issuer: Issuer | None, own_key: x509.SubjectKeyIdentifier) -> "_Constant":
        if issuer is None:
            return self._make_constant(plan, None, own_key)
        key = (issuer.certificate.serial_number, plan.kind, plan.purpose)
        if key not in self._constant:
            self._constant[key] = self._make_constant(plan, issuer, issuer.key_identifier)
        return self._constant[key]

    def _make_constant(
        self, plan: Plan, issuer: Issuer | None, authority_key: x509.SubjectKeyIdentifier
    ) -> "_Constant":
        rules = self._policy.profile(plan.kind, plan.purpose)
        environment = self._policy.environments[self._environment]
        # a root speaks for itself; what the root issues names the root's contact, and so on down
        contact = issuer.contact if issuer else (environment.contact_email.value, environment.contact_uri.value)
        before = [*_key_usage(rules.key_usage), *self._policies(rules.certificate_policies, contact[1])]
        after = [
            *_issuer_alternative_name(rules.issuer_alternative_name.presence, contact),
            *_basic_constraints(rules.basic_constraints),
            *_extended_key_usage(rules.extended_key_usage),
            *self._distribution_points(rules.crl_distribution_points, issuer),
        ]
        return _Constant(
            issuer_name=issuer.certificate.subject.public_bytes() if issuer else None,
            authority_key_identifier=encode_extension(x509.AuthorityKeyIdentifier(authority_key.digest, None, None)),
            before_names=b"".join(encode_extension(extension.value, extension.critical) for extension in before),
            after_names=b"".join(encode_extension(extension.value, extension.critical) for extension in after),
        )

    def _policies(self, rule: CertificatePoliciesRule, issuer_uri: str) -> "_Extensions":
        if rule.presence is Presence.MANDATORY:
            identifiers = self._policy.identifiers
            own = rule.content == "issuer"
            oid = (identifiers.sub_ca if own else identifiers.sm_pki).value
            cps = issuer_uri if own else identifiers.sm_pki_cps.value
            value = x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier(oid), [cps])])
            yield x509.Extension(value.oid, rule.critical, value)

    def _distribution_points(self, rule: CrlDistributionPointsRule, issuer: Issuer | None) -> "_Extensions":
        if rule.presence is not Presence.MANDATORY or issuer is None:
            return
        environment = self._policy.environments[self._environment]
        ca = (issuer.root or issuer.name) if rule.content == "root" else issuer.name
        signer, generation = crl_signer_name(ca) if rule.crl_issuer else ca, ca.serial_number or 0
        value = x509.CRLDistributionPoints(
            [
                x509.DistributionPoint(
                    full_name=[
                        x509.UniformResourceIdentifier(uri) for uri in crl_addresses(environment, signer, generation)
                    ],
                    relative_name=None,
                    reasons=None,
                    crl_issuer=[x509.DirectoryName(signer.to_x509())] if rule.crl_issuer else None,
                )
            ]
        )
        yield x509.Extension(value.oid, rule.critical, value)


_Extensions = Iterator[x509.Extension[x509.ExtensionType]]


@dataclass(frozen=True)
class _Constant:
    """What all certificates of one issuer, type and purpose share, encoded.

    :param issuer_name: ``None`` for a self-signed certificate
    :param before_names: the extensions before the SubjectAltName
    :param after_names: those behind it
    """

    issuer_name: bytes | None
    authority_key_identifier: bytes
    before_names: bytes
    after_names: bytes


@lru_cache(maxsize=16)
def _encoded_name(name: DistinguishedName) -> bytes:
    """The three certificates of a triple have one name."""
    return name.to_x509().public_bytes()


def crl_signer_name(root: DistinguishedName) -> DistinguishedName:
    """The name of a root's CRL signer: without serialNumber, as real cRLIssuer fields have it."""
    return DistinguishedName.of(CN=f"{root.common_name}.CRL-S", O=root.get("O"), C=root.get("C"))


def _key_usage(rule: KeyUsageRule) -> _Extensions:
    if rule.presence is Presence.MANDATORY:
        bits = set(rule.bits)
        value = x509.KeyUsage(
            digital_signature="digital_signature" in bits,
            content_commitment=False,
            key_encipherment="key_encipherment" in bits,
            data_encipherment=False,
            key_agreement="key_agreement" in bits,
            key_cert_sign="key_cert_sign" in bits,
            crl_sign="crl_sign" in bits,
            encipher_only=False,
            decipher_only=False,
        )
        yield x509.Extension(value.oid, rule.critical, value)


def _issuer_alternative_name(presence: Presence, contact: tuple[str, str]) -> _Extensions:
    if presence is Presence.MANDATORY:
        email, uri = contact
        value = x509.IssuerAlternativeName([x509.RFC822Name(email), x509.UniformResourceIdentifier(uri)])
        yield x509.Extension(value.oid, False, value)


def _basic_constraints(rule: BasicConstraintsRule) -> _Extensions:
    if rule.presence is Presence.MANDATORY:
        value = x509.BasicConstraints(ca=rule.ca, path_length=rule.path_length)
        yield x509.Extension(value.oid, rule.critical, value)


def _extended_key_usage(rule: ExtendedKeyUsageRule) -> _Extensions:
    if rule.presence is Presence.MANDATORY:
        value = x509.ExtendedKeyUsage([_PURPOSES[purpose] for purpose in rule.purposes])
        yield x509.Extension(value.oid, rule.critical, value)
