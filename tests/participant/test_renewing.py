"""Renewals are sent until their triples are there: power may fail at any moment in between."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from smpki.errors import ServiceError
from smpki.participant.key_places import FilePlace, FileSource
from smpki.participant.own_ca import OwnCa, material_of
from smpki.participant.pending import PendingFolder
from smpki.participant.preparing import prepare_renewals
from smpki.participant.renewing import Renewed, send_renewals
from smpki.participant.signers import read_file_certificates
from smpki.participant.watch import assess, find_certificates
from smpki.policy.model import Policy
from smpki.policy.names import DistinguishedName
from smpki.requests.submission import read_submission
from smpki.trust.question import Revocation

EMT = "CN=Firma.EMT, O=SM-Test-PKI-DE, OU=9900000000001, C=DE, serialNumber={}"
DUE = datetime(2027, 12, 1, tzinfo=UTC)
LATER = datetime(2029, 12, 1, tzinfo=UTC)
PURPOSES = ("tls", "sig", "enc")


class PowerFailure(BaseException):
    """The process ends here."""


class Ca:
    """A Sub-CA's web service without a wire.

    :ivar packages: which it was asked for, each once
    :ivar later: it answers later
    """

    url = "https://ca.example/"

    def __init__(self, folder: Path, counter: Any) -> None:
        self._folder = folder
        self._counter = counter
        self.packages: list[bytes] = []
        self.later = False
        self._turn = threading.Lock()
        material = material_of([counter.root, counter.certificate])
        name = DistinguishedName.from_x509(counter.certificate.subject)
        self.ca = OwnCa(name, lambda: material, Revocation.IF_KNOWN, lambda: DUE)

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Ca"]:
        yield self

    async def request_certificates(self, package: bytes, **options: Any) -> tuple[bytes, ...] | None:
        with self._turn:
            if package not in self.packages:
                self.packages.append(package)
                self._issue(package, self._folder / str(len(self.packages)))
        if self.later:
            assert options["message_id"]
            return None
        folder = self._folder / str(self.packages.index(package) + 1)
        found = [read_file_certificates(folder / f"{purpose}.pem")[0] for purpose in PURPOSES]
        return tuple(one.public_bytes(Encoding.DER) for one in found)

    async def certificate_chain(self, issuer: str) -> tuple[bytes, ...]:
        raise AssertionError("the chain is known")

    def _issue(self, package: bytes, folder: Path) -> None:
        requests = read_submission(package).package
        keys = {purpose: getattr(requests, purpose).public_key for purpose in PURPOSES}
        holders = {purpose: SimpleNamespace(public_key=lambda key=key: key) for purpose, key in keys.items()}
        self._counter.fill(folder, EMT.format(2), start=DUE, end=LATER, keys=SimpleNamespace(**holders))


class Watcher:
    """A participant whose triple is due."""

    def __init__(self, folder: Path, counter: Any, policy: Policy) -> None:
        self.own, self.out = folder / "own", folder / "out"
        self.policy = policy
        counter.fill(self.own, EMT.format(1))
        (folder / "ca").mkdir()
        self.ca: Any = Ca(folder / "ca", counter)
        self.pending: PendingFolder | None = None

    def look(self) -> list[Renewed]:
        """What `smpki participant watch` does."""
        places = [self.own, *([self.out] if self.out.exists() else [])]
        watched = assess(find_certificates(places, self.policy), self.policy, DUE)
        source = FileSource(lambda: None)
        place = lambda folder, _: FilePlace(folder)  # noqa: E731
        prepared = list(prepare_renewals(watched, source, place, self.out, self.policy, DUE))

        async def send() -> list[Renewed]:
            return [one async for one in send_renewals(prepared, lambda _: self.ca, self.pending)]

        return asyncio.run(send())

    def assert_renewed(self) -> None:
        """One folder, with one triple and its keys, for the one package that the CA has seen."""
        (folder,) = self.out.iterdir()
        assert [(folder / "request.der").read_bytes()] == self.ca.packages
        for purpose in PURPOSES:
            certificate = read_file_certificates(folder / f"{purpose}.pem")[0]
            key: Any = load_pem_private_key((folder / f"{purpose}.key").read_bytes(), None)
            assert certificate.public_key() == key.public_key()
        assert len(list(folder.iterdir())) == 8
        assert read_file_certificates(self.own / "sig.pem")[0].not_valid_after_utc < LATER


def test_power_fails_at_any_moment(tmp_path: Path, counter: Any, policy: Policy, monkeypatch: Any) -> None:
    """Each write to the disk is the last one once; then the watcher is started again."""
    fsync = os.fsync
    moments = 0
    while True:
        watcher = Watcher(new_folder(tmp_path, moments), counter, policy)
        left = iter(range(moments))

        def dying(descriptor: int, left: Any = left) -> None:
            if next(left, None) is None:
                raise PowerFailure
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", dying)
        try:
            watcher.look()
        except PowerFailure:
            monkeypatch.undo()
        else:
            break
        watcher.look()
        watcher.assert_renewed()
        assert watcher.look() == []
        moments += 1
    assert moments >= 14  # three keys, the package, four certificates, and their folders


def new_folder(base: Path, number: int) -> Path:
    folder = base / str(number)
    folder.mkdir()
    return folder


def test_two_watchers_make_one_renewal(tmp_path: Path, counter: Any, policy: Policy) -> None:
    watcher = Watcher(tmp_path, counter, policy)
    with ThreadPoolExecutor(2) as pool:
        looks = [look.result() for look in [pool.submit(watcher.look) for _ in range(2)]]
    assert [one.error for look in looks for one in look] == [None, None]
    watcher.assert_renewed()


def test_what_fails_is_told_and_done_the_next_time(tmp_path: Path, counter: Any, policy: Policy) -> None:
    watcher = Watcher(tmp_path, counter, policy)
    works = watcher.ca.request_certificates

    async def fail(package: bytes, **_: Any) -> None:
        raise ServiceError("web_service.timeout", "no answer within 60 seconds", hint="send it again")

    watcher.ca.request_certificates = fail
    (failed,) = watcher.look()
    assert failed.error is not None and failed.as_dict()["error"] == failed.error.as_dict()
    watcher.ca.request_certificates = works
    (done,) = watcher.look()
    assert (done.sent, done.error) == ("stored", None)
    watcher.assert_renewed()


def test_a_renewal_that_can_not_be_read_is_told_as_any_other_failure(
    tmp_path: Path, counter: Any, policy: Policy
) -> None:
    watcher = Watcher(tmp_path, counter, policy)
    watcher.look()
    (folder,) = watcher.out.iterdir()
    (folder / "sig.pem").unlink()
    (folder / "request.der").unlink()
    (folder / "request.der").mkdir()
    (failed,) = watcher.look()
    assert failed.error is not None
    assert (failed.error.code, failed.error.where) == ("file.unreadable", str(folder / "request.der"))


def test_what_is_answered_later_is_sent_again_until_it_is(tmp_path: Path, counter: Any, policy: Policy) -> None:
    watcher = Watcher(tmp_path, counter, policy)
    watcher.pending, watcher.ca.later = PendingFolder(tmp_path / "pending"), True
    for _ in range(2):
        (waiting,) = watcher.look()
        assert waiting.sent == "pending"
    (noted,) = watcher.pending.all()
    assert (noted.folder, noted.status) == (waiting.folder, None)
    watcher.ca.later = False
    (done,) = watcher.look()
    assert done.sent == "stored"
    watcher.assert_renewed()
    (noted,) = watcher.pending.all()
    assert noted.status == "ok_cert_available"


def test_certificates_of_somebody_else_are_not_kept(tmp_path: Path, counter: Any, policy: Policy) -> None:
    watcher = Watcher(tmp_path, counter, policy)
    watcher.look()
    (folder,) = watcher.out.iterdir()
    others = [read_file_certificates(watcher.own / f"{one}.pem")[0] for one in PURPOSES]
    for file in folder.glob("*.pem"):
        file.unlink()

    async def swapped(package: bytes, **_: Any) -> tuple[bytes, ...]:
        return tuple(one.public_bytes(Encoding.DER) for one in others)

    watcher.ca.request_certificates = swapped
    (refused,) = watcher.look()
    assert refused.error is not None and refused.error.code == "web_service.certificates.key"
    assert list(folder.glob("*.pem")) == []
