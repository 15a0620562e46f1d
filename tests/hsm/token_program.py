"""A process that uses a token, for the tests: ``token_program.py JOB MODULE LABEL LOCK PIN_FILE COUNT``.

MODULE is ``default`` or a path. The process ends with 0 when all went well.
"""

import os
import sys
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.errors import TokenError
from smpki.hsm.pin import read_pin
from smpki.hsm.token import Token

SHA256 = ec.ECDSA(hashes.SHA256())


def open_token() -> Token:
    module, label, lock, pin_file = sys.argv[2:6]
    pin = read_pin(file=Path(pin_file), value=None, prompt=None)
    return Token.open(None if module == "default" else module, label, pin, lock=Path(lock))


def sign(count: int, token: Token) -> None:
    key = token.key(label="a key")
    for number in range(count):
        data = number.to_bytes(4)
        key.public_key().verify(key.sign(data, SHA256), data, SHA256)


def job_sign(count: int) -> None:
    with open_token() as token:
        sign(count, token)


def job_login(count: int) -> None:
    for _ in range(count):
        with open_token() as token:
            sign(1, token)


def job_exit(count: int) -> None:
    sign(count, open_token())  # and end without closing it


def job_fork(count: int) -> None:
    token = open_token()
    key = token.key(label="a key")
    child = os.fork()
    if child == 0:
        for use in (lambda: key.sign(b"data", SHA256), token.keys, token.info):
            try:
                use()
            except TokenError as error:
                assert error.code == "token.forked"
            else:
                os._exit(3)
        token.close()
        with open_token() as own:
            sign(count, own)
        os._exit(0)
    sign(count, token)
    assert os.waitpid(child, 0)[1] == 0
    sign(count, token)
    token.close()


if __name__ == "__main__":
    globals()[f"job_{sys.argv[1]}"](int(sys.argv[6]))
