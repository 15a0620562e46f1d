"""Keys of meters that share one with the gateway."""

import copy
import json
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smpki.errors import GatewayError
from smpki.gateway.lmn_keys import (
    Direction,
    MasterKey,
    cmac,
    counter_octets,
    derive_keys,
    pad,
    radio_keys,
    server_id,
    wired_keys,
)
from smpki.policy.device_id import DeviceId

VECTORS = json.loads((Path(__file__).parent / "vectors" / "lmn_keys.json").read_bytes())
SECRET = bytes(range(0x60, 0x70))
KEY = MasterKey(SECRET)


def refused(call: Callable[[], object]) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        call()
    return caught.value


def test_a_wired_meter_is_its_server_id_and_the_counter_goes_highest_octet_first() -> None:
    wired = VECTORS["wired"]
    meter = server_id(DeviceId.parse(wired["meter"]))
    assert meter.hex() == wired["server_id"]
    lenc = cmac(SECRET, bytes.fromhex(wired["lenc_input"]))
    assert wired_keys(KEY, Direction.TO_METER, wired["counter"], meter).encryption == lenc


def test_a_wireless_meter_is_its_number_and_the_counter_goes_as_in_the_telegram() -> None:
    radio = VECTORS["radio"]
    master = MasterKey(bytes.fromhex(radio["master"]))
    keys = radio_keys(master, radio["counter"], bytes.fromhex(radio["identification"]))
    assert (keys.encryption.hex(), keys.authentication.hex()) == (radio["kenc"], radio["kmac"])


def test_each_of_the_four_keys_has_its_tag() -> None:
    tags = {Direction.FROM_METER: ("00", "01"), Direction.TO_METER: ("10", "11")}
    for direction, (of_encryption, of_authentication) in tags.items():
        keys = derive_keys(KEY, direction, b"CCCC", b"ID")
        assert keys.encryption == cmac(SECRET, bytes.fromhex(of_encryption) + b"CCCCID" + b"\x09" * 9)
        assert keys.authentication == cmac(SECRET, bytes.fromhex(of_authentication) + b"CCCCID" + b"\x09" * 9)


@pytest.mark.parametrize(("octets", "padding"), [(0, 16), (1, 15), (15, 1), (16, 16), (17, 15)])
def test_padding_is_never_absent(octets: int, padding: int) -> None:
    assert pad(b"x" * octets) == b"x" * octets + bytes([padding]) * padding


@pytest.mark.parametrize("counter", [-1, 2**32, 2**64])
def test_a_counter_has_32_bits(counter: int) -> None:
    assert refused(lambda: counter_octets(counter, "big")).code == "lmn.counter.range"


@pytest.mark.parametrize("length", [0, 8, 15, 17, 24, 32])
def test_a_key_has_128_bits(length: int) -> None:
    assert refused(lambda: MasterKey(bytes(length))).code == "lmn.key.length"
    assert refused(lambda: cmac(bytes(length), b"")).code == "lmn.key.length"


def test_a_new_key_is_16_octets_of_the_generator() -> None:
    assert MasterKey.generate(lambda count: bytes(range(count))) == MasterKey(bytes(range(16)))


def test_a_key_is_kept_in_a_file_of_its_owner(tmp_path: Path) -> None:
    KEY.write(tmp_path / "key")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert MasterKey.read(tmp_path / "key") == KEY
    assert refused(lambda: MasterKey(bytes(16)).write(tmp_path / "key")).code == "lmn.key.exists"
    assert MasterKey.read(tmp_path / "key") == KEY
    assert refused(lambda: KEY.write(tmp_path / "missing" / "key")).code == "lmn.key.unwritable"


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    KEY.write(tmp_path / "key")
    (tmp_path / "key").chmod(0o640)
    assert refused(lambda: MasterKey.read(tmp_path / "key")).code == "lmn.key.exposed"


@pytest.mark.parametrize(
    "content", [b"", b"00" * 15, b"00" * 17, b"zz" * 16, b"00" * 16 + b"\n\n", SECRET, b"\xff" * 32]
)
def test_a_file_that_holds_no_key_is_refused_without_its_content(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.touch(0o600)
    file.write_bytes(content)
    error = refused(lambda: MasterKey.read(file))
    assert error.code == "lmn.key.unreadable"
    assert error.__cause__ is None
    assert refused(lambda: MasterKey.read(tmp_path / "none")).code == "lmn.key.unreadable"


def test_a_key_shows_itself_nowhere() -> None:
    keys = wired_keys(KEY, Direction.FROM_METER, 1, b"meter")
    for shown in (repr(KEY), str(KEY), f"{KEY}", repr([KEY]), repr(keys), KEY.check_value):
        for secret in (SECRET, keys.encryption, keys.authentication):
            assert secret.hex() not in shown
            assert repr(secret)[2:-1] not in shown
    for leave in (pickle.dumps, copy.copy):
        with pytest.raises(GatewayError) as caught:
            leave(KEY)
        assert caught.value.code == "lmn.key.not_picklable"
        assert SECRET.hex() not in "".join(traceback.format_exception(caught.value))


def test_keys_are_told_apart_by_a_value_that_is_none_of_a_message() -> None:
    other = MasterKey(bytes(16))
    assert KEY.check_value == MasterKey(SECRET).check_value != other.check_value
    assert KEY == MasterKey(SECRET) != other
    assert KEY != SECRET
    assert len({KEY, MasterKey(SECRET), other}) == 2


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.binary(min_size=1, max_size=20))
def test_no_two_messages_have_a_key_in_common(one: int, other: int, meter: bytes) -> None:
    made = {
        key
        for counter in {one, other}
        for direction in Direction
        for keys in [wired_keys(KEY, direction, counter, meter)]
        for key in (keys.encryption, keys.authentication)
    }
    assert len(made) == 4 * len({one, other})
