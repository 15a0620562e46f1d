"""The places for key pairs in a gateway's security module."""

import enum
from collections.abc import Mapping
from types import MappingProxyType

from cryptography.hazmat.primitives.asymmetric import ec

from smpki.asn1.curves import CURVES
from smpki.hsm.key import KeyUse
from smpki.requests.model import Purpose

_NEXT = "-next"


class Group(enum.StrEnum):
    """Slots whose keys are replaced together."""

    WAN = "wan"
    """The triple of SM-PKI certificates: GW_WAN_TLS_CRT, GW_WAN_SIG_CRT, GW_WAN_ENC_CRT."""
    HAN = "han"
    """GW_HAN_TLS_CRT (Detailspezifikationen zur TR-03109-1, chapter 4)."""
    LMN = "lmn"
    """GW_LMN_TLS_CRT (the same, chapter 3)."""

    @property
    def slots(self) -> tuple["Slot", ...]:
        """The current slots, in the order TLS, SIG, ENC."""
        return tuple(slot for slot in Slot if slot.group is self and not slot.is_next)


class Slot(enum.StrEnum):
    """A place for a key pair and its certificate.

    Keys are made and certificates installed in the next slots. They become current all at once, group by group.
    """

    WAN_TLS = "wan-tls"
    WAN_SIG = "wan-sig"
    WAN_ENC = "wan-enc"
    HAN_TLS = "han-tls"
    LMN_TLS = "lmn-tls"
    WAN_TLS_NEXT = "wan-tls-next"
    WAN_SIG_NEXT = "wan-sig-next"
    WAN_ENC_NEXT = "wan-enc-next"
    HAN_TLS_NEXT = "han-tls-next"
    LMN_TLS_NEXT = "lmn-tls-next"

    @property
    def group(self) -> Group:
        """The group that the slot belongs to."""
        return Group(self.value.partition("-")[0])

    @property
    def purpose(self) -> Purpose:
        """What the key is for."""
        return Purpose(self.value.split("-")[1])

    @property
    def is_next(self) -> bool:
        """Whether the slot holds a key that is still to become current."""
        return self.value.endswith(_NEXT)

    @property
    def current(self) -> "Slot":
        """The current slot to this one."""
        return Slot(self.value.removesuffix(_NEXT))

    @property
    def next(self) -> "Slot":
        """The next slot to this one."""
        return Slot(self.current.value + _NEXT)

    @property
    def key_use(self) -> KeyUse:
        """What its keys may do. An ENC key signs the proof of its possession, and nothing else ever."""
        return KeyUse.SIGN | KeyUse.DERIVE if self.purpose is Purpose.ENC else KeyUse.SIGN

    @property
    def curves(self) -> Mapping[str, ec.EllipticCurve]:
        """The curves that its keys may be on, the usual one first.

        TR-03116-3 tables 6, 21 and 23 for WAN; table 4 for HAN and LMN, by chapters 5 and 6.
        """
        return _WAN_CURVES if self.group is Group.WAN else CURVES


_WAN_CURVES = MappingProxyType({"brainpoolP256r1": CURVES["brainpoolP256r1"]})
