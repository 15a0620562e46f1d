"""SML's transport protocol: telegrams found in a stream, whatever stands around or inside them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sml import Crc

from smpki.errors import GatewayError
from smpki.gateway.sml_telegram import transported
from smpki.gateway.sml_transport import ESCAPE, START, SmlTransport

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
FILE = bytes.fromhex("7605000000016200620072630201710163")

noisy = st.lists(st.sampled_from([b"\x1b", ESCAPE, b"\x01", b"\x1a", b"\x00", b"v", FILE])).map(b"".join)


def contents(transport: SmlTransport, data: bytes) -> list[bytes | str]:
    """Files, and codes of refusals."""
    return codes([frame.content for frame in transport.receive(data, NOW)])


def codes(found: list[bytes | GatewayError]) -> list[bytes | str]:
    return [each.code if isinstance(each, GatewayError) else each for each in found]


def ended(start: bytes, filling: int) -> bytes:
    """A telegram with the right checksum for whatever it holds."""
    telegram = start + ESCAPE + bytes([0x1A, filling])
    return telegram + Crc.crc16(telegram).to_bytes(2)


@given(noisy.filter(lambda file: not file.endswith(b"\x1b")))
def test_what_was_put_in_comes_out(file: bytes) -> None:
    assert contents(SmlTransport(), transported(file)) == [file]


@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20).map(lambda file: file + b"\0")), max_size=4))
@settings(max_examples=50)
def test_junk_between_telegrams_and_the_cut_of_pieces_do_not_matter(parts: list[tuple[bytes, bytes]]) -> None:
    parts = [(junk.replace(b"\x1b", b""), file) for junk, file in parts]
    stream = b"".join(junk + transported(file) for junk, file in parts)
    whole, single = SmlTransport(), SmlTransport()
    files = [file for _, file in parts]
    assert contents(whole, stream) == files
    assert [each for octet in stream for each in contents(single, bytes([octet]))] == files


@given(st.lists(noisy, max_size=5), st.integers(64, 200))
def test_no_octets_raise_and_memory_is_bounded(pieces: list[bytes], longest: int) -> None:
    transport = SmlTransport(longest)
    for piece in pieces:
        for frame in transport.receive(piece, NOW):
            assert isinstance(frame.content, GatewayError) or len(frame.content) < longest
        assert len(transport._waiting) < longest + 8
    transport.finish()
    assert contents(transport, transported(FILE)) == [FILE]


def test_a_telegram_is_of_the_moment_it_began() -> None:
    transport, telegram = SmlTransport(), transported(FILE)
    assert transport.receive(telegram[:10], NOW) == []
    (frame,) = transport.receive(telegram[10:] + telegram[:9], NOW + timedelta(seconds=3))
    assert frame.received_at == NOW
    (frame,) = transport.receive(telegram[9:], NOW + timedelta(seconds=5))
    assert frame.received_at == NOW + timedelta(seconds=3)


TELEGRAM = transported(FILE)


@pytest.mark.parametrize(
    ("stream", "found"),
    [
        (TELEGRAM[:-1] + bytes([TELEGRAM[-1] ^ 1]), "reading.sml.crc"),
        (TELEGRAM[:12] + b"\xff" + TELEGRAM[13:], "reading.sml.crc"),
        (TELEGRAM[:-8], "reading.sml.cut"),
        (TELEGRAM[:-5], "reading.sml.escape"),
        (TELEGRAM[:20], "reading.sml.cut"),
        (START + FILE + ESCAPE + b"\x02\x02\x02\x02", "reading.sml.escape"),
        (START + FILE + ESCAPE + b"\x03\x01\x00\x00", "reading.sml.escape"),
        (ended(START + FILE, 4), "reading.sml.filling"),
        (ended(START + b"\0", 2), "reading.sml.filling"),
        (START + bytes(400), "reading.sml.endless"),
        (START + bytes(190) + ESCAPE, "reading.sml.endless"),
    ],
)
def test_the_telegram_after_a_wrong_one_is_read(stream: bytes, found: str) -> None:
    transport = SmlTransport(longest=200)
    assert contents(transport, stream + TELEGRAM) == [found, FILE]
    assert contents(transport, TELEGRAM) == [FILE]


def test_an_endless_telegram_is_refused_once() -> None:
    transport = SmlTransport(longest=200)
    assert contents(transport, START) == []
    assert [each for _ in range(100) for each in contents(transport, bytes(100))] == ["reading.sml.endless"]
    assert contents(transport, TELEGRAM) == [FILE]


def test_a_stream_that_ends_inside_a_telegram() -> None:
    transport = SmlTransport()
    assert contents(transport, TELEGRAM[:-1]) == []
    assert codes([frame.content for frame in transport.finish()]) == ["reading.sml.cut"]
    assert transport.finish() == []
    assert contents(transport, TELEGRAM) == [FILE]
