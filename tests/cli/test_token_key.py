"""The options of commands that use one private key, in a file or in a token."""

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from smpki.asn1.curves import CURVES
from smpki.hsm.key import KeyUse
from smpki.hsm.pin import Pin
from smpki_cli.common import command
from smpki_cli.token_key import KeyChoice, with_key

TokenHome = Any  # conftest.TokenHome
KEY = ec.derive_private_key(7, CURVES["brainpoolP256r1"])


@command("prove")
@with_key("--own-key", required=False)
def prove(home: Any, output: Any, key: KeyChoice | None) -> None:
    if key is None:
        click.echo("no key")
        return
    with key.open() as opened:
        public = opened.public_key()
        public.verify(opened.sign(b"data", ec.ECDSA(hashes.SHA256())), b"data", ec.ECDSA(hashes.SHA256()))
        click.echo(f"{public.public_numbers().x:x}")


@command("must")
@with_key("--own-key")
def must(home: Any, output: Any, key: KeyChoice) -> None:
    pass


def run(which: click.Command, *line: str, **environment: str) -> Result:
    named = ("PIN", "PIN_FILE", "KEY_PASSWORD", "KEY_PASSWORD_FILE", "HOME")
    return CliRunner().invoke(which, line, env={f"SMPKI_{name}": None for name in named} | environment)


def key_file(folder: Path, mode: int, password: bytes | None = None) -> Path:
    file = folder / "own.key"
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    file.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    file.chmod(mode)
    return file


SHOWN = f"{KEY.public_key().public_numbers().x:x}\n"


def test_a_key_in_a_file(tmp_path: Path) -> None:
    done = run(prove, "--own-key", str(key_file(tmp_path, 0o600)))
    assert (done.exit_code, done.output) == (0, SHOWN)


def test_a_key_file_that_others_can_use_is_warned_of(tmp_path: Path) -> None:
    done = run(prove, "--own-key", str(key_file(tmp_path, 0o644)))
    assert (done.exit_code, done.stdout) == (0, SHOWN)
    assert "(mode 0644)" in done.stderr


def test_an_encrypted_key_file(tmp_path: Path) -> None:
    file, password = str(key_file(tmp_path, 0o600, b"ein Pferd")), tmp_path / "password"
    password.write_text("ein Pferd\n")
    password.chmod(0o600)
    assert run(prove, "--own-key", file, "--password-file", str(password)).stdout == SHOWN
    assert run(prove, "--own-key", file, SMPKI_KEY_PASSWORD="ein Pferd").stdout == SHOWN
    assert run(prove, "--own-key", file, SMPKI_KEY_PASSWORD_FILE=str(password)).stdout == SHOWN
    refused = run(prove, "--own-key", file, SMPKI_KEY_PASSWORD="ein Esel")
    assert refused.exit_code == 1
    assert "keys.password.wrong" in refused.stderr


def test_a_key_in_a_token(token_home: TokenHome, tmp_path: Path) -> None:
    with token_home.open() as token:
        public = token.generate("own", CURVES["brainpoolP256r1"], KeyUse.SIGN).public_key()
    shown = f"{public.public_numbers().x:x}\n"
    pin = tmp_path / "pin"
    pin.write_text(token_home.pin.reveal())
    pin.chmod(0o600)
    line = ["--token-key", "own", "--home", str(tmp_path / "home")]
    assert run(prove, *line, "--token", token_home.label, "--pin-file", str(pin)).stdout == shown
    assert run(prove, *line, "--module", "softhsm2", SMPKI_PIN_FILE=str(pin)).stdout == shown
    assert run(prove, *line, SMPKI_PIN=token_home.pin.reveal()).stdout == shown

    missing = run(prove, *line)
    assert (missing.exit_code, "token.pin.missing" in missing.stderr) == (1, True)
    other = run(prove, "--token-key", "other", "--home", str(tmp_path / "home"), "--pin-file", str(pin))
    assert (other.exit_code, "token.key.missing" in other.stderr) == (1, True)

    token_home.softhsm.create_token("second", Pin("24680"), Pin("13579"))
    ambiguous = run(prove, *line, "--pin-file", str(pin))
    assert (ambiguous.exit_code, "token.ambiguous" in ambiguous.stderr) == (1, True)
    assert run(prove, *line, "--token", token_home.label, "--pin-file", str(pin)).stdout == shown


def test_one_key_where_one_is_needed(tmp_path: Path) -> None:
    assert run(prove).stdout == "no key\n"
    assert run(must).exit_code == 2
    assert run(must, "--own-key", "own.key", "--token-key", "own").exit_code == 2
    assert run(must, "--token-key", "own").exit_code == 0


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_file_that_holds_no_key(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "own.key"
    file.write_bytes(content)
    file.chmod(0o600)
    refused = run(prove, "--own-key", str(file))
    assert (refused.exit_code, "keys.unreadable" in refused.stderr) == (1, True)
