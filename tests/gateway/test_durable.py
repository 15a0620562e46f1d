"""A small file that survives power loss."""

import os
from pathlib import Path

import pytest

from smpki.errors import GatewayError
from smpki.gateway.durable import DurableFile


def test_what_was_written_last_is_read(tmp_path: Path) -> None:
    file = DurableFile(tmp_path / "state")
    assert file.read() is None
    file.write({"counter": 1})
    file.write({"counter": 2})
    assert DurableFile(tmp_path / "state").read() == {"counter": 2}
    assert [each.name for each in tmp_path.iterdir()] == ["state"]
    assert file.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_a_file_that_is_not_ours_is_never_taken_for_empty(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state").write_bytes(content)
    with pytest.raises(GatewayError) as refused:
        DurableFile(tmp_path / "state").read()
    assert refused.value.code == "durable.unreadable"


def test_a_write_that_fails_leaves_the_former_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = DurableFile(tmp_path / "state")
    file.write({"counter": 1})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(GatewayError) as refused:
        file.write({"counter": 2})
    assert refused.value.code == "durable.unwritable"
    assert file.read() == {"counter": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["state"]


def test_what_somebody_else_wrote_is_never_replaced(tmp_path: Path) -> None:
    one, other = DurableFile(tmp_path / "state"), DurableFile(tmp_path / "state")
    assert one.read() is other.read() is None
    one.write({"counter": 1})
    with pytest.raises(GatewayError) as refused:
        other.write({"counter": 1})
    assert refused.value.code == "durable.changed"
    assert other.read() == {"counter": 1}
    other.write({"counter": 2})
    with pytest.raises(GatewayError):
        one.write({"counter": 2})
    other.path.unlink()
    with pytest.raises(GatewayError):
        other.write({"counter": 3})
    assert list(tmp_path.iterdir()) == []
