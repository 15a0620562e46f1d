"""Security profiles of wireless M-Bus: telegrams opened, and made as a meter makes them.

EN 13757-7 chapter 9; Detailspezifikationen zur TR-03109-1, 10.3. Profile B (mode 7) is AES-CBC with keys derived for
each message, and AES-CMAC in the AFL. Profile D (mode 10) is AES-CCM with the derived encryption key: BSI TR-03116-3
table 19 names the MAC key in its stead, EN 13757-7 and meters in the field do not. Profile A (mode 5) is AES-CBC alone,
without MAC or counter; TR-03116-3 7.3 does not allow it, so nobody gets it who does not ask.
"""

import enum
from dataclasses import dataclass, replace

from smpki.errors import GatewayError
from smpki.gateway.lmn_keys import MasterKey, counter_octets, radio_keys
from smpki.gateway.lmn_protection import (
    check_mac,
    decrypt_cbc,
    encrypt_cbc,
    make_mac,
    open_ccm,
    rejected,
    seal_ccm,
)
from smpki.gateway.wmbus_layers import KEY_DERIVATION_A, MODE_CBC, MODE_CBC_IV, MODE_CCM, Address, Afl, Ell, Tpl
from smpki.gateway.wmbus_telegram import SEND_NO_REPLY, Telegram

_FILLER = b"\x2f"
_PROOF = _FILLER * 2  # in front of what CBC encrypts: decryption verification
_ZERO_IV = bytes(16)
_BLOCK = 16


class SecurityProfile(enum.IntEnum):
    """A profile of the OMS specification, volume 2, as its security mode."""

    A = MODE_CBC_IV
    B = MODE_CBC
    D = MODE_CCM


@dataclass(frozen=True, slots=True)
class SecurityPolicy:
    """What a gateway accepts of a meter.

    :param profiles: what its telegrams may be protected with
    :param shortest_tag: octets; 8 is the least of BSI TR-03116-3 table 19
    """

    profiles: frozenset[SecurityProfile] = frozenset({SecurityProfile.B, SecurityProfile.D})
    shortest_tag: int = 8


@dataclass(frozen=True, slots=True)
class OpenedTelegram:
    """What a telegram says.

    :param counter: its message counter; ``None`` in profile A
    :param records: application data that were encrypted
    :param clear: application data behind them that were not; authentic, but in profile A
    """

    telegram: Telegram
    profile: SecurityProfile
    counter: int | None
    records: bytes
    clear: bytes


def claimed_counter(telegram: Telegram, policy: SecurityPolicy) -> int | None:
    """The counter that a telegram claims, once its protection is one that the policy allows.

    :return: ``None`` in profile A, which has none
    :raises GatewayError: ``lmn.security.unprotected``, ``.profile``, ``.layers``, ``.key_derivation``
    """
    mode = telegram.tpl.mode
    if mode == 0 or telegram.tpl.encrypted_octets == 0:
        raise _refused("unprotected", "the telegram is not encrypted, though there is a key for the meter")
    if mode not in policy.profiles:
        raise _refused("profile", f"telegrams of this meter may not be in security mode {mode}")
    if (telegram.afl is None) == (mode == SecurityProfile.B):
        raise _refused("layers", f"security mode {mode} is {'without' if telegram.afl is None else 'with'} an AFL")
    if mode == SecurityProfile.A:
        return None
    told_by_afl = telegram.afl and telegram.afl.derives_key
    if not (telegram.tpl.derives_key if told_by_afl is None else told_by_afl):
        raise _refused("key_derivation", "the telegram does not use keys derived for it (EN 13757-7 9.6.1)")
    return telegram.tpl.counter if telegram.afl is None else telegram.afl.counter


def open_telegram(telegram: Telegram, key: MasterKey, policy: SecurityPolicy = SecurityPolicy()) -> OpenedTelegram:
    """Check a telegram's authenticity and decrypt it. Whether it is a repetition is not looked at here.

    :param key: of ``telegram.meter``
    :raises GatewayError: ``lmn.rejected``; ``lmn.security.*`` and ``lmn.tag_length``: its kind of protection is not
        allowed, said before any key is used
    """
    counter = claimed_counter(telegram, policy)
    profile, tpl = SecurityProfile(telegram.tpl.mode), telegram.tpl
    afl, meter = telegram.afl, telegram.meter
    if afl is not None:
        _require_tag(len(afl.mac), policy)
        keys = radio_keys(key, afl.counter, meter.identification)
        check_mac(keys.authentication, afl.authenticated + telegram.message, afl.mac, len(afl.mac))
        encrypted, clear = _split(tpl, telegram.body)
        records = _proven(decrypt_cbc(keys.encryption, encrypted, _ZERO_IV))
    elif profile is SecurityProfile.D:
        _require_tag(tpl.tag_octets, policy)
        keys = radio_keys(key, tpl.counter, meter.identification)
        protected, tag = telegram.body[: -tpl.tag_octets], telegram.body[-tpl.tag_octets :]
        encrypted, clear = _split(tpl, protected)
        associated, nonce = tpl.associated + clear, _nonce(meter, tpl.counter)
        records = open_ccm(keys.encryption, nonce, associated, encrypted, tag, tag_length=tpl.tag_octets)
    else:
        encrypted, clear = _split(tpl, telegram.body)
        records = _proven(decrypt_cbc(key.reveal(), encrypted, _iv(meter, tpl)))
    return OpenedTelegram(telegram, profile, counter, records, clear)


