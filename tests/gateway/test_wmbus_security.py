"""Security profiles of wireless M-Bus, and the gateway's receiver: published telegrams, our own, and bad ones."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smpki.errors import GatewayError
from smpki.gateway.durable import DurableFile
from smpki.gateway.lmn_counter import MeterCounters
from smpki.gateway.lmn_keys import MasterKey, radio_keys
from smpki.gateway.lmn_protection import encrypt_cbc, rejected
from smpki.gateway.mbus_records import parse_records
from smpki.gateway.wmbus_frame import add_checksums, remove_checksums
from smpki.gateway.wmbus_layers import Address, Afl, Tpl
from smpki.gateway.wmbus_receiver import RadioMeter, RadioReceiver
from smpki.gateway.wmbus_security import (
    Draft,
    OpenedTelegram,
    SecurityPolicy,
    SecurityProfile,
    authenticate,
    open_telegram,
    protect_telegram,
)
from smpki.gateway.wmbus_telegram import Telegram

VECTORS = json.loads((Path(__file__).parent / "vectors" / "wmbus_telegrams.json").read_bytes())
EXAMPLES = Path(__file__).parents[3] / "shared" / "data" / "oms" / "oms_examples.json"
ALL, USUAL = SecurityPolicy(frozenset(SecurityProfile)), SecurityPolicy()
KEY = MasterKey(bytes.fromhex("000102030405060708090A0B0C0D0E0F"))
OTHER_KEY = MasterKey(bytes(16))
METER = Address(bytes.fromhex("9315785634123303"))
ADAPTER = Address(bytes.fromhex("2448443322110337"))
READING = bytes.fromhex("0C1427048502046D32371F1502FD170000")
A, B, D = SecurityProfile.A, SecurityProfile.B, SecurityProfile.D
REJECTED = rejected().as_dict()


def refusal(call: Callable[[], object]) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        call()
    assert caught.value.__cause__ is None
    shown = repr(caught.value.as_dict())
    assert KEY.reveal().hex() not in shown
    assert "1427048502" not in shown.lower()
    return caught.value


def code(call: Callable[[], object]) -> str:
    return refusal(call).code


def bare(vector: Any) -> bytes:
    frame = bytes.fromhex(vector["telegram"])
    return remove_checksums(frame) if vector["checksums"] else frame


def by_name(vector: Any) -> str:
    return str(vector["name"])


def volume(opened: OpenedTelegram) -> str:
    quantity = parse_records(opened.records).records[0].quantity
    assert quantity is not None
    assert quantity.unit == 13
    return str(quantity.amount)


def check(vector: Any) -> None:
    """A published telegram opens, and its data made into a telegram again are that telegram."""
    key = MasterKey(bytes.fromhex(vector["key"]))
    telegram = Telegram.parse(bare(vector))
    opened = open_telegram(telegram, key, ALL)
    assert str(telegram.meter) == vector["meter"]
    assert (opened.profile.name, opened.counter) == (vector["profile"], vector["counter"])
    assert (opened.records.hex(), opened.clear.hex()) == (vector["records"], vector["clear"])
    assert volume(opened) == vector["volume"]
    tpl = telegram.tpl
    draft = Draft(telegram.sender, opened.records, opened.clear, tpl.meter, telegram.ell, telegram.control)
    draft = replace(draft, access_number=tpl.access_number, status=tpl.status, sending=tpl.configuration >> 13)
    if tpl.key_version is None:  # no meter needs to name its only key
        tag = tpl.tag_octets if opened.profile is D else 8
        made = protect_telegram(draft, opened.profile, key, counter=opened.counter or 0, tag_octets=tag)
        assert bytes(made) == bare(vector)
    assert refusal(lambda: open_telegram(telegram, OTHER_KEY, ALL)).as_dict() == REJECTED


@pytest.mark.requirement("REQ.WMBUS.Unidirektional.40", "REQ.WMBUS.Unidirektional.50")
@pytest.mark.parametrize("vector", VECTORS["oms"], ids=by_name)
def test_telegrams_of_the_oms_specification(vector: Any) -> None:
    check(vector)


@pytest.mark.requirement("REQ.WMBUS.Unidirektional.51", "REQ.WMBUS.Unidirektional.71", "REQ.WMBUS.Unidirektional.72")
@pytest.mark.parametrize("vector", VECTORS["own"], ids=by_name)
def test_telegrams_of_our_own_in_mode_10(vector: Any) -> None:
    check(vector)


def test_further_published_telegrams() -> None:
    if not EXAMPLES.exists():
        pytest.skip(f"no example telegrams at {EXAMPLES}")
    counts = dict.fromkeys(("opened", "rejected", "not read"), 0)
    for example in json.loads(EXAMPLES.read_bytes()):
        name, frame = example["name"], bytes.fromhex(example["telegram"])
        if "frame type B" in name or "ELL 8D" in name:  # neither is due of a gateway
            assert code(lambda frame=frame: Telegram.parse(frame)) == "lmn.telegram.content"
            counts["not read"] += 1
            continue
        telegram = Telegram.parse(remove_checksums(frame) if "with CRC" in name else frame)
        key = MasterKey(bytes.fromhex(example["key"]))
        if example.get("reject"):
            caught = refusal(lambda telegram=telegram, key=key: open_telegram(telegram, key))
            assert caught.as_dict() == REJECTED
            counts["rejected"] += 1
            continue
        opened = open_telegram(telegram, key, ALL)
        counts["opened"] += 1
        if "partial" in name:
            numbers = [record.number for record in parse_records(opened.records + opened.clear).records]
            assert (numbers[0], numbers[-1]) == (1234, 12345678)
        else:
            assert volume(opened) == "28504.27"
    assert counts == {"opened": 5, "rejected": 1, "not read": 2}


def draft(**changes: Any) -> Draft:
    return replace(Draft(METER, READING, access_number=0x75), **changes)


def made(profile: SecurityProfile = B, **changes: Any) -> Telegram:
    return protect_telegram(draft(**changes), profile, KEY, counter=2739)


@pytest.mark.requirement("REQ.WMBUS.Unidirektional.72")
@pytest.mark.parametrize("octets", [8, 12, 16])
def test_tags_of_mode_10_have_8_12_or_16_octets(octets: int) -> None:
    telegram = protect_telegram(draft(), D, KEY, counter=1, tag_octets=octets)
    assert len(telegram.body) == len(READING) + octets
    assert open_telegram(Telegram.parse(bytes(telegram)), KEY).records == READING


@pytest.mark.parametrize("octets", [8, 16])
def test_macs_of_mode_7_have_8_or_16_octets(octets: int) -> None:
    telegram = protect_telegram(draft(), B, KEY, counter=1, tag_octets=octets)
    assert telegram.afl is not None
    assert len(telegram.afl.mac) == octets
    assert open_telegram(Telegram.parse(bytes(telegram)), KEY).records.startswith(READING)


@pytest.mark.parametrize("octets", [2, 4, 12])
def test_shorter_macs_are_refused_though_they_may_be_right(octets: int) -> None:
    telegram = made()
    assert telegram.afl is not None
    right = telegram.afl.mac
    short = replace(telegram, afl=replace(telegram.afl, mac=(right + right)[:octets]))
    assert code(lambda: open_telegram(Telegram.parse(bytes(short)), KEY)) == "lmn.tag_length"
    assert code(lambda: authenticate(short, KEY)) == "lmn.tag_length"


def test_a_tag_of_4_octets_is_refused_whatever_the_policy_says() -> None:
    telegram = made(D)
    short = replace(telegram, tpl=replace(telegram.tpl, extension=0x10), body=telegram.body[:-4])
    for policy in (USUAL, SecurityPolicy(shortest_tag=0)):
        assert code(lambda policy=policy: open_telegram(Telegram.parse(bytes(short)), KEY, policy)) == "lmn.tag_length"


@pytest.mark.parametrize("profile", [B, D])
def test_a_policy_may_want_more_than_8_octets(profile: SecurityProfile) -> None:
    strict = SecurityPolicy(shortest_tag=16)
    assert code(lambda: open_telegram(made(profile), KEY, strict)) == "lmn.tag_length"
    assert open_telegram(protect_telegram(draft(), profile, KEY, counter=1, tag_octets=16), KEY, strict)


def test_profile_a_is_for_those_who_ask_for_it() -> None:
    assert code(lambda: open_telegram(made(A), KEY)) == "lmn.security.profile"
    assert open_telegram(made(A), KEY, ALL).records.startswith(READING)


@pytest.mark.parametrize("mode", [0, 1, 2, 3, 4, 6, 8, 9, 11, 13, 15, 31])
def test_other_security_modes_are_refused(mode: int) -> None:
    telegram = made()
    telegram = replace(telegram, tpl=Tpl(None, 1, 0, mode << 8 | 0x20))
    for policy in (USUAL, ALL):
        caught = code(lambda policy=policy: open_telegram(telegram, KEY, policy))
        assert caught == ("lmn.security.profile" if mode else "lmn.security.unprotected")


@pytest.mark.parametrize("profile", list(SecurityProfile))
def test_nothing_encrypted_is_nothing_protected(profile: SecurityProfile) -> None:
    telegram = made(profile)
    count = 0xFF if profile is D else 0xF0
    telegram = replace(telegram, tpl=replace(telegram.tpl, configuration=telegram.tpl.configuration & ~count))
    if profile is B:
        telegram = authenticate(telegram, KEY)
    assert code(lambda: open_telegram(telegram, KEY, ALL)) == "lmn.security.unprotected"


def test_more_encrypted_than_there_is() -> None:
    telegram = made()
    longer = replace(telegram.tpl, configuration=telegram.tpl.configuration | 0xF0)
    assert code(lambda: open_telegram(authenticate(replace(telegram, tpl=longer), KEY), KEY)) == "lmn.security.length"
    telegram = made(D, clear=b"\x2f")
    longer = replace(telegram.tpl, configuration=telegram.tpl.configuration | 0xF0)
    assert code(lambda: open_telegram(replace(telegram, tpl=longer), KEY)) == "lmn.security.length"
    assert code(lambda: open_telegram(replace(made(D), body=b"short"), KEY)) == "lmn.rejected"


@pytest.mark.parametrize("extension", [0x00, 0x20, 0x30])
def test_the_persistent_key_is_used_by_none(extension: int) -> None:
    telegram = made()
    telegram = authenticate(replace(telegram, tpl=replace(telegram.tpl, extension=extension)), KEY)
    assert code(lambda: open_telegram(telegram, KEY)) == "lmn.security.key_derivation"
    telegram = replace(made(D), tpl=replace(made(D).tpl, extension=0x100 | extension))
    assert code(lambda: open_telegram(telegram, KEY)) == "lmn.security.key_derivation"


def test_key_information_in_the_afl_goes_before_that_in_the_header_and_under_the_mac() -> None:
    telegram = made()
    assert telegram.afl is not None
    told = replace(telegram.afl, key_information=b"\x10\x07")
    telegram = authenticate(replace(telegram, tpl=replace(telegram.tpl, extension=0), afl=told), KEY)
    assert open_telegram(Telegram.parse(bytes(telegram)), KEY).counter == 2739
    assert telegram.afl is not None
    for changed, refused in ((b"\x10\x08", "lmn.rejected"), (b"\x00\x07", "lmn.security.key_derivation")):
        forged = replace(telegram, afl=replace(telegram.afl, key_information=changed))
        assert code(lambda forged=forged: open_telegram(forged, KEY)) == refused


def test_each_mode_has_its_layers() -> None:
    assert code(lambda: open_telegram(replace(made(), afl=None), KEY)) == "lmn.security.layers"
    for profile in (A, D):
        with_afl = replace(made(profile), afl=Afl(1, bytes(8)))
        assert code(lambda with_afl=with_afl: open_telegram(with_afl, KEY, ALL)) == "lmn.security.layers"
    assert code(lambda: authenticate(made(D), KEY)) == "lmn.security.layers"


def test_authentic_but_without_the_octets_that_prove_decryption() -> None:
    telegram = made()
    keys = radio_keys(KEY, 2739, METER.identification)
    forged = replace(telegram, body=encrypt_cbc(keys.encryption, bytes(32), bytes(16)))
    assert refusal(lambda: open_telegram(authenticate(forged, KEY), KEY)).as_dict() == REJECTED


@pytest.mark.parametrize("profile", list(SecurityProfile))
def test_more_than_a_telegram_holds_is_refused(profile: SecurityProfile) -> None:
    assert code(lambda: bytes(made(profile, records=bytes(300)))) in {"lmn.security.length", "lmn.frame.length"}


def test_part_of_the_data_may_be_in_clear_and_is_authentic_all_the_same() -> None:
    clear = bytes.fromhex("0CFD1078563412")
    for profile in (B, D):
        opened = open_telegram(Telegram.parse(bytes(made(profile, clear=clear))), KEY)
        assert opened.records.startswith(READING)
        assert opened.clear == clear
        forged = bytes(made(profile, clear=clear)).replace(clear, clear[:-1] + b"\x13")
        assert refusal(lambda forged=forged: open_telegram(Telegram.parse(forged), KEY)).as_dict() == REJECTED


# The receiver


@pytest.fixture
def receiver(tmp_path: Path) -> Callable[..., RadioReceiver]:
    """A gateway that knows METER, at its first start or a later one."""

    def start(new_key: bool = True, policy: SecurityPolicy = USUAL) -> RadioReceiver:
        memory = DurableFile(tmp_path / "counters")
        counters = MeterCounters(memory, KEY, new_key=new_key, clock=lambda: datetime(2026, 11, 22, tzinfo=UTC))
        return RadioReceiver([RadioMeter(METER, KEY, counters, policy)])

    return start


Start = Callable[..., RadioReceiver]


@pytest.mark.requirement("REQ.WMBUS.Unidirektional.60")
@pytest.mark.parametrize("profile", [B, D])
def test_a_telegram_counts_once_and_old_ones_never(receiver: Start, profile: SecurityProfile) -> None:
    telegrams = [bytes(protect_telegram(draft(), profile, KEY, counter=counter)) for counter in (1, 5, 6)]
    gateway = receiver()
    opened = gateway.receive(telegrams[1], checksums=False)
    assert opened is not None
    assert opened.counter == 5
    for old in telegrams[:2]:
        assert code(lambda old=old: gateway.receive(old, checksums=False)) == "lmn.counter.replayed"
    gateway = receiver(new_key=False)
    for old in telegrams[:2]:
        assert code(lambda old=old: gateway.receive(old, checksums=False)) == "lmn.counter.replayed"
    assert gateway.receive(add_checksums(telegrams[2]))


@pytest.mark.parametrize("profile", [B, D])
def test_counters_do_not_wrap(receiver: Start, profile: SecurityProfile) -> None:
    gateway = receiver()
    for counter in (2**32 - 1, 0):
        frame = add_checksums(bytes(protect_telegram(draft(), profile, KEY, counter=counter)))
        if counter:
            assert gateway.receive(frame)
        else:
            assert code(lambda frame=frame: gateway.receive(frame)) == "lmn.counter.replayed"
    assert code(lambda: protect_telegram(draft(), profile, KEY, counter=2**32)) == "lmn.counter.range"


@pytest.mark.parametrize("profile", [B, D])
def test_a_forged_counter_does_not_move_the_real_one(receiver: Start, profile: SecurityProfile) -> None:
    gateway, telegram = receiver(), made(profile)
    forged = replace(telegram, tpl=replace(telegram.tpl, counter=2**32 - 1))
    if telegram.afl is not None:
        forged = replace(telegram, afl=replace(telegram.afl, counter=2**32 - 1))
    assert code(lambda: gateway.receive(bytes(forged), checksums=False)) == "lmn.rejected"
    assert gateway.receive(bytes(telegram), checksums=False)


def test_a_full_disk_accepts_nothing_and_loses_nothing(receiver: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    gateway, frame = receiver(), add_checksums(bytes(made()))
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        assert code(lambda: gateway.receive(frame)) == "durable.unwritable"
    assert gateway.receive(frame)


def test_the_meter_is_who_the_message_says_even_behind_an_adapter(receiver: Start) -> None:
    opened = receiver().receive(bytes(made(sender=ADAPTER, meter=METER)), checksums=False)
    assert opened is not None
    assert (opened.telegram.sender, opened.telegram.meter) == (ADAPTER, METER)


def test_others_meters_are_passed_over(receiver: Start) -> None:
    assert receiver().receive(bytes(made(sender=ADAPTER)), checksums=False) is None


def test_a_refusal_names_the_sender(receiver: Start) -> None:
    gateway = receiver()
    forged = protect_telegram(draft(), B, OTHER_KEY, counter=1)
    assert refusal(lambda: gateway.receive(bytes(forged), checksums=False)).where == "sender ELS 12345678 33 03"
    unencrypted = replace(made(), afl=None, tpl=Tpl(None, 1, 0, 0), body=READING)
    caught = refusal(lambda: gateway.receive(bytes(unencrypted), checksums=False))
    assert (caught.code, caught.where) == ("lmn.security.unprotected", "sender ELS 12345678 33 03")
    without_header = bytearray(bytes(unencrypted))
    without_header[10] = 0x78
    caught = refusal(lambda: gateway.receive(bytes(without_header), checksums=False))
    assert (caught.code, caught.where) == ("lmn.telegram.content", "sender ELS 12345678 33 03")
    assert refusal(lambda: gateway.receive(b"", checksums=False)).where == ""


def test_a_policy_for_profile_a_takes_it_without_a_counter(receiver: Start) -> None:
    opened = receiver(policy=ALL).receive(bytes(made(A)), checksums=False)
    assert opened is not None
    assert opened.counter is None


def test_one_meter_is_there_once(tmp_path: Path) -> None:
    counters = MeterCounters(DurableFile(tmp_path / "counters"), KEY, new_key=True, clock=lambda: datetime.now(UTC))
    assert code(lambda: RadioReceiver([RadioMeter(METER, KEY, counters)] * 2)) == "lmn.receiver.meter_twice"


def with_flipped_bits(octets: bytes) -> Iterator[tuple[int, bytes]]:
    for place in range(8 * len(octets)):
        changed = bytearray(octets)
        changed[place // 8] ^= 1 << place % 8
        yield place // 8, bytes(changed)


UNAUTHENTICATED = {"control": {1}, "extended link layer": {11, 12}}
"""Octets of the link layer that no profile protects; nothing is taken from them."""


@pytest.mark.parametrize("profile", [B, D])
def test_a_changed_bit_anywhere_is_refused_or_changes_nothing(profile: SecurityProfile) -> None:
    ell = Telegram.parse(bare(VECTORS["oms"][0])).ell
    right = bytes(made(profile, ell=ell))
    expected = open_telegram(Telegram.parse(right), KEY)
    accepted = set()
    for place, changed in with_flipped_bits(right):
        try:
            telegram = Telegram.parse(changed)
            if telegram.meter != METER:
                continue  # another's meter: the gateway has no key for it
            opened = open_telegram(telegram, KEY)
        except GatewayError:
            continue
        assert (opened.records, opened.counter) == (expected.records, expected.counter)
        assert telegram.tpl == expected.telegram.tpl
        accepted.add(place)
    assert accepted == set().union(*UNAUTHENTICATED.values())


@pytest.mark.parametrize("profile", [B, D])
def test_a_telegram_cut_anywhere_is_refused(receiver: Start, profile: SecurityProfile) -> None:
    gateway, right = receiver(), bytes(made(profile))
    for length in range(len(right)):
        cut = right[:length]
        assert code(lambda cut=cut: gateway.receive(cut, checksums=False)) == "lmn.frame.length"
        if length > 10:  # with its length field put right
            relabelled = bytes([length - 1]) + cut[1:]
            assert code(lambda relabelled=relabelled: gateway.receive(relabelled, checksums=False)).startswith("lmn.")
        assert code(lambda cut=cut: gateway.receive(add_checksums(right)[: len(cut)])) == "lmn.frame.length"
    assert gateway.receive(right, checksums=False)


def attack(gateway: RadioReceiver, frame: bytes) -> None:
    """Without the key nobody gets a telegram accepted."""
    try:
        assert gateway.receive(frame, checksums=False) is None
    except GatewayError as error:
        assert error.code.startswith("lmn.")


FORGED = st.builds(
    lambda profile, records, counter, tag, places: bytes(
        octet ^ places.get(index, 0)
        for index, octet in enumerate(
            bytes(protect_telegram(draft(records=records), profile, OTHER_KEY, counter=counter, tag_octets=tag))
        )
    ),
    st.sampled_from([B, D]),
    st.binary(max_size=60),
    st.integers(0, 2**32 - 1),
    st.sampled_from([8, 16]),
    st.dictionaries(st.integers(10, 60), st.integers(0, 255), max_size=3),
)


@given(st.data())
def test_nothing_forged_is_accepted(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    attack(fresh_receiver(tmp_path_factory), data.draw(FORGED))


@pytest.mark.slow
@settings(max_examples=5_000, deadline=None)
@given(st.data())
def test_nothing_of_much_forged_is_accepted(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    attack(fresh_receiver(tmp_path_factory), data.draw(FORGED))


def fresh_receiver(folders: pytest.TempPathFactory) -> RadioReceiver:
    memory = DurableFile(folders.getbasetemp() / "forged")
    memory.path.unlink(missing_ok=True)
    counters = MeterCounters(memory, KEY, new_key=True, clock=lambda: datetime(2026, 11, 22, tzinfo=UTC))
    return RadioReceiver([RadioMeter(METER, KEY, counters)])
