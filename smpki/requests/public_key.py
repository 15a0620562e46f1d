"""Read a requested public key: a named curve, an uncompressed point on it, nothing else."""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.asn1 import der
from smpki.asn1.curves import CURVE_OIDS, CURVES
from smpki.asn1.oids import EC_PUBLIC_KEY
from smpki.errors import RequestError

_HINT = f"send a key on one of {', '.join(CURVES)}: curve by name, point uncompressed (TR-03116-3 table 4)"


def _prefix(name: str) -> bytes:
    """What a SubjectPublicKeyInfo on this curve begins with; DER leaves nothing open but the point's coordinates."""
    algorithm = der.encode(
        der.SEQUENCE, der.encode_object_identifier(EC_PUBLIC_KEY), der.encode_object_identifier(CURVE_OIDS[name])
    )
    coordinates = 2 * ((CURVES[name].key_size + 7) // 8)
    point = der.encode(der.BIT_STRING, b"\x00\x04", bytes(coordinates))
    return der.encode(der.SEQUENCE, algorithm, point)[:-coordinates]


_PREFIXES = tuple((_prefix(name), curve) for name, curve in CURVES.items())

_POINT_KINDS = {
    b"\x00\x00": "infinite",
    b"\x00\x02": "compressed",
    b"\x00\x03": "compressed",
    b"\x00\x06": "hybrid",
    b"\x00\x07": "hybrid",
}


def read_public_key(info: bytes, place: str) -> ec.EllipticCurvePublicKey:
    """Read a DER SubjectPublicKeyInfo (RFC 5480 section 2).

    :param info: one encoded SEQUENCE
    :param place: the request that refusals name
    :raises RequestError: ``request.public_key.off_curve``, ``.algorithm``, ``.parameters`` (a curve not given by name),
        ``.curve``, ``.point_format`` (compressed, hybrid or infinite) or ``.encoding``
    """
    for prefix, curve in _PREFIXES:
        if info.startswith(prefix):
            try:
                # pyca checks that the point is on the curve
                return ec.EllipticCurvePublicKey.from_encoded_point(curve, info[len(prefix) - 1 :])
            except ValueError:
                raise _refused("off_curve", f"the point is not on {curve.name}", place) from None
            except UnsupportedAlgorithm:
                raise _refused("curve", f"the cryptography library here lacks {curve.name}", place) from None
    raise _explained(info, place)


def _explained(info: bytes, place: str) -> RequestError:
    """Why a key that begins with none of the prefixes is refused."""
    try:
        parts = der.elements(der.single(info, der.SEQUENCE, "publicKey").content, "publicKey")
        algorithm, *parameters = der.elements(parts[0].content, "publicKey.algorithm")
        oid = der.object_identifier(algorithm, "publicKey.algorithm")
        if oid != EC_PUBLIC_KEY:
            return _refused("algorithm", f"{oid} is not the algorithm of an elliptic-curve key", place)
        if len(parameters) != 1 or parameters[0].tag != der.OBJECT_IDENTIFIER:
            return _refused("parameters", "the curve is not given by its name", place)
        curve = der.object_identifier(parameters[0], "publicKey.algorithm.parameters")
        if curve not in CURVE_OIDS.values():
            return _refused("curve", f"curve {curve} may not be used", place)
        point = der.expect(parts[1], der.BIT_STRING, "publicKey.subjectPublicKey").content
    except (IndexError, ValueError) as error:
        return _refused("encoding", f"the key is not a SubjectPublicKeyInfo: {error}", place)
    kind = _POINT_KINDS.get(point[:2])
    if kind is None:
        return _refused("encoding", "the key is no SubjectPublicKeyInfo with a point of its curve's size", place)
    return _refused("point_format", f"the point is {kind}", place)


def _refused(rule: str, message: str, place: str) -> RequestError:
    return RequestError(f"request.public_key.{rule}", message, where=f"{place}: publicKey", hint=_HINT)
