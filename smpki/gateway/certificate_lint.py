"""Lint what the profiles of LMN and HAN certificates have in common; their name schemes are the profiles' own."""

from collections.abc import Callable, Iterator

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from smpki.asn1 import der
from smpki.asn1.algorithms import SIGNATURE_HASHES
from smpki.asn1.curves import CURVES
from smpki.gateway.certificate_extensions import extensions_findings
from smpki.gateway.certificate_profile import Profile
from smpki.policy.lint.body import Encoded, body_findings, serial_number_findings
from smpki.policy.lint.finding import Finding, error, notice, warning
from smpki.policy.lint.keys import encoding_of
from smpki.policy.lint.reading import read
from smpki.policy.names import ATTRIBUTES, same_name
from smpki.policy.text import quoted
from smpki.trust.algorithms import verifies

_LONGEST_ATTRIBUTE = 64
_STRING_TYPES = {_ASN1Type.PrintableString, _ASN1Type.UTF8String}
_PRINTABLE_ONLY = {NameOID.COUNTRY_NAME, NameOID.SERIAL_NUMBER}  # X.520 defines these two as PrintableString


def certificate_findings(
    certificate: x509.Certificate,
    profile: Profile,
    subject_findings: Callable[[x509.Name], Iterator[Finding]],
    issuer: x509.Certificate | None = None,
) -> Iterator[Finding]:
    """Check a certificate in the order of its fields (3.3, 4.3). Nothing that stands in it makes this fail.

    :param subject_findings: what the name scheme has to say
    :param issuer: the CA's certificate, ``None`` where it is not at hand or there is none
    :raises ValueError: when ``issuer`` can't be read
    """
    encoded = Encoded.of(certificate.tbs_certificate_bytes)
    yield from _size_findings(certificate, profile)
    yield from serial_number_findings(certificate, profile.at("3"))
    yield from body_findings(certificate, encoded, profile.at("3"))
    yield from _lifetime_findings(certificate, profile)
    above = yield from read("rfc-5280.4_1_2_4.issuer", lambda: certificate.issuer)
    subject = yield from read("rfc-5280.4_1_2_6.subject", lambda: certificate.subject)
    if above is not None and subject is not None:
        yield from _names_findings(above, subject, profile, issuer)
        yield from subject_findings(subject)
    key = yield from read("rfc-5280.4_1_2_7.public_key", certificate.public_key)
    if key is not None:
        yield from _key_findings(key, encoded.public_key_info, profile)
    yield from _signature_findings(certificate, encoded, profile, issuer, key)
    extensions = yield from read("rfc-5280.4_2.extensions", lambda: certificate.extensions)
    if extensions is not None:
        signer = certificate if profile.self_signed and key is not None else issuer
        yield from extensions_findings(extensions, profile, signer)


def _size_findings(certificate: x509.Certificate, profile: Profile) -> Iterator[Finding]:
    size = len(certificate.public_bytes(Encoding.DER))
    if profile.largest is not None and size > profile.largest:
        yield warning(f"{profile.at('3')}.size", f"it has {size} octets, {profile.largest} at most are recommended")


def _lifetime_findings(certificate: x509.Certificate, profile: Profile) -> Iterator[Finding]:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    try:
        latest = None if profile.longest is None else profile.longest.after(start)
    except OverflowError:  # past the year 9999, where no certificate reaches
        return
    if latest is not None and end > latest:
        message = f"it is valid from {start} to {end}, due is {latest} at most"
        if profile.chapter == 3:
            yield error("tr-03116-3.table_17.validity.too_long", message)
        else:  # a maker may declare that they don't end at all (ICS.ZertifikateHAN.Allgemein.30)
            yield warning(f"{profile.at('2')}.validity.too_long", message)


