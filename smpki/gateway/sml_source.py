"""Readings out of the octets of a meter that speaks SML: whole telegrams, or refusals that say why.

The protocol is that of the wired LMN (DIN VDE 0418-63-9; Detailspezifikationen zur TR-03109-1, chapter 9), as meters
speak it inside TLS, and at the optical interface without being asked.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from smpki.errors import GatewayError, PolicyError
from smpki.gateway.readings import UNITLESS, Reading
from smpki.gateway.sml_file import Answer, SmlFile, SmlTime, read_file
from smpki.gateway.sml_transport import LONGEST_TELEGRAM, Frame, SmlTransport
from smpki.policy.device_id import DeviceId

SERVER_ID_PREFIXES = (b"\x09", b"\x0a")
"""The first octet of a server id that goes on with a binary device id (DIN 43863-5, DIN 43849)."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_MOST_METERS = 1_000
"""Whose time of sending is remembered."""


@dataclass(frozen=True, slots=True)
class Telegram:
    """A telegram that was taken whole.

    :param received_at: when it began to come
    :param readings: all that it holds, each at the full second of its moment
    :param decremented_timestamp: the meter's time of sending is before that of its last telegram (REQ.TLSHDLC.SMGW.70)
    """

    received_at: datetime
    readings: tuple[Reading, ...]
    decremented_timestamp: bool


@dataclass(frozen=True, slots=True)
class RefusedTelegram:
    """A telegram of which nothing is taken.

    :param error: ``reading.*``
    """

    received_at: datetime
    error: GatewayError


class SmlSource:
    """One line with one or more meters; octets in, events out.

    :param meters: whose telegrams are taken; None: everybody's
    :param status: makes the 64-bit status word out of the meter's own, which is None when the meter sent none: then
        it has nothing to complain of (Detailspezifikationen zur TR-03109-1, 9.3.4.2)
    :param longest: limit for one telegram, in octets
    """

    def __init__(
        self,
        *,
        meters: Collection[DeviceId] | None = None,
        status: Callable[[int | None], int] = lambda word: word or 0,
        longest: int = LONGEST_TELEGRAM,
    ) -> None:
        self._transport = SmlTransport(longest)
        self._meters = meters
        self._status = status
        self._sent: dict[DeviceId, SmlTime] = {}

    def receive(self, data: bytes, at: datetime) -> list[Telegram | RefusedTelegram]:
        """Take octets.

        :param at: when they came, by the gateway's clock
        """
        return [self._event(frame) for frame in self._transport.receive(data, at)]

    def finish(self) -> list[Telegram | RefusedTelegram]:
        """Tell that the stream ends; what is received afterwards is another."""
        return [self._event(frame) for frame in self._transport.finish()]

    def _event(self, frame: Frame) -> Telegram | RefusedTelegram:
        try:
            if isinstance(frame.content, GatewayError):
                raise frame.content
            file = read_file(frame.content)
            readings = [reading for each in file.answers for reading in self._readings(each, file, frame.received_at)]
        except GatewayError as error:
            return RefusedTelegram(frame.received_at, error)
        went_back = [self._went_back(meter, file.sent) for meter in {reading.meter for reading in readings}]
        return Telegram(frame.received_at, tuple(readings), any(went_back))

    def _readings(self, answer: Answer, file: SmlFile, received_at: datetime) -> Iterator[Reading]:
        meter = _meter(answer.server_id)
        if self._meters is not None and meter not in self._meters:
            raise _refused("meter", f"{meter} is not one of the gateway's meters", "is its profile missing?")
        for entry in answer.entries:
            yield Reading(
                meter=meter,
                obis=entry.obis,
                captured_at=_captured(received_at, file.sent, entry.measured).replace(microsecond=0),
                value=entry.value,
                scaler=entry.scaler or 0,
                unit=UNITLESS if entry.unit is None else entry.unit,
                status=self._status(entry.status),
            )

    def _went_back(self, meter: DeviceId, sent: SmlTime | None) -> bool:
        before = self._sent.get(meter)
        if sent is not None:
            if len(self._sent) > _MOST_METERS:  # somebody makes them up
                self._sent.clear()
            self._sent[meter] = sent
        return bool(sent and before and sent.absolute == before.absolute and sent.seconds < before.seconds)


def _meter(server_id: bytes) -> DeviceId:
    """The device id in a server id.

    :raises GatewayError: ``reading.sml.server_id``
    """
    message = f"server id {server_id.hex()} holds no device id"
    if not server_id.startswith(SERVER_ID_PREFIXES):
        raise _refused("server_id", message)
    try:
        return DeviceId.from_bytes(server_id[1:])
    except PolicyError as error:
        raise _refused("server_id", f"{message}: {error.message}") from None


def _captured(received_at: datetime, sent: SmlTime | None, measured: SmlTime | None) -> datetime:
    """The moment of a reading.

    What lies between measuring and sending, by the meter's own clock, counts back from the receipt, so that a wrong
    clock in the meter does no harm (REQ.TLSHDLC.SMGW.60). Without that it is the meter's word, or the receipt.

    :raises GatewayError: ``reading.sml.time``
    """
    if measured is None or measured.seconds == 0:  # a meter that has no time sends 0
        return received_at
    if sent is not None and sent.absolute == measured.absolute:
        if measured.seconds > sent.seconds:
            raise _refused("time", f"measured {measured.seconds - sent.seconds} s after it was sent")
        return received_at - timedelta(seconds=sent.seconds - measured.seconds)
    return EPOCH + timedelta(seconds=measured.seconds) if measured.absolute else received_at


def _refused(rule: str, message: str, hint: str = "look at the meter if it happens often") -> GatewayError:
    return GatewayError(f"reading.sml.{rule}", message, hint=hint)
