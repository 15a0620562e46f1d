"""When an NTP client believes an answer, and what an NTP server answers."""

import struct
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smpki.errors import GatewayError
from smpki.gateway.ntp import CONVERTIBLE, Message, from_short, from_timestamp, to_short, to_timestamp
from smpki.gateway.ntp_client import Dropped, NtpClient, Reason
from smpki.gateway.ntp_server import answer, reference_id
from smpki.gateway.time_keeper import Standing, TimeKeeper, TimeSet

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)
ERA_1 = datetime(2036, 2, 7, 6, 28, 16, tzinfo=UTC)


class Monotonic:
    """A monotonic clock that a test moves."""

    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Exchange:
    """A client, its clock, and a time server whose clock is right."""

    def __init__(self, guess: datetime = NOW) -> None:
        self.monotonic = Monotonic()
        self.keeper = TimeKeeper(guess, self.monotonic)
        self.random = iter(range(1, 1000))
        self.client = NtpClient(
            self.keeper, random=lambda octets: next(self.random).to_bytes(octets), reference_id=b"\xc0\0\2\1"
        )
        self.right = NOW - self.monotonic() * SECOND

    @property
    def time(self) -> datetime:
        """What a right clock shows."""
        return self.right + self.monotonic() * SECOND

    def answer(self, request: bytes, **changes: object) -> bytes:
        """The server's answer of now, with some fields changed."""
        right = answer(request, lambda: Standing(self.time, trusted=True, stratum=2, set_at=self.time - 30 * SECOND))
        assert right is not None
        return bytes(replace(Message.from_bytes(right), **changes))  # type: ignore[arg-type]

    def run(self, there: float = 0.0, back: float = 0.0, **changes: object) -> TimeSet | Dropped:
        """One request and its answer, a minute after the last.

        :param there: seconds that the request takes
        :param back: seconds that the answer takes
        """
        self.monotonic.seconds += 60
        request = self.client.request()
        self.monotonic.seconds += there
        reply = self.answer(request, **changes)
        self.monotonic.seconds += back
        return self.client.receive(reply)


# the client's requests


@pytest.mark.requirement(
    "REQ.TA.NTP.BuildRequest.10",
    "REQ.TA.NTP.BuildRequest.20",
    "REQ.TA.NTP.BuildRequest.30",
    "REQ.TA.NTP.BuildRequest.40",
)
def test_a_request_tells_nothing_but_a_random_number() -> None:
    request = Exchange().client.request()
    # leap 0, version 4, mode 3; stratum, poll 0; precision 32; all else 0 but the transmit timestamp
    assert request == bytes.fromhex("23000020") + bytes(36) + struct.pack(">Q", 1)


def test_the_random_number_is_never_zero() -> None:
    exchange = Exchange()
    exchange.random = iter([0, 0, 7])
    assert Message.from_bytes(exchange.client.request()).transmit == 7


def test_at_most_once_a_minute() -> None:
    exchange = Exchange()
    assert exchange.client.wait == 0
    exchange.client.request()
    exchange.monotonic.seconds += 59.5
    assert exchange.client.wait == 0.5
    with pytest.raises(GatewayError) as refused:
        exchange.client.request()
    assert refused.value.code == "ntp.too_soon"
    exchange.monotonic.seconds += 0.5
    exchange.client.request()


# the client's rules


def test_the_first_answer_sets_an_unknown_time() -> None:
    exchange = Exchange(guess=datetime(1970, 1, 1, tzinfo=UTC))
    assert exchange.keeper.now() is None
    event = exchange.run(there=0.25, back=0.25)
    assert isinstance(event, TimeSet)
    assert (event.was_trusted, event.deviated) == (False, False)
    assert event.time == exchange.keeper.now() == exchange.time


@pytest.mark.parametrize(("there", "back", "error"), [(0, 0, 0), (2, 2, 0), (4, 0, -2.0), (0, 4, 2.0)])
def test_the_offset_is_wrong_by_half_the_asymmetry(there: float, back: float, error: float) -> None:
    exchange = Exchange(guess=NOW + 3 * SECOND)
    event = exchange.run(there, back)
    assert isinstance(event, TimeSet)
    shown = exchange.keeper.now()
    assert shown is not None
    assert exchange.time - shown == error * SECOND
    assert exchange.keeper.standing().maximum_error >= abs(error)


