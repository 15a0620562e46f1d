"""Make the certificates of LMN and HAN: build, sign, and let nothing out that breaks its profile."""

from collections.abc import Callable, Collection, Iterable
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.errors import GatewayError
from smpki.policy.lint.finding import Finding, Severity
from smpki.policy.names import DistinguishedName
from smpki.policy.text import visible

_HASHES = (hashes.SHA256(), hashes.SHA384(), hashes.SHA512())


def sign_certificate(
    subject: DistinguishedName,
    public_key: ec.EllipticCurvePublicKey,
    issuer: x509.Name | None,
    issuer_key: ec.EllipticCurvePrivateKey,
    extensions: Iterable[x509.Extension[x509.ExtensionType]],
    *,
    serial: int,
    validity: tuple[datetime, datetime],
    allowed_hashes: Collection[str],
    lint: Callable[[x509.Certificate], Iterable[Finding]],
) -> x509.Certificate:
    """Make a certificate (RFC 5280 4.1); attributes are PrintableStrings where they fit, UTF8Strings otherwise.

    :param issuer: ``None`` for a self-signed one
    :param issuer_key: signs; it may lie in a token
    :param validity: notBefore and notAfter
    :param allowed_hashes: names of those that the profile has; the shortest is used that fits the curve
    :param lint: looks at what was made; an error keeps it from leaving
    :raises GatewayError: ``certificate.value`` for what no certificate can hold, ``certificate.profile`` for what the
        profile forbids
    :raises PolicyError: ``name.value`` when X.520 forbids a value in the subject
    """
    name = subject.to_x509()
    try:
        # its methods look at the values, its constructor does not
        builder = x509.CertificateBuilder(issuer or name, name, public_key).serial_number(serial)
        builder = builder.not_valid_before(validity[0]).not_valid_after(validity[1])
        for extension in extensions:
            builder = builder.add_extension(extension.value, extension.critical)
    except ValueError as refused:  # pyca: a serial number out of range, an end before the start
        raise _impossible(refused, "see RFC 5280 4.1.2") from None
    certificate = builder.sign(issuer_key, _hash_for(issuer_key, allowed_hashes))
    for finding in lint(certificate):
        if finding.severity is Severity.ERROR:
            message = f"the certificate would break its profile: {finding.message}"
            raise GatewayError("certificate.profile", message, where=finding.code, hint="see that clause")
    return certificate


def load_certificate(data: bytes) -> x509.Certificate:
    """Read a certificate all of whose parts can be read, whatever they say.

    :param data: DER, nothing behind it
    :raises GatewayError: ``certificate.unreadable``
    """
    try:
        certificate = x509.load_der_x509_certificate(data)
        for part in ("subject", "issuer", "extensions"):  # pyca reads them late
            getattr(certificate, part)
        certificate.public_key()
        return certificate
    except Exception as refused:  # pyca: ValueError, InvalidVersion, DuplicateExtension, UnsupportedAlgorithm and more
        message = f"this is no X.509 certificate: {visible(str(refused))}"
        raise GatewayError("certificate.unreadable", message, hint="give its DER, and nothing else") from None


def key_usage(*usages: str) -> x509.KeyUsage:
    """The extension with these bits, spelt as pyca spells them."""
    return x509.KeyUsage(
        digital_signature="digital_signature" in usages,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign="key_cert_sign" in usages,
        crl_sign="crl_sign" in usages,
        encipher_only=False,
        decipher_only=False,
    )


def host_names(texts: Iterable[str]) -> list[x509.DNSName]:
    """Host names for extensions.

    :raises GatewayError: ``certificate.value`` for one that is not ASCII
    """
    try:
        return [x509.DNSName(text) for text in texts]
    except ValueError as refused:
        raise _impossible(refused, "write international names in their ASCII form") from None


def uris(texts: Iterable[str]) -> list[x509.UniformResourceIdentifier]:
    """URIs for extensions.

    :raises GatewayError: ``certificate.value`` for one that is not ASCII
    """
    try:
        return [x509.UniformResourceIdentifier(text) for text in texts]
    except ValueError as refused:
        raise _impossible(refused, "escape what is not ASCII (RFC 3986 2.1)") from None


def _impossible(refused: ValueError, hint: str) -> GatewayError:
    return GatewayError("certificate.value", visible(str(refused)), hint=hint)


def _hash_for(
    key: ec.EllipticCurvePrivateKey, allowed: Collection[str]
) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512:
    """Of the allowed hashes the shortest that is as long as the curve, or else the longest."""
    choice = [hash for hash in _HASHES if hash.name in allowed]
    return next((hash for hash in choice if hash.digest_size * 8 >= key.curve.key_size), choice[-1])
