"""``smpki verify``: files in, an answer and an exit code out."""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.serialization import Encoding

from smpki_cli.main import main

Verify = Callable[..., Result]


@pytest.fixture
def files(pki: Any, tmp_path: Path) -> Path:
    """A folder: roots, helpers (wrong way round), lists, and certificates to ask about."""

    def write(name: str, those: Iterable[Any], encoding: Encoding = Encoding.PEM) -> None:
        (tmp_path / name).write_bytes(b"".join(one.public_bytes(encoding) for one in those))

    revoked = pki.Entry(pki.old.gateway.certificate)
    write("old.pem", [pki.old.root.certificate])
    write("new.der", [pki.new.root.certificate], Encoding.DER)
    write("helpers.pem", reversed(pki.certificates))
    write("crls.pem", pki.crls(revoked))
    write("tls.pem", [pki.old.emt["tls"].certificate])
    write("new-tls.pem", [pki.new.emt["tls"].certificate])
    write("sig.der", [pki.old.emt["sig"].certificate], Encoding.DER)
    write("gateway.pem", [pki.old.gateway.certificate])
    write("all.pem", [pki.old.emt["tls"].certificate, pki.old.gateway.certificate])
    return tmp_path


@pytest.fixture
def verify(pki: Any, files: Path, monkeypatch: pytest.MonkeyPatch) -> Verify:
    """Run the command in the folder, at the moment the PKI is made for."""
    monkeypatch.chdir(files)
    monkeypatch.setenv("SMPKI_HOME", str(files / "no-home"))
    for name in ("SMPKI_CLOCK", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str, at: str | None = pki.AT.isoformat()) -> Result:
        when = ["--at", at] if at else []
        return CliRunner().invoke(main, ["verify", *arguments, *when], prog_name="smpki")

    return run


WITH_LISTS = ("--untrusted", "helpers.pem", "--crl", "crls.pem")


def test_valid_ends_with_0_and_shows_the_chain(verify: Verify) -> None:
    done = verify("tls.pem", "--trust", "old.pem", *WITH_LISTS, "--role", "emt", "--use", "tls")
    assert done.exit_code == 0, done.output
    first, *chain = done.output.splitlines()
    assert first.startswith("valid: CN=Firma.EMT, O=SM-Test-PKI-DE, C=DE, OU=9900000000001, serialNumber=1, serial ")
    assert [line.strip().partition(",")[0] for line in chain] == [
        "chain: CN=SM-Test-Root.CA",
        "CN=Beispiel.CA",
        "CN=Firma.EMT",
    ]


def test_the_old_root_is_enough_for_the_new_generation(verify: Verify) -> None:
    for root in ("old.pem", "new.der"):
        assert verify("new-tls.pem", "--trust", root, *WITH_LISTS).exit_code == 0
    assert verify("tls.pem", "--trust", "new.der", *WITH_LISTS).exit_code == 1
    assert verify("tls.pem", "--trust", "new.der", "--trust", "old.pem", *WITH_LISTS).exit_code == 0


def test_not_valid_ends_with_1_and_says_why(verify: Verify) -> None:
    done = verify("gateway.pem", "--trust", "old.pem", *WITH_LISTS)
    assert done.exit_code == 1
    assert done.output.startswith("NOT VALID: CN=EABC0012345678.SMGW, ")
    assert "keyCompromise [trust.certificate.revoked, RFC 5280 6.1.3 (a)(3)]" in done.output


def test_json_says_the_same(pki: Any, verify: Verify) -> None:
    done = verify("sig.der", "all.pem", "--trust", "old.pem", *WITH_LISTS, "--json")
    answer = json.loads(done.stdout)
    assert done.exit_code == 1
    assert (answer["valid"], answer["at"]) == (False, pki.AT.isoformat())
    assert [one["valid"] for one in answer["certificates"]] == [True, True, False]
    assert [len(one["chain"]) for one in answer["certificates"]] == [3, 3, 3]
    (reason,) = answer["certificates"][2]["reasons"]
    assert reason["code"] == "trust.certificate.revoked"
    assert reason["serial"] == answer["certificates"][2]["serial"] == f"{pki.old.gateway.certificate.serial_number:x}"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--untrusted", "helpers.pem"], "trust.crl.missing"),
        (["--crl", "crls.pem"], "trust.path.issuer_unknown"),
        ([*WITH_LISTS, "--role", "gwa"], "trust.role.name"),
        ([*WITH_LISTS, "--use", "enc"], "trust.use.key_usage"),
    ],
)
def test_what_is_missing_or_does_not_fit_is_told(verify: Verify, options: list[str], code: str) -> None:
    done = verify("tls.pem", "--trust", "old.pem", *options, "--json")
    assert done.exit_code == 1
    assert code in [reason["code"] for reason in json.loads(done.stdout)["certificates"][0]["reasons"]]


def test_lists_may_be_missing_when_asked_for(verify: Verify) -> None:
    for revocation, code in (("required", 1), ("if-known", 0), ("ignored", 0)):
        given = ("tls.pem", "--trust", "old.pem", "--untrusted", "helpers.pem", "--revocation", revocation)
        assert verify(*given).exit_code == code
    for revocation, code in (("if-known", 1), ("ignored", 0)):
        assert verify("gateway.pem", "--trust", "old.pem", *WITH_LISTS, "--revocation", revocation).exit_code == code


def test_without_trust_there_must_be_a_pki(verify: Verify) -> None:
    done = verify("tls.pem")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "[home.missing]" in done.stderr


def test_what_is_no_certificate_is_refused(verify: Verify) -> None:
    for arguments in (["crls.pem", "--trust", "old.pem"], ["tls.pem", "--trust", "old.pem", "--crl", "tls.pem"]):
        done = verify(*arguments)
        assert (done.exit_code, done.stdout) == (1, "")
        assert "[trust.file.unreadable]" in done.stderr
    assert "[file.unreadable]" in verify("nothing.pem", "--trust", "old.pem").stderr


@pytest.mark.parametrize(
    "arguments", [[], ["tls.pem", "--role", "ceo"], ["tls.pem", "--use", "love"], ["tls.pem", "--revocation", "maybe"]]
)
def test_a_wrong_call_ends_with_2(verify: Verify, arguments: list[str]) -> None:
    assert verify(*arguments, "--trust", "old.pem").exit_code == 2


@pytest.mark.parametrize(
    "at", ["yesterday", "2027-06-01T12:00:00", "0001-01-01T00:00:00+23:00", "2027-13-01T00:00:00Z"]
)
def test_a_moment_has_a_time_zone(verify: Verify, at: str) -> None:
    assert verify("tls.pem", "--trust", "old.pem", at=at).exit_code == 2


def test_the_test_clock_holds_for_test_pkis_only(
    pki: Any, verify: Verify, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = {"begin": datetime(2020, 1, 1, tzinfo=UTC), "end": datetime(2400, 1, 1, tzinfo=UTC)}
    root = pki.issue(f"CN=Lang.CA, {pki.TEST}", None, "ca", **long).certificate
    (files / "long.pem").write_bytes(root.public_bytes(Encoding.PEM))
    monkeypatch.setenv("SMPKI_CLOCK", "2500-01-01T00:00:00Z")
    done = verify("long.pem", "--trust", "long.pem", at=None)
    assert done.exit_code == 0
    assert "SMPKI_CLOCK is ignored" in done.stderr
    home = files / "no-home"
    home.mkdir()
    (home / "settings.yaml").write_text("environment: test\n", encoding="utf-8")
    assert verify("long.pem", "--trust", "long.pem", at=None).exit_code == 1
