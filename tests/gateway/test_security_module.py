"""The security module, with its keys in a token and in memory."""

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pkcs11
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from smpki.errors import GatewayError, SmpkiError, TokenError
from smpki.gateway.module_contents import Activation, record_label
from smpki.gateway.security_module import SecurityModule, SlotState
from smpki.gateway.slots import Group, Slot
from smpki.hsm import token_vault
from smpki.hsm.key import KeyUse
from smpki.hsm.pin import write_pin
from smpki.hsm.token_vault import TokenVault
from smpki.hsm.vault import ObjectKind, StoredObject, Vault
from smpki.tls.identity import ProviderKey

SHA256 = ec.ECDSA(hashes.SHA256())
P256 = ec.BrainpoolP256R1()
NEXT_WAN = [slot.next for slot in Group.WAN.slots]
FOREIGN = ec.generate_private_key(P256)


@contextmanager
def refused(code: str, kind: type[SmpkiError] = GatewayError) -> Iterator[None]:
    with pytest.raises(kind) as caught:
        yield
    assert caught.value.code == code
    assert caught.value.hint


def states(module: SecurityModule) -> dict[Slot, SlotState]:
    return {slot: module.state(slot) for slot in Slot if module.state(slot) is not SlotState.EMPTY}


def point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


# Random numbers


@pytest.mark.parametrize("octets", [1, 12, 1024])
def test_random_numbers_have_the_length_asked_for(module: SecurityModule, octets: int) -> None:
    assert len(module.random(octets)) == octets


def test_random_numbers_differ(module: SecurityModule) -> None:
    assert len({module.random(16) for _ in range(50)}) == 50


@pytest.mark.parametrize("octets", [-1, 0, 1025, 10**9])
def test_other_lengths_are_refused(module: SecurityModule, octets: int) -> None:
    with refused("module.random.length"):
        module.random(octets)


# Keys in slots


def test_a_new_module_is_empty(module: SecurityModule) -> None:
    assert states(module) == {}
    assert module.credentials(Slot.WAN_ENC) == ()
    assert module.anchors() == ()
    for ask in (module.key, module.certificate, module.tls_identity):
        with refused("module.slot.empty"):
            ask(Slot.WAN_TLS)


def test_a_slot_fills_step_by_step(module: SecurityModule, certificate_for: Any) -> None:
    public_key = module.generate(Slot.WAN_SIG_NEXT)
    assert states(module) == {Slot.WAN_SIG_NEXT: SlotState.KEY}
    assert module.key(Slot.WAN_SIG_NEXT).public_key() == public_key
    with refused("module.slot.uncertified"):
        module.certificate(Slot.WAN_SIG_NEXT)
    certificate = certificate_for(Slot.WAN_SIG, public_key)
    module.install(Slot.WAN_SIG_NEXT, certificate)
    assert states(module) == {Slot.WAN_SIG_NEXT: SlotState.READY}
    assert module.certificate(Slot.WAN_SIG_NEXT) == certificate


@pytest.mark.parametrize("slot", [slot for slot in Slot if not slot.is_next])
def test_keys_are_never_replaced_in_place(module: SecurityModule, certificate_for: Any, slot: Slot) -> None:
    with refused("module.slot.current"):
        module.generate(slot)
    with refused("module.slot.current"):
        module.install(slot, certificate_for(slot, FOREIGN.public_key()))


def test_wan_keys_are_on_the_curve_of_the_guideline(module: SecurityModule) -> None:
    assert {module.generate(slot).curve.name for slot in NEXT_WAN} == {"brainpoolP256r1"}
    with refused("module.curve"):
        module.generate(Slot.WAN_TLS_NEXT, ec.BrainpoolP384R1())


@pytest.mark.parametrize("slot", [Slot.HAN_TLS_NEXT, Slot.LMN_TLS_NEXT])
def test_keys_in_the_house_may_be_on_other_curves(module: SecurityModule, slot: Slot) -> None:
    assert module.generate(slot).curve.name == "brainpoolP256r1"
    for curve in (ec.BrainpoolP384R1(), ec.BrainpoolP512R1(), ec.SECP256R1(), ec.SECP384R1()):
        public_key = module.generate(slot, curve)
        assert public_key.curve.name == curve.name
        public_key.verify(module.sign(slot, b"data"), b"data", SHA256)
    with refused("module.curve"):
        module.generate(slot, ec.SECP521R1())


