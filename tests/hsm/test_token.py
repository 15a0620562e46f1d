import shutil
import traceback
from pathlib import Path
from typing import Any

import pkcs11
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from pkcs11 import Attribute, ObjectClass

from smpki.asn1.curves import CURVES
from smpki.hsm.loading import acquire
from smpki.hsm.module import ModuleChoice, find_module, find_softhsm
from smpki.hsm.pin import Pin
from smpki.hsm.token import KeyInfo, KeyUse, Token

P256 = CURVES["brainpoolP256r1"]
SHA256 = ec.ECDSA(hashes.SHA256())
MODULES = [pytest.param(None, id="default"), pytest.param(str(find_softhsm()), id="direct")]


@pytest.fixture(params=MODULES)
def any_token(request: pytest.FixtureRequest, token_home: Any) -> Any:
    """An open token through the default module, and through SoftHSM by its path."""
    with token_home.open(request.param) as token:
        yield token


def attributes(token_home: Any, label: str, kind: ObjectClass, wanted: list[Attribute]) -> dict[Attribute, Any]:
    """An object's attributes as another user of PKCS#11 sees them."""
    library = pkcs11.lib(str(find_softhsm()))
    try:
        session = library.get_token(token_label=token_home.label).open(user_pin=token_home.pin.reveal())
        (found,) = session.get_objects({Attribute.LABEL: label, Attribute.CLASS: kind})
        return {name: found[name] for name in wanted}
    finally:
        library.finalize()


@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES.keys())
def test_a_generated_key_signs_and_agrees(any_token: Token, curve: ec.EllipticCurve) -> None:
    key = any_token.generate("a key", curve, KeyUse.SIGN | KeyUse.DERIVE)
    assert (key.curve.name, key.key_size) == (curve.name, curve.key_size)
    for algorithm in (hashes.SHA256(), hashes.SHA384(), hashes.SHA512()):
        key.public_key().verify(key.sign(b"data", ec.ECDSA(algorithm)), b"data", ec.ECDSA(algorithm))
    other = ec.generate_private_key(curve)
    assert key.exchange(ec.ECDH(), other.public_key()) == other.exchange(ec.ECDH(), key.public_key())


@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES.keys())
def test_a_key_is_found_again(token_home: Any, curve: ec.EllipticCurve) -> None:
    with token_home.open() as token:
        made = token.generate("a key", curve, KeyUse.SIGN)
    with token_home.open() as token:
        for found in (
            token.key(label="a key"),
            token.key(key_id=made.info.key_id),
            token.key(label="a key", key_id=made.info.key_id),
        ):
            assert found.info == made.info
            assert found.public_key() == made.public_key()
            made.public_key().verify(found.sign(b"data", SHA256), b"data", SHA256)


def test_a_private_key_cannot_leave_the_token(token_home: Any) -> None:
    with token_home.open() as token:
        key = token.generate("a key", P256, KeyUse.SIGN)
    inside = [Attribute.TOKEN, Attribute.PRIVATE, Attribute.SENSITIVE, Attribute.ALWAYS_SENSITIVE]
    inside += [Attribute.NEVER_EXTRACTABLE, Attribute.LOCAL]
    outside = [Attribute.EXTRACTABLE, Attribute.DERIVE, Attribute.DECRYPT, Attribute.UNWRAP]
    private = attributes(token_home, "a key", ObjectClass.PRIVATE_KEY, [*inside, *outside, Attribute.ID])
    assert private == dict.fromkeys(inside, True) | dict.fromkeys(outside, False) | {Attribute.ID: key.info.key_id}
    with pytest.raises(pkcs11.AttributeSensitive):
        attributes(token_home, "a key", ObjectClass.PRIVATE_KEY, [Attribute.VALUE])
    public = attributes(token_home, "a key", ObjectClass.PUBLIC_KEY, [Attribute.ID, Attribute.TOKEN, Attribute.PRIVATE])
    assert public == {Attribute.ID: key.info.key_id, Attribute.TOKEN: True, Attribute.PRIVATE: False}


def test_keys_have_random_identifiers(token: Token) -> None:
    first, second = (token.generate(label, P256, KeyUse.SIGN) for label in ("one", "two"))
    assert len(first.info.key_id) == len(second.info.key_id) == 16
    assert first.info.key_id != second.info.key_id
    assert token.key_id(first) == first.info.key_id


def test_keys_are_listed_by_label(any_token: Token) -> None:
    assert any_token.keys() == ()
    enc = any_token.generate("b", CURVES["secp384r1"], KeyUse.DERIVE)
    sig = any_token.generate("a", P256, KeyUse.SIGN)
    assert any_token.keys() == (
        KeyInfo("a", sig.info.key_id, "brainpoolP256r1", KeyUse.SIGN),
        KeyInfo("b", enc.info.key_id, "secp384r1", KeyUse.DERIVE),
    )


