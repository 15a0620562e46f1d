"""Protection of messages on the LMN without TLS."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smpki.errors import GatewayError
from smpki.gateway.lmn_keys import MessageKeys, pad
from smpki.gateway.lmn_protection import (
    CCM_LENGTHS,
    CMAC_LENGTHS,
    check_mac,
    decrypt_cbc,
    encrypt_cbc,
    make_mac,
    open_cbc_cmac,
    open_ccm,
    rejected,
    seal_cbc_cmac,
    seal_ccm,
)

WYCHEPROOF = Path(__file__).parents[3] / "shared" / "data" / "wycheproof"
KEYS = MessageKeys(bytes(range(16)), bytes(range(16, 32)))
NONCE = bytes(13)
REJECTED = rejected().as_dict()


def wycheproof(name: str) -> Iterator[Any]:
    file = WYCHEPROOF / f"{name}_test.json"
    if not file.exists():
        pytest.skip(f"no test vectors at {file}")
    for group in json.loads(file.read_bytes())["testGroups"]:
        for test in group["tests"]:
            yield group, test


def outcome(function: Callable[..., object], *arguments: object, **options: object) -> object:
    """What a call gives, or the code of its refusal."""
    try:
        return function(*arguments, **options)
    except GatewayError as error:
        return error.code


def test_cmac_of_wycheproof() -> None:
    for group, test in wycheproof("aes_cmac"):
        key, message, tag = (bytes.fromhex(test[name]) for name in ("key", "msg", "tag"))
        got = outcome(check_mac, key, message, tag, 16)
        if group["keySize"] != 128:
            assert got == "lmn.key.length", test
        elif test["result"] == "valid":
            assert got is None, test
            assert make_mac(key, message, 16) == tag
            assert make_mac(key, message, 8) == tag[:8]
        else:
            assert got == "lmn.rejected", test


def test_ccm_of_wycheproof() -> None:
    counts = {"opened": 0, "lmn.rejected": 0}
    for group, test in wycheproof("aes_ccm"):
        names = ("key", "iv", "aad", "msg", "ct", "tag")
        key, nonce, clear, message, ciphertext, tag = (bytes.fromhex(test[name]) for name in names)
        length = group["tagSize"] // 8
        got = outcome(open_ccm, key, nonce, clear, ciphertext, tag, tag_length=length)
        if length not in CCM_LENGTHS:
            assert got == "lmn.tag_length", test
        elif not 7 <= len(nonce) <= 13:
            assert got == "lmn.nonce_length", test
        elif group["keySize"] != 128:
            assert got == "lmn.key.length", test
        elif test["result"] == "valid":
            assert got == message, test
            assert seal_ccm(key, nonce, clear, message, tag_length=length) == (ciphertext, tag)
            counts["opened"] += 1
        else:
            assert got == "lmn.rejected", test
            counts["lmn.rejected"] += 1
    assert counts["opened"] > 100 < 10 * counts["lmn.rejected"]


@pytest.mark.parametrize("length", sorted(CMAC_LENGTHS))
@pytest.mark.parametrize("octets", [0, 1, 15, 16, 17, 100])
def test_what_is_sealed_opens(length: int, octets: int) -> None:
    plaintext = bytes(octets)
    ciphertext, mac = seal_cbc_cmac(KEYS, b"clear", plaintext, mac_length=length)
    assert len(mac) == length
    assert ciphertext == encrypt_cbc(KEYS.encryption, pad(plaintext), bytes(16))
    assert mac == make_mac(KEYS.authentication, b"clear" + ciphertext, length)
    assert open_cbc_cmac(KEYS, b"clear", ciphertext, mac, mac_length=length) == plaintext


@pytest.mark.parametrize("length", sorted(CCM_LENGTHS))
def test_what_ccm_sealed_opens(length: int) -> None:
    ciphertext, tag = seal_ccm(KEYS.authentication, NONCE, b"clear", b"text", tag_length=length)
    assert len(tag) == length
    assert open_ccm(KEYS.authentication, NONCE, b"clear", ciphertext, tag, tag_length=length) == b"text"


def refusal(function: Callable[..., object], *arguments: object, **options: object) -> dict[str, str]:
    with pytest.raises(GatewayError) as caught:
        function(*arguments, **options)
    assert caught.value.__cause__ is None
    return caught.value.as_dict()


def flipped(data: bytes) -> Iterator[bytes]:
    """With each bit changed in turn."""
    for place in range(8 * len(data)):
        yield bytes(octet ^ (1 << place % 8 if place // 8 == index else 0) for index, octet in enumerate(data))


@pytest.mark.parametrize("length", sorted(CMAC_LENGTHS))
def test_a_changed_bit_is_refused_wherever_it_is(length: int) -> None:
    clear, (ciphertext, mac) = b"\0\0\0\1", seal_cbc_cmac(KEYS, b"\0\0\0\1", b"a reading", mac_length=length)
    changed = [(each, ciphertext, mac) for each in flipped(clear)]
    changed += [(clear, each, mac) for each in flipped(ciphertext)]
    changed += [(clear, ciphertext, each) for each in flipped(mac)]
    for parts in changed:
        assert refusal(open_cbc_cmac, KEYS, *parts, mac_length=length) == REJECTED


@pytest.mark.parametrize("length", sorted(CCM_LENGTHS))
def test_a_changed_bit_is_refused_by_ccm(length: int) -> None:
    ciphertext, tag = seal_ccm(KEYS.authentication, NONCE, b"clear", b"a reading", tag_length=length)
    changed = [(each, ciphertext, tag) for each in flipped(b"clear")]
    changed += [(b"clear", each, tag) for each in flipped(ciphertext)]
    changed += [(b"clear", ciphertext, each) for each in flipped(tag)]
    for parts in changed:
        assert refusal(open_ccm, KEYS.authentication, NONCE, *parts, tag_length=length) == REJECTED


def test_a_shorter_or_longer_tag_than_agreed_is_refused() -> None:
    ciphertext, mac = seal_cbc_cmac(KEYS, b"", b"a reading", mac_length=16)
    for length in range(16):
        assert refusal(open_cbc_cmac, KEYS, b"", ciphertext, mac[:length]) == REJECTED
    assert refusal(open_cbc_cmac, KEYS, b"", ciphertext, mac, mac_length=8) == REJECTED
    assert refusal(open_cbc_cmac, KEYS, b"", ciphertext, mac + b"\0") == REJECTED
    ciphertext, tag = seal_ccm(KEYS.encryption, NONCE, b"", b"a reading", tag_length=8)
    for length in (0, 7, 9, 12, 16):
        wrong = (tag + tag)[:length]
        assert refusal(open_ccm, KEYS.encryption, NONCE, b"", ciphertext, wrong, tag_length=8) == REJECTED
    # what the tag lacks may not come out of the ciphertext
    moved = ciphertext[:-4], ciphertext[-4:] + tag[:4]
    assert refusal(open_ccm, KEYS.encryption, NONCE, b"", *moved, tag_length=8) == REJECTED


@pytest.mark.parametrize("length", [-1, 0, 4, 10, 12, 17])
def test_a_tag_length_of_no_guideline_is_refused(length: int) -> None:
    assert refusal(seal_cbc_cmac, KEYS, b"", b"", mac_length=length)["code"] == "lmn.tag_length"
    assert refusal(open_cbc_cmac, KEYS, b"", b"", b"", mac_length=length)["code"] == "lmn.tag_length"


@pytest.mark.parametrize("length", [-1, 0, 4, 6, 10, 14, 17])
def test_a_tag_length_of_no_guideline_is_refused_by_ccm(length: int) -> None:
    assert refusal(seal_ccm, bytes(16), NONCE, b"", b"", tag_length=length)["code"] == "lmn.tag_length"
    assert refusal(open_ccm, bytes(16), NONCE, b"", b"", b"", tag_length=length)["code"] == "lmn.tag_length"


def test_ccm_refuses_more_than_its_nonce_leaves_room_for() -> None:
    assert seal_ccm(bytes(16), NONCE, b"", bytes(0xFFFF))
    assert refusal(seal_ccm, bytes(16), NONCE, b"", bytes(0x10000))["code"] == "lmn.too_long"
    assert refusal(open_ccm, bytes(16), NONCE, b"", bytes(0x10000), bytes(16))["code"] == "lmn.too_long"


BAD_PADDINGS = [b"", bytes(16), b"\x11" * 16, b"x" * 14 + b"\x01\x02", b"\xff" * 16, b"x" * 13 + b"\x04\x03\x03"]


@pytest.mark.parametrize("padded", BAD_PADDINGS)
def test_wrong_padding_under_a_right_mac_is_the_same_refusal(padded: bytes) -> None:
    ciphertext = encrypt_cbc(KEYS.encryption, padded, bytes(16))
    mac = make_mac(KEYS.authentication, ciphertext, 16)
    assert refusal(open_cbc_cmac, KEYS, b"", ciphertext, mac) == REJECTED


def test_half_a_block_under_a_right_mac_is_the_same_refusal() -> None:
    mac = make_mac(KEYS.authentication, b"half", 16)
    assert refusal(open_cbc_cmac, KEYS, b"", b"half", mac) == REJECTED


def test_nothing_is_decrypted_before_the_mac_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    decrypted = []

    def watched(key: bytes, blocks: bytes, iv: bytes) -> bytes:
        decrypted.append(blocks)
        return decrypt_cbc(key, blocks, iv)

    monkeypatch.setattr("smpki.gateway.lmn_protection.decrypt_cbc", watched)
    ciphertext, mac = seal_cbc_cmac(KEYS, b"", b"a reading")
    assert refusal(open_cbc_cmac, KEYS, b"", ciphertext, bytes(16)) == REJECTED
    assert decrypted == []
    open_cbc_cmac(KEYS, b"", ciphertext, mac)
    assert decrypted == [ciphertext]


@given(st.binary(max_size=80), st.binary(max_size=80), st.binary(max_size=20))
def test_what_nobody_sealed_never_opens(clear: bytes, ciphertext: bytes, tag: bytes) -> None:
    assert refusal(open_cbc_cmac, KEYS, clear, ciphertext, tag) == REJECTED
    assert refusal(open_ccm, KEYS.encryption, NONCE, clear, ciphertext, tag) == REJECTED