def test_a_next_key_made_again_replaces_the_first_only(module: SecurityModule, fill_next: Any) -> None:
    fill_next(module)
    module.activate()
    fill_next(module)
    current, before = module.key(Slot.WAN_TLS), states(module)
    first, second = module.key(Slot.WAN_TLS_NEXT), module.generate(Slot.WAN_TLS_NEXT)
    assert module.key(Slot.WAN_TLS_NEXT).public_key() == second != first.public_key()
    assert states(module) == before | {Slot.WAN_TLS_NEXT: SlotState.KEY}
    assert module.key(Slot.WAN_TLS).public_key() == current.public_key()
    current.public_key().verify(current.sign(b"data", SHA256), b"data", SHA256)
    with refused("token.key.missing", TokenError):
        first.sign(b"data", SHA256)


def test_private_keys_do_not_leave(module: SecurityModule) -> None:
    module.generate(Slot.WAN_SIG_NEXT)
    key = module.key(Slot.WAN_SIG_NEXT)
    for take in (
        key.private_numbers,
        lambda: key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        lambda: pickle.dumps(key),
    ):
        with pytest.raises(TokenError):
            take()


# Certificates


def test_the_same_certificate_again_does_nothing_another_is_refused(
    module: SecurityModule, vault: Vault, certificate_for: Any
) -> None:
    public_key = module.generate(Slot.WAN_SIG_NEXT)
    one, other = (certificate_for(Slot.WAN_SIG, public_key) for _ in range(2))
    module.install(Slot.WAN_SIG_NEXT, one)
    before = vault.objects()
    module.install(Slot.WAN_SIG_NEXT, one)
    with refused("module.slot.certified"):
        module.install(Slot.WAN_SIG_NEXT, other)
    assert vault.objects() == before
    assert module.certificate(Slot.WAN_SIG_NEXT) == one


def test_a_certificate_needs_a_key(module: SecurityModule, certificate_for: Any) -> None:
    with refused("module.slot.empty"):
        module.install(Slot.WAN_SIG_NEXT, certificate_for(Slot.WAN_SIG, FOREIGN.public_key()))


def test_a_certificate_for_another_key_is_refused(module: SecurityModule, certificate_for: Any) -> None:
    others = [module.generate(Slot.WAN_TLS_NEXT), FOREIGN.public_key()]
    module.generate(Slot.WAN_SIG_NEXT)
    for other in others:
        with refused("module.certificate.key"):
            module.install(Slot.WAN_SIG_NEXT, certificate_for(Slot.WAN_SIG, other))


@pytest.mark.parametrize(
    ("slot", "issued_for"),
    [
        (Slot.WAN_TLS, Slot.WAN_SIG),
        (Slot.WAN_TLS, Slot.WAN_ENC),
        (Slot.WAN_SIG, Slot.WAN_TLS),
        (Slot.WAN_SIG, Slot.WAN_ENC),
        (Slot.WAN_ENC, Slot.WAN_TLS),
        (Slot.WAN_ENC, Slot.WAN_SIG),
        (Slot.HAN_TLS, Slot.WAN_ENC),
        (Slot.LMN_TLS, Slot.WAN_ENC),
    ],
)
def test_a_certificate_for_another_use_is_refused(
    module: SecurityModule, certificate_for: Any, slot: Slot, issued_for: Slot
) -> None:
    public_key = module.generate(slot.next)
    with refused("module.certificate.usage"):
        module.install(slot.next, certificate_for(issued_for, public_key))
    assert module.state(slot.next) is SlotState.KEY


