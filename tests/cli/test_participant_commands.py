"""The participant's commands, and a Sub-CA that grants what they make."""

import io
import json
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from smpki.requests.device_admin import read_device_admin_update
from smpki.requests.revocation import read_revocation_request
from smpki.requests.submission import read_submission, verify_submission

TokenHome = Any  # conftest.TokenHome

TODAY, DUE, LATE = "2026-11-22T12:00:00Z", "2028-11-01T12:00:00Z", "2028-12-01T12:00:00Z"
GATEWAY = "EABC0012345678.SMGW"
CONTACT = ["--email", "post@firma.example", "--uri", "https://firma.example/"]


@dataclass(frozen=True)
class Answer:
    code: int
    output: str
    errors: str


class Participant:
    """Runs command lines in a folder of its own, in this process: no PKI is opened."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch

    def run(self, *line: str, clock: str = TODAY, **environment: str) -> Answer:
        from smpki_cli.main import main

        output, errors = io.StringIO(), io.StringIO()
        with self._monkeypatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("SMPKI_")]:
                patch.delenv(name)
            for name, value in {"SMPKI_HOME": "home", "SMPKI_CLOCK": clock, **environment}.items():
                patch.setenv(name, value)
            patch.chdir(self.folder)
            with redirect_stdout(output), redirect_stderr(errors), pytest.raises(SystemExit) as end:
                main(line, prog_name="smpki")
        return Answer(int(end.value.code or 0), output.getvalue(), errors.getvalue())

    def done(self, *line: str, clock: str = TODAY, **environment: str) -> Answer:
        answer = self.run(*line, clock=clock, **environment)
        assert (answer.code, answer.errors) == (0, "")
        return answer


# Runs command lines one after another, as long as all goes well.
AUTHORITY = """
import json, sys
from smpki_cli.main import main

for line in json.load(sys.stdin):
    try:
        main(line, prog_name="smpki")
    except SystemExit as end:
        if end.code:
            raise
"""


def at_the_authority(*lines: list[str], folder: Path, clock: str = TODAY) -> None:
    """Run command lines for the PKI in a folder's ``home``, in a process of its own: a token belongs to the process."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SMPKI_")}
    done = subprocess.run(
        [sys.executable, "-c", AUTHORITY],
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        cwd=folder,
        env=inherited | {"SMPKI_HOME": "home", "SMPKI_CLOCK": clock},
    )
    assert done.returncode == 0, done.stderr


def issue(package: str, out: str) -> list[str]:
    return ["issue", package, "--sub-ca", "Beispiel.CA", "--out", out]


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PKI and three participants: emt, gwa and gw, each with keys and certificates in a folder of its own."""
    folder = tmp_path_factory.mktemp("office")
    emt = ["--cn", "Firma.EMT", "--ou", "9900000000001", *CONTACT, "--dns", "as4.example"]
    at_the_authority(
        ["init"],
        ["issue-sub-ca", "--name", "Beispiel"],
        ["request", "new", *emt, "--out", "emt"],
        issue("emt/request.der", "emt"),
        ["request", "new", "--cn", "Verwalter.GWA", *CONTACT, "--out", "gwa"],
        issue("gwa/request.der", "gwa"),
        ["request", "new", "--cn", GATEWAY, "--ou", "Verwalter.GWA", "--out", "gw"],
        ["request", "authorise", "gw/request.der", "--signer", "gwa", "--out", "gw/authorised.der"],
        issue("gw/authorised.der", "gw"),
        folder=folder,
    )
    return folder


@pytest.fixture
def at_home(office: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Participant:
    """The participants' folders for one test alone."""
    for name in ("emt", "gwa", "gw"):
        shutil.copytree(office / name, tmp_path / name)
    return Participant(tmp_path, monkeypatch)


@pytest.fixture
def at_the_office(office: Path, monkeypatch: pytest.MonkeyPatch) -> Participant:
    """Where the PKI is too."""
    return Participant(office, monkeypatch)


