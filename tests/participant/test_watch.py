import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.errors import SmpkiError
from smpki.participant.key_places import FilePlace, FileSource, TokenPlace, TokenSource
from smpki.participant.password import Password
from smpki.participant.preparing import Prepared, prepare_renewals
from smpki.participant.watch import State, Watched, assess, exit_code, find_certificates
from smpki.policy.model import Policy
from smpki.requests.submission import read_submission, verify_submission

if TYPE_CHECKING:
    from smpki.hsm.token import Token

Counter = Any  # conftest.Counter

EMT = "CN=Firma.EMT, O=SM-Test-PKI-DE, OU=9900000000001, C=DE, serialNumber={}"
GATEWAY = "CN=EABC0012345678.SMGW, O=SM-Test-PKI-DE, OU=Verwalter.GWA, C=DE, serialNumber=1"
DUE = datetime(2027, 12, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def emt(tmp_path: Path, counter: Counter) -> Path:
    counter.fill(tmp_path / "emt", EMT.format(1))
    return tmp_path / "emt"


def watch(policy: Policy, now: datetime, *places: Path) -> tuple[Watched, ...]:
    return assess(find_certificates(places, policy), policy, now)


def states(watched: tuple[Watched, ...]) -> set[State]:
    """How the certificates of end users stand."""
    return {each.state for each in watched if each.found.kind.is_end_user}


def test_what_expires_when(emt: Path, counter: Counter, policy: Policy) -> None:
    watched = watch(policy, counter.start + DAY, emt)
    assert [(each.found.kind, each.found.purpose, each.state) for each in watched] == [
        ("emt", "enc", "valid"),
        ("emt", "sig", "valid"),
        ("emt", "tls", "valid"),
        ("sub-ca", "ca", "valid"),
        ("root", "ca", "valid"),
    ]
    first, last = watched[0], watched[-1]
    assert first.renewal_opens == counter.end - 90 * DAY
    assert (first.days_left, last.renewal_opens) == (729, None)
    assert first.as_dict() == {
        "file": str(emt / "enc.pem"),
        "subject": EMT.format(1),
        "kind": "emt",
        "purpose": "enc",
        "serial": f"{first.found.certificate.serial_number:x}",
        "not_after": "2028-01-15T23:59:59+00:00",
        "renewal_opens": "2027-10-17T23:59:59+00:00",
        "days_left": 729,
        "state": "valid",
    }


def test_each_state(emt: Path, counter: Counter, policy: Policy) -> None:
    second = timedelta(seconds=1)
    opens = counter.end - 90 * DAY
    for now, state, code in (
        (counter.start - second, State.FUTURE, 0),
        (counter.start, State.VALID, 0),
        (opens - second, State.VALID, 0),
        (opens, State.DUE, 3),
        (counter.end, State.DUE, 3),
        (counter.end + second, State.EXPIRED, 4),
    ):
        watched = watch(policy, now, emt)
        assert (states(watched), exit_code(watched)) == ({state}, code)
    assert watched[0].days_left == -1


def test_a_successor(tmp_path: Path, emt: Path, counter: Counter, policy: Policy) -> None:
    counter.fill(tmp_path / "next", EMT.format(2), start=DUE, end=DUE + 730 * DAY)
    for now, old, new, code in (
        (DUE - DAY, State.DUE, State.FUTURE, 3),  # not in force yet
        (DUE, State.REPLACED, State.VALID, 0),
        (counter.end + DAY, State.REPLACED, State.VALID, 0),
        (DUE + 731 * DAY, State.EXPIRED, State.EXPIRED, 4),
    ):
        watched = watch(policy, now, emt, tmp_path / "next")
        assert [each.state for each in watched if each.found.kind.is_end_user] == [old] * 3 + [new] * 3
        assert exit_code(watched) == code


def test_folders_are_searched(tmp_path: Path, emt: Path, counter: Counter, policy: Policy) -> None:
    """What is no certificate is passed over, and a certificate that lies about twice counts once."""
    (emt / "request.der").write_bytes(b"\x30\x00")
    (emt / "notes.pem").write_text("nothing")
    (emt / "folder.pem").mkdir()
    shutil.copy(emt / "sig.pem", emt / "folder.pem" / "again.crt")
    stranger = "CN=example.org, O=Somebody, C=DE"
    counter.fill(tmp_path / "other", stranger)
    assert len(watch(policy, DUE, tmp_path)) == 5
    with pytest.raises(SmpkiError) as refused:
        find_certificates([tmp_path / "other" / "sig.pem"], policy)
    assert refused.value.code == "watch.nothing"


def test_a_file_that_is_named_has_to_be_one(emt: Path, policy: Policy) -> None:
    for file, code in ((emt / "sig.key", "trust.file.unreadable"), (emt / "nothing", "file.unreadable")):
        with pytest.raises(SmpkiError) as refused:
            find_certificates([emt, file], policy)
        assert refused.value.code == code


def prepare(watched: tuple[Watched, ...], out: Path, policy: Policy, now: datetime = DUE) -> list[Prepared]:
    source = FileSource(lambda: None)
    return list(prepare_renewals(watched, source, lambda folder, _: FilePlace(folder), out, policy, now))


def test_renewals_are_prepared_once(tmp_path: Path, emt: Path, counter: Counter, policy: Policy) -> None:
    counter.fill(tmp_path / "gateway", GATEWAY)
    watched = watch(policy, DUE, emt, tmp_path / "gateway")
    out = tmp_path / "out"
    first = prepare(watched, out, policy)
    assert [each.error for each in first] == [None, None]
    assert sorted(folder.name.partition("-")[0] for folder in out.iterdir()) == ["EABC0012345678.SMGW", "Firma.EMT"]
    for each in first:
        submission = read_submission(each.package.read_bytes())
        verify_submission(submission)
        assert [Path(name).parent for name in each.made] == [each.package.parent] * 4
    packages = [each.package.read_bytes() for each in first]
    second = prepare(watched, out, policy)
    assert [(each.package, each.made) for each in second] == [(each.package, ()) for each in first]
    assert [each.package.read_bytes() for each in second] == packages
    assert second[0].as_dict()["error"] is None


def test_what_is_not_due_is_not_prepared(tmp_path: Path, emt: Path, counter: Counter, policy: Policy) -> None:
    for now in (counter.start, counter.end + DAY):
        assert prepare(watch(policy, now, emt), tmp_path / "out", policy, now) == []
    assert not (tmp_path / "out").exists()


def test_what_others_have_to_renew(tmp_path: Path, emt: Path, policy: Policy) -> None:
    (emt / "sig.key").unlink()
    assert prepare(watch(policy, DUE, emt), tmp_path / "out", policy) == []


def test_one_failure_stops_nothing(tmp_path: Path, emt: Path, counter: Counter, policy: Policy) -> None:
    counter.fill(tmp_path / "locked", EMT.replace("Firma", "Geheim").format(1), password=Password("geheim"))
    done = prepare(watch(policy, DUE, emt, tmp_path / "locked"), tmp_path / "out", policy)
    assert [each.error and each.error.code for each in done] == [None, "keys.password.missing"]
    error = done[1].as_dict()["error"]
    assert isinstance(error, dict)
    assert error["code"] == "keys.password.missing"


def test_renewals_with_a_token(tmp_path: Path, counter: Counter, policy: Policy, token: "Token") -> None:
    counter.fill(tmp_path / "emt", EMT.format(1), keys=TokenPlace(token, "old").make(ec.BrainpoolP256R1()))
    watched = watch(policy, DUE, tmp_path / "emt")
    source, out = TokenSource(token), tmp_path / "out"
    (done,) = prepare_renewals(watched, source, lambda _, each: TokenPlace(token, "new"), out, policy, DUE)
    assert done.made == ("new tls", "new sig", "new enc", str(done.package))
    verify_submission(read_submission(done.package.read_bytes()))
