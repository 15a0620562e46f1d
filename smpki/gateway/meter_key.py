"""A meter's certificate and private key on their way to the meter (TR-03109-1 detail specification, 9.3.1).

The gateway makes the meter's key, so that it is in memory here, and sends both as one octet string: the certificate
(RFC 5280) and behind it the key (RFC 5915), each in DER. It may only go through a TLS connection to the meter, or
encrypted with the meter's symmetric key when they meet for the first time (TR-03116-3 6.3.1).
"""

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from smpki.asn1 import der
from smpki.asn1.curves import CURVE_OIDS
from smpki.asn1.der import DerError
from smpki.errors import GatewayError
from smpki.gateway.lmn_certificate import LmnCertificate, LmnHolder, lint_lmn_certificate, parse_lmn_certificate
from smpki.policy.lint.finding import Severity

_VERSION_1 = der.encode_integer(1)
_OF = "the meter's key"


@dataclass(frozen=True)
class MeterKey:
    """A meter's certificate with its private key.

    :raises GatewayError: ``certificate.meter_key.*`` when the certificate breaks the profile of a meter's, or is for
        another key
    """

    certificate: LmnCertificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    def __post_init__(self) -> None:
        for finding in lint_lmn_certificate(self.certificate.certificate, LmnHolder.METER):
            if finding.severity is Severity.ERROR:
                raise _refused("profile", f"the certificate breaks the profile of a meter's: {finding.message}")
        if self.certificate.certificate.public_key() != self.key.public_key():
            raise _refused("other_key", "the certificate is not for this key")

    def to_bytes(self) -> bytes:
        """The octet string for the meter; a secret."""
        certificate = self.certificate.certificate.public_bytes(Encoding.DER)
        return certificate + self.key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())

    @classmethod
    def from_bytes(cls, data: bytes) -> "MeterKey":
        """Read the octet string; what a meter does. No message holds any of the key.

        :raises GatewayError: ``certificate.meter_key.*``, ``certificate.unreadable``, ``certificate.lmn.device``
        """
        try:
            _, stop = der.span(data, 0, "the meter's certificate")
            certificate = parse_lmn_certificate(data[:stop])
            return cls(certificate, _read_key(data[stop:], certificate.certificate.public_key()))
        except DerError as refused:
            raise _refused("form", str(refused)) from None


def _read_key(data: bytes, public_key: object) -> ec.EllipticCurvePrivateKey:
    """ECPrivateKey (RFC 5915 3): the curve there and by name, as that clause wants; the public key as it may be."""
    if not isinstance(public_key, ec.EllipticCurvePublicKey) or public_key.curve.name not in CURVE_OIDS:
        raise _refused("other_key", "the certificate's key is on no curve of TR-03116-3 table 4")
    curve = public_key.curve
    parameters = der.encode(der.context(0), der.encode_object_identifier(CURVE_OIDS[curve.name]))
    point = public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    public = der.encode(der.context(1), der.encode(der.BIT_STRING, b"\x00", point))
    parts = der.elements(der.single(data, der.SEQUENCE, _OF).content, _OF)
    encoded = [part.encoded for part in parts]
    if encoded[:1] != [_VERSION_1] or encoded[2:] not in ([parameters], [parameters, public]):
        raise _refused("form", "version, curve or public key are not those of RFC 5915 and the certificate")
    octets = der.expect(parts[1], der.OCTET_STRING, _OF).content
    if len(octets) != (curve.key_size + 7) // 8:
        raise _refused("form", f"the private key has {len(octets)} octets")
    try:
        return ec.derive_private_key(int.from_bytes(octets, "big"), curve)
    except ValueError:  # pyca: zero, or not below the order
        raise _refused("form", "the private key is out of the range of its curve") from None


def _refused(rule: str, message: str) -> GatewayError:
    hint = "due are a meter's certificate (RFC 5280) and its key (RFC 5915), one behind the other, in DER"
    return GatewayError(f"certificate.meter_key.{rule}", message, hint=hint)