def test_key_usage_may_be_missing_in_the_house_but_not_in_the_wan(module: SecurityModule, certificate_for: Any) -> None:
    for slot in (Slot.HAN_TLS, Slot.LMN_TLS):
        module.install(slot.next, certificate_for(slot, module.generate(slot.next), uses=()))
    for slot in Group.WAN.slots:
        with refused("module.certificate.usage"):
            module.install(slot.next, certificate_for(slot, module.generate(slot.next), uses=()))


@pytest.mark.parametrize("part", ["2b2403030208010107", "0603551d0f"], ids=["curve", "extension"])
def test_an_unreadable_certificate_is_refused(module: SecurityModule, certificate_for: Any, part: str) -> None:
    data = certificate_for(Slot.WAN_TLS, module.generate(Slot.WAN_TLS_NEXT)).public_bytes(Encoding.DER)
    broken = bytes.fromhex(part)[:-1] + b"\x25"  # an unknown curve; a second extended key usage
    assert bytes.fromhex(part) in data
    with refused("module.certificate.unreadable"):
        module.install(Slot.WAN_TLS_NEXT, x509.load_der_x509_certificate(data.replace(bytes.fromhex(part), broken)))


# A triple becomes current


def test_a_triple_becomes_current_and_the_next_slots_empty(module: SecurityModule, fill_next: Any) -> None:
    fill_next(module)
    keys = [module.key(slot).public_key() for slot in NEXT_WAN]
    certificates = [module.certificate(slot) for slot in NEXT_WAN]
    module.activate()
    assert states(module) == dict.fromkeys(Group.WAN.slots, SlotState.READY)
    assert [module.key(slot).public_key() for slot in Group.WAN.slots] == keys
    assert [module.certificate(slot) for slot in Group.WAN.slots] == certificates


def test_what_is_current_survives_the_end_of_the_process(vault_home: Any, fill_next: Any) -> None:
    with vault_home.open() as vault, SecurityModule(vault) as module:
        for _ in range(3):
            fill_next(module)
            module.activate()
        fill_next(module)
        before = {slot: module.certificate(slot) for slot in states(module)}
        former = [each.certificate for each in module.credentials(Slot.WAN_ENC)]
    with vault_home.open() as vault, SecurityModule(vault) as module:
        assert {slot: module.certificate(slot) for slot in states(module)} == before
        assert [each.certificate for each in module.credentials(Slot.WAN_ENC)] == former
        for slot, certificate in before.items():
            key = module.key(slot)
            certificate.public_key().verify(key.sign(b"data", SHA256), b"data", SHA256)  # type: ignore[union-attr, call-arg]


@pytest.mark.parametrize("missing", NEXT_WAN)
def test_an_incomplete_triple_does_not_become_current(module: SecurityModule, fill_next: Any, missing: Slot) -> None:
    fill_next(module)
    module.activate()
    before = states(module)
    with refused("module.slot.empty"):
        module.activate()
    fill_next(module)
    module.generate(missing)
    with refused("module.slot.uncertified"):
        module.activate()
    assert {slot: state for slot, state in states(module).items() if not slot.is_next} == before
    assert module.credentials(Slot.WAN_ENC)[1:] == ()


def test_a_triple_has_one_holder(module: SecurityModule, fill_next: Any, certificate_for: Any) -> None:
    fill_next(module)
    for name in ("EABC0000000002.SMGW", "EABC0000000001.SMGX"):
        public_key = module.generate(Slot.WAN_ENC_NEXT)
        module.install(Slot.WAN_ENC_NEXT, certificate_for(Slot.WAN_ENC, public_key, name))
        with refused("module.certificate.holder"):
            module.activate()
    assert module.state(Slot.WAN_TLS) is SlotState.EMPTY
    # names are compared by RFC 5280 7.1
    public_key = module.generate(Slot.WAN_ENC_NEXT)
    module.install(Slot.WAN_ENC_NEXT, certificate_for(Slot.WAN_ENC, public_key, "eabc0000000001.smgw "))
    module.activate()


