"""A software vault in a file: what was in it is there again, whole, and for its owner only."""

import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.errors import TokenError
from smpki.hsm.file_vault import FileVault
from smpki.hsm.key import KeyUse
from smpki.hsm.vault import ObjectKind, StoredObject

CURVE = ec.BrainpoolP256R1()
RECORD = StoredObject(ObjectKind.RECORD, "note", b"\x00content", b"\x01")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_keys_and_objects_are_there_again(file: Path) -> None:
    vault = FileVault(file)
    kept = vault.generate("kept", CURVE, KeyUse.SIGN | KeyUse.DERIVE)
    vault.destroy(vault.generate("destroyed", CURVE, KeyUse.SIGN).info)
    vault.store(RECORD)
    vault.store(StoredObject(ObjectKind.RECORD, "dropped", b"1"))
    vault.drop(StoredObject(ObjectKind.RECORD, "dropped", b"1"))

    again = FileVault(file)
    assert again.keys() == (kept.info,)
    assert again.objects() == (RECORD,)
    key = again.key(label="kept")
    kept.public_key().verify(key.sign(b"data", ec.ECDSA(hashes.SHA256())), b"data", ec.ECDSA(hashes.SHA256()))


def test_only_the_owner_can_use_the_file(file: Path) -> None:
    FileVault(file).store(RECORD)
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o640)
    with pytest.raises(TokenError, match="others than its owner"):
        FileVault(file)


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-3])


def _other(file: Path) -> None:
    file.write_text('{"keys": [{"label": "x"}], "objects": []}')


def _list(file: Path) -> None:
    file.write_text("[]")


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir(mode=0o700)


@pytest.mark.parametrize("damage", [_cut, _other, _list, _folder])
def test_a_damaged_file_is_never_taken_for_an_empty_one(file: Path, damage: Callable[[Path], None]) -> None:
    FileVault(file).store(RECORD)
    damage(file)
    with pytest.raises(TokenError) as refused:
        FileVault(file)
    assert refused.value.code == "token.file"


@contextmanager
def _full() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_what_was_there(file: Path) -> None:
    vault = FileVault(file)
    vault.store(RECORD)
    with _full(), pytest.raises(TokenError, match="can't be written"):
        vault.generate("new", CURVE, KeyUse.SIGN)
    assert (vault.keys(), vault.objects()) == ((), (RECORD,))
    assert FileVault(file).objects() == (RECORD,)
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def test_a_claim_amid_a_change_loses_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = FileVault(file)
    other = threading.Thread(target=vault.claim, args=("other",))
    replace = FileVault._replace

    def meanwhile(vault: FileVault, content: bytes) -> None:
        other.start()
        other.join(0.2)  # it has to wait, or it reads what was there before
        replace(vault, content)

    monkeypatch.setattr(FileVault, "_replace", meanwhile)
    vault.generate("new", CURVE, KeyUse.SIGN)
    other.join()
    (key,) = vault.keys()
    assert key.label == "new"


def test_one_at_a_time_has_a_name(file: Path) -> None:
    one, other = FileVault(file), FileVault(file)
    claim = one.claim("smgw")
    with pytest.raises(TokenError) as refused:
        other.claim("smgw")
    assert refused.value.code == "token.claimed"
    one.store(RECORD)
    claim.release()
    other.claim("smgw").release()
    assert other.objects() == (RECORD,)
