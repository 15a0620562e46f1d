import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from smpki.errors import SmpkiError
from smpki.participant.key_files import read_key, write_keys
from smpki.participant.key_places import FilePlace, FileSource, TokenPlace, TokenSource, make_keys
from smpki.participant.password import Password, read_password
from smpki.participant.signers import open_signer
from smpki.requests.keys import KeyTriple

if TYPE_CHECKING:
    from smpki.hsm.token import Token

Counter = Any  # conftest.Counter

CURVE = ec.BrainpoolP256R1()
EMT = "CN=Firma.EMT, O=SM-Test-PKI-DE, OU=9900000000001, C=DE, serialNumber=1"
SECRET = "korrektes Pferd"


@pytest.fixture(scope="module")
def keys() -> KeyTriple:
    return make_keys(CURVE)


def nobody_knows() -> None:
    return None


def refused(function: Callable[[], object]) -> SmpkiError:
    with pytest.raises(SmpkiError) as caught:
        function()
    error = caught.value
    assert error.hint
    texts = (str(error), repr(error), error.hint, repr(error.__cause__), repr(error.__context__))
    assert not any(SECRET in text for text in texts)
    return error


@pytest.mark.parametrize("password", [None, Password(SECRET)])
def test_keys_that_are_written_are_read(tmp_path: Path, keys: KeyTriple, password: Password | None) -> None:
    files = write_keys(tmp_path / "new", keys, password)
    assert [file.name for file in files] == ["tls.key", "sig.key", "enc.key"]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == ["enc.key", "sig.key", "tls.key"]
    for file, key in zip(files, (keys.tls, keys.sig, keys.enc), strict=True):
        assert (b"ENCRYPTED" in file.read_bytes()) == (password is not None)
        assert read_key(file, lambda: password).public_key() == key.public_key()


def test_openssl_opens_an_encrypted_key(tmp_path: Path, keys: KeyTriple) -> None:
    file, *_ = write_keys(tmp_path, keys, Password(SECRET))
    command = ["openssl", "pkey", "-in", file, "-passin", f"pass:{SECRET}", "-noout"]
    subprocess.run(command, check=True, capture_output=True)


def test_no_key_is_overwritten(tmp_path: Path, keys: KeyTriple) -> None:
    write_keys(tmp_path, keys)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    (tmp_path / "tls.key").unlink()
    assert refused(lambda: write_keys(tmp_path, make_keys(CURVE))).code == "keys.exist"
    assert not (tmp_path / "tls.key").exists()
    assert (tmp_path / "sig.key").read_bytes() == before[tmp_path / "sig.key"]


def test_keys_need_a_folder(tmp_path: Path, keys: KeyTriple) -> None:
    (tmp_path / "file").touch()
    assert refused(lambda: write_keys(tmp_path / "file" / "folder", keys)).code == "keys.unwritable"


def test_a_key_that_others_can_read_is_not_used(tmp_path: Path, keys: KeyTriple) -> None:
    file, *_ = write_keys(tmp_path, keys)
    file.chmod(0o640)
    error = refused(lambda: read_key(file, nobody_knows))
    assert error.code == "keys.exposed"
    assert "0640" in error.message


def test_passwords_that_do_not_fit(tmp_path: Path, keys: KeyTriple) -> None:
    file, *_ = write_keys(tmp_path, keys, Password(SECRET))
    assert refused(lambda: read_key(file, nobody_knows)).code == "keys.password.missing"
    assert refused(lambda: read_key(file, lambda: Password("falsches Pferd"))).code == "keys.password.wrong"