def test_the_former_enc_key_opens_what_is_under_way_until_it_is_retired(module: SecurityModule, fill_next: Any) -> None:
    fill_next(module)
    module.activate()
    recipient = module.certificate(Slot.WAN_ENC)
    sender = module.agree_once(recipient.public_key())  # type: ignore[arg-type]
    fill_next(module)
    module.activate()
    current, former = module.credentials(Slot.WAN_ENC)
    assert (current.certificate, former.certificate) == (module.certificate(Slot.WAN_ENC), recipient)
    assert former.key.exchange(ec.ECDH(), sender.public_key) == sender.secret
    module.retire()
    assert module.credentials(Slot.WAN_ENC) == (current,)
    with refused("token.key.missing", TokenError):
        former.key.exchange(ec.ECDH(), sender.public_key)


def test_retiring_leaves_nothing_of_former_keys_and_all_else(
    module: SecurityModule, vault: Vault, fill_next: Any
) -> None:
    fill_next(module, Group.LMN)
    module.activate(Group.LMN)
    for _ in range(3):
        fill_next(module)
        module.activate()
    fill_next(module)
    before = states(module)
    module.retire()
    assert states(module) == before
    assert len(vault.keys()) == 1 + 3 + 3
    assert sorted(each.kind.value for each in vault.objects()) == 7 * ["certificate"] + 2 * ["record"]
    module.retire()
    assert states(module) == before


def test_missing_keys_are_made_and_no_others(module: SecurityModule) -> None:
    tls = module.generate(Slot.WAN_TLS_NEXT)
    module.generate_missing()
    keys = [module.key(slot).public_key() for slot in NEXT_WAN]
    assert keys[0] == tls
    assert {key.curve.name for key in keys} == {"brainpoolP256r1"}
    module.generate_missing()
    assert [module.key(slot).public_key() for slot in NEXT_WAN] == keys
    assert states(module) == dict.fromkeys(NEXT_WAN, SlotState.KEY)


def test_a_triple_becomes_current_with_its_certificates(module: SecurityModule, certificate_for: Any) -> None:
    module.generate_missing()
    triple = {slot: certificate_for(slot, module.key(slot).public_key()) for slot in NEXT_WAN}
    module.install(Slot.WAN_SIG_NEXT, triple[Slot.WAN_SIG_NEXT])
    for slot, code in ((Slot.WAN_TLS_NEXT, "module.certificate.key"), (Slot.WAN_SIG_NEXT, "module.certificate.key")):
        with refused(code):
            module.activate(Group.WAN, triple | {slot: certificate_for(slot, FOREIGN.public_key())})
    own = certificate_for(Slot.WAN_SIG_NEXT, module.key(Slot.WAN_SIG_NEXT).public_key())
    with refused("module.slot.certified"):
        module.activate(Group.WAN, triple | {Slot.WAN_SIG_NEXT: own})
    with refused("module.slot.uncertified"):
        module.activate(Group.WAN, {Slot.WAN_TLS_NEXT: triple[Slot.WAN_TLS_NEXT]})
    assert states(module).keys() == set(NEXT_WAN)
    module.activate(Group.WAN, triple)
    assert [module.certificate(slot.current) for slot in NEXT_WAN] == list(triple.values())
    assert states(module).keys() == set(Group.WAN.slots)


def test_groups_become_current_apart(module: SecurityModule, fill_next: Any) -> None:
    for group in Group:
        fill_next(module, group)
    module.activate(Group.LMN)
    assert module.state(Slot.LMN_TLS) is SlotState.READY
    assert (
        module.state(Slot.LMN_TLS_NEXT) is module.state(Slot.WAN_TLS) is module.state(Slot.HAN_TLS) is SlotState.EMPTY
    )
    module.activate(Group.HAN)
    assert module.state(Slot.HAN_TLS) is SlotState.READY
    assert module.state(Slot.WAN_TLS_NEXT) is SlotState.READY


def test_a_next_key_signs_its_own_certificate(module: SecurityModule) -> None:
    public_key = module.generate(Slot.LMN_TLS_NEXT, ec.BrainpoolP384R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "eabc0000000001.sm")])
    builder = x509.CertificateBuilder(name, name, public_key, 1)
    builder = builder.not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
    builder = builder.not_valid_after(datetime(2030, 1, 1, tzinfo=UTC))
    module.install(Slot.LMN_TLS_NEXT, builder.sign(module.key(Slot.LMN_TLS_NEXT), hashes.SHA384()))
    module.activate(Group.LMN)
    module.certificate(Slot.LMN_TLS).verify_directly_issued_by(module.certificate(Slot.LMN_TLS))


