"""docs/conformance.md says what the marked tests say."""

import importlib.machinery
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "conformance"


def test_the_document_is_up_to_date() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, on a project of two requirements."""
    loader = importlib.machinery.SourceFileLoader("conformance", str(SCRIPT))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("conformance", loader))
    loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    for name in ("TESTS", "REQUIREMENTS", "REASONS", "DOCUMENT"):
        monkeypatch.setattr(module, name, tmp_path / getattr(module, name).relative_to(ROOT))
    (tmp_path / "tests" / "data").mkdir(parents=True)
    module.REQUIREMENTS.write_text("# ids\nREQ.A.10\t2.1\nREQ.B.10\t3.1\n")
    return module


def project(script: ModuleType, mark: str, reasons: str) -> tuple[list[str], str]:
    (script.TESTS / "test_it.py").write_text(f"@pytest.mark.requirement({mark})\ndef test_it(): ...\n")
    script.REASONS.write_text(reasons)
    problems, document = script.conformance()
    return problems, document


def test_a_row_is_proven_by_a_test_or_open_for_a_reason(script: ModuleType) -> None:
    problems, document = project(script, '"REQ.A.10"', "REQ.B.*:\n  open: not yet\n")
    assert problems == []
    assert "| REQ.A.10 | 2.1 | proven | `tests/test_it.py::test_it` |" in document
    assert "| REQ.B.10 | 3.1 | open | not yet |" in document
    assert "2 requirements: 1 proven, 1 open, 0 not-applicable." in document


@pytest.mark.parametrize(
    ("mark", "reasons", "problem"),
    [
        ('"REQ.A.10"', "{}", "REQ.B.10: neither a test nor a reason"),
        ('"REQ.A.10", "REQ.C.1"', "REQ.B.10: {open: later}", "there is no requirement REQ.C.1"),
        ('"REQ.A.10", "REQ.B.10"', "REQ.B.10: {open: later}", "REQ.B.10 is proven by"),
        ('"REQ.A.10", "REQ.B.10"', "REQ.B.*: {open: later}", "is the reason for nothing"),
        ('"REQ.A.10"', "REQ.B.10: {maybe: later}", "one of open, not-applicable"),
    ],
)
def test_what_contradicts_itself_is_named(script: ModuleType, mark: str, reasons: str, problem: str) -> None:
    problems, _ = project(script, mark, reasons)
    assert any(problem in each for each in problems), problems
