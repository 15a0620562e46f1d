"""smpki gateway telegram."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from smpki.gateway.sml_source import SmlSource, Telegram
from smpki_cli.main import main

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["gateway", "telegram", *map(str, words)])
    return result.exit_code, result.output


def test_a_gateway_reads_what_it_writes(tmp_path: Path) -> None:
    file = tmp_path / "meter.sml"
    words = ("1ABC0012345678", "1-0:1.8.0=1234", "1-0:2.8.0=-5", "--scaler", "-1", "--at", "2026-11-22T11:45:00Z")
    assert run(*words, "--out", file)[0] == 0
    assert run("1ABC0012345678", "1-0:1.8.0=1235", "--out", file)[0] == 0
    first, second = SmlSource().receive(file.read_bytes(), NOW)
    assert isinstance(first, Telegram)
    assert isinstance(second, Telegram)
    assert [(str(one.obis), one.value, one.scaler, one.unit) for one in first.readings] == [
        ("1-0:1.8.0*255", 1234, -1, 30),
        ("1-0:2.8.0*255", -5, -1, 30),
    ]
    assert {one.captured_at for one in first.readings} == {datetime(2026, 11, 22, 11, 45, tzinfo=UTC)}
    assert [(one.value, one.captured_at) for one in second.readings] == [(1235, NOW)]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["1ABC0012345678", "1-0:1.8.0"], 2, "no integer"),
        (["1ABC0012345678", "1-0:1.8.0=1.5"], 2, "no integer"),
        (["1ABC0012345678", f"1-0:1.8.0={2**64}"], 2, "no integer"),
        (["1ABC0012345678", "1.8.0=1"], 1, "reading.obis"),
        (["1ABC", "1-0:1.8.0=1"], 1, "device"),
    ],
)
def test_what_is_no_register_is_refused(tmp_path: Path, words: list[str], status: int, said: str) -> None:
    file = tmp_path / "meter.sml"
    ended, text = run(*words, "--out", file)
    assert ended == status
    assert said in text
    assert not file.exists()