def test_a_label_is_used_once(token: Token, refused: Any) -> None:
    token.generate("a key", P256, KeyUse.SIGN)
    with refused("token.key.exists"):
        token.generate("a key", P256, KeyUse.DERIVE)
    assert len(token.keys()) == 1


def test_the_public_half_of_an_interrupted_generation_is_not_in_the_way(token_home: Any) -> None:
    library = pkcs11.lib(str(find_softhsm()))
    session = library.get_token(token_label=token_home.label).open(rw=True, user_pin=token_home.pin.reveal())
    parameters = session.create_domain_parameters(
        pkcs11.KeyType.EC,
        {Attribute.EC_PARAMS: pkcs11.util.ec.encode_named_curve_parameters("secp256r1")},
        local=True,
    )
    _, private = parameters.generate_keypair(label="a key", id=b"1", store=True)
    private.destroy()
    library.finalize()
    with token_home.open() as token:
        key = token.generate("a key", P256, KeyUse.SIGN)
        assert token.key(label="a key").public_key() == key.public_key()


def test_other_curves_are_refused(token: Token, refused: Any) -> None:
    with refused("token.key.curve"):
        token.generate("a key", ec.SECP521R1(), KeyUse.SIGN)
    assert token.keys() == ()


def test_a_missing_key_is_refused(any_token: Token, refused: Any) -> None:
    key = any_token.generate("a key", P256, KeyUse.SIGN)
    for wanted in ({"label": "b"}, {"key_id": b"b"}, {"label": "b", "key_id": key.info.key_id}):
        with refused("token.key.missing"):
            any_token.key(**wanted)
    with refused("token.key.unspecified"):
        any_token.key()


def test_two_keys_of_one_label_are_not_guessed_between(token_home: Any, refused: Any) -> None:
    library = pkcs11.lib(str(find_softhsm()))
    session = library.get_token(token_label=token_home.label).open(rw=True, user_pin=token_home.pin.reveal())
    parameters = session.create_domain_parameters(
        pkcs11.KeyType.EC,
        {Attribute.EC_PARAMS: pkcs11.util.ec.encode_named_curve_parameters("secp256r1")},
        local=True,
    )
    for key_id in (b"1", b"2"):
        parameters.generate_keypair(label="a key", id=key_id, store=True)
    library.finalize()
    with token_home.open() as token:
        with refused("token.key.ambiguous"):
            token.key(label="a key")
        assert token.key(label="a key", key_id=b"2").info.use == KeyUse.SIGN | KeyUse.DERIVE


def test_a_private_key_without_its_public_half_is_refused(token_home: Any, refused: Any) -> None:
    with token_home.open() as token:
        token.generate("a key", P256, KeyUse.SIGN)
    library = pkcs11.lib(str(find_softhsm()))
    session = library.get_token(token_label=token_home.label).open(rw=True, user_pin=token_home.pin.reveal())
    session.get_key(object_class=ObjectClass.PUBLIC_KEY).destroy()
    library.finalize()
    with token_home.open() as token, refused("token.key.public_half"):
        token.key(label="a key")


def test_a_destroyed_key_is_gone(any_token: Token, refused: Any) -> None:
    gone = any_token.generate("gone", P256, KeyUse.SIGN)
    kept = any_token.generate("kept", P256, KeyUse.SIGN)
    gone.sign(b"data", SHA256)
    any_token.destroy(gone)
    assert any_token.keys() == (kept.info,)
    for use in (lambda: gone.sign(b"data", SHA256), lambda: any_token.destroy(gone)):
        with refused("token.key.missing"):
            use()
    again = any_token.generate("gone", P256, KeyUse.SIGN)
    assert again.public_key() != gone.public_key()
    kept.public_key().verify(kept.sign(b"data", SHA256), b"data", SHA256)


def test_a_token_knows_its_own_keys(token_home: Any, refused: Any) -> None:
    with token_home.open() as one, token_home.open() as two:
        key = one.generate("a key", P256, KeyUse.SIGN)
        with refused("token.key.foreign"):
            two.destroy(key)
        with refused("token.key.foreign"):
            two.key_id(ec.generate_private_key(P256))


