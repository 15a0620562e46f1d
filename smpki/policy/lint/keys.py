"""Keys and signatures: curve, hash and when they may be used (TR-03116-3 tables 5, 6, 21 and 23)."""

from collections.abc import Iterator
from datetime import datetime
from types import MappingProxyType

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from smpki.asn1.oids import ECDSA_WITH_SHA256, ECDSA_WITH_SHA384, ECDSA_WITH_SHA512
from smpki.policy.lint.finding import Finding, error, warning
from smpki.policy.model import CertificateType, Policy, PurposeName, Window

_SIGNATURE = "tr-03116-3.table_5.signature"
_TABLES = MappingProxyType({"ca": "table_5", "crl": "table_5", "tls": "table_6", "enc": "table_21", "sig": "table_23"})
_HASHES = MappingProxyType({ECDSA_WITH_SHA256: "sha256", ECDSA_WITH_SHA384: "sha384", ECDSA_WITH_SHA512: "sha512"})


def public_key_findings(
    key: CertificatePublicKeyTypes, kind: CertificateType, purpose: PurposeName, policy: Policy, on: datetime | None
) -> Iterator[Finding]:
    """Is the key on a curve for its holder?

    :param on: when it is certified; ``None`` for a request, whose window the CA looks at when it issues
    """
    at = f"tr-03116-3.{_TABLES[purpose]}.public_key"
    windows = policy.algorithms[policy.certificates[kind].algorithm.value]
    if not isinstance(key, ec.EllipticCurvePublicKey):
        yield error(f"{at}.algorithm", "the key is not one of an elliptic curve")
        return
    curve = key.curve.name
    fitting = [window for window in windows if window.curve == curve]
    if not fitting:
        allowed = ", ".join(window.curve for window in windows)
        yield error(f"{at}.curve", f"the key is on {curve}, {kind} certificates have one on {allowed}")
    elif on is not None and not _open(fitting, on):
        yield warning(f"{at}.window", f"a key on {curve} is certified on {on:%Y-%m-%d}, outside {_spans(fitting)}")


def encoding_of(key: CertificatePublicKeyTypes) -> bytes:
    """The SubjectPublicKeyInfo that a certificate should have for this key: named curve, uncompressed point."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def encoding_findings(key: CertificatePublicKeyTypes, info: bytes, purpose: PurposeName) -> Iterator[Finding]:
    """Is the curve given by its name, and the point uncompressed? Everything else would have several encodings.

    :param info: the SubjectPublicKeyInfo as it stands in the certificate
    """
    if encoding_of(key) != info:
        yield error(
            f"tr-03116-3.{_TABLES[purpose]}.public_key.encoding", "the key is no uncompressed point on a named curve"
        )


def signature_findings(
    algorithm: x509.ObjectIdentifier,
    issuer: CertificateType,
    issuer_key: CertificatePublicKeyTypes | None,
    policy: Policy,
    on: datetime,
) -> Iterator[Finding]:
    """Does the signature algorithm belong to the issuer?

    :param issuer: the issuer's type
    :param issuer_key: its public key where its certificate is at hand
    :param on: when the certificate is signed
    """
    name = _HASHES.get(algorithm.dotted_string)
    fitting = [w for w in policy.algorithms[policy.certificates[issuer].algorithm.value] if w.hash == name]
    if name is None or not fitting:
        yield error(f"{_SIGNATURE}.algorithm", f"{issuer} does not sign with algorithm {algorithm.dotted_string}")
        return
    if issuer_key is not None:
        curve = issuer_key.curve.name if isinstance(issuer_key, ec.EllipticCurvePublicKey) else "no elliptic curve"
        fitting = [window for window in fitting if window.curve == curve]
        if not fitting:
            yield error(
                f"{_SIGNATURE}.curve", f"ecdsa-with-{name.upper()} does not go with the issuer's key on {curve}"
            )
            return
    if not _open(fitting, on):
        yield warning(
            f"{_SIGNATURE}.window",
            f"ecdsa-with-{name.upper()} of {issuer} on {on:%Y-%m-%d}, outside {_spans(fitting)}",
        )


def _open(windows: list[Window], on: datetime) -> bool:
    day = on.date()
    return any(window.start <= day <= window.end for window in windows)


def _spans(windows: list[Window]) -> str:
    return ", ".join(f"{window.start} to {window.end}" for window in windows)
