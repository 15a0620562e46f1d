"""An NTP server: the gateway's in the HAN, and the administrator's for gateways.

Detailspezifikationen zur TR-03109-1 14.3.3; the fields of an answer are those of RFC 5905 9.2 (fast_xmit).
"""

import hashlib
import ipaddress
from collections.abc import Callable

from smpki.gateway.ntp import (
    CLIENT,
    LENGTH,
    SERVER,
    UNKNOWN,
    UNSYNCHRONISED,
    VERSION,
    Message,
    to_short,
    to_timestamp,
)
from smpki.gateway.time_keeper import Standing

_PRECISION = -18
"""Exponent of 2 seconds: the finest that table 14.1 allows; times here have microseconds."""
_NEVER_SET = b"INIT"
"""Kiss code of a server that has not been synchronised (RFC 5905 figure 13)."""


def answer(request: bytes, clock: Callable[[], Standing]) -> bytes | None:
    """Answer a request; ``None``: it is no request, and is ignored (REQ.TA.NTP.ProcessRequest.10).

    An answer tells of a clock that is not trusted, and has no time of it.

    :param request: as it came, of any length
    :param clock: such as :meth:`smpki.gateway.time_keeper.TimeKeeper.standing`
    """
    if len(request) != LENGTH:
        return None
    asked = Message.from_bytes(request)
    if asked.mode != CLIENT or asked.version != VERSION:
        return None
    at = clock()
    if not at.trusted:
        unknown = Message(leap=UNSYNCHRONISED, mode=SERVER, reference_id=_NEVER_SET, origin=asked.transmit)
        return bytes(unknown)
    now = to_timestamp(at.time)
    return bytes(
        Message(
            leap=at.leap,
            mode=SERVER,
            stratum=at.stratum,
            poll=asked.poll,
            precision=_PRECISION,
            root_delay=to_short(at.root_delay),
            root_dispersion=to_short(at.root_dispersion),
            reference_id=at.reference_id,
            reference=UNKNOWN if at.set_at is None else to_timestamp(at.set_at),
            origin=asked.transmit,
            receive=now,
            transmit=now,
        )
    )


def reference_id(address: str) -> bytes:
    """What names a time server to those who ask us (RFC 5905 7.3): 4 octets of its IP address.

    :param address: IPv4: the address itself; IPv6: the beginning of its MD5, which protects nothing here
    """
    packed = ipaddress.ip_address(address).packed
    return packed if len(packed) == 4 else hashlib.md5(packed, usedforsecurity=False).digest()[:4]
