"""Frames and layers of wireless M-Bus: read and written, and what is refused."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smpki.errors import GatewayError
from smpki.gateway.wmbus_frame import add_checksums, crc, remove_checksums, with_length
from smpki.gateway.wmbus_layers import KEY_DERIVATION_A, Address, Afl, Ell, Tpl
from smpki.gateway.wmbus_telegram import Telegram

METER = Address(bytes.fromhex("9315785634123303"))
ADAPTER = Address(bytes.fromhex("2448443322110337"))


def code(call: Callable[[], object]) -> str:
    with pytest.raises(GatewayError) as caught:
        call()
    return caught.value.code


def test_the_checksum_of_the_standard() -> None:
    """CRC-16/EN-13757 in the catalogue of parametrised CRC algorithms: its check value."""
    assert crc(b"123456789").hex() == "c2b7"


@given(st.binary(min_size=10, max_size=255))
def test_checksums_come_and_go(content: bytes) -> None:
    bare = with_length(content)
    frame = add_checksums(bare)
    assert remove_checksums(frame) == bare
    assert len(frame) == len(bare) + 2 + 2 * -(-(len(bare) - 10) // 16)


def test_every_changed_bit_of_a_frame_is_noticed() -> None:
    frame = add_checksums(with_length(bytes(range(40))))
    for place in range(8 * len(frame)):
        changed = bytearray(frame)
        changed[place // 8] ^= 1 << place % 8
        assert code(lambda changed=changed: remove_checksums(bytes(changed))) in {
            "lmn.frame.length",
            "lmn.frame.checksum",
        }


def test_a_frame_is_as_long_as_it_says() -> None:
    frame = add_checksums(with_length(bytes(range(40))))
    for length in range(len(frame)):
        assert code(lambda length=length: remove_checksums(frame[:length])) == "lmn.frame.length"
    assert code(lambda: remove_checksums(frame + b"\0")) == "lmn.frame.length"
    assert code(lambda: add_checksums(b"\xff" + bytes(20))) == "lmn.frame.length"
    assert code(lambda: with_length(bytes(256))) == "lmn.frame.length"


def test_an_address_names_its_meter() -> None:
    assert str(METER) == "ELS 12345678 33 03"
    assert METER.identification.hex() == "78563412"
    assert code(lambda: Address(bytes(7))) == "lmn.telegram.address"


def telegram(**changes: object) -> Telegram:
    tpl = Tpl(None, 1, 2, 7 << 8 | 1 << 4, KEY_DERIVATION_A)
    plain = Telegram(0x44, METER, Ell(0x20, 1), Afl(5, bytes(8)), tpl, bytes(16))
    return replace(plain, **changes)


OCTET = st.integers(0, 255)
COUNTER = st.integers(0, 2**32 - 1)
ADDRESS = st.builds(Address, st.binary(min_size=8, max_size=8))
MAC = st.sampled_from([2, 4, 8, 12, 16]).flatmap(lambda octets: st.binary(min_size=octets, max_size=octets))
TPL_PLAIN = st.builds(Tpl, st.none() | ADDRESS, OCTET, OCTET, OCTET.map(lambda low: 5 << 8 | low))
TPL_CBC = st.builds(Tpl, st.none() | ADDRESS, OCTET, OCTET, OCTET.map(lambda low: 7 << 8 | low), st.integers(0, 0x3F))
TPL_CCM = st.builds(
    lambda tpl, version, counter: replace(
        tpl,
        configuration=10 << 8 | tpl.configuration & 0xFF,
        extension=0x0110 | (0 if version is None else 0x40),
        key_version=version,
        counter=counter,
    ),
    TPL_PLAIN,
    st.none() | OCTET,
    COUNTER,
)
TELEGRAMS = st.builds(
    Telegram,
    st.sampled_from([0x44, 0x46, 0x08]),
    ADDRESS,
    st.none() | st.builds(Ell, OCTET, OCTET, st.none() | ADDRESS),
    st.none() | st.builds(Afl, COUNTER, MAC, st.none() | st.binary(min_size=2, max_size=2)),
    TPL_PLAIN | TPL_CBC | TPL_CCM,
    st.binary(max_size=150),
)


@given(TELEGRAMS)
def test_every_telegram_is_read_as_it_was_written(written: Telegram) -> None:
    assert Telegram.parse(bytes(written)) == written


@given(TELEGRAMS)
def test_the_afl_may_say_how_long_the_message_is(written: Telegram) -> None:
    if written.afl is not None:
        written = replace(written, afl=replace(written.afl, message_length=len(written.message)))
        assert Telegram.parse(bytes(written)) == written
        wrong = replace(written, afl=replace(written.afl, message_length=len(written.message) + 1))
        assert code(lambda: Telegram.parse(bytes(wrong))) == "lmn.telegram.afl"


@pytest.mark.requirement("REQ.WMBUS.Unidirektional.40")
@pytest.mark.parametrize(
    ("ell", "octets"),
    [
        (Ell(0x20, 0x75), "8c2075"),
        (Ell(0x80, 0x75, Address(bytes.fromhex("3a63665544330a31"))), "8e80753a63665544330a31"),
    ],
)
def test_link_layer_and_extended_link_layer(ell: Ell, octets: str) -> None:
    """Who sends and how, in frames of format A, with their checksums; 8C without and 8E with a receiver's address."""
    sent = telegram(control=0x08, sender=ADAPTER, ell=ell)
    frame = add_checksums(bytes(sent))
    head, checksum = frame[:10], frame[10:12]
    assert head[1:].hex() == "08" + "2448443322110337"
    assert checksum == crc(head)
    assert bytes(ell).hex() == octets
    assert Telegram.parse(remove_checksums(frame)) == sent


