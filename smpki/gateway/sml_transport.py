"""SML's transport protocol, version 1: telegrams out of a stream of octets, and refusals of what is not one.

A telegram is ``1B1B1B1B 01010101``, an SML file filled up with zeros to a multiple of four, and ``1B1B1B1B 1A nn CRC``
with the number of filling octets. Four escape octets in the file are sent twice (DIN VDE 0418-63-9, 8.1).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sml import Crc

from smpki.errors import GatewayError

ESCAPE = b"\x1b" * 4
START = ESCAPE + b"\x01" * 4
END = 0x1A
LONGEST_TELEGRAM = 16_384
"""Octets. A frame of the wired LMN has 2034 at most; telegrams in the field stay below 1000."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What stood between a start sequence and its end.

    :param received_at: when the start sequence came (REQ.TLSHDLC.SMGW.50)
    :param content: the SML file without transport octets; or why it is refused
    """

    received_at: datetime
    content: bytes | GatewayError


class SmlTransport:
    """Takes octets as they come, gives frames. Between frames it drops whatever is no start sequence.

    :param longest: limit for one telegram, transport octets included; what is longer is refused once, however long
    """

    def __init__(self, longest: int = LONGEST_TELEGRAM) -> None:
        self._longest = longest
        self._waiting = bytearray()
        self._began: datetime | None = None  # when the telegram at the front began; None: no telegram is there
        self._looked = 0  # up to here every escape sequence of the telegram was dealt with

    def receive(self, data: bytes, at: datetime) -> list[Frame]:
        """Take octets.

        :param at: when they came
        :returns: the frames that they complete
        """
        self._waiting += data
        return list(self._frames(at))

    def finish(self) -> list[Frame]:
        """Tell that the stream ends; what is received afterwards is another.

        :returns: one refused frame if a telegram was under way
        """
        cut = [] if self._began is None else [self._refused(self._began, "cut", "the stream ends inside a telegram")]
        self._waiting.clear()
        self._began = None
        return cut

    def _frames(self, at: datetime) -> Iterator[Frame]:
        while (began := self._began or self._start(at)) is not None:
            place = self._waiting.find(ESCAPE, self._looked)
            end = place if place >= 0 else len(self._waiting)
            if end + 8 > self._longest:
                self._take(end if place >= 0 else end - len(START) + 1)  # the next one may have begun already
                yield self._refused(began, "endless", f"a telegram has no end within {self._longest} octets")
                continue
            if place < 0 or len(self._waiting) < place + 8:
                self._looked = max(len(START), end - len(ESCAPE) + 1) if place < 0 else place
                return
            sequence = self._waiting[place + 4 : place + 8]
            if sequence == ESCAPE:  # a doubled one
                self._looked = place + 8
            elif sequence[0] == END:
                yield self._whole(began, self._take(place + 8))
            elif sequence == START[4:]:
                self._take(place)
                yield self._refused(began, "cut", "a telegram begins inside another")
            else:
                self._take(place + 1)  # the real one may begin an octet later
                yield self._refused(began, "escape", f"the escape sequence {sequence.hex()} is not of version 1")

    def _start(self, at: datetime) -> datetime | None:
        """Bring the next start sequence to the front, if it is here."""
        place = self._waiting.find(START)
        if place < 0:
            del self._waiting[: -len(START) + 1]  # its first octets may be here
            return None
        del self._waiting[:place]
        self._began, self._looked = at, len(START)
        return at

    def _take(self, octets: int) -> bytes:
        taken = bytes(self._waiting[:octets])
        del self._waiting[:octets]
        self._began = None
        return taken

    def _whole(self, began: datetime, telegram: bytes) -> Frame:
        filling = telegram[-3]
        if not Crc.verify_fcs(telegram):
            return self._refused(began, "crc", "the checksum of a telegram is wrong")
        if filling > min(3, len(telegram) - len(START) - 8):
            return self._refused(began, "filling", f"a telegram can't have {filling} filling octets")
        content = telegram[len(START) : -8 - filling]
        return Frame(began, content.replace(ESCAPE * 2, ESCAPE))

    def _refused(self, began: datetime, rule: str, message: str) -> Frame:
        hint = "look at the line and the meter if it happens often"
        return Frame(began, GatewayError(f"reading.sml.{rule}", message, hint=hint))