def test_the_time_that_the_server_takes_counts_neither_way() -> None:
    exchange = Exchange()
    exchange.monotonic.seconds += 60
    request = exchange.client.request()
    exchange.monotonic.seconds += 1
    received = to_timestamp(exchange.time)
    exchange.monotonic.seconds += 5
    reply = exchange.answer(request, receive=received)
    exchange.monotonic.seconds += 1
    exchange.client.receive(reply)
    assert exchange.keeper.now() == exchange.time
    assert exchange.keeper.standing().root_delay == pytest.approx(2)


def test_over_the_end_of_an_era() -> None:
    exchange = Exchange(guess=ERA_1 - 100 * SECOND)
    exchange.right = ERA_1 - 161 * SECOND
    for _ in range(3):
        assert isinstance(exchange.run(there=1, back=1), TimeSet)
        assert exchange.keeper.now() == exchange.time
    assert exchange.time > ERA_1


def trusting() -> Exchange:
    """A client that knows the time."""
    exchange = Exchange()
    assert isinstance(exchange.run(), TimeSet)
    return exchange


def dropped(exchange: Exchange, reason: Reason, there: float = 0.0, back: float = 0.0, **changes: object) -> None:
    before = exchange.keeper.reading() - exchange.monotonic() * SECOND
    trusted = exchange.keeper.now() is not None
    assert exchange.run(there, back, **changes) == Dropped(reason)
    assert exchange.keeper.reading() - exchange.monotonic() * SECOND == before
    assert (exchange.keeper.now() is not None) == trusted


@pytest.fixture(params=[Exchange, trusting])
def exchange(request: pytest.FixtureRequest) -> Exchange:
    """A client that does not know the time, and one that does."""
    made: Exchange = request.param()
    return made


@pytest.mark.requirement("REQ.TA.NTP.ProcessResponse.10")
def test_an_answer_that_took_more_than_nine_seconds(exchange: Exchange) -> None:
    dropped(exchange, Reason.DELAYED, there=4.5, back=4.5 + 2**-10)
    dropped(exchange, Reason.DELAYED, there=0, back=3600)
    assert isinstance(exchange.run(there=4.5, back=4.5), TimeSet)


@pytest.mark.requirement("REQ.TA.NTP.ProcessResponse.30")
def test_an_answer_to_another_request(exchange: Exchange) -> None:
    dropped(exchange, Reason.ORIGIN, origin=0)
    dropped(exchange, Reason.ORIGIN, origin=4711)
    exchange.monotonic.seconds += 60
    late = exchange.answer(exchange.client.request())
    exchange.monotonic.seconds += 60
    in_time = exchange.answer(exchange.client.request())
    assert exchange.client.receive(late) == Dropped(Reason.ORIGIN)
    assert isinstance(exchange.client.receive(in_time), TimeSet)
    assert exchange.client.receive(in_time) == Dropped(Reason.NOT_ASKED)


def test_an_answer_to_no_request() -> None:
    exchange = Exchange()
    assert exchange.client.receive(exchange.answer(bytes(Message(mode=3)))) == Dropped(Reason.NOT_ASKED)


@pytest.mark.requirement("REQ.TA.NTP.ProcessResponse.40")
@pytest.mark.parametrize(
    "changes",
    [
        {"transmit": 0},
        {"transmit": to_timestamp(CONVERTIBLE.first - SECOND), "receive": to_timestamp(CONVERTIBLE.first)},
        {"transmit": to_timestamp(CONVERTIBLE.last + SECOND), "receive": to_timestamp(CONVERTIBLE.last)},
        {"transmit": to_timestamp(datetime(1999, 12, 31, tzinfo=UTC))},
        {"receive": 0},
        {"receive": to_timestamp(NOW + timedelta(days=1))},
        {"reference": to_timestamp(NOW + timedelta(days=1))},
        {"reference": to_timestamp(CONVERTIBLE.first - SECOND)},
    ],
)
def test_a_timestamp_that_can_not_be(exchange: Exchange, changes: dict[str, object]) -> None:
    dropped(exchange, Reason.TIMESTAMPS, **changes)


@pytest.mark.requirement("REQ.TA.NTP.ProcessResponse.50")
def test_a_server_that_does_not_know_the_time(exchange: Exchange) -> None:
    dropped(exchange, Reason.UNSYNCHRONISED, leap=3)
    for leap in (0, 1, 2):
        assert isinstance(exchange.run(leap=leap), TimeSet)


