import errno
import threading
from pathlib import Path
from typing import Any

import pytest

from smpki.hsm import claim
from smpki.hsm.filelock import exclusive


def test_one_at_a_time(tmp_path: Path) -> None:
    inside: list[int] = []

    def enter() -> None:
        for _ in range(20):
            with exclusive(tmp_path / "lock"):
                inside.append(1)
                assert len(inside) == 1
                inside.pop()

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not inside


def test_who_waits_too_long_is_refused(tmp_path: Path, refused: Any) -> None:
    with exclusive(tmp_path / "lock"), refused("token.lock.timeout"), exclusive(tmp_path / "lock", timeout=0.02):
        pytest.fail("two hold the lock")


def test_an_error_inside_gives_the_lock_up(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), exclusive(tmp_path / "lock"):
        raise ZeroDivisionError
    with exclusive(tmp_path / "lock", timeout=0):
        pass


def test_the_lock_is_its_owners_and_empty(tmp_path: Path) -> None:
    with exclusive(tmp_path / "lock"):
        pass
    state = (tmp_path / "lock").stat()
    assert (state.st_mode & 0o777, state.st_size) == (0o600, 0)


def test_a_folder_that_is_missing_is_refused(tmp_path: Path, refused: Any) -> None:
    with refused("token.lock.unusable"), exclusive(tmp_path / "missing" / "lock"):
        pytest.fail("there is no lock to hold")


def test_a_file_system_without_locks_is_refused(tmp_path: Path, refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(_descriptor: int, _how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(claim.fcntl, "flock", no_locks)
    before = len([*Path("/proc/self/fd").iterdir()])
    with refused("token.lock.unusable"):
        claim.FileClaim(tmp_path / "lock", "smgw")
    assert len([*Path("/proc/self/fd").iterdir()]) == before


@pytest.mark.parametrize("octets", [0, 4096])
def test_a_full_disk_is_refused(tmp_path: Path, refused: Any, files_limited_to: Any, octets: int) -> None:
    with files_limited_to(octets), refused("token.full"), exclusive(tmp_path / "lock"):
        pytest.fail("the disk takes no data")
    assert (tmp_path / "lock").stat().st_size == 0


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    def descriptors() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    before = descriptors()
    with exclusive(tmp_path / "lock"):
        assert descriptors() == before + 1
    assert descriptors() == before
