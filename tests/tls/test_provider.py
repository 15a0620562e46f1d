"""TLS keys in a token, by pkcs11-provider and SoftHSM."""

import functools
import json
import os
import re
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asn1crypto.core import Sequence, UTF8String, VisibleString
from cryptography.hazmat.primitives import serialization

from smpki.asn1.curves import CURVES
from smpki.errors import TlsError
from smpki.hsm.key import KeyUse
from smpki.hsm.module import find_module
from smpki.hsm.pin import Pin
from smpki.tls.provider import (
    configuration,
    find_provider,
    key_uri,
    load_provider,
    load_provider_key,
    provider_key_pem,
)

TokenHome = Any  # conftest.TokenHome
PROGRAM = Path(__file__).with_name("provider_program.py")
LABEL = "a key, / 100%"


Run = Callable[..., Any]


@pytest.fixture
def run(token_home: TokenHome) -> Run:
    """``run(job, **arguments)`` does a job of the program in a process of its own."""
    return functools.partial(_run, lock=str(token_home.softhsm.lock))


def _run(job: str, **arguments: object) -> Any:
    done = subprocess.run(
        [sys.executable, str(PROGRAM)],
        input=json.dumps({"job": job} | arguments),
        capture_output=True,
        text=True,
        env=os.environ | {"OPENSSL_CONF": "/nonexistent/of the user"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.fixture
def pin(token_home: TokenHome) -> str:
    """The PIN of a token with one key."""
    with token_home.open() as token:
        token.generate(LABEL, CURVES["brainpoolP256r1"], KeyUse.SIGN)
    value: str = token_home.pin.reveal()
    return value


def test_handshakes_of_both_versions_with_keys_in_the_token_at_both_ends(token_home: TokenHome, run: Run) -> None:
    done = run("handshakes", pin=token_home.pin.reveal(), token=token_home.label)
    assert done == {"TLSv1.2": True, "TLSv1.3": True, "afterwards": True}


def test_nothing_is_left_of_configuration_and_pin(pin: str, run: Run) -> None:
    assert run("start", pin=pin) == {"OPENSSL_CONF": "/nonexistent/of the user", "memfd": []}


def test_a_key_that_is_there(pin: str, token_home: TokenHome, run: Run) -> None:
    assert run("key", pin=pin, token=token_home.label, label=LABEL) == "256"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"pin": "1111111111"}, "tls.provider.pin"),
        ({"label": "another"}, "tls.provider.key"),
        ({"token": "another"}, "tls.provider.key"),
    ],
)
def test_a_key_that_is_not_to_be_had(
    change: dict[str, str], code: str, pin: str, token_home: TokenHome, run: Run
) -> None:
    refusal = run("key", **({"pin": pin, "token": token_home.label, "label": LABEL} | change))
    assert refusal["code"] == code
    assert pin not in str(refusal)
    assert "1111111111" not in str(refusal)


def test_a_wrong_pin_is_tried_once_and_nobody_is_asked_for_another(
    pin: str, token_home: TokenHome, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PKCS11_PROVIDER_DEBUG", f"file:{tmp_path / 'log'},level:2")
    assert run("key", pin="1111111111", token=token_home.label, label=LABEL)["code"] == "tls.provider.pin"
    assert (tmp_path / "log").read_text().count("Attempt Login on session") == 1


@pytest.mark.parametrize("module", ["/nonexistent/module.so", str(find_provider())], ids=["missing", "no module"])
def test_a_module_that_is_none(module: str, pin: str, run: Run) -> None:
    refusal = run("start", pin=pin, module=module)
    assert (refusal["code"], refusal["where"]) == ("tls.provider.refused", module)


def test_debians_own_openssl_takes_container_and_configuration(pin: str, token_home: TokenHome, tmp_path: Path) -> None:
    folder = tmp_path / 'a $folder, #1 with "100%"'
    folder.mkdir()
    pin_file, conf, key = folder / "pin", folder / "openssl.cnf", tmp_path / "key.pem"
    pin_file.write_text(f"{pin}\n")
    conf.write_text(configuration(find_provider(), find_module(None).path, pin_file))
    key.write_bytes(provider_key_pem(key_uri(None, LABEL)))
    command = ["openssl", "pkey", "-in", str(key), "-pubout"]
    done = subprocess.run(command, env=os.environ | {"OPENSSL_CONF": str(conf)}, capture_output=True)
    assert done.returncode == 0, done.stderr
    with token_home.open() as token:
        assert serialization.load_pem_public_key(done.stdout) == token.key(label=LABEL).public_key()


def test_the_container_holds_the_uri_of_the_key() -> None:
    uri = key_uri("a;token", "Schlüssel 1/x")
    assert uri == "pkcs11:token=a%3Btoken;object=Schl%C3%BCssel%201%2Fx;type=private"
    pem = provider_key_pem(uri).decode()
    match = re.fullmatch(r"-----BEGIN (PKCS#11 PROVIDER URI)-----\n([\w+/=\n]+)-----END \1-----\n", pem)
    assert match
    kind, value = [Sequence.load(b64decode(match[2]))[at] for at in (0, 1)]
    assert (kind.native, type(kind)) == ("PKCS#11 Provider URI v1.0", VisibleString)
    assert (value.native, type(value)) == (uri, UTF8String)


def test_where_the_provider_is_missing_the_refusal_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(TlsError) as caught:
        load_provider(Path("module.so"), Pin("2468013579"), {}, root=tmp_path)
    assert caught.value.code == "tls.provider.missing"
    for word in ("apt install pkcs11-provider", "Debian 13", "bookworm-backports", "key in a file"):
        assert word in caught.value.hint


def test_it_is_too_late_when_cryptography_is_there() -> None:
    environ: dict[str, str] = {}
    with pytest.raises(TlsError) as caught:
        load_provider(Path("module.so"), Pin("2468013579"), environ)
    assert (caught.value.code, environ) == ("tls.provider.late", {})


def test_a_pin_in_the_uri_of_a_key_is_not_repeated() -> None:
    with pytest.raises(TlsError) as caught:
        load_provider_key("pkcs11:token=T;object=L;type=private?pin-value=2468013579")
    assert (caught.value.code, caught.value.where) == ("tls.provider.key", "pkcs11:token=T;object=L;type=private")


def test_a_pin_that_the_provider_would_cut_is_refused() -> None:
    with pytest.raises(TlsError) as caught:
        load_provider(Path("module.so"), Pin("ü" * 16), {})
    assert caught.value.code == "tls.provider.pin_length"
    assert "ü" not in str(caught.value)


def test_a_path_that_the_configuration_cannot_hold_is_refused() -> None:
    with pytest.raises(TlsError) as caught:
        configuration(Path("/provider.so"), Path("/module.so\nactivate = 0"), Path("/pin"))
    assert caught.value.code == "tls.provider.path"
