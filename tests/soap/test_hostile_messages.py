"""Nobody can make the service work long or need much memory by sending XML to it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from smpki.soap.faults import FaultError
from smpki.soap.read import read_request

PROGRAM = Path(__file__).with_name("hostile_messages.py")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    """What became of the hostile messages in a process with half a gigabyte of address space and 30 s on the
    processor."""
    done = subprocess.run(
        [sys.executable, PROGRAM], capture_output=True, text=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}
    )
    assert (done.returncode, done.stderr) == (0, "")
    value: dict[str, Any] = json.loads(done.stdout)
    return value


def test_all_of_them_are_refused(report: dict[str, Any]) -> None:
    refusals = report["refusals"]
    assert len(refusals) == 28
    by_code: dict[str, set[str]] = {}
    for name, code in refusals.items():
        by_code.setdefault(code, set()).add(name)
    assert by_code == {
        "soap.xml.doctype": {
            *("entity bomb", "one large entity", "entity from a file", "entity from the network"),
            *("parameter entity", "declarations"),
        },
        "soap.xml.depth": {"deep", "deep body", "deep header"},
        "soap.xml.elements": {"elements", "elements of the interface", "header entries"},
        "soap.xml.malformed": {"comments", "unfinished comments", "comment", "spaces"},
        "soap.xml.instruction": {"declaration"},
        "soap.envelope": {"long name"},
        "soap.message.base64": {"no base64"},
        "soap.message.schema": {
            *("schema from a file", "attributes", "namespaces", "attributes in namespaces"),
            *("cdata", "references", "text", "long value", "UTF-16"),
        },
    }


def test_none_takes_long(report: dict[str, Any]) -> None:
    assert report["seconds"] < 2


def test_none_leaves_anything_behind(report: dict[str, Any]) -> None:
    # a parser that keeps names would need 28,000 for them
    assert report["kilobytes"] < 8_000


def test_what_is_too_large_is_not_read_at_all() -> None:
    with pytest.raises(FaultError) as refused:
        read_request(bytes(100_000_000))
    assert refused.value.code == "soap.size"


def test_the_limit_is_the_callers() -> None:
    for limit, code in ((3, "soap.size"), (4, "soap.envelope")):
        with pytest.raises(FaultError) as refused:
            read_request(b"<a/>", limit)
        assert refused.value.code == code