# Operations


def test_signatures_hold(module: SecurityModule) -> None:
    for slot in (Slot.WAN_SIG_NEXT, Slot.WAN_TLS_NEXT):
        public_key = module.generate(slot)
        public_key.verify(module.sign(slot, b"data"), b"data", SHA256)
        public_key.verify(module.sign(slot, b"data", hashes.SHA512()), b"data", ec.ECDSA(hashes.SHA512()))


def test_both_sides_agree_on_a_secret(module: SecurityModule) -> None:
    public_key = module.generate(Slot.WAN_ENC_NEXT)
    expected = FOREIGN.exchange(ec.ECDH(), public_key)
    info = FOREIGN.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert module.agree(Slot.WAN_ENC_NEXT, FOREIGN.public_key()) == module.agree(Slot.WAN_ENC_NEXT, info) == expected


@pytest.mark.parametrize("curve", [ec.BrainpoolP256R1(), ec.BrainpoolP512R1(), ec.SECP384R1()], ids=lambda it: it.name)
def test_a_sender_agrees_with_a_new_key_each_time(module: SecurityModule, vault: Vault, curve: Any) -> None:
    recipient = ec.generate_private_key(curve)
    made = [module.agree_once(recipient.public_key()) for _ in range(3)]
    for each in made:
        assert recipient.exchange(ec.ECDH(), each.public_key) == each.secret
        assert each.secret.hex() not in repr(each)
    assert len({point(each.public_key) for each in made}) == 3
    assert vault.keys() == ()


def test_no_secret_is_agreed_on_another_curve(module: SecurityModule) -> None:
    module.generate(Slot.WAN_ENC_NEXT)
    with refused("agreement.curve"):
        module.agree(Slot.WAN_ENC_NEXT, ec.generate_private_key(ec.SECP256R1()).public_key())
    with refused("agreement.curve"):
        module.agree_once(ec.generate_private_key(ec.SECP521R1()).public_key())


def test_keys_do_what_their_slot_is_for(module: SecurityModule) -> None:
    for slot in NEXT_WAN:
        module.generate(slot)
    for use in (
        lambda: module.sign(Slot.WAN_ENC_NEXT, b"data"),
        lambda: module.agree(Slot.WAN_SIG_NEXT, FOREIGN.public_key()),
        lambda: module.agree(Slot.WAN_TLS_NEXT, FOREIGN.public_key()),
        lambda: module.tls_identity(Slot.WAN_SIG_NEXT),
    ):
        with refused("module.use"):
            use()
    with refused("token.key.use", TokenError):
        module.key(Slot.WAN_TLS_NEXT).exchange(ec.ECDH(), FOREIGN.public_key())


def test_tls_gets_the_certificate_and_a_way_to_the_key(
    module: SecurityModule, vault: Vault, fill_next: Any, certificate_for: Any
) -> None:
    fill_next(module)
    with refused("module.slot.empty"):
        module.tls_identity(Slot.WAN_TLS)
    module.activate()
    issuer = certificate_for(Slot.WAN_SIG, FOREIGN.public_key())
    identity = module.tls_identity(Slot.WAN_TLS, [issuer])
    assert identity.certificates == (module.certificate(Slot.WAN_TLS), issuer)
    if isinstance(identity.key, ProviderKey):
        assert identity.key.uri == "pkcs11:token=test-token;object=smgw%20wan-tls%201;type=private"
        assert vault.key(label="smgw wan-tls 1").public_key() == identity.certificates[0].public_key()
    else:
        assert identity.key.public_key() == identity.certificates[0].public_key()