@pytest.mark.requirement("REQ.TA.NTP.ProcessResponse.51")
@pytest.mark.parametrize("version", range(4))
def test_an_older_version(exchange: Exchange, version: int) -> None:
    dropped(exchange, Reason.VERSION, version=version)


@pytest.mark.requirement("REQ.TA.NTP.ProcessResponse.52")
@pytest.mark.parametrize("mode", [0, 1, 2, 3, 5, 6, 7])
def test_another_mode(exchange: Exchange, mode: int) -> None:
    dropped(exchange, Reason.MODE, mode=mode)


@pytest.mark.parametrize("kiss", [b"DENY", b"RSTR", b"RATE"])
def test_kiss_codes_are_ignored(exchange: Exchange, kiss: bytes) -> None:
    dropped(exchange, Reason.STRATUM, stratum=0, reference_id=kiss)
    dropped(exchange, Reason.UNSYNCHRONISED, stratum=0, leap=3, reference_id=kiss)
    assert isinstance(exchange.run(), TimeSet)  # after the usual minute


def test_a_server_too_far_from_a_reference_clock(exchange: Exchange) -> None:
    dropped(exchange, Reason.STRATUM, stratum=16)
    dropped(exchange, Reason.STRATUM, stratum=255)
    dropped(exchange, Reason.ROOT_DISTANCE, root_dispersion=to_short(16))
    dropped(exchange, Reason.ROOT_DISTANCE, root_delay=to_short(32))


@pytest.mark.requirement("REQ.TA.NTP.ProcessResponse.110")
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_trusted_time_does_not_jump(sign: int) -> None:
    exchange = trusting()
    exchange.right += sign * 1000 * SECOND
    exchange.right += sign * MICROSECOND
    for _ in range(3):
        dropped(exchange, Reason.STEP)
    exchange.right -= sign * MICROSECOND
    event = exchange.run()
    assert isinstance(event, TimeSet)
    assert event.offset == sign * 1000 * SECOND


def test_a_time_that_is_trusted_no_longer_may_jump() -> None:
    exchange = trusting()
    exchange.right += timedelta(days=1)
    dropped(exchange, Reason.STEP)
    exchange.keeper.distrust()
    assert isinstance(exchange.run(), TimeSet)
    assert exchange.keeper.now() == exchange.time


@pytest.mark.parametrize("length", [*range(48), 49, 96])
def test_an_answer_of_another_length(length: int) -> None:
    exchange = Exchange()
    reply = exchange.answer(exchange.client.request()) * 2
    assert exchange.client.receive(reply[:length]) == Dropped(Reason.LENGTH)
    assert exchange.keeper.now() is None


def never_jumps(octets: bytes, kept: int, keeps_origin: bool) -> None:
    """Give a client that knows the time an answer whose end is something else."""
    exchange = trusting()
    exchange.monotonic.seconds += 60
    right = exchange.answer(exchange.client.request())
    reply = right[:kept] + octets[kept:]
    if keeps_origin:
        reply = reply[:24] + right[24:32] + reply[32:]
    result = exchange.client.receive(reply)
    shown = exchange.keeper.reading()
    assert abs(shown - exchange.time) <= 1005 * SECOND  # the largest step, and half the longest delay
    if isinstance(result, Dropped):
        assert shown == exchange.time


ANSWERS = (st.binary(min_size=48, max_size=48), st.integers(0, 48), st.booleans())


@settings(max_examples=200, deadline=None)
@given(*ANSWERS)
def test_whatever_comes_a_trusted_time_never_jumps(octets: bytes, kept: int, keeps_origin: bool) -> None:
    never_jumps(octets, kept, keeps_origin)


@pytest.mark.slow
@settings(max_examples=20_000, deadline=None)
@given(*ANSWERS)
def test_however_much_comes_a_trusted_time_never_jumps(octets: bytes, kept: int, keeps_origin: bool) -> None:
    never_jumps(octets, kept, keeps_origin)


# the server


CLOCK = Standing(
    time=NOW + 250_000 * MICROSECOND,
    trusted=True,
    stratum=3,
    leap=1,
    reference_id=b"\xc0\0\2\1",
    set_at=NOW - 30 * SECOND,
    root_delay=0.5,
    root_dispersion=0.25,
)
REQUEST = bytes(Message(mode=3, precision=32, poll=6, transmit=4711))