@dataclass(frozen=True, slots=True)
class Draft:
    """What a meter is about to send, for simulators and tests.

    :param sender: address of the link layer
    :param records: application data to encrypt
    :param clear: application data to send behind them without encryption
    :param meter: the meter's address, where the sender is an adapter
    :param status: the meter's status, STS
    :param sending: bits 15 to 13 of the configuration field: bidirectional, accessible, synchronous
    """

    sender: Address
    records: bytes
    clear: bytes = b""
    meter: Address | None = None
    ell: Ell | None = None
    control: int = SEND_NO_REPLY
    access_number: int = 0
    status: int = 0
    sending: int = 0


def protect_telegram(
    draft: Draft, profile: SecurityProfile, key: MasterKey, *, counter: int = 0, tag_octets: int = 8
) -> Telegram:
    """Make a telegram as a meter does.

    :param counter: above all that were sent with this key; without meaning in profile A
    :param tag_octets: length of MAC or tag; without meaning in profile A
    :raises GatewayError: ``lmn.tag_length``, ``lmn.counter.range``, ``lmn.security.length`` (too long for one telegram)
    """
    meter = draft.meter or draft.sender
    tpl = Tpl(draft.meter, draft.access_number, draft.status, draft.sending << 13 | profile << 8)
    if profile is SecurityProfile.D:
        keys = radio_keys(key, counter, meter.identification)
        length = _count(len(draft.records), 0xFF) if draft.clear else 0xFF
        extension = KEY_DERIVATION_A | (tag_octets // 4 - 1) << 8
        tpl = replace(tpl, configuration=tpl.configuration | length, extension=extension, counter=counter)
        associated, nonce = tpl.associated + draft.clear, _nonce(meter, counter)
        encrypted, tag = seal_ccm(keys.encryption, nonce, associated, draft.records, tag_length=tag_octets)
        return Telegram(draft.control, draft.sender, draft.ell, None, tpl, encrypted + draft.clear + tag)
    blocks = _PROOF + draft.records
    blocks += _FILLER * (-len(blocks) % _BLOCK)
    tpl = replace(tpl, configuration=tpl.configuration | _count(len(blocks) // _BLOCK, 0x10) << 4)
    if profile is SecurityProfile.A:
        body = encrypt_cbc(key.reveal(), blocks, _iv(meter, tpl)) + draft.clear
        return Telegram(draft.control, draft.sender, draft.ell, None, tpl, body)
    keys = radio_keys(key, counter, meter.identification)
    body = encrypt_cbc(keys.encryption, blocks, _ZERO_IV) + draft.clear
    tpl = replace(tpl, extension=KEY_DERIVATION_A)
    telegram = Telegram(draft.control, draft.sender, draft.ell, Afl(counter, bytes(tag_octets)), tpl, body)
    return authenticate(telegram, key)


def authenticate(telegram: Telegram, key: MasterKey) -> Telegram:
    """Put the MAC in that a telegram of profile B should have, of the length that it has.

    :raises GatewayError: ``lmn.tag_length``, ``lmn.security.layers``
    """
    if telegram.afl is None:
        raise _refused("layers", "a telegram without an AFL has no MAC")
    keys = radio_keys(key, telegram.afl.counter, telegram.meter.identification)
    mac = make_mac(keys.authentication, telegram.afl.authenticated + telegram.message, len(telegram.afl.mac))
    return replace(telegram, afl=replace(telegram.afl, mac=mac))


def _split(tpl: Tpl, body: bytes) -> tuple[bytes, bytes]:
    """The encrypted part and the rest."""
    count = len(body) if tpl.encrypted_octets is None else tpl.encrypted_octets
    if count > len(body):
        raise _refused("length", f"{count} octets are said to be encrypted; these are {len(body)}")
    return body[:count], body[count:]


def _proven(decrypted: bytes) -> bytes:
    """Application data behind the octets that prove the decryption."""
    if not decrypted.startswith(_PROOF):
        raise rejected()
    return decrypted.removeprefix(_PROOF)


def _iv(meter: Address, tpl: Tpl) -> bytes:
    """IV of mode 5: the meter's address and eight times the access number (EN 13757-7 9.4.4)."""
    return meter.octets + bytes([tpl.access_number]) * 8


def _nonce(meter: Address, counter: int) -> bytes:
    """Nonce of mode 10 (Detailspezifikationen zur TR-03109-1, table 10.1)."""
    return meter.octets + b"\x00" + counter_octets(counter, "big")


def _require_tag(octets: int, policy: SecurityPolicy) -> None:
    if octets < policy.shortest_tag:
        hint = f"{policy.shortest_tag} octets are the least by the meter's policy"
        raise GatewayError("lmn.tag_length", f"a tag of {octets} octets is not allowed", hint=hint)


def _count(number: int, limit: int) -> int:
    """A length that fits its field."""
    if number >= limit:
        raise _refused("length", "these are more data than one telegram can hold encrypted")
    return number


def _refused(rule: str, message: str) -> GatewayError:
    hint = "compare the meter's settings with its profile; somebody may also imitate the meter"
    return GatewayError(f"lmn.security.{rule}", message, hint=hint)