def test_threads_use_keys_at_the_same_time(module: SecurityModule, fill_next: Any) -> None:
    fill_next(module)
    module.activate()
    sig, enc = module.key(Slot.WAN_SIG), module.key(Slot.WAN_ENC)
    secret = FOREIGN.exchange(ec.ECDH(), enc.public_key())
    raised: list[BaseException] = []

    def sign_and_agree() -> None:
        for number in range(40):
            data = number.to_bytes(4)
            sig.public_key().verify(sig.sign(data, SHA256), data, SHA256)
            assert enc.exchange(ec.ECDH(), FOREIGN.public_key()) == secret

    def renew() -> None:
        for _ in range(2):
            fill_next(module)
            module.activate()
            assert module.random(8) != module.random(8)

    def run(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in (sign_and_agree, sign_and_agree, renew)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert raised == []
    assert len(module.credentials(Slot.WAN_ENC)) == 3


# Who may have the module


def test_one_module_of_a_name_at_a_time(vault: Vault, module: SecurityModule) -> None:
    with refused("token.claimed", TokenError):
        SecurityModule(vault)
    with SecurityModule(vault, name="another") as another:
        another.generate(Slot.WAN_TLS_NEXT)
        module.generate(Slot.WAN_TLS_NEXT)
        assert another.key(Slot.WAN_TLS_NEXT).public_key() != module.key(Slot.WAN_TLS_NEXT).public_key()
        another.generate(Slot.WAN_TLS_NEXT)
        assert module.state(Slot.WAN_TLS_NEXT) is SlotState.KEY
    module.close()
    module.close()
    SecurityModule(vault).close()


@pytest.mark.parametrize("name", ["", "Gateway", "a b", "-a", "a/b", "a" * 32])
def test_names_that_could_be_mistaken_are_refused(vault: Vault, name: str) -> None:
    with refused("module.name"):
        SecurityModule(vault, name=name)


def test_a_closed_module_refuses(vault: Vault, fill_next: Any) -> None:
    with SecurityModule(vault) as module:
        fill_next(module)
        key = module.key(Slot.WAN_SIG_NEXT)
    for use in (
        lambda: module.random(8),
        lambda: module.key(Slot.WAN_SIG_NEXT),
        lambda: module.generate(Slot.WAN_SIG_NEXT),
        lambda: module.agree_once(FOREIGN.public_key()),
        module.activate,
        module.anchors,
    ):
        with refused("module.closed"):
            use()
    key.public_key().verify(key.sign(b"data", SHA256), b"data", SHA256)


def test_a_forked_copy_refuses_and_holds_nothing(vault_home: Any, fill_next: Any) -> None:
    with vault_home.open() as vault, SecurityModule(vault) as module:
        fill_next(module)
        key = module.key(Slot.WAN_SIG_NEXT)
        go_on, come_on = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(come_on)
            codes = []
            for use in (lambda: module.random(8), lambda: module.key(Slot.WAN_SIG_NEXT), module.activate):
                try:
                    use()
                except GatewayError as error:
                    codes.append(error.code)
            try:
                key.sign(b"data", SHA256)
            except TokenError as error:
                codes.append(error.code)
            os.read(go_on, 1)  # stays alive while the parent opens the module anew
            os._exit(0 if codes == 3 * ["module.forked"] + ["token.forked"] else 1)
        os.close(go_on)
        try:
            module.close()
            with SecurityModule(vault) as module:
                module.activate()
        finally:
            os.close(come_on)
        assert os.waitpid(child, 0)[1] == 0


# A vault in a bad way


def test_a_full_vault_changes_nothing(vault_home: Any, fill_next: Any, certificate_for: Any) -> None:
    with vault_home.open() as vault, SecurityModule(vault) as module:
        fill_next(module)
        module.activate()
        fill_next(module)
        module.generate(Slot.HAN_TLS_NEXT)
        certificate = certificate_for(Slot.HAN_TLS, module.key(Slot.HAN_TLS_NEXT).public_key())
        before = {slot: module.key(slot).public_key() for slot in states(module)}
        with vault_home.full():
            for use in (
                lambda: module.generate(Slot.WAN_TLS_NEXT),
                lambda: module.install(Slot.HAN_TLS_NEXT, certificate),
                module.activate,
            ):
                with refused("token.full", TokenError):
                    use()
            assert {slot: module.key(slot).public_key() for slot in states(module)} == before
            module.sign(Slot.WAN_SIG, b"data")
        assert module.state(Slot.HAN_TLS_NEXT) is SlotState.KEY
        module.activate()
        assert module.key(Slot.WAN_TLS).public_key() == before[Slot.WAN_TLS_NEXT]


def test_a_vault_that_has_lost_what_was_current_is_not_taken_for_a_new_one(vault_home: Any, fill_next: Any) -> None:
    with vault_home.open() as vault, SecurityModule(vault) as module:
        fill_next(module)
        module.activate()
        with vault_home.removed():
            for use in (lambda: module.generate(Slot.WAN_TLS_NEXT), module.activate, module.retire):
                with refused("module.contents.older"):
                    use()
    with vault_home.open() as vault, SecurityModule(vault) as module:
        assert states(module) == dict.fromkeys(Group.WAN.slots, SlotState.READY)
        fill_next(module)
        module.activate()


def test_a_current_key_that_was_destroyed_by_others_is_missed(
    module: SecurityModule, vault: Vault, fill_next: Any
) -> None:
    fill_next(module)
    module.activate()
    vault.destroy(vault.key(label="smgw wan-enc 1").info)
    fill_next(module, Group.LMN)
    with refused("module.slot.damaged"):
        module.key(Slot.WAN_ENC)
    module.sign(Slot.WAN_SIG, b"data")
    fill_next(module)
    module.activate()
    assert module.state(Slot.WAN_ENC) is SlotState.READY


def test_the_record_of_another_version_is_not_passed_over(vault: Vault, fill_next: Any) -> None:
    with SecurityModule(vault) as module:
        fill_next(module)
        module.activate()
    record = Activation(Group.WAN, 2, {Slot.WAN_TLS: 1}).to_bytes()  # whole, and without SIG and ENC
    vault.store(StoredObject(ObjectKind.RECORD, record_label("smgw"), record))
    with refused("module.record.unknown"):
        SecurityModule(vault)
    with refused("module.record.unknown"):  # and the module is free
        SecurityModule(vault)


def test_a_record_that_was_cut_is_none(vault: Vault, fill_next: Any) -> None:
    record = Activation(Group.WAN, 2, dict.fromkeys(Group.WAN.slots, 2)).to_bytes()
    with SecurityModule(vault) as module:
        fill_next(module)
        module.activate()
        current = module.certificate(Slot.WAN_SIG)
        fill_next(module)
        for length in (1, 31, 32, 33, len(record) - 1):
            vault.store(StoredObject(ObjectKind.RECORD, record_label("smgw"), record[:length]))
    with SecurityModule(vault) as module:
        assert module.certificate(Slot.WAN_SIG) == current
        module.activate()
        module.retire()
    assert len([each for each in vault.objects() if each.kind is ObjectKind.RECORD]) == 1


def test_others_objects_are_left_alone(module: SecurityModule, vault: Vault, fill_next: Any) -> None:
    others = [
        StoredObject(ObjectKind.RECORD, "smgw", b"data"),
        StoredObject(ObjectKind.RECORD, "other current", b"data"),
    ]
    for each in others:
        vault.store(each)
    for label in ("smgw", "smgw wan-tls", "smgw wan-tls one", "smgw wan-tls 007", "smgwan-tls 1", "root"):
        vault.generate(label, P256, KeyUse.SIGN)
    fill_next(module)
    module.activate()
    module.retire()
    assert set(others) <= set(vault.objects())
    assert len(vault.keys()) == 6 + 3


# Objects that only a token can have


def test_what_was_put_in_without_the_pin_is_not_ours(token: Any) -> None:
    record = Activation(Group.WAN, 1, dict.fromkeys(Group.WAN.slots, 1)).to_bytes()
    with token.channel("plant a record") as channel:
        template = {
            pkcs11.Attribute.CLASS: pkcs11.ObjectClass.DATA,
            pkcs11.Attribute.TOKEN: True,
            pkcs11.Attribute.PRIVATE: False,  # what anybody may write
            pkcs11.Attribute.LABEL: record_label("smgw"),
            pkcs11.Attribute.VALUE: record,
        }
        channel.session.create_object(template)
    with SecurityModule(TokenVault(token)) as module:
        assert module.state(Slot.WAN_TLS) is SlotState.EMPTY


def halves(token: Any, kind: pkcs11.ObjectClass, label: str | None = None) -> list[str]:
    """Labels of half key pairs; those of one label are destroyed."""
    with token.channel("look at halves") as channel:
        found = {
            each: each[pkcs11.Attribute.LABEL] for each in channel.session.get_objects({pkcs11.Attribute.CLASS: kind})
        }
        for each, its_label in found.items():
            if its_label == label:
                each.destroy()
        return sorted(found.values())


def test_each_change_is_on_disk_when_it_is_done(token: Any, certificate_for: Any, monkeypatch: Any) -> None:
    settled: list[Path] = []
    monkeypatch.setattr(token_vault, "settle", settled.append)
    vault = TokenVault(token)
    key = vault.generate("smgw wan-tls 1", P256, KeyUse.SIGN)
    certificate = certificate_for(Slot.WAN_TLS, key.public_key()).public_bytes(Encoding.DER)
    stored = StoredObject(ObjectKind.CERTIFICATE, "smgw wan-tls 1", certificate, key.info.key_id)
    for count, change in enumerate(
        (lambda: vault.store(stored), lambda: vault.drop(stored), lambda: vault.destroy(key.info)), start=2
    ):
        change()
        assert settled == [token.lock] * count


def test_the_public_half_that_an_interruption_left_is_swept_away(token: Any) -> None:
    for label in ("smgw wan-tls 1", "another's"):
        token.generate(label, P256, KeyUse.SIGN)
        halves(token, pkcs11.ObjectClass.PRIVATE_KEY, label)
    with SecurityModule(TokenVault(token)) as module:
        assert module.state(Slot.WAN_TLS_NEXT) is SlotState.EMPTY
        module.generate(Slot.WAN_SIG_NEXT)
        assert halves(token, pkcs11.ObjectClass.PUBLIC_KEY) == ["another's", "smgw wan-sig 1"]
        module.generate(Slot.WAN_TLS_NEXT)
        module.sign(Slot.WAN_TLS_NEXT, b"data")


def test_a_vault_may_leave_it_to_its_user_when_all_is_on_disk(
    token: Any, certificate_for: Any, monkeypatch: Any
) -> None:
    written: list[int] = []
    monkeypatch.setattr(token_vault, "settle", lambda file: written.append(len(token.keys())))
    vault = TokenVault(token, durable=False)
    with SecurityModule(vault) as module:
        module.generate_missing()
        assert written == []
        certificates = {slot: certificate_for(slot, module.key(slot).public_key()) for slot in NEXT_WAN}
        module.activate(Group.WAN, certificates)
    assert written == [3], "certificates are there before they count"
    vault.settle()
    assert written == [3, 3]


def test_a_next_key_that_has_no_public_half_is_made_again(token: Any) -> None:
    with SecurityModule(TokenVault(token)) as module:
        module.generate(Slot.WAN_TLS_NEXT)
    halves(token, pkcs11.ObjectClass.PUBLIC_KEY, "smgw wan-tls 1")
    with SecurityModule(TokenVault(token)) as module:
        with refused("token.key.public_half", TokenError):
            module.key(Slot.WAN_TLS_NEXT)
        module.generate(Slot.WAN_TLS_NEXT)
        module.sign(Slot.WAN_TLS_NEXT, b"data")
    assert halves(token, pkcs11.ObjectClass.PRIVATE_KEY) == ["smgw wan-tls 2"]


def test_tls_works_with_the_keys_of_the_module(token_home: Any, tmp_path: Path) -> None:
    write_pin(tmp_path / "pin", token_home.pin)
    command = [sys.executable, Path(__file__).with_name("module_tls_program.py"), token_home.label]
    done = subprocess.run(
        [*command, token_home.softhsm.lock, tmp_path / "pin"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "right 2\n")