def test_a_renewal_is_granted(at_the_office: Participant) -> None:
    answer = at_the_office.done("request", "renew", "emt", "--out", "emt2", "--json", clock=DUE)
    files = [f"emt2/{name}" for name in ("tls.key", "sig.key", "enc.key", "request.der")]
    assert json.loads(answer.output) == {"files": files}
    folder = at_the_office.folder / "emt2"
    assert "as4.example" in str(read_submission((folder / "request.der").read_bytes()).package.tls.extensions)
    at_the_authority(issue("emt2/request.der", "emt2"), folder=at_the_office.folder, clock=DUE)
    tls = x509.load_pem_x509_certificate((folder / "tls.pem").read_bytes())
    assert [each.value for each in tls.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)] == ["2"]


def test_an_authorised_renewal(at_home: Participant) -> None:
    at_home.done("request", "renew", "gw/sig.pem", "--out", "new", clock=DUE)
    authorise = ["request", "authorise", "new/request.der", "--signer", "gwa/sig.pem", "--out", "new/authorised.der"]
    at_home.done(*authorise, clock=DUE)
    submission = read_submission((at_home.folder / "new" / "authorised.der").read_bytes())
    verify_submission(submission)
    assert submission.kind == "authorised"
    assert submission.renewal is not None


def test_a_revocation_request(at_home: Participant) -> None:
    by = ["--signer", "gwa", "--out"]
    suspend = at_home.done("revocation-request", "gw", "--reason", "certificate-hold", *by, "suspend.der")
    resume = at_home.done("revocation-request", "gw/sig.pem", "--reason", "removeFromCRL", *by, "resume.der", "--json")
    assert [suspend.output, json.loads(resume.output)] == ["suspend.der\n", {"files": ["resume.der"]}]
    request = read_revocation_request((at_home.folder / "suspend.der").read_bytes())
    request.signature.verify()
    assert [item.reason for item in request.items] == ["certificate_hold"] * 3
    request = read_revocation_request((at_home.folder / "resume.der").read_bytes())
    assert [item.reason for item in request.items] == ["remove_from_crl"]


def test_gateways_are_handed_over(at_home: Participant) -> None:
    (at_home.folder / "list").write_text("EABC0012345679.SMGW\n\n EABC0012345680.SMGW\n")
    at_home.done("device-admin", GATEWAY, "--list", "list", "--to", "Neu.GWA", "--signer", "gwa", "--out", "update.der")
    update = read_device_admin_update((at_home.folder / "update.der").read_bytes())
    update.signature.verify()
    assert update.gateways == (GATEWAY, "EABC0012345679.SMGW", "EABC0012345680.SMGW")
    assert update.new_admin == "Neu.GWA"


def test_what_is_made_is_explained(at_home: Participant) -> None:
    at_home.done("revocation-request", "gw", "--reason", "1", "--signer", "gwa", "--out", "r.der")
    answer = at_home.done("inspect", "r.der", "gw/authorised.der")
    assert "Revocation request (Sperrantrag) for 3 certificates" in answer.output
    assert "Authorised by (Autorisierungssignatur)" in answer.output
    assert "no finding" in at_home.done("lint", "r.der").output


NEW = ["request", "new", "--cn", "Andere.EMT", "--ou", "9900000000002", *CONTACT]


def test_encrypted_keys(at_home: Participant) -> None:
    password = at_home.folder / "password"
    password.touch(0o600)
    password.write_text("aus der Datei\n")
    at_home.done(*NEW, "--out", "one", "--password-file", "password")
    at_home.done(*NEW, "--out", "two", "--encrypt", SMPKI_KEY_PASSWORD="aus der Umgebung")
    at_home.done(*NEW, "--out", "three", SMPKI_KEY_PASSWORD_FILE="password")
    for name, secret in (("one", b"aus der Datei"), ("two", b"aus der Umgebung"), ("three", b"aus der Datei")):
        for file in (at_home.folder / name).glob("*.key"):
            assert load_pem_private_key(file.read_bytes(), secret)
            assert file.stat().st_mode & 0o777 == 0o600