def test_what_a_token_is(token_home: Any) -> None:
    library = find_softhsm()
    with token_home.open(str(library)) as token:
        token.generate("a key", P256, KeyUse.SIGN)
        info = token.info()
    assert (info.label, info.model, info.module, info.via_proxy) == (token_home.label, "SoftHSM v2", library, False)
    assert info.mechanisms == {"CKM_EC_KEY_PAIR_GEN": True, "CKM_ECDSA": True, "CKM_ECDH1_DERIVE": True}
    assert info.key_count == 1
    assert info.library_version == info.firmware_version
    with token_home.open() as token:
        assert token.info().via_proxy == find_module(None).via_proxy
        assert token.info().serial == info.serial


def test_a_missing_token_is_refused(token_home: Any, refused: Any) -> None:
    with refused("token.missing") as caught:
        Token.open(None, "another", token_home.pin, lock=token_home.softhsm.lock)
    assert caught.value.where == "another"


def test_a_wrong_pin_is_refused_and_shown_nowhere(token_home: Any, refused: Any) -> None:
    wrong = "3141592653"
    with refused("token.pin.incorrect") as caught:
        Token.open(None, token_home.label, Pin(wrong), lock=token_home.softhsm.lock)
    assert "CKR_PIN_INCORRECT" in caught.value.message
    assert wrong not in "".join(traceback.format_exception(caught.value))
    assert wrong not in repr(caught.value.__context__)
    ours = [frame for frame, _ in traceback.walk_tb(caught.tb) if frame.f_globals["__name__"].startswith("smpki.")]
    assert ours
    assert all(wrong not in repr(frame.f_locals) for frame in ours)
    token_home.open().close()


def test_a_token_without_a_lock_folder_is_refused(token_home: Any, tmp_path: Path, refused: Any) -> None:
    with refused("token.lock.unusable"):
        Token.open(None, token_home.label, token_home.pin, lock=tmp_path / "missing" / "lock")


def test_a_full_disk_costs_neither_the_token_nor_a_key(token_home: Any, refused: Any, files_limited_to: Any) -> None:
    with files_limited_to(100), refused("token.full"):
        token_home.open()
    with token_home.open() as token:
        with files_limited_to(100), refused("token.full"):
            token.generate("a key", P256, KeyUse.SIGN)
        key = token.generate("a key", P256, KeyUse.SIGN)
        with files_limited_to(0):
            key.sign(b"data", SHA256)  # writes nothing
    with token_home.open() as token:
        assert token.keys() == (key.info,)


def test_the_vendors_refusal_has_its_name(token_home: Any, refused: Any) -> None:
    with token_home.open(str(find_softhsm())) as token:
        shutil.rmtree(token_home.softhsm.tokens)
        with refused("token.pkcs11.general_error") as caught:
            token.generate("a key", P256, KeyUse.SIGN)
    assert "CKR_GENERAL_ERROR" in caught.value.message
    assert caught.value.where == token_home.label


def test_a_closed_token_refuses(any_token: Token, refused: Any) -> None:
    key = any_token.generate("a key", P256, KeyUse.SIGN)
    any_token.close()
    any_token.close()
    for use in (lambda: key.sign(b"data", SHA256), any_token.keys, any_token.info):
        with refused("token.closed"):
            use()


def test_a_token_opened_twice_stays_open_until_both_are_closed(any_token: Token, token_home: Any) -> None:
    key = any_token.generate("a key", P256, KeyUse.SIGN)
    with token_home.open(str(any_token.info().module)) as second:
        assert second.key(label="a key").public_key() == key.public_key()
    key.public_key().verify(key.sign(b"data", SHA256), b"data", SHA256)


def test_somebody_else_in_the_process_is_logged_in_already(token_home: Any) -> None:
    proxy = find_module(None)
    if not proxy.via_proxy:
        pytest.skip("p11-kit's proxy module is not installed")
    module = acquire(proxy)
    theirs = module.find(token_home.label).open(user_pin=token_home.pin.reveal())
    with token_home.open() as token:
        key = token.generate("a key", P256, KeyUse.SIGN)
        key.sign(b"data", SHA256)
    (found,) = theirs.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY})  # their login still holds
    assert found.label == "a key"
    module.release()


def test_one_library_by_two_paths_is_one_module(token_home: Any, tmp_path: Path) -> None:
    link = tmp_path / "softhsm.so"
    link.symlink_to(find_softhsm().resolve())
    with token_home.open(str(find_softhsm())) as one, token_home.open(str(link)) as two:
        one.generate("a key", P256, KeyUse.SIGN)
        assert two.keys() == one.keys()


def test_a_module_that_others_have_initialised_is_refused(token_home: Any, refused: Any) -> None:
    proxy = find_module(None)
    if not proxy.via_proxy:
        pytest.skip("p11-kit's proxy module is not installed")
    with token_home.open(), refused("token.module.in_use"):
        acquire(ModuleChoice(find_softhsm(), via_proxy=False))
