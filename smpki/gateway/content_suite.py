"""Which algorithms protect a content (Detailspezifikationen zur TR-03109-1 v2.0, tables 5.1 and 5.2)."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from cryptography.hazmat.primitives import hashes

from smpki.asn1.oids import (
    AES128_GCM,
    AES128_WRAP,
    AES192_GCM,
    AES192_WRAP,
    AES256_GCM,
    AES256_WRAP,
    AES_CBC_CMAC_128,
    AES_CBC_CMAC_192,
    AES_CBC_CMAC_256,
    ECKA_EG_SHA256,
    ECKA_EG_SHA384,
    ECKA_EG_SHA512,
)

HashName = Literal["sha256", "sha384", "sha512"]

HASHES: Mapping[HashName, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
"""pyca's hash by its name."""


def hash_name(hash: hashes.HashAlgorithm) -> HashName:
    """The name of one of :data:`HASHES`."""
    return next(name for name, each in HASHES.items() if each.name == hash.name)


class Mode(enum.Enum):
    """How AES encrypts and authenticates a content."""

    GCM = "gcm"
    CBC_CMAC = "cbc-cmac"


class KdfInfo(enum.Enum):
    """SharedInfo of the X9.63 key derivation, which no text of the BSI fixes (TR-03111 4.3.3 leaves it optional)."""

    RFC5753 = "rfc5753"
    """ECC-CMS-SharedInfo (RFC 5753 section 7.2)."""
    NONE = "none"
    """Nothing."""


@dataclass(frozen=True, slots=True)
class Suite:
    """How a content is encrypted for its recipient. The defaults are those of :data:`GCM` and :data:`CBC_CMAC`.

    :param mode: of AES
    :param bits: length of the AES keys of the content: 128, 192 or 256
    :param kdf_hash: of the key derivation
    :param wrap_bits: length of the AES key that encrypts the content's: 128, 192 or 256
    :param with_iv: CBC with a random IV in the parameters, and not IV 0; no message of the profile has one (5.3.2.2.3)
    """

    mode: Mode
    bits: int = 128
    kdf_hash: HashName = "sha256"
    wrap_bits: int = 128
    with_iv: bool = False

    @property
    def key_octets(self) -> int:
        """Octets of the content's keys: with CBC-CMAC there are two, for encryption and for the MAC."""
        return self.bits // 8 * (2 if self.mode is Mode.CBC_CMAC else 1)


GCM = Suite(Mode.GCM)
"""CMS_ECKAEG_AES_128_GCM."""

CBC_CMAC = Suite(Mode.CBC_CMAC)
"""CMS_ECKAEG_AES_128_CBCCMAC."""

CONTENT_OIDS: Mapping[tuple[Mode, int], str] = {
    (Mode.GCM, 128): AES128_GCM,
    (Mode.GCM, 192): AES192_GCM,
    (Mode.GCM, 256): AES256_GCM,
    (Mode.CBC_CMAC, 128): AES_CBC_CMAC_128,
    (Mode.CBC_CMAC, 192): AES_CBC_CMAC_192,
    (Mode.CBC_CMAC, 256): AES_CBC_CMAC_256,
}
"""Object identifier by mode and key length (5.3.2.2.3, 5.3.2.2.4)."""

WRAP_OIDS: Mapping[int, str] = {128: AES128_WRAP, 192: AES192_WRAP, 256: AES256_WRAP}
"""Object identifier of the key wrap by key length (5.3.2.2.2)."""

AGREEMENT_OIDS: Mapping[HashName, str] = {"sha256": ECKA_EG_SHA256, "sha384": ECKA_EG_SHA384, "sha512": ECKA_EG_SHA512}
"""Object identifier of ECKA-EG by the hash of its key derivation (5.3.2.2.1)."""
