import os
import signal
import subprocess
import traceback
from pathlib import Path
from typing import Any

import pytest

from smpki.hsm.pin import Pin
from smpki.hsm.softhsm import SoftHsm
from smpki.hsm.token import Token
from smpki.hsm.token_set_up import SetUpProgram

PIN, SO_PIN = Pin("2468013579"), Pin("9753108642")


@pytest.fixture
def softhsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftHsm:
    softhsm = SoftHsm(tmp_path / "a folder" / "hsm")
    monkeypatch.setenv("SOFTHSM2_CONF", str(softhsm.configuration))
    return softhsm


def test_a_token_is_made_and_opened(softhsm: SoftHsm) -> None:
    softhsm.create_token("first", PIN, SO_PIN)
    softhsm.create_token("second, ä", PIN, SO_PIN)
    for label in ("first", "second, ä"):
        with Token.open(None, label, PIN, lock=softhsm.lock) as token:
            assert token.info().label == label


def test_the_folder_is_its_owners_alone(softhsm: SoftHsm) -> None:
    softhsm.create_token("a token", PIN, SO_PIN)
    assert softhsm.folder.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o077 == 0 for path in softhsm.folder.rglob("*"))


def test_activation_sets_the_variable_and_nothing_else(softhsm: SoftHsm) -> None:
    environ: dict[str, str] = {}
    softhsm.activate(environ)
    assert environ == {"SOFTHSM2_CONF": str(softhsm.configuration)}
    before = softhsm.configuration.stat()
    softhsm.activate(environ)
    assert softhsm.configuration.stat() == before


def test_a_moved_folder_is_found_at_its_new_place(softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    softhsm.create_token("a token", PIN, SO_PIN)
    moved = SoftHsm(softhsm.folder.rename(softhsm.folder.with_name("moved")))
    environ: dict[str, str] = {}
    moved.activate(environ)
    monkeypatch.setenv("SOFTHSM2_CONF", environ["SOFTHSM2_CONF"])
    Token.open(None, "a token", PIN, lock=moved.lock).close()
    assert sorted(path.name for path in moved.folder.iterdir()) == ["lock", "softhsm2.conf", "tokens"]


def test_a_label_is_used_once(softhsm: SoftHsm, refused: Any) -> None:
    softhsm.create_token("a token", PIN, SO_PIN)
    before = sorted(softhsm.tokens.rglob("*"))
    with refused("token.exists"):
        softhsm.create_token("a token", Pin("1111111111"), SO_PIN)
    assert sorted(softhsm.tokens.rglob("*")) == before
    Token.open(None, "a token", PIN, lock=softhsm.lock).close()


@pytest.mark.parametrize("label", ["", "x" * 33, "ä" * 17])
def test_labels_have_1_to_32_octets(softhsm: SoftHsm, refused: Any, label: str) -> None:
    with refused("token.label.length"):
        softhsm.create_token(label, PIN, SO_PIN)


def test_a_short_so_pin_is_refused(softhsm: SoftHsm, refused: Any) -> None:
    with refused("token.pin.length"):
        softhsm.create_token("a token", PIN, Pin("123"))


def test_a_short_pin_is_refused_and_leaves_no_half_made_token(softhsm: SoftHsm, refused: Any) -> None:
    with refused("token.pin.length") as caught:
        softhsm.create_token("a token", Pin("123"), SO_PIN)
    assert "C_InitPIN" in caught.value.message
    assert "CKR_PIN_LEN_RANGE" in caught.value.message
    softhsm.create_token("a token", PIN, SO_PIN)


def test_a_full_disk_makes_no_token(softhsm: SoftHsm, refused: Any, files_limited_to: Any) -> None:
    softhsm.activate({})
    with files_limited_to(0), refused("token.full"):
        softhsm.create_token("a token", PIN, SO_PIN)
    assert list(softhsm.tokens.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path, refused: Any) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file" / "hsm", tmp_path / "a#b", tmp_path / "a\nb"):
        with refused("token.folder.unusable"):
            SoftHsm(folder).activate({})


def test_a_library_that_is_none_is_refused(tmp_path: Path, refused: Any) -> None:
    with refused("token.module.invalid"):
        SoftHsm(tmp_path / "hsm", library=Path(__file__)).create_token("a token", PIN, SO_PIN)


def test_a_library_that_is_no_pkcs11_module_is_refused(tmp_path: Path, refused: Any) -> None:
    import _cffi_backend

    with refused("token.module.invalid"):
        SoftHsm(tmp_path / "hsm", library=Path(_cffi_backend.__file__)).create_token("a token", PIN, SO_PIN)


def test_pins_are_in_no_argument_environment_or_error(
    softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch, refused: Any
) -> None:
    started: list[tuple[list[str], dict[str, str]]] = []
    run = subprocess.run

    def watch(arguments: list[str], **options: Any) -> Any:
        started.append((arguments, options["env"]))
        return run(arguments, **options)

    monkeypatch.setattr(subprocess, "run", watch)
    softhsm.create_token("a token", PIN, SO_PIN)
    with refused("token.exists") as caught:
        softhsm.create_token("a token", PIN, SO_PIN)
    frames = [frame for frame, _ in traceback.walk_tb(caught.tb) if frame.f_globals["__name__"].startswith("smpki.")]
    shown = repr(started) + repr([frame.f_locals for frame in frames])
    assert len(started) == 2
    assert PIN.reveal() not in shown
    assert SO_PIN.reveal() not in shown


def test_one_program_makes_token_after_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Any) -> None:
    monkeypatch.setenv("SOFTHSM2_CONF", "")  # so that it is put back after the test
    with SetUpProgram() as program:
        one, two = (SoftHsm(tmp_path / name, set_up=program) for name in ("one", "two"))
        one.create_token("a token", PIN, SO_PIN)
        started = program.pid
        with refused("token.exists"):
            one.create_token("a token", PIN, SO_PIN)
        with refused("token.pin.length"):
            two.create_token("a token", Pin("123"), SO_PIN)
        two.create_token("a token", Pin("1111111111"), SO_PIN)
        assert program.pid == started is not None
        for home, pin in ((one, PIN), (two, Pin("1111111111"))):
            home.activate(os.environ)
            Token.open(None, "a token", pin, lock=home.lock).close()


def test_a_program_that_died_is_started_again(tmp_path: Path, refused: Any) -> None:
    softhsm = SoftHsm(tmp_path / "hsm", set_up=(program := SetUpProgram()))
    softhsm.create_token("first", PIN, SO_PIN)
    assert program.pid is not None
    os.kill(program.pid, signal.SIGKILL)
    with refused("token.module.invalid"):
        softhsm.create_token("second", PIN, SO_PIN)
    softhsm.create_token("second", PIN, SO_PIN)
    assert len(list(softhsm.tokens.iterdir())) == 2
    program.close()
    assert program.pid is None


def test_the_tokens_belong_to_the_folder(tmp_path: Path, refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = SoftHsm(tmp_path / "one"), SoftHsm(tmp_path / "two")
    one.create_token("a token", PIN, SO_PIN)
    monkeypatch.setenv("SOFTHSM2_CONF", "")  # so that it is put back after the test
    two.activate(os.environ)
    with refused("token.missing"):
        Token.open(None, "a token", PIN, lock=two.lock)
    one.activate(os.environ)
    Token.open(None, "a token", PIN, lock=one.lock).close()
