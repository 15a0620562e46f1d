"""Hold a key ceremony: make what one reviewed file says and nothing else, and write a signed protocol of it."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

from smpki.ca.audited import audited
from smpki.ca.ceremony_file import CeremonyFile
from smpki.ca.ceremony_plan import PlannedStep, ReadFile, Situation, numbers_of, plan
from smpki.ca.chain import bundle
from smpki.ca.home import Home, Settings
from smpki.ca.opening import AUDIT_LABEL, create_pki, open_pki, open_store, open_token
from smpki.ca.output import pem_file, write_files
from smpki.ca.pki import Pki
from smpki.ca.protocol import Protocol, StepRecord, signed_protocol
from smpki.ca.store.lists import Lists
from smpki.ca.store.records import AuditEntry
from smpki.ca.surroundings import Surroundings
from smpki.errors import IssuingError, SmpkiError
from smpki.policy.load import load_policy

Announce = Callable[[PlannedStep], None]
"""Shows a step before it is done; a refusal that it raises ends the ceremony."""


class KeyCeremony:
    """A ceremony (Schlüsselzeremonie) in a home; the ceremony of the first root makes the home too.

    :param file: what was reviewed
    :param policy_text: of a home that is to be made; one that is there keeps its own
    :param read: reads what the file names
    """

    def __init__(
        self, file: CeremonyFile, home: Home, surroundings: Surroundings, *, policy_text: str, read: ReadFile
    ) -> None:
        self._file = file
        self._home = home
        self._surroundings = surroundings
        self._policy_text = policy_text
        self._read = read

    def check(self, *, audit: bool = False) -> tuple[PlannedStep, ...]:
        """Hold the file against the PKI; nothing is made.

        :param audit: whether the PKI's audit takes note of a refusal
        :raises IssuingError: ``ceremony.differs``
        :raises SmpkiError: what policy, home or database refuse
        """
        if not self._home.settings_file.exists():
            return self._plan(None)
        with open_store(self._home, self._surroundings) as store, ExitStack() as stack:
            if audit:
                stack.enter_context(audited(store, "ceremony", self._file.ceremony.title))
            return self._plan(store)

    def hold(self, folder: Path, announce: Announce) -> Protocol:
        """Make what the file says, and write the protocol; a step that is refused ends the ceremony.

        :param folder: for the protocol with its signatures, the file itself, and certificates; new, or empty
        :raises IssuingError: ``ceremony.differs``, ``ceremony.folder`` when the folder holds something
        :raises SmpkiError: what was refused before the first step, or when the protocol can't be written
        """
        self.check(audit=True)
        _claim(folder, self._file.content)
        create_pki(self._home, self._settings, self._policy_text, self._surroundings)
        with open_token(self._home, self._surroundings) as token:
            info = token.info()
        with open_pki(self._home, self._surroundings, "ceremony") as pki:
            situation = self._situation(pki.store)
            steps = tuple(perform(self._plan(pki.store), pki, announce))
            _, test_clock = self._surroundings.clock(situation.settings)
            protocol = Protocol(self._file, situation, info, test_clock, steps)
            files = dict(signed_protocol(protocol, pki.keys.key(label=AUDIT_LABEL)))
            hashes = {name: _sha256(content) for name, content in files.items()}
            files["certificates.pem"] = pem_file(protocol.certificates)
            files |= _bundles(protocol.steps, pki)
            write_files(folder, files)
            pki.store.record(
                AuditEntry(
                    action="ceremony",
                    outcome="done" if protocol.is_complete else "refused",
                    subject=self._file.ceremony.title,
                    detail={"ceremony.yaml": self._file.sha256, **hashes},
                )
            )
        return protocol

    @property
    def _settings(self) -> Settings:
        if self._home.settings_file.exists():
            return self._home.settings()
        ceremony = self._file.ceremony
        return Settings(environment=ceremony.environment, module=ceremony.token.module, token=ceremony.token.label)

    def _plan(self, store: Lists | None) -> tuple[PlannedStep, ...]:
        clock, _ = self._surroundings.clock(self._settings)
        return plan(self._file, self._situation(store), clock(), self._read)

    def _situation(self, store: Lists | None) -> Situation:
        """The PKI as it is; without a store, as it would be made."""
        if store is None:
            return Situation(self._settings, load_policy(self._policy_text), _sha256(self._policy_text.encode()))
        content = self._home.policy_file.read_bytes()
        return Situation(self._settings, self._home.policy(), _sha256(content), numbers_of(store))


def perform(steps: Iterable[PlannedStep], pki: Pki, announce: Announce) -> Iterator[StepRecord]:
    """Do one step after the other, until one is refused."""
    for step in steps:
        begun = pki.clock()
        try:
            announce(step)
            made = step.make(pki)
        except SmpkiError as error:
            yield StepRecord(step, begun, pki.clock(), error=error)
            return
        yield StepRecord(step, begun, pki.clock(), made)


def _bundles(steps: Iterable[StepRecord], pki: Pki) -> dict[str, bytes]:
    """For each Sub-CA that keeps its keys itself: what its operator installs."""
    return {
        f"bundle-{record.step.place}.pem": pem_file(bundle(pki.store, record.certificates, record.ended))
        for record in steps
        if record.step.requests is not None and record.certificates
    }


def _claim(folder: Path, content: bytes) -> None:
    """Take a folder for this ceremony alone, before anything else is made."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        message = "there is something in the folder"
        raise IssuingError("ceremony.folder", message, where=str(folder), hint="every ceremony has one of its own")
    write_files(folder, {"ceremony.yaml": content})


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
