"""smpki cms: protect, open and inspect, with keys in files and in a token."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from smpki.hsm.key import KeyUse
from smpki_cli.main import main

TokenHome = Any  # conftest.TokenHome
CURVE = ec.BrainpoolP256R1()
USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)
CONTENT = b'{"value": 123456}' * 1000


def certify(folder: Path, name: str, usage: str, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """A certificate in ``<name>.pem``; whose signature it has does not matter here."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"{name}.Beispiel")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 1, start, start + timedelta(days=36500))
    builder = builder.add_extension(x509.KeyUsage(**{each: each == usage for each in USAGES}), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    made = builder.sign(ec.derive_private_key(3, CURVE), hashes.SHA256())
    (folder / f"{name}.pem").write_bytes(made.public_bytes(Encoding.PEM))
    return made


def write_key(file: Path, key: ec.EllipticCurvePrivateKey, mode: int = 0o600) -> None:
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    file.chmod(mode)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with ``sig`` and ``enc`` certificates and keys, those of a stranger, and ``content``."""
    for name, usage in (("sig", "digital_signature"), ("enc", "key_agreement"), ("stranger", "digital_signature")):
        key = ec.generate_private_key(CURVE)
        certify(tmp_path, name, usage, key)
        write_key(tmp_path / f"{name}.key", key)
    (tmp_path / "content").write_bytes(CONTENT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*line: str, given: bytes = b"", **environment: str) -> Result:
    names = [name for name in os.environ if name.startswith("SMPKI_")]
    env = {**dict.fromkeys(names), "SMPKI_HOME": "there-is-no-home", **environment}
    return CliRunner().invoke(main, ["cms", *line], input=given, env=env, prog_name="smpki")


PROTECT = ("--sender-cert", "sig.pem", "--sender-key", "sig.key", "--recipient", "enc.pem")
OPEN = ("--recipient-cert", "enc.pem", "--recipient-key", "enc.key", "--sender-cert", "sig.pem")


def mode(file: str) -> int:
    return stat.S_IMODE(Path(file).stat().st_mode)


@pytest.mark.parametrize("no_cert", [(), ("--no-cert",)])
@pytest.mark.parametrize("compress", [(), ("--compress",)])
@pytest.mark.parametrize("info", ["rfc5753", "none"])
@pytest.mark.parametrize("suite", ["gcm", "cbc-cmac"])
def test_protect_and_open(
    folder: Path, suite: str, info: str, compress: tuple[str, ...], no_cert: tuple[str, ...]
) -> None:
    options = ("--suite", suite, "--kdf-info", info, *compress, *no_cert)
    made = run("protect", *PROTECT, *options, "content", "message", "--json")
    assert made.exit_code == 0, made.output
    said = json.loads(made.stdout)
    opened = run("open", *OPEN, "message", "opened", "--json")
    assert opened.exit_code == 0, opened.output
    assert json.loads(opened.stdout) == said | {"file": "opened"}
    assert (said["suite"]["mode"], said["kdf_info"]) == (suite, info)
    assert (said["compressed"], said["certificate_enclosed"]) == (bool(compress), not no_cert)
    assert Path("opened").read_bytes() == CONTENT
    assert (mode("opened"), mode("message")) == (0o600, 0o600)
    assert (made.stderr, opened.stderr) == ("", "")
    names = {"content", "message", "opened"} | {f"{name}.{end}" for name in KEYS for end in ("pem", "key")}
    assert {file.name for file in folder.iterdir()} == names  # no home was made, and no draft is left


KEYS = ("sig", "enc", "stranger")


def test_in_words(folder: Path) -> None:
    assert run("protect", *PROTECT, "content", "message").stdout == "message\n"
    assert run("open", *OPEN, "message", "opened").stdout == "opened\n"


def test_inspect(folder: Path) -> None:
    run("protect", *PROTECT, "--suite", "cbc-cmac", "--compress", "content", "message")
    seen = json.loads(run("inspect", "message", "--json").stdout)
    keys = {name: key_id(name) for name in KEYS}
    assert (seen["recipient_key_id"], seen["signer_key_id"]) == (keys["enc"], keys["sig"])
    assert seen["certificate"] == {"subject": "CN=sig.Beispiel", "serial": "1"}
    assert (seen["signature_hash"], seen["signature_holds"], seen["compressed"]) == ("sha256", True, True)
    assert seen["suite"]["mode"] == "cbc-cmac"
    assert 0 < seen["octets"] < len(CONTENT)
    words = run("inspect", "message").stdout
    assert "CN=sig.Beispiel: the signature holds under it" in words
    assert "AES-128 cbc-cmac" in words
    run("protect", *PROTECT, "--no-cert", "content", "message")
    assert "none is enclosed" in run("inspect", "message").stdout


def key_id(name: str) -> str:
    certificate = x509.load_pem_x509_certificate(Path(f"{name}.pem").read_bytes())
    return x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest.hex()


def test_keys_in_a_token(folder: Path, token_home: TokenHome) -> None:
    with token_home.open() as token:
        certify(folder, "sig", "digital_signature", token.generate("our sig", CURVE, KeyUse.SIGN))
        certify(folder, "enc", "key_agreement", token.generate("our enc", CURVE, KeyUse.DERIVE))
    pin = folder / "pin"
    pin.write_text(token_home.pin.reveal())
    pin.chmod(0o600)
    token_options = ("--token", token_home.label, "--pin-file", "pin", "--home", str(folder / "home"))
    sender = ("--sender-cert", "sig.pem", "--token-key", "our sig", "--recipient", "enc.pem")
    made = run("protect", *sender, *token_options, "content", "message")
    assert made.exit_code == 0, made.output
    recipient = ("--recipient-cert", "enc.pem", "--token-key", "our enc", "--sender-cert", "sig.pem")
    opened = run("open", *recipient, "message", "opened", SMPKI_PIN_FILE="pin")  # the only token there is
    assert opened.exit_code == 0, opened.output
    assert Path("opened").read_bytes() == CONTENT
    wrong = run(
        "protect", "--sender-cert", "sig.pem", "--token-key", "our enc", *sender[4:], *token_options, "content", "m"
    )
    assert (wrong.exit_code, "cms.key" in wrong.stderr) == (1, True)


def test_standard_input_and_output(folder: Path) -> None:
    made = run("protect", *PROTECT, "-", "-", given=CONTENT)
    assert made.exit_code == 0
    assert run("inspect", "-", given=made.stdout_bytes).exit_code == 0
    opened = run("open", *OPEN, "-", "-", given=made.stdout_bytes)
    assert (opened.exit_code, opened.stdout_bytes) == (0, CONTENT)
    (folder / "pipe").symlink_to("/dev/null")
    assert run("open", *OPEN, "-", "pipe", given=made.stdout_bytes).exit_code == 0
    assert Path("/dev/null").is_char_device()


def test_a_pipe_by_its_path(folder: Path) -> None:
    run("protect", *PROTECT, "content", "message")
    reading, writing = os.pipe()  # has room for all of the content
    opened = run("open", *OPEN, "message", f"/dev/fd/{writing}")
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert (opened.exit_code, pipe.read()) == (0, CONTENT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_no_draft_is_left_when_the_process_is_told_to_end(folder: Path, number: signal.Signals) -> None:
    os.mkfifo("waits")  # for a reader who does not come
    drafts = folder / "drafts"
    drafts.mkdir()
    program = "from smpki_cli.main import main; main()"
    line = (sys.executable, "-c", program, "cms", "protect", *PROTECT, "content", "waits")
    with subprocess.Popen(line, env=os.environ | {"TMPDIR": str(drafts)}) as process:
        while not list(drafts.iterdir()):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        assert process.wait(120) == 128 + number
    assert not list(drafts.iterdir())


def test_a_key_file_that_others_can_read_is_warned_of(folder: Path) -> None:
    for name in ("sig.key", "enc.key"):
        (folder / name).chmod(0o640)
    made = run("protect", *PROTECT, "content", "message", "--json")
    opened = run("open", *OPEN, "message", "opened", "--json")
    assert (made.exit_code, opened.exit_code) == (0, 0)
    assert "others than its owner can use the private key sig.key (mode 0640)" in made.stderr
    assert "enc.key (mode 0640)" in opened.stderr
    assert json.loads(opened.stdout)["file"] == "opened"


def spoil(message: bytes) -> bytes:
    return message[:-1] + bytes((message[-1] ^ 1,))


@pytest.mark.parametrize(
    ("code", "changes", "change"),
    [
        ("cms.sender", {"--sender-cert": "stranger.pem"}, bytes),
        ("cms.certificate.use", {"--sender-cert": "enc.pem"}, bytes),
        ("cms.certificate.use", {"--recipient-cert": "sig.pem"}, bytes),
        ("cms.key", {"--recipient-key": "stranger.key"}, bytes),
        ("cms.signature.invalid", {}, spoil),
        ("cms.encoding.truncated", {}, lambda message: message[:-1]),
        ("cms.encoding.truncated", {}, lambda message: b""),
        ("keys.missing", {"--recipient-key": "nothing.key"}, bytes),
        ("trust.file.unreadable", {"--sender-cert": "content"}, bytes),
    ],
)
def test_what_is_refused_leaves_the_output_alone(
    folder: Path, code: str, changes: dict[str, str], change: Callable[[bytes], bytes]
) -> None:
    run("protect", *PROTECT, "content", "message")
    Path("message").write_bytes(change(Path("message").read_bytes()))
    Path("opened").write_text("what was there")
    options = dict(zip(OPEN[::2], OPEN[1::2], strict=True)) | changes
    line = [word for option in options.items() for word in option]
    before = set(folder.iterdir())
    refused = run("open", *line, "message", "opened", "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["error"]["code"] == code
    assert Path("opened").read_text() == "what was there"
    assert set(folder.iterdir()) == before
    text = run("open", *line, "message", "opened")
    assert (text.exit_code, text.stdout) == (1, "")
    assert f"[{code}]" in text.stderr
    assert "123456" not in text.output


def test_an_output_takes_the_place_of_another(folder: Path) -> None:
    Path("opened").write_bytes(b"an old one, and longer" * 10_000)
    Path("opened").chmod(0o644)
    run("protect", *PROTECT, "content", "message")
    assert run("open", *OPEN, "message", "opened").exit_code == 0
    assert (Path("opened").read_bytes(), mode("opened")) == (CONTENT, 0o600)
    assert run("protect", *PROTECT, "content", "content").exit_code == 0  # in place
    assert run("open", *OPEN, "content", "content").exit_code == 0
    assert Path("content").read_bytes() == CONTENT


def test_limit(folder: Path) -> None:
    Path("content").write_bytes(bytes(2 * 2**20))
    run("protect", *PROTECT, "--compress", "content", "message")
    small = run("open", *OPEN, "--limit", "1", "message", "opened", "--json")
    assert (small.exit_code, json.loads(small.stdout)["error"]["code"]) == (1, "cms.unopened")
    assert not Path("opened").exists()
    assert run("open", *OPEN, "--limit", "2", "message", "opened").exit_code == 0


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (("protect", *PROTECT, "nothing", "message"), "file.unreadable"),
        (("protect", *PROTECT, "content", "no-such-folder/message"), "output.unwritable"),
        (("protect", *PROTECT, "--compress", "content", "circle"), "output.unwritable"),
        (("inspect", "nothing"), "file.unreadable"),
        (("inspect", "content"), "cms.encoding.tag"),
    ],
)
def test_files_that_are_not_there(folder: Path, line: tuple[str, ...], code: str) -> None:
    (folder / "circle").symlink_to("circle")
    refused = run(*line, "--json")
    assert (refused.exit_code, json.loads(refused.stdout)["error"]["code"]) == (1, code)


def test_wrong_calls(folder: Path) -> None:
    assert run("protect", *PROTECT, "--suite", "ecb", "content", "message").exit_code == 2
    assert run("protect", "--sender-cert", "sig.pem", "--recipient", "enc.pem", "content", "message").exit_code == 2
    assert run("open", *OPEN[:4], "message", "opened").exit_code == 2
    assert run("open", *OPEN, "message").exit_code == 2