def _names_findings(
    above: x509.Name, subject: x509.Name, profile: Profile, issuer: x509.Certificate | None
) -> Iterator[Finding]:
    if not above.rdns:
        yield error("rfc-5280.4_1_2_4.issuer.empty", "the issuer has no attribute")
    own = same_name(above, subject)
    if profile.self_signed and not own:
        message = f"the issuer is {_text(above)}, the subject {_text(subject)}"
        yield error(f"{profile.at('3_3')}.issuer.not_subject", message)
    elif not profile.self_signed and own:
        yield error(f"{profile.at('3')}.issuer.is_subject", "issuer and subject are the same, a CA has to sign it")
    elif issuer is not None and not same_name(above, issuer.subject):
        message = f"the issuer is {_text(above)}, the CA's name is {_text(issuer.subject)}"
        yield error(f"{profile.at('3')}.issuer.name", message)
    for attribute in subject if own else (*above, *subject):
        yield from _attribute_findings(attribute, profile)


def _attribute_findings(attribute: x509.NameAttribute[str | bytes], profile: Profile) -> Iterator[Finding]:
    oid, kind, length = attribute.oid, attribute._type, len(attribute.value)
    name = oid._name if oid._name != "Unknown OID" else oid.dotted_string
    if not 0 < length <= _LONGEST_ATTRIBUTE:
        message = f"{name} has {length} characters, 1 to {_LONGEST_ATTRIBUTE} may be"
        yield error(f"{profile.at('3_3')}.attribute.length", message)
    if kind not in _STRING_TYPES and oid in ATTRIBUTES.values():
        yield error("rfc-5280.4_1_2_4.attribute.encoding", f"{name} is a {kind.name}")
    elif kind is not _ASN1Type.PrintableString and oid in _PRINTABLE_ONLY:
        yield error("x-520.attribute.encoding", f"{name} is a {kind.name}, not a PrintableString")


def _key_findings(key: CertificatePublicKeyTypes, info: bytes, profile: Profile) -> Iterator[Finding]:
    if not isinstance(key, ec.EllipticCurvePublicKey):
        yield error(f"{profile.at('3_2')}.public_key.algorithm", "the key is not one of an elliptic curve")
        return
    curve = key.curve.name
    if curve not in CURVES:
        message = f"the key is on {curve}, allowed are {', '.join(CURVES)}"
        yield error("tr-03116-3.table_4.public_key.curve", message)
    elif not curve.startswith("brainpool"):
        section = "6_3" if profile.chapter == 3 else "5_1_1"
        message = f"the key is on {curve}, a brainpool curve is recommended"
        yield notice(f"tr-03116-3.{section}.public_key.not_brainpool", message)
    if encoding_of(key) != info:
        message = "the key is no uncompressed point on a named curve"
        yield error(f"{profile.at('3_2')}.public_key.encoding", message)


def _signature_findings(
    certificate: x509.Certificate,
    encoded: Encoded,
    profile: Profile,
    issuer: x509.Certificate | None,
    key: CertificatePublicKeyTypes | None,
) -> Iterator[Finding]:
    whole = der.single(certificate.public_bytes(Encoding.DER), der.SEQUENCE, "Certificate")
    _, outside, value = der.elements(whole.content, "Certificate")
    inside = encoded.head[-1]
    if inside != outside.encoded:
        message = "it names two signature algorithms, one inside and one outside"
        yield error(f"{profile.at('3')}.signature.two_algorithms", message)
        return
    if value.content[0] != 0:  # the bits that are left out of a BIT STRING
        yield error(f"{profile.at('3')}.signature.encoding", "the signature is no whole number of octets")
    dotted = certificate.signature_algorithm_oid.dotted_string
    hash = SIGNATURE_HASHES.get(inside)
    if hash is None or hash.name not in profile.hashes:
        allowed = " or ".join(f"ecdsa-with-{name.upper()}" for name in profile.hashes)
        message = f"the signature algorithm is {dotted}, due is {allowed}"
        yield error(f"{profile.at('3_1')}.signature.algorithm", message)
        return
    signer = key if profile.self_signed else None if issuer is None else issuer.public_key()
    if isinstance(signer, ec.EllipticCurvePublicKey) and not verifies(
        signer, dotted, certificate.signature, certificate.tbs_certificate_bytes
    ):
        whose = "its own key" if profile.self_signed else "the CA's key"
        yield error(f"{profile.at('3')}.signature.invalid", f"the signature does not verify under {whose}")


def _text(name: x509.Name) -> str:
    return quoted(name.rfc4514_string())
