"""An NTP client: asks a time server, drops answers that can't be right, sets the clock by the others.

Detailspezifikationen zur TR-03109-1 14.3.1 and 14.3.2.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from smpki.errors import GatewayError
from smpki.gateway.ntp import (
    CLIENT,
    CONVERTIBLE,
    LENGTH,
    SERVER,
    UNKNOWN,
    UNSYNCHRONISED,
    VERSION,
    Message,
    Period,
    from_short,
    from_timestamp,
)
from smpki.gateway.time_keeper import Measurement, TimeKeeper, TimeSet

LONGEST_DELAY = 9.0
"""Seconds from request to answer (REQ.TA.NTP.ProcessResponse.10)."""
LARGEST_STEP = timedelta(seconds=1000)
"""How much an answer may differ from a time that is trusted (REQ.TA.NTP.ProcessResponse.110)."""
_UNSPECIFIED_STRATUM, _TOO_HIGH_STRATUM = 0, 16
_TOO_FAR = 16.0  # seconds from the reference clock; RFC 5905 figure 6, MAXDISP
_MINIMISED_PRECISION = 32


class Reason(enum.StrEnum):
    """Why an answer is dropped. The clock stays as it is."""

    LENGTH = "length"
    NOT_ASKED = "not_asked"
    """No answer is due."""
    ORIGIN = "origin"
    """It answers another request than the last."""
    DELAYED = "delayed"
    VERSION = "version"
    MODE = "mode"
    UNSYNCHRONISED = "unsynchronised"
    """The server does not know the time."""
    STRATUM = "stratum"
    """The server is at no distance from a reference clock, or says so with a kiss code; those are not acted upon."""
    TIMESTAMPS = "timestamps"
    """One is not known, outside the convertible period, or before one that it follows."""
    ROOT_DISTANCE = "root_distance"
    STEP = "step"
    """It would make a trusted time jump."""
    NO_ANSWER = "no_answer"
    """None came in time."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """An answer is ignored."""

    reason: Reason


class NtpClient:
    """Keeps a clock by a time server's answers.

    :param keeper: the clock
    :param random: random octets, cryptographically strong: they make the transmit timestamp of a request
    :param reference_id: 4 octets that name the server to who asks us for the time (:func:`reference_id`)
    :param poll: seconds between two requests at least; the gateway's main specification allows one a minute
    :param period: what timestamps can mean
    """

    def __init__(
        self,
        keeper: TimeKeeper,
        *,
        random: Callable[[int], bytes],
        reference_id: bytes = bytes(4),
        poll: float = 60.0,
        period: Period = CONVERTIBLE,
    ) -> None:
        self._keeper = keeper
        self._random = random
        self._reference_id = reference_id
        self._poll = poll
        self._period = period
        self._asked: float | None = None
        self._transmit = UNKNOWN

    @property
    def wait(self) -> float:
        """Seconds until the next request may be made."""
        if self._asked is None:
            return 0.0
        return max(0.0, self._asked + self._poll - self._keeper.monotonic())

    def request(self) -> bytes:
        """A request that tells nothing about this clock; to be sent at once, the delay counts from here.

        :raises GatewayError: ``ntp.too_soon``
        """
        if self.wait > 0:
            message = f"the time was asked for less than {self._poll:g} s ago"
            raise GatewayError("ntp.too_soon", message, hint=f"ask in {self.wait:.0f} s again")
        while (transmit := int.from_bytes(self._random(8))) == UNKNOWN:
            pass
        self._transmit, self._asked = transmit, self._keeper.monotonic()
        return bytes(Message(mode=CLIENT, precision=_MINIMISED_PRECISION, transmit=transmit))

    def receive(self, data: bytes) -> TimeSet | Dropped:
        """Take an answer, right when it comes: set the clock, or drop it."""
        instant = self._keeper.monotonic()
        if len(data) != LENGTH:
            return Dropped(Reason.LENGTH)
        message = Message.from_bytes(data)
        if self._asked is None or self._transmit == UNKNOWN:
            return Dropped(Reason.NOT_ASKED)
        if message.origin != self._transmit:
            return Dropped(Reason.ORIGIN)
        self._transmit = UNKNOWN  # each request has one answer
        result = self._measure(message, instant, instant - self._asked)
        return result if isinstance(result, Dropped) else self._keeper.set(result)

    def _measure(self, message: Message, instant: float, elapsed: float) -> Measurement | Dropped:
        if elapsed > LONGEST_DELAY:
            return Dropped(Reason.DELAYED)
        if message.version < VERSION:
            return Dropped(Reason.VERSION)
        if message.mode != SERVER:
            return Dropped(Reason.MODE)
        if message.leap == UNSYNCHRONISED:
            return Dropped(Reason.UNSYNCHRONISED)
        if not _UNSPECIFIED_STRATUM < message.stratum < _TOO_HIGH_STRATUM:
            return Dropped(Reason.STRATUM)
        received = from_timestamp(message.receive, self._period)
        sent = from_timestamp(message.transmit, self._period)
        if received is None or sent is None or sent < received:
            return Dropped(Reason.TIMESTAMPS)
        if message.reference != UNKNOWN:
            reference = from_timestamp(message.reference, self._period)
            if reference is None or reference > sent:  # RFC 5905 A.5.1.1
                return Dropped(Reason.TIMESTAMPS)
        root_delay, root_dispersion = from_short(message.root_delay), from_short(message.root_dispersion)
        if root_delay / 2 + root_dispersion >= _TOO_FAR:  # RFC 5905 A.5.1.1
            return Dropped(Reason.ROOT_DISTANCE)
        trusted = self._keeper.now()
        if trusted is not None and abs(trusted - sent) > LARGEST_STEP:
            return Dropped(Reason.STEP)
        delay = max(0.0, elapsed - (sent - received).total_seconds())
        return Measurement(
            time=sent + timedelta(seconds=delay / 2),
            instant=instant,
            delay=delay,
            stratum=message.stratum,
            leap=message.leap,
            root_delay=root_delay,
            root_dispersion=root_dispersion,
            precision=min(1.0, 2.0**message.precision),
            reference_id=self._reference_id,
        )