def test_a_telegram_that_ends_early_is_refused() -> None:
    for each in (telegram(), telegram(tpl=Tpl(METER, 1, 2, 10 << 8 | 0xFF, 0x150, 1, 1), afl=None)):
        content = bytes(each)[1:]
        whole = len(content) - len(each.body)
        for length in range(whole):
            cut = bytes([length]) + content[:length]
            refusal = code(lambda cut=cut: Telegram.parse(cut))
            assert refusal in {"lmn.frame.length", "lmn.telegram.truncated", "lmn.telegram.afl"}, length
            assert code(lambda cut=cut: Telegram.parse(b"\xff" + cut[1:])) == "lmn.frame.length"


@pytest.mark.parametrize("control", [0x00, 0x40, 0x53, 0x73, 0x45, 0xFF])
def test_only_meters_messages_are_read(control: int) -> None:
    assert code(lambda: Telegram.parse(bytes(telegram(control=control)))) == "lmn.telegram.control"


@pytest.mark.parametrize("ci", [0x78, 0x79, 0x5B, 0x8D, 0x8F, 0x86, 0xA0, 0x00])
def test_content_of_another_kind_is_not_read(ci: int) -> None:
    octets = bytearray(bytes(telegram(ell=None, afl=None)))
    octets[10] = ci
    assert code(lambda: Telegram.parse(bytes(octets))) == "lmn.telegram.content"


def with_afl(afl: str) -> bytes:
    octets = bytes(telegram(ell=None, afl=None))
    return with_length(octets[1:10] + bytes.fromhex(afl) + octets[10:])


AFL = {
    "as it should be": ("900f002c25050000000000000000000000", None),
    "more fragments": ("900f006c25050000000000000000000000", "lmn.telegram.fragmented"),
    "the first of several": ("900f016c25050000000000000000000000", "lmn.telegram.fragmented"),
    "the last of several": ("9002" + "0200", "lmn.telegram.fragmented"),
    "too short for its fields": ("900e002c250500000000000000000000", "lmn.telegram.truncated"),
    "longer than its fields": ("9010002c2505000000000000000000000000", "lmn.telegram.afl"),
    "empty": ("9000", "lmn.telegram.truncated"),
    "longer than the telegram": ("90ff002c25050000000000000000000000", "lmn.telegram.truncated"),
    "without counter": ("900b0024050000000000000000", "lmn.telegram.afl"),
    "without MAC": ("9007002825" + "05000000", "lmn.telegram.afl"),
    "without control field": ("900e000c050000000000000000000000", "lmn.telegram.afl"),
    "counter denied by the control field": ("900f002c05050000000000000000000000", "lmn.telegram.afl"),
    "a reserved bit": ("900f002ca5050000000000000000000000", "lmn.telegram.afl"),
    "a reserved bit in front": ("900f002d25050000000000000000000000", "lmn.telegram.afl"),
    "GMAC": ("900f002c28050000000000000000000000", "lmn.telegram.afl"),
    "no authentication": ("900f002c20050000000000000000000000", "lmn.telegram.afl"),
}


@pytest.mark.parametrize(("afl", "refusal"), AFL.values(), ids=AFL.keys())
def test_the_afl_is_whole_and_says_what_it_holds(afl: str, refusal: str | None) -> None:
    if refusal is None:
        assert Telegram.parse(with_afl(afl)).afl == Afl(5, bytes(8))
    else:
        assert code(lambda: Telegram.parse(with_afl(afl))) == refusal


@pytest.mark.parametrize(
    "tpl",
    [Tpl(None, 1, 2, 7 << 8, 0x50), Tpl(None, 1, 2, 7 << 8, 0x90), Tpl(None, 1, 2, 10 << 8, 0x410)],
    ids=["a version in mode 7", "bit 7", "a tag of no known length"],
)
def test_a_configuration_that_is_not_known_is_not_guessed_at(tpl: Tpl) -> None:
    assert code(lambda: Telegram.parse(bytes(telegram(tpl=tpl, afl=None)))) == "lmn.telegram.configuration"


def read_anything(octets: bytes) -> None:
    try:
        assert bytes(Telegram.parse(octets)) == octets
    except GatewayError as error:
        assert error.code.startswith(("lmn.frame.", "lmn.telegram."))


NOISE = st.one_of(
    st.binary(max_size=120).map(lambda content: bytes([len(content)]) + content),
    st.tuples(TELEGRAMS, st.integers(0, 8 * 150)).map(
        lambda pair: bytes(
            octet ^ (1 << pair[1] % 8 if pair[1] // 8 == at else 0) for at, octet in enumerate(bytes(pair[0]))
        )
    ),
)


@given(NOISE)
def test_noise_is_read_or_refused(octets: bytes) -> None:
    read_anything(octets)


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None)
@given(NOISE)
def test_much_noise_is_read_or_refused(octets: bytes) -> None:
    read_anything(octets)
