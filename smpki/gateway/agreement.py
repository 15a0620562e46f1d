"""ECKA: the shared secret of two keys (BSI TR-03111 4.3), with whatever the other side sends as its key."""

from cryptography.hazmat.primitives.asymmetric import ec

from smpki.asn1.curves import CURVES
from smpki.errors import GatewayError, RequestError
from smpki.requests.public_key import read_public_key

_PREFIX = "request.public_key."


def agree(key: ec.EllipticCurvePrivateKey, peer: ec.EllipticCurvePublicKey | bytes) -> bytes:
    """The shared secret Z, before any key derivation.

    :param key: in memory or in a token
    :param peer: the other side's key, or its DER SubjectPublicKeyInfo: curve by name, point uncompressed
    :returns: the x-coordinate of the shared point, of the field's length
    :raises GatewayError: ``agreement.off_curve``, ``agreement.point_format``, ``agreement.parameters``,
        ``agreement.algorithm``, ``agreement.encoding``, ``agreement.curve`` (not the one of ``key``, or none that may
        be used)
    :raises TokenError: what the token refuses
    """
    public = _read(peer) if isinstance(peer, bytes) else peer
    if public.curve.name != key.curve.name:
        raise _refused("curve", f"the other side's key is on {public.curve.name}, ours on {key.curve.name}")
    return key.exchange(ec.ECDH(), public)


def check_curve(key: ec.EllipticCurvePublicKey) -> None:
    """Refuse a key on a curve that may not be used (TR-03116-3 table 4).

    :raises GatewayError: ``agreement.curve``
    """
    if key.curve.name not in CURVES:
        raise _refused("curve", f"the other side's key is on {key.curve.name}")


def _read(info: bytes) -> ec.EllipticCurvePublicKey:
    try:
        return read_public_key(info, "peer")
    except RequestError as error:
        raise _refused(error.code.removeprefix(_PREFIX), error.message) from None


def _refused(rule: str, message: str) -> GatewayError:
    hint = "the other side has to send an uncompressed point on the curve of our key"
    return GatewayError(f"agreement.{rule}", message, where="peer", hint=hint)
