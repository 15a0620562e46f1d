"""A service in a process of its own: it answers, refuses, dies and ends as it should."""

import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from functools import partial
from operator import call
from pathlib import Path
from typing import Any

import pytest

from smpki.errors import PolicyError, SmpkiError
from smpki.gateway.child_process import ChildProcess
from smpki.gateway.crew import Crew
from smpki.policy.device_id import DeviceId


def child(service: Any) -> ChildProcess[Any]:
    """One whose service is an importable function."""
    return ChildProcess(partial(nullcontext, service), "a child")


def test_it_works_elsewhere_and_keeps_its_service() -> None:
    with child(os.getpid) as one:
        pid = one.call(call)
        assert pid != os.getpid()
        assert one.call(call) == pid


def test_what_it_refuses_is_refused_here() -> None:
    with child(DeviceId.parse) as one:
        with pytest.raises(PolicyError) as refused:
            one.call(call, "nonsense")
        assert refused.value.code == "device_id.text"
        assert one.call(call, "EABC0000000001") == DeviceId.parse("EABC0000000001")


def test_a_service_that_does_not_open() -> None:
    one: ChildProcess[Any] = ChildProcess(partial(DeviceId.parse, "nonsense"), "a child")  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(PolicyError):
            one.call(call)
    one.close()


def test_after_its_death_another_takes_its_place(capfd: pytest.CaptureFixture[str]) -> None:
    with child(call) as one:
        first = one.call(call, os.getpid)
        with pytest.raises(SmpkiError) as refused:
            one.call(call, signal.raise_signal, signal.SIGKILL)
        assert (refused.value.code, refused.value.where) == ("process.died", "a child")
        assert one.call(call, os.getpid) != first
        with pytest.raises(SmpkiError):
            one.call(call, len, 1)  # an error that nobody foresaw
        assert "TypeError" in capfd.readouterr().err
        assert one.call(call, len, "abc") == 3


def test_it_ends_when_it_is_closed_and_begins_again() -> None:
    one = child(os.getpid)
    pid = one.call(call)
    one.close()
    one.close()
    assert not Path(f"/proc/{pid}").exists()
    assert one.call(call) != pid
    one.close()


PARENT = """
import os
from contextlib import nullcontext
from functools import partial
from operator import call
from smpki.gateway.child_process import ChildProcess

if __name__ == "__main__":
    with ChildProcess(partial(nullcontext, call), "a child") as one:
        print(one.call(call, os.getpid), flush=True)
        one.call(call, __import__("time").sleep, 60)
"""


def is_alive(pid: str) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def test_it_does_not_outlive_its_parent(tmp_path: Path) -> None:
    program = tmp_path / "parent.py"
    program.write_text(PARENT)
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = parent.stdout.readline().strip()
        assert is_alive(pid)
        parent.kill()
    end = time.monotonic() + 120
    while is_alive(pid):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_crew_shares_the_work_and_outlives_its_members() -> None:
    with Crew(partial(nullcontext, call), "hand", 2) as crew:
        assert crew.size == 2
        pids = {crew.submit(call, os.getpid).result() for _ in range(4)}
        assert os.getpid() not in pids
        futures = [crew.submit(call, signal.raise_signal, signal.SIGKILL) for _ in range(2)]
        assert [type(future.exception()) for future in futures] == [SmpkiError] * 2
        again = [crew.submit(call, os.getpid) for _ in range(4)]
        assert not pids & {future.result() for future in again}


def test_a_crew_that_ends_leaves_what_it_has_not_begun() -> None:
    with Crew(partial(nullcontext, time.sleep), "hand", 1) as crew:
        first = crew.submit(call, 0.3)
        rest = [crew.submit(call, 60) for _ in range(3)]
        while not first.running():
            time.sleep(0.01)
    assert first.result() is None
    assert all(future.cancelled() for future in rest)


def test_one_that_was_started_and_not_asked_ends_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    with child(os.getpid) as one:
        one.start()
        one.start()
    assert capfd.readouterr() == ("", "")
