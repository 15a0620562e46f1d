"""What crashes or fails with PKCS#11 in everyday use, and must not here."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.asn1.curves import CURVES
from smpki.errors import TokenError
from smpki.hsm.module import find_softhsm
from smpki.hsm.pin import write_pin
from smpki.hsm.token import KeyUse, TokenKey

PROGRAM = Path(__file__).with_name("token_program.py")
P256 = CURVES["brainpoolP256r1"]
SHA256 = ec.ECDSA(hashes.SHA256())

Start = Callable[..., "subprocess.Popen[str]"]

both_modules = pytest.mark.parametrize("module", ["default", str(find_softhsm())], ids=["default", "direct"])


@pytest.fixture
def start(token_home: Any, tmp_path: Path) -> Start:
    """Start a process that uses the test's token, which holds ``a key``."""
    with token_home.open() as token:
        token.generate("a key", P256, KeyUse.SIGN)
    pin_file = tmp_path / "pin"
    write_pin(pin_file, token_home.pin)

    def start(job: str, module: str, count: int) -> "subprocess.Popen[str]":
        arguments = [job, module, token_home.label, token_home.softhsm.lock, pin_file, str(count)]
        return subprocess.Popen([sys.executable, PROGRAM, *arguments], stderr=subprocess.PIPE, text=True)

    return start


def assert_all_end_well(*processes: "subprocess.Popen[str]") -> None:
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors


def sign_and_verify(key: TokenKey, count: int) -> None:
    for number in range(count):
        data = number.to_bytes(4)
        key.public_key().verify(key.sign(data, SHA256), data, SHA256)


def run_together(*jobs: Callable[[], object]) -> list[BaseException]:
    """Run each job in a thread of its own; what they raised."""
    raised: list[BaseException] = []

    def run(job: Callable[[], object]) -> None:
        try:
            job()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


@both_modules
def test_threads_share_a_token(token_home: Any, module: str) -> None:
    with token_home.open(None if module == "default" else module) as token:
        keys = [token.generate(f"key {number}", P256, KeyUse.SIGN) for number in range(2)]

        def make_and_destroy() -> None:
            for _ in range(5):
                token.destroy(token.generate("passing", P256, KeyUse.SIGN))

        jobs = [lambda key=key: sign_and_verify(key, 100) for key in [*keys, keys[0]]]
        assert run_together(*jobs, make_and_destroy) == []
        assert len(token.keys()) == 2


@both_modules
def test_threads_with_a_token_each(token_home: Any, module: str) -> None:
    spec = None if module == "default" else module
    with token_home.open(spec) as token:
        token.generate("a key", P256, KeyUse.SIGN)

    def open_and_sign() -> None:
        for _ in range(5):
            with token_home.open(spec) as token:
                sign_and_verify(token.key(label="a key"), 20)

    assert run_together(open_and_sign, open_and_sign, open_and_sign) == []


@both_modules
def test_closing_waits_for_the_signatures_under_way(token_home: Any, module: str) -> None:
    token = token_home.open(None if module == "default" else module)
    key = token.generate("a key", P256, KeyUse.SIGN)
    signing = threading.Barrier(4)

    def sign_until_closed() -> None:
        key.sign(b"data", SHA256)
        signing.wait()
        while True:
            key.sign(b"data", SHA256)

    def close() -> None:
        signing.wait()
        token.close()

    raised = run_together(sign_until_closed, sign_until_closed, sign_until_closed, close)
    assert [error.code for error in raised if isinstance(error, TokenError)] == ["token.closed"] * 3


@both_modules
def test_processes_with_a_session_kept_open(start: Start, module: str) -> None:
    assert_all_end_well(*(start("sign", module, 200) for _ in range(2)))


@both_modules
def test_processes_that_log_in_in_a_loop(start: Start, module: str) -> None:
    assert_all_end_well(*(start("login", module, 25) for _ in range(3)), start("sign", module, 200))


@pytest.mark.slow
@both_modules
def test_many_processes_that_log_in_in_a_loop(start: Start, module: str) -> None:
    assert_all_end_well(*(start("login", module, 100) for _ in range(6)))


@both_modules
def test_a_forked_token_refuses_and_the_child_opens_its_own(start: Start, module: str) -> None:
    assert_all_end_well(start("fork", module, 20))


@both_modules
def test_a_child_opens_its_own_where_softhsm_does_not_notice_the_fork(
    start: Start, token_home: Any, module: str
) -> None:
    configuration = token_home.softhsm.configuration
    configuration.write_text(configuration.read_text().replace("reset_on_fork = true", "reset_on_fork = false"))
    assert_all_end_well(start("fork", module, 20))


@both_modules
def test_a_process_may_end_without_closing(start: Start, module: str) -> None:
    assert_all_end_well(start("exit", module, 1))
