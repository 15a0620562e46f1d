"""Read the name and the extensions of a certificate template.

pyca reads names and extensions only inside a certificate. So each is put into a skeleton certificate, everything else
of which is constant: pyca's Rust parser then does the work, strictly as DER, some ten times as fast as declared
ASN.1 in Python. pyca parses lazily, so both functions take the value out at once: what they return can't fail later.
"""

import warnings

from cryptography import x509

from smpki.asn1 import der
from smpki.asn1.curves import CURVE_OIDS
from smpki.asn1.oids import EC_PUBLIC_KEY, ECDSA_WITH_SHA256
from smpki.errors import RequestError
from smpki.requests.model import Purpose

_EMPTY = der.encode(der.SEQUENCE)
_NO_BITS = der.encode(der.BIT_STRING, b"\x00")
_ALGORITHM = der.encode(der.SEQUENCE, der.encode_object_identifier(ECDSA_WITH_SHA256))
_UTC_TIME = der.encode(0x17, b"000101000000Z")
_VALIDITY = der.encode(der.SEQUENCE, _UTC_TIME, _UTC_TIME)
_VERSION_3 = der.encode(der.context(0), der.encode_integer(2))
_HEAD = b"".join((_VERSION_3, der.encode_integer(1), _ALGORITHM, _EMPTY, _VALIDITY))  # up to the subject
_CURVE = der.encode_object_identifier(CURVE_OIDS["secp256r1"])
_KEY_ALGORITHM = der.encode(der.SEQUENCE, der.encode_object_identifier(EC_PUBLIC_KEY), _CURVE)
_KEY = der.encode(der.SEQUENCE, _KEY_ALGORITHM, _NO_BITS)  # never parsed

# pyca warns of an attribute with more octets than X.520 allows characters; how long it may be is the policy's to judge
warnings.filterwarnings("ignore", "Attribute's length", UserWarning, module=__name__.replace(".", r"\."))


def read_name(name: bytes, place: str, field: str = "subject") -> x509.Name:
    """Read a DER Name (RFC 5280 section 4.1.2.4).

    :param place: the request that refusals name
    :param field: the field of the template that the name stands in
    :raises RequestError: ``request.FIELD.encoding``
    """
    try:
        return _skeleton(name, b"").subject
    except Exception as error:  # pyca: ValueError, TypeError and more; whatever it is, the name can't be read
        raise RequestError(
            f"request.{field}.encoding",
            f"the {field} is not a Name in DER: {error}",
            where=f"{place}: {field}",
            hint="attributes are PrintableString or UTF8String (RFC 5280 section 4.1.2.4)",
        ) from None


def read_extensions(extensions: bytes, place: str) -> x509.Extensions:
    """Read DER Extensions (RFC 5280 section 4.2).

    :param place: the request that refusals name
    :raises RequestError: ``request.extensions.duplicate`` or ``request.extensions.encoding``
    """
    try:
        return _skeleton(_EMPTY, der.encode(der.context(3), extensions)).extensions
    except x509.DuplicateExtension as error:
        raise RequestError(
            "request.extensions.duplicate",
            f"extension {error.oid.dotted_string} is requested twice",
            where=f"{place}: extensions",
            hint="request each extension once (RFC 5280 section 4.2)",
        ) from None
    except Exception as error:  # pyca: ValueError, UnsupportedGeneralNameType and more; nothing else runs in here
        raise RequestError(
            "request.extensions.encoding",
            f"the requested extensions are not as RFC 5280 spells them: {error}",
            where=f"{place}: extensions",
            hint="encode each extension's value in DER as RFC 5280 section 4.2.1 defines it",
        ) from None


def purpose_of(extensions: x509.Extensions, place: str) -> Purpose:
    """What a certificate with these extensions is for (TR-03109-4 annex A): key usage tells ENC (keyEncipherment or
    keyAgreement) from SIG and TLS (digitalSignature), the presence of extended key usage tells TLS from SIG.

    :param place: the request that refusals name
    :raises RequestError: ``request.key_usage.missing`` or ``request.key_usage.contradictory``
    """
    values = {extension.oid: extension.value for extension in extensions}
    usage = values.get(x509.KeyUsage.oid)
    if not isinstance(usage, x509.KeyUsage):
        raise _usage_refused("missing", "no key usage is requested", place)
    for_tls = x509.ExtendedKeyUsage.oid in values
    enciphers = usage.key_encipherment or usage.key_agreement
    if usage.digital_signature and not enciphers:
        return Purpose.TLS if for_tls else Purpose.SIG
    if enciphers and not usage.digital_signature and not for_tls:
        return Purpose.ENC
    raise _usage_refused("contradictory", "the requested key usages fit no purpose", place)


def _usage_refused(rule: str, message: str, place: str) -> RequestError:
    return RequestError(
        f"request.key_usage.{rule}",
        message,
        where=f"{place}: extensions",
        hint="TLS: digitalSignature and extended key usage; SIG: digitalSignature alone; ENC: keyEncipherment and "
        "keyAgreement",
    )


def _skeleton(subject: bytes, extensions: bytes) -> x509.Certificate:
    body = der.encode(der.SEQUENCE, _HEAD, subject, _KEY, extensions)
    return x509.load_der_x509_certificate(der.encode(der.SEQUENCE, body, _ALGORITHM, _NO_BITS))
