"""The files of readings: whole deliveries only, whatever happens to the process or the disk."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from smpki.errors import GatewayError
from smpki.service.market_participant.output import Output, exclusive_folder
from smpki.service.market_participant.store.deliveries import Position


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return Output(tmp_path, 20)


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(GatewayError) as error:
        act()
    assert error.value.hint
    return error.value.code


def test_a_full_file_is_followed_by_another(output: Output) -> None:
    first = output.append(Position(), b"1" * 20 + b"\n")
    second = output.append(Position(1, 21), b"2\n")
    assert (first, second) == (Position(1, 0), Position(2, 0))
    assert output.append(Position(2, 2), b"3\n") == Position(2, 2)
    assert output.path(1).read_bytes() == b"1" * 20 + b"\n"
    assert output.path(2).read_bytes() == b"2\n3\n"
    assert output.path(1).stat().st_mode & 0o007 == 0


def test_what_was_never_committed_is_overwritten(output: Output) -> None:
    output.append(Position(), b"committed\n")
    output.append(Position(1, 10), b"the database refused this\n")
    assert output.append(Position(1, 10), b"this\n") == Position(1, 10)
    assert output.path(1).read_bytes() == b"committed\nthis\n"


def test_what_a_crash_left_is_put_aside(output: Output, caplog: pytest.LogCaptureFixture) -> None:
    output.append(Position(), b"committed\n")
    for tail in (b"a delivery\n", b"half a deliv"):
        output.append(Position(1, 10), tail)
        output.recover(Position(1, 10))
        assert output.path(1).read_bytes() == b"committed\n"
    assert output.path(1).with_suffix(".uncommitted").read_bytes() == b"a delivery\nhalf a deliv"
    assert len(caplog.records) == 2
    output.recover(Position(1, 10))
    assert len(caplog.records) == 2


def test_a_crash_in_a_new_file_is_put_aside(output: Output) -> None:
    output.append(Position(), b"1" * 30)
    output.append(Position(1, 30), b"2\n")
    output.recover(Position(1, 30))
    assert output.path(2).read_bytes() == b""
    assert output.append(Position(1, 30), b"3\n") == Position(2, 0)


@pytest.mark.parametrize("left", [b"", b"commit", None])
def test_a_torn_file_is_noticed(left: bytes | None, output: Output) -> None:
    output.append(Position(), b"committed\n")
    output.path(1).unlink()
    if left is not None:
        output.path(1).write_bytes(left)
    at = Position(1, 10)
    assert refusal(lambda: output.recover(at)) == refusal(lambda: output.append(at, b"more\n")) == "emt.output.torn"
    assert not output.path(1).exists() if left is None else output.path(1).read_bytes() == left


def test_readings_that_are_newer_than_the_database_are_not_touched(output: Output) -> None:
    for file in (1, 2, 3):
        output.path(file).write_bytes(b"readings\n")
    assert refusal(lambda: output.recover(Position())) == "emt.output.newer"
    assert refusal(lambda: output.recover(Position(1, 9))) == "emt.output.newer"
    assert [output.path(file).read_bytes() for file in (1, 2, 3)] == [b"readings\n"] * 3


@pytest.mark.parametrize(("error", "code"), [("ENOSPC", "full"), ("EDQUOT", "full"), ("EIO", "failed")])
@pytest.mark.parametrize("call", ["pwrite", "fsync"])
def test_a_disk_that_refuses(call: str, error: str, code: str, output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    output.append(Position(), b"committed\n")

    def refuse(*_: object) -> None:
        raise OSError(getattr(errno, error), "refused")

    with monkeypatch.context() as failing:
        failing.setattr(os, call, refuse)
        assert refusal(lambda: output.append(Position(1, 10), b"more\n")) == f"emt.output.{code}"
    assert output.path(1).read_bytes() == b"committed\n"
    output.append(Position(1, 10), b"more\n")
    assert output.path(1).read_bytes() == b"committed\nmore\n"


def test_a_write_may_take_several(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, offset: write(descriptor, data[:3], offset))
    output.append(Position(), b"committed\n")
    assert output.path(1).read_bytes() == b"committed\n"


def test_one_at_a_time_holds_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    with exclusive_folder(folder):
        assert folder.stat().st_mode & 0o777 == 0o700
        assert refusal(lambda: exclusive_folder(folder).__enter__()) == "emt.data.in_use"
    with exclusive_folder(folder):
        pass


def test_a_folder_that_can_t_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert refusal(lambda: exclusive_folder(tmp_path / "file").__enter__()) == "emt.data.unusable"
