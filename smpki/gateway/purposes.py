"""Is a certificate for what somebody gives it for?"""

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.asn1.curves import CURVES
from smpki.requests.model import Purpose
from smpki.trust.holder import check_holder


def misuse(certificate: x509.Certificate, purpose: Purpose) -> str | None:
    """Why a certificate is not for a purpose (TR-03109-4 annex A.2); None when it is. Dates are not looked at."""
    try:
        key = certificate.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in CURVES:
            return "its key is on none of the curves that may be used"
        reasons = check_holder(certificate, None, purpose.value)
        return reasons[0].message if reasons else None
    except Exception:  # pyca: ValueError, UnsupportedAlgorithm, DuplicateExtension and more
        return "it has parts that can't be read"