def test_what_is_no_key(tmp_path: Path) -> None:
    assert refused(lambda: read_key(tmp_path / "nothing", nobody_knows)).code == "keys.missing"
    file = tmp_path / "key"
    strange = ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.touch(0o600)
    for content in (b"", SECRET.encode(), strange, b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"):
        file.write_bytes(content)
        assert refused(lambda: read_key(file, nobody_knows)).code == "keys.unreadable"
    assert refused(lambda: read_key(tmp_path, nobody_knows)).code in ("keys.exposed", "keys.unreadable")


def test_passwords_hide_and_stay() -> None:
    password = Password(SECRET)
    assert SECRET not in f"{password} {password!r}"
    assert password.reveal() == SECRET.encode()
    with pytest.raises(TypeError):
        pickle.dumps(password)
    assert refused(lambda: Password("")).code == "keys.password.empty"


def test_passwords_from_files(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.touch(0o600)
    file.write_text(f"{SECRET}\n")
    assert read_password(file).reveal() == SECRET.encode()
    file.chmod(0o604)
    assert refused(lambda: read_password(file)).code == "keys.password.exposed"
    file.chmod(0o600)
    file.write_bytes(SECRET.encode() + b"\xff")
    assert refused(lambda: read_password(file)).code == "keys.password.unreadable"
    file.write_bytes(b"\n")
    assert refused(lambda: read_password(file)).code == "keys.password.empty"
    assert refused(lambda: read_password(tmp_path / "nothing")).code == "keys.password.unreadable"


def test_a_folder_keeps_keys_and_gives_them_back(tmp_path: Path, counter: Counter) -> None:
    place = FilePlace(tmp_path, Password(SECRET))
    keys = place.make(CURVE)
    assert not list(tmp_path.iterdir())
    assert place.keep(keys) == tuple(str(tmp_path / name) for name in ("tls.key", "sig.key", "enc.key"))
    counter.fill(tmp_path, EMT, keys=keys)
    for where in (tmp_path, tmp_path / "sig.pem"):
        signer = open_signer(where, FileSource(lambda: Password(SECRET)))
        assert signer.key.public_key() == keys.sig.public_key() == signer.certificate.public_key()
        assert signer.issuers == (counter.certificate,)
    moved = (tmp_path / "sig.key").rename(tmp_path / "elsewhere")
    assert open_signer(tmp_path, FileSource(lambda: Password(SECRET), moved)).key.public_key() == keys.sig.public_key()
    (tmp_path / "chain.pem").unlink()
    assert open_signer(tmp_path, FileSource(lambda: Password(SECRET), moved)).issuers == ()


def test_a_token_keeps_keys_and_gives_them_back(tmp_path: Path, counter: Counter, token: "Token") -> None:
    TokenPlace(token, "somebody else").make(CURVE)
    place = TokenPlace(token, "Firma.EMT 2026-01-15")
    keys = place.make(CURVE)
    labels = place.keep(keys)
    assert labels == tuple(f"Firma.EMT 2026-01-15 {purpose}" for purpose in ("tls", "sig", "enc"))
    assert set(labels) < {info.label for info in tuple(token.keys())}
    counter.fill(tmp_path, EMT, keys=keys)
    signer = open_signer(tmp_path, TokenSource(token))
    assert repr(signer.key) == repr(keys.sig)
    place.drop(keys)
    assert refused(lambda: open_signer(tmp_path, TokenSource(token))).code == "keys.missing"


def test_a_token_is_left_as_it_was_when_it_refuses(token: "Token") -> None:
    from smpki.hsm.key import KeyUse

    token.generate("Firma.EMT enc", CURVE, KeyUse.SIGN)
    assert refused(lambda: TokenPlace(token, "Firma.EMT").make(CURVE)).code == "token.key.exists"
    assert [info.label for info in tuple(token.keys())] == ["Firma.EMT enc"]


def test_no_signer_at_all(tmp_path: Path) -> None:
    source = FileSource(nobody_knows)
    assert refused(lambda: open_signer(tmp_path, source)).code == "file.unreadable"
    (tmp_path / "sig.pem").write_text("no certificate")
    assert refused(lambda: open_signer(tmp_path, source)).code == "trust.file.unreadable"