@pytest.mark.requirement("REQ.TA.NTP.BuildResponse.10", "REQ.TA.NTP.BuildResponse.30", "REQ.TA.NTP.BuildResponse.40")
def test_an_answer_has_the_clocks_variables() -> None:
    reply = answer(REQUEST, lambda: CLOCK)
    assert reply is not None
    assert len(reply) == 48
    now = to_timestamp(NOW) | 1 << 30  # a quarter of a second
    assert Message.from_bytes(reply) == Message(
        leap=1,
        version=4,
        mode=4,
        stratum=3,
        poll=6,
        precision=-18,
        root_delay=0x8000,
        root_dispersion=0x4000,
        reference_id=b"\xc0\0\2\1",
        reference=to_timestamp(NOW - 30 * SECOND),
        origin=4711,
        receive=now,
        transmit=now,
    )


@pytest.mark.requirement("REQ.TA.NTP.BuildResponse.20")
def test_an_unsynchronised_server_says_so() -> None:
    exchange = Exchange()
    reply = answer(REQUEST, exchange.keeper.standing)
    assert reply is not None
    assert Message.from_bytes(reply) == Message(leap=3, mode=4, reference_id=b"INIT", origin=4711)


@pytest.mark.requirement("REQ.TA.NTP.BuildResponse.20", "REQ.TA.NTP.BuildResponse.40", "REQ.TA.NTP.BuildResponse.41")
def test_a_gateway_tells_the_time_that_it_was_told() -> None:
    exchange = Exchange()
    exchange.run(there=1, back=1, stratum=4, leap=2, root_delay=to_short(0.5), root_dispersion=to_short(0.25))
    exchange.monotonic.seconds += 10
    reply = answer(REQUEST, exchange.keeper.standing)
    assert reply is not None
    message = Message.from_bytes(reply)
    assert (message.leap, message.stratum, message.reference_id) == (2, 5, b"\xc0\0\2\1")
    assert from_timestamp(message.reference) == NOW + 62 * SECOND
    assert from_timestamp(message.transmit) == from_timestamp(message.receive) == exchange.time
    assert from_short(message.root_delay) == pytest.approx(2.5, abs=0.001)
    assert 0.25 < from_short(message.root_dispersion) < 0.26
    exchange.monotonic.seconds += timedelta(days=30).total_seconds()
    stale = answer(REQUEST, exchange.keeper.standing)
    assert stale is not None
    assert Message.from_bytes(stale).leap == 3


@pytest.mark.requirement("REQ.TA.NTP.BuildResponse.30")
def test_what_is_told_is_as_fine_as_the_clock() -> None:
    steps = [replace(CLOCK, time=NOW + number * MICROSECOND) for number in range(1000)]
    replies = [answer(REQUEST, lambda step=step: step) for step in steps]  # type: ignore[misc]
    assert len({Message.from_bytes(reply or b"").transmit for reply in replies}) == 1000


@pytest.mark.requirement("REQ.TA.NTP.ProcessRequest.10")
@pytest.mark.parametrize(
    "request_",
    [
        *(REQUEST[:length] for length in range(48)),
        REQUEST + b"\0",
        REQUEST + bytes(20),  # a MAC
        REQUEST * 2,
        *(bytes(Message(mode=mode)) for mode in (0, 1, 2, 4, 5, 6, 7)),
        *(bytes(Message(mode=3, version=version)) for version in (0, 1, 2, 3, 5, 6, 7)),
    ],
)
def test_what_is_no_request_is_ignored(request_: bytes) -> None:
    assert answer(request_, lambda: CLOCK) is None
    assert answer(REQUEST, lambda: CLOCK) is not None


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=100) | st.binary(min_size=48, max_size=48).map(lambda data: b"\x23" + data[1:]))
def test_any_request_has_an_answer_of_48_octets_or_none(data: bytes) -> None:
    reply = answer(data, lambda: CLOCK)
    if len(data) == 48 and data[0] & 0x3F == 0x23:
        assert reply is not None
        assert len(reply) == 48
        assert reply[24:32] == data[40:48]
    else:
        assert reply is None


@pytest.mark.parametrize(("address", "octets"), [("192.0.2.1", "c0000201"), ("2001:db8::1", "39ab9b37")])
def test_the_name_of_a_server(address: str, octets: str) -> None:
    assert reference_id(address).hex() == octets
