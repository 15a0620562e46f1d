"""What a certificate is, told from what it says: so that nobody needs to name its role."""

from cryptography import x509
from cryptography.x509.oid import NameOID

from smpki.errors import PolicyError
from smpki.policy.lint.subject import first_value
from smpki.policy.model import CertificateType, EnvironmentName, Policy, PurposeName
from smpki.policy.names import CommonName, same_name

_END_USERS = {"EMT": CertificateType.EMT, "GWA": CertificateType.GWA, "GWH": CertificateType.GWH}
_CAS = {None: CertificateType.SUB_CA, "CRL-S": CertificateType.CRL_SIGNER, "TLS-S": CertificateType.TLS_SIGNER}


def classify(certificate: x509.Certificate) -> tuple[CertificateType, PurposeName] | None:
    """The type and purpose that a certificate claims by its names and key usage; ``None`` when it is none of ours.

    The CN tells the type (name scheme of the Certificate Policy, annex A), the issuer tells a root from a link
    certificate and one TLS certificate of a CA from another, :func:`default_kind` one gateway's certificate from
    another. Extended key usage tells TLS from SIG, key agreement or encipherment tells ENC.
    """
    try:
        subject, issuer = certificate.subject, certificate.issuer
        values = {extension.oid: extension.value for extension in certificate.extensions}
    except Exception:  # pyca: ValueError, TypeError, DuplicateExtension and more; what can't be read is none of ours
        return None
    kind = default_kind(subject)
    if kind is None:
        kind = _tls_kind(_common_name(subject), _common_name(issuer))
        return None if kind is None else (kind, "tls")
    if kind.is_end_user:
        purpose = _purpose(values)
        return None if purpose is None else (kind, purpose)
    if kind is CertificateType.CRL_SIGNER:
        return kind, "crl"
    if kind is CertificateType.SUB_CA and _common_name(subject) == _common_name(issuer):
        kind = CertificateType.ROOT if _is_self_signed(subject, issuer, values) else CertificateType.LINK
    return kind, "ca"


def default_kind(subject: x509.Name) -> CertificateType | None:
    """The certificate type that the subject of a request suggests; ``None`` when its CN is no holder's.

    A gateway's is a quality seal (Gütesiegel) when its serialNumber is 0 or its OU is no administrator, and
    operational (Wirk) otherwise. ``None`` for TLS certificates of CAs too, which only their issuer tells apart.
    """
    name = _common_name(subject)
    if name is None:
        return None
    if name.scheme == "SMGW":
        is_seal = first_value(subject, NameOID.SERIAL_NUMBER) == "0" or not _is_administrator(subject)
        return CertificateType.SMGW_G if is_seal else CertificateType.SMGW_W
    if name.scheme == "CA":
        return _CAS.get(name.extension)
    return _END_USERS[name.scheme]


def environment_of(name: x509.Name, policy: Policy) -> EnvironmentName | None:
    """The environment whose organisation (O) a name has; ``None`` when neither."""
    organization = first_value(name, NameOID.ORGANIZATION_NAME)
    for environment, rules in policy.environments.items():
        if rules.organization.value == organization:
            return environment
    return None


def _tls_kind(subject: CommonName | None, issuer: CommonName | None) -> CertificateType | None:
    if subject is None or subject.extension != "TLS" or issuer is None or issuer.scheme != "CA":
        return None
    is_own = subject.stem == issuer.stem
    if issuer.extension == "TLS-S":
        return CertificateType.ROOT_TLS if is_own else CertificateType.SUB_CA_TLS_ROOT
    return CertificateType.SUB_CA_TLS if is_own and issuer.extension is None else None


def _is_self_signed(
    subject: x509.Name, issuer: x509.Name, values: dict[x509.ObjectIdentifier, x509.ExtensionType]
) -> bool:
    """Same name, and no other key: a link certificate may have the root's very name."""
    own, above = values.get(x509.SubjectKeyIdentifier.oid), values.get(x509.AuthorityKeyIdentifier.oid)
    if isinstance(own, x509.SubjectKeyIdentifier) and isinstance(above, x509.AuthorityKeyIdentifier):
        return same_name(subject, issuer) and above.key_identifier in (None, own.digest)
    return same_name(subject, issuer)


def _purpose(values: dict[x509.ObjectIdentifier, x509.ExtensionType]) -> PurposeName | None:
    if x509.ExtendedKeyUsage.oid in values:
        return "tls"
    usage = values.get(x509.KeyUsage.oid)
    if not isinstance(usage, x509.KeyUsage):
        return None
    if usage.key_agreement or usage.key_encipherment:
        return "enc"
    return "sig" if usage.digital_signature else None


def _is_administrator(subject: x509.Name) -> bool:
    try:
        return CommonName.parse(first_value(subject, NameOID.ORGANIZATIONAL_UNIT_NAME)).scheme == "GWA"
    except PolicyError:
        return False


def _common_name(name: x509.Name) -> CommonName | None:
    try:
        return CommonName.parse(first_value(name, NameOID.COMMON_NAME))
    except PolicyError:
        return None
