"""The named curves that the infrastructure may use (BSI TR-03116-3 table 4)."""

from collections.abc import Mapping
from types import MappingProxyType

from cryptography.hazmat.primitives.asymmetric import ec

CURVES: Mapping[str, ec.EllipticCurve] = MappingProxyType(
    {
        "brainpoolP256r1": ec.BrainpoolP256R1(),
        "brainpoolP384r1": ec.BrainpoolP384R1(),
        "brainpoolP512r1": ec.BrainpoolP512R1(),
        "secp256r1": ec.SECP256R1(),
        "secp384r1": ec.SECP384R1(),
    }
)
"""pyca's curve by its name; pyca's ``curve.name`` is the key again."""

CURVE_OIDS: Mapping[str, str] = MappingProxyType(
    {
        "brainpoolP256r1": "1.3.36.3.3.2.8.1.1.7",
        "brainpoolP384r1": "1.3.36.3.3.2.8.1.1.11",
        "brainpoolP512r1": "1.3.36.3.3.2.8.1.1.13",
        "secp256r1": "1.2.840.10045.3.1.7",
        "secp384r1": "1.3.132.0.34",
    }
)
"""Dotted object identifier of each curve."""
