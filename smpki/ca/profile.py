"""What goes into a certificate: the profile of the policy, filled in (TR-03109-4 annex A)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from smpki.ca.issuer import Issuer, crl_addresses
from smpki.policy.model import (
    BasicConstraintsRule,
    CertificatePoliciesRule,
    CertificateType,
    CrlDistributionPointsRule,
    EnvironmentName,
    ExtendedKeyUsageRule,
    KeyUsageRule,
    Policy,
    Presence,
    PurposeName,
)
from smpki.policy.names import DistinguishedName

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
    """Turns plans into certificate builders; what is the same for every certificate of an issuer is made once."""

    def __init__(self, policy: Policy, environment: EnvironmentName) -> None:
        self._policy = policy
        self._environment = environment
        self._constant: dict[tuple[int, CertificateType, PurposeName], _Constant] = {}

    def builder(self, plan: Plan, issuer: Issuer | None) -> x509.CertificateBuilder:
        """The builder of a certificate, complete but for the signature.

        :param issuer: ``None`` for a self-signed certificate
        """
        key_identifier = x509.SubjectKeyIdentifier.from_public_key(plan.public_key)
        constant = self._constant_for(plan, issuer, key_identifier)
        extensions = [
            x509.Extension(x509.AuthorityKeyIdentifier.oid, False, constant.authority_key_identifier),
            x509.Extension(x509.SubjectKeyIdentifier.oid, False, key_identifier),
            *constant.before_names,
        ]
        if plan.alternative_names is not None:
            extensions.append(x509.Extension(x509.SubjectAlternativeName.oid, False, plan.alternative_names))
        extensions += constant.after_names
        subject = plan.subject.to_x509()
        builder = x509.CertificateBuilder(
            issuer_name=subject if issuer is None else issuer.certificate.subject,
            subject_name=subject,
            public_key=plan.public_key,
            serial_number=plan.serial,
            not_valid_before=plan.not_before,
            not_valid_after=plan.not_after,
        )
        for extension in extensions:
            builder = builder.add_extension(extension.value, extension.critical)
        return builder

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
        return _Constant(x509.AuthorityKeyIdentifier(authority_key.digest, None, None), tuple(before), tuple(after))

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
        source = (issuer.root or issuer) if rule.content == "root" else issuer
        signer, generation = source.name, source.name.serial_number or 0
        if rule.crl_issuer:
            signer = crl_signer_name(source.name)
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
    """The extensions that all certificates of one issuer, type and purpose share, before and after the SAN."""

    authority_key_identifier: x509.AuthorityKeyIdentifier
    before_names: tuple[x509.Extension[x509.ExtensionType], ...]
    after_names: tuple[x509.Extension[x509.ExtensionType], ...]


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