def test_a_renewal_with_an_encrypted_key(at_home: Participant) -> None:
    """One password opens the old key and encrypts the new ones."""
    encrypt_key(at_home.folder / "emt" / "sig.key", b"geheim")
    line = ["request", "renew", "emt", "--out", "new"]
    for environment, code in (({}, "missing"), ({"SMPKI_KEY_PASSWORD": "falsch"}, "wrong")):
        answer = at_home.run(*line, clock=DUE, **environment)
        assert (answer.code, f"[keys.password.{code}]" in answer.errors) == (1, True)
    at_home.done(*line, clock=DUE, SMPKI_KEY_PASSWORD="geheim")
    assert load_pem_private_key((at_home.folder / "new" / "sig.key").read_bytes(), b"geheim")


def test_passwords_are_asked_for_at_a_terminal_once(at_home: Participant, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what it opens says that the new keys are encrypted too."""
    asked = []

    def answer(question: str, **how: object) -> str:
        asked.append((question, how["hide_input"], how["confirmation_prompt"]))
        return "geheim"

    monkeypatch.setattr("click.prompt", answer)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    at_home.done(*NEW, "--out", "first", "--encrypt")
    encrypt_key(at_home.folder / "emt" / "sig.key", b"geheim")
    at_home.done("request", "renew", "emt", "--out", "second", clock=DUE)
    assert asked == [("Password for the new keys", True, True), ("Password of the private key", True, False)]
    for name in ("first", "second"):
        assert load_pem_private_key((at_home.folder / name / "tls.key").read_bytes(), b"geheim")


def encrypt_key(file: Path, password: bytes) -> None:
    key = load_pem_private_key(file.read_bytes(), None)
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password)))


def test_no_password_for_keys_to_be_encrypted(at_home: Participant) -> None:
    answer = at_home.run(*NEW, "--out", "new", "--encrypt")
    assert (answer.code, "[keys.password.missing]" in answer.errors) == (1, True)
    assert not (at_home.folder / "new").exists()


def test_keys_in_a_token(at_the_office: Participant, token_home: TokenHome) -> None:
    """From a first package to a renewal, no private key is ever in a file."""
    pin, folder = {"SMPKI_PIN": token_home.pin.reveal()}, at_the_office.folder
    in_token = ["--token", token_home.label]
    made = at_the_office.done(*NEW, "--out", "first", *in_token, **pin)
    labels = [f"Andere.EMT 2026-11-22 {purpose}" for purpose in ("tls", "sig", "enc")]
    assert made.output.splitlines() == [*labels, "first/request.der"]
    at_the_authority(issue("first/request.der", "first"), folder=folder)
    renew = ["request", "renew", "first", "--out", "second", "--key-label", "next"]
    made = at_the_office.done(*renew, *in_token, clock=DUE, **pin)
    assert made.output.splitlines() == ["next tls", "next sig", "next enc", "second/request.der"]
    verify_submission(read_submission((folder / "second" / "request.der").read_bytes()))
    assert not [*(folder / "first").glob("*.key"), *(folder / "second").glob("*.key")]
    answer = at_the_office.run("request", "renew", "emt", "--out", "third", *in_token, clock=DUE, **pin)
    assert (answer.code, "[keys.missing]" in answer.errors) == (1, True)  # that key is in a file
    assert "[token.pin.missing]" in at_the_office.run(*NEW, "--out", "fourth", *in_token).errors


def test_the_watch_tells_a_timer(at_home: Participant) -> None:
    line = ["participant", "watch", "emt", "gwa"]
    for clock, code, state in ((TODAY, 0, "valid"), (DUE, 3, "due"), (LATE, 4, "expired")):
        as_json, as_text = at_home.run(*line, "--json", clock=clock), at_home.run(*line, clock=clock)
        assert (as_json.code, as_text.code, as_json.errors, as_text.errors) == (code, code, "", "")
        certificates = json.loads(as_json.output)["certificates"]
        assert len(certificates) == 8
        assert {each["state"] for each in certificates if each["kind"] in ("emt", "gwa")} == {state}
        assert as_text.output.count(f" {state} ") >= 6
        assert "emt/tls.pem" in as_text.output


def test_the_watch_prepares_renewals(at_home: Participant) -> None:
    (at_home.folder / "gwa" / "sig.key").chmod(0o644)
    line = ["participant", "watch", "emt", "gwa", "gw", "--prepare", "due"]
    first, second = at_home.run(*line, clock=DUE), at_home.run(*line, "--json", clock=DUE)
    assert (first.code, second.code) == (1, 1)
    assert first.output.count("prepared: due/") == 2
    assert "[keys.exposed]" in first.errors
    prepared = json.loads(second.output)["prepared"]
    assert [each["made"] for each in prepared] == [[], [], []]
    assert [each["error"] and each["error"]["code"] for each in prepared] == [None, None, "keys.exposed"]
    for each in prepared[:2]:
        verify_submission(read_submission((at_home.folder / each["package"]).read_bytes()))
    (at_home.folder / "gwa" / "sig.key").chmod(0o600)
    third = at_home.run(*line, clock=DUE)
    assert (third.code, third.output.count("prepared before: "), third.output.count("prepared: ")) == (3, 2, 1)


def test_the_watch_goes_on(at_home: Participant, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = []

    async def told_within(given: float) -> bool:
        seconds.append(given)
        for folder in ("emt", "gwa")[: len(seconds)]:
            shutil.rmtree(at_home.folder / folder, ignore_errors=True)
        return len(seconds) == 4

    monkeypatch.setattr("smpki_cli.participant.told_within", told_within)
    ended = at_home.run("participant", "watch", "emt", "gwa", "--every", "60", clock=DUE)
    assert (ended.code, seconds) == (0, [60.0] * 4)
    # without one folder, and without both, there is something to be mended, which ends nothing
    assert (ended.output.count("emt/tls.pem"), ended.errors.count("refused: ")) == (1, 3)


BY, OUT = ["--signer", "gwa"], ["--out", "new"]


@pytest.mark.parametrize(
    ("code", "clock", "line"),
    [
        ("renewal.too_early", TODAY, ["request", "renew", "emt", *OUT]),
        ("request.signer.not_valid", LATE, ["request", "renew", "emt", *OUT]),
        ("renewal.certificate", DUE, ["request", "renew", "emt/tls.pem", *OUT]),
        ("request.signer.key", DUE, ["request", "renew", "emt", "--key", "gwa/sig.key", *OUT]),
        ("file.unreadable", DUE, ["request", "renew", "nowhere", *OUT]),
        ("request.signer.role", TODAY, ["request", "authorise", "gw/request.der", "--signer", "emt", *OUT]),
        ("request.encoding.tag", TODAY, ["request", "authorise", "gw/sig.pem", *BY, *OUT]),
        ("revocation.reason.unknown", TODAY, ["revocation-request", "gw", "--reason", "7", *BY, *OUT]),
        ("request.device_admin.empty", TODAY, ["device-admin", "--to", "Neu.GWA", *BY, *OUT]),
        ("request.device_admin.new_admin", TODAY, ["device-admin", GATEWAY, "--to", "Neu", *BY, *OUT]),
        ("trust.file.unreadable", TODAY, ["participant", "watch", "gw/request.der"]),
    ],
)
def test_refusals(at_home: Participant, code: str, clock: str, line: list[str]) -> None:
    as_json, as_text = at_home.run(*line, "--json", clock=clock), at_home.run(*line, clock=clock)
    assert (as_json.code, as_text.code) == (1, 1)
    error = json.loads(as_json.output)["error"]
    assert error["code"] == code
    assert error["hint"]
    assert f"[{code}]" in as_text.errors
    assert not (at_home.folder / "new").exists()
