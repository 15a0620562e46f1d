import copy
import pickle
import stat
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from smpki.errors import TokenError
from smpki.hsm import secret_file
from smpki.hsm.pin import Pin, random_pin, read_pin, write_pin

SECRET = "4711081504"


def pin_file(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    file = folder / "pin"
    file.write_bytes(content)
    file.chmod(mode)
    return file


def test_a_pin_shows_itself_only_when_asked() -> None:
    pin = Pin(SECRET)
    assert pin.reveal() == SECRET
    for shown in (repr(pin), str(pin), f"{pin}", f"{pin!r:>20}", str([pin])):
        assert SECRET not in shown


@pytest.mark.parametrize("copier", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_pin_is_not_copied(copier: Callable[[Any], object], refused: Any) -> None:
    with refused("token.pin.not_picklable"):
        copier(Pin(SECRET))


def test_an_empty_pin_is_refused(refused: Any) -> None:
    with refused("token.pin.empty"):
        Pin("")


def test_the_file_goes_first_then_the_value_then_the_prompt(tmp_path: Path, refused: Any) -> None:
    file = pin_file(tmp_path, b"from the file\n")

    def prompt() -> str:
        return "from the prompt"

    assert read_pin(file=file, value="given", prompt=prompt).reveal() == "from the file"
    assert read_pin(file=None, value="given", prompt=prompt).reveal() == "given"
    assert read_pin(file=None, value=None, prompt=prompt).reveal() == "from the prompt"
    assert read_pin(file=None, value="", prompt=prompt).reveal() == "from the prompt"
    with refused("token.pin.missing"):
        read_pin(file=None, value=None, prompt=None)


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_a_line_break_is_not_part_of_the_pin(tmp_path: Path, ending: bytes) -> None:
    assert read_pin(file=pin_file(tmp_path, b" 12 34 " + ending), value=None, prompt=None).reveal() == " 12 34 "


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o666])
def test_a_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(TokenError) as caught:
        read_pin(file=pin_file(tmp_path, SECRET.encode(), mode), value="given", prompt=None)
    assert caught.value.code == "token.pin.file_mode"
    assert f"{mode:04o}" in caught.value.message


@pytest.mark.parametrize(
    ("owner", "group", "mode", "is_one"),
    [(0, 0, 0o440, True), (0, 0, 0o444, False), (0, 0, 0o640, False), (0, 100, 0o440, False), (100, 0, 0o440, False)],
)
def test_a_credential_of_systemd_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: int, group: int, mode: int, is_one: bool
) -> None:
    """Its mode says 0440, since an access list lets the service's user in (systemd 254 and later)."""
    file = pin_file(tmp_path, SECRET.encode())
    status = SimpleNamespace(st_uid=owner, st_gid=group, st_mode=stat.S_IFREG | mode)
    monkeypatch.setattr(secret_file, "os", SimpleNamespace(fstat=lambda _: status))
    if is_one:
        assert read_pin(file=file, value=None, prompt=None).reveal() == SECRET
    else:
        with pytest.raises(TokenError, match="others than its owner"):
            read_pin(file=file, value=None, prompt=None)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_of_its_owner_is_read(tmp_path: Path, mode: int) -> None:
    assert read_pin(file=pin_file(tmp_path, SECRET.encode(), mode), value=None, prompt=None).reveal() == SECRET


def test_a_missing_file_is_not_passed_over(tmp_path: Path, refused: Any) -> None:
    with refused("token.pin.file_missing"):
        read_pin(file=tmp_path / "pin", value="given", prompt=lambda: "asked")


def test_an_unreadable_file_is_refused(tmp_path: Path, refused: Any) -> None:
    folder = tmp_path / "pin"
    folder.mkdir(mode=0o700)
    with refused("token.pin.file_unreadable"):
        read_pin(file=folder, value=None, prompt=None)


def test_an_empty_file_is_refused_with_its_name(tmp_path: Path) -> None:
    file = pin_file(tmp_path, b"\n")
    with pytest.raises(TokenError) as caught:
        read_pin(file=file, value=None, prompt=None)
    assert (caught.value.code, caught.value.where) == ("token.pin.empty", str(file))


def test_a_file_that_is_no_text_does_not_leak_into_the_error(tmp_path: Path) -> None:
    with pytest.raises(TokenError) as caught:
        read_pin(file=pin_file(tmp_path, SECRET.encode() + b"\xff"), value=None, prompt=None)
    assert caught.value.code == "token.pin.file_unreadable"
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


def test_a_written_pin_is_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "pin"
    write_pin(file, Pin(SECRET))
    assert file.stat().st_mode & 0o777 == 0o600
    assert read_pin(file=file, value=None, prompt=None).reveal() == SECRET


def test_a_pin_file_is_never_overwritten(tmp_path: Path, refused: Any) -> None:
    file = pin_file(tmp_path, b"old")
    with refused("token.pin.file_exists"):
        write_pin(file, Pin(SECRET))
    assert file.read_bytes() == b"old"


def test_a_pin_is_not_written_through_a_link(tmp_path: Path, refused: Any) -> None:
    (tmp_path / "pin").symlink_to(tmp_path / "elsewhere")
    with refused("token.pin.file_exists"):
        write_pin(tmp_path / "pin", Pin(SECRET))
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_is_missing_is_refused(tmp_path: Path, refused: Any) -> None:
    with refused("token.pin.file_unwritable"):
        write_pin(tmp_path / "missing" / "pin", Pin(SECRET))


def test_a_full_disk_leaves_no_half_pin(tmp_path: Path, refused: Any, files_limited_to: Any) -> None:
    file = tmp_path / "pin"
    with refused("token.pin.file_unwritable"), files_limited_to(4):
        write_pin(file, Pin(SECRET))
    assert not file.exists()


def test_random_pins_are_sixteen_digits() -> None:
    pins = {random_pin().reveal() for _ in range(50)}
    assert len(pins) == 50
    assert all(len(pin) == 16 and pin.isascii() and pin.isdigit() for pin in pins)


def test_a_random_pin_keeps_its_leading_zeros() -> None:
    assert random_pin(lambda limit: 42).reveal() == "0000000000000042"
