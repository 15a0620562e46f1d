"""The cryptography that TLS may use, by its registered names (BSI TR-03116-3 tables 6 to 16).

Nothing else may be switched on. Names of cipher suites, groups and signature schemes are those of the registries of
IANA; what the library calls them is told here and nowhere else.
"""

import enum
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from types import MappingProxyType


class Version(enum.Enum):
    """A version of TLS that may be spoken."""

    TLS12 = "TLSv1.2"
    TLS13 = "TLSv1.3"


@dataclass(frozen=True)
class Choice:
    """One thing to agree on.

    :param library: what OpenSSL calls it
    :param code: its number on the wire
    :param versions: where it has a meaning
    """

    library: str
    code: int
    versions: frozenset[Version]


_ONLY_12 = frozenset({Version.TLS12})
_ONLY_13 = frozenset({Version.TLS13})
_BOTH = _ONLY_12 | _ONLY_13

SUITES: Mapping[str, Choice] = MappingProxyType(
    {
        "TLS_AES_256_GCM_SHA384": Choice("TLS_AES_256_GCM_SHA384", 0x1302, _ONLY_13),
        "TLS_AES_128_GCM_SHA256": Choice("TLS_AES_128_GCM_SHA256", 0x1301, _ONLY_13),
        "TLS_AES_128_CCM_SHA256": Choice("TLS_AES_128_CCM_SHA256", 0x1304, _ONLY_13),
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": Choice("ECDHE-ECDSA-AES256-GCM-SHA384", 0xC02C, _ONLY_12),
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": Choice("ECDHE-ECDSA-AES128-GCM-SHA256", 0xC02B, _ONLY_12),
        "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384": Choice("ECDHE-ECDSA-AES256-SHA384", 0xC024, _ONLY_12),
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256": Choice("ECDHE-ECDSA-AES128-SHA256", 0xC023, _ONLY_12),
    }
)
"""Cipher suites, the preferred ones first."""

GROUPS: Mapping[str, Choice] = MappingProxyType(
    {
        "brainpoolP512r1tls13": Choice("brainpoolP512r1tls13", 33, _ONLY_13),
        "brainpoolP512r1": Choice("brainpoolP512r1", 28, _ONLY_12),
        "brainpoolP384r1tls13": Choice("brainpoolP384r1tls13", 32, _ONLY_13),
        "brainpoolP384r1": Choice("brainpoolP384r1", 27, _ONLY_12),
        "secp384r1": Choice("secp384r1", 24, _BOTH),
        "brainpoolP256r1tls13": Choice("brainpoolP256r1tls13", 31, _ONLY_13),
        "brainpoolP256r1": Choice("brainpoolP256r1", 26, _ONLY_12),
        "secp256r1": Choice("secp256r1", 23, _BOTH),
    }
)
"""Groups for the key exchange, higher orders first (REQ.TA.TLS.Handshake.60).

In TLS 1.2 the curve of a certificate has to be among them too (RFC 8422 5.3), so none is ever dropped for preference.
"""

SIGNATURE_SCHEMES: Mapping[str, Choice] = MappingProxyType(
    {
        "ecdsa_brainpoolP256r1tls13_sha256": Choice("ecdsa_brainpoolP256r1tls13_sha256", 0x081A, _ONLY_13),
        "ecdsa_brainpoolP384r1tls13_sha384": Choice("ecdsa_brainpoolP384r1tls13_sha384", 0x081B, _ONLY_13),
        "ecdsa_brainpoolP512r1tls13_sha512": Choice("ecdsa_brainpoolP512r1tls13_sha512", 0x081C, _ONLY_13),
        "ecdsa_secp256r1_sha256": Choice("ecdsa_secp256r1_sha256", 0x0403, _ONLY_13),
        "ecdsa_secp384r1_sha384": Choice("ecdsa_secp384r1_sha384", 0x0503, _ONLY_13),
        "ecdsa_sha256": Choice("ECDSA+SHA256", 0x0403, _ONLY_12),
        "ecdsa_sha384": Choice("ECDSA+SHA384", 0x0503, _ONLY_12),
        "ecdsa_sha512": Choice("ECDSA+SHA512", 0x0603, _ONLY_12),
    }
)
"""Signature schemes.

Those of TLS 1.2 name a hash for any curve (table 9). In TLS 1.3 the same numbers name a curve as well, 0x0603 one that
may not be; a hello that offers both versions can't tell which is meant.
"""


def of_version(names: Iterable[str], table: Mapping[str, Choice], versions: Set[Version]) -> list[str]:
    """OpenSSL's names for those choices that mean something in one of these versions, in the same order."""
    return [table[name].library for name in names if table[name].versions & versions]


def suite_name(library: str) -> str:
    """The registered name of a cipher suite that OpenSSL calls so."""
    return next(name for name, choice in SUITES.items() if choice.library == library)
