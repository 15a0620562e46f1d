"""Open and make PKIs: this is where folder, token, database, clock and environment variables come together."""

import os
import secrets
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from smpki.asn1.curves import CURVES
from smpki.ca.home import Home, Settings
from smpki.ca.pki import Clock, Pki
from smpki.ca.store.audit import AuditChain, AuditReport, create_key, read_key, verify
from smpki.ca.store.owner import OwnerLock
from smpki.ca.store.records import AuditEntry, OpenIntent
from smpki.ca.store.store import Store
from smpki.db.engine import Engine, check_schema, migrate, open_engine
from smpki.errors import IssuingError, SmpkiError, TokenError
from smpki.hsm.key import KeyUse
from smpki.hsm.pin import Pin, random_pin, read_pin, write_pin
from smpki.hsm.softhsm import SoftHsm
from smpki.hsm.token import Token
from smpki.policy.load import load_policy

AUDIT_LABEL = "smpki audit"
"""Label of the token key that signs the heads of the audit chain."""


@dataclass(frozen=True)
class Surroundings:
    """What a process brings along; only the composition root reads it from the system.

    :param environ: the process environment: ``SMPKI_CLOCK``, ``SMPKI_PIN``, ``SMPKI_PIN_FILE``; SoftHSM's
        configuration is set in it
    :param prompt: asks a person for the PIN; ``None`` where there is no terminal
    :param warn: tells the operator something that does not stop the work
    """

    environ: MutableMapping[str, str]
    prompt: Callable[[], str] | None = None
    warn: Callable[[str], None] = lambda message: None

    def clock(self, settings: Settings) -> tuple[Clock, bool]:
        """The clock, and whether it is a test clock: ``SMPKI_CLOCK`` holds in environment ``test`` only.

        :raises IssuingError: ``clock.invalid`` when it is no RFC 3339 time
        """
        text = self.environ.get("SMPKI_CLOCK")
        if not text:
            return _system_clock, False
        if settings.environment != "test":
            self.warn("SMPKI_CLOCK is ignored: this PKI is not of environment test")
            return _system_clock, False
        try:
            fixed = datetime.fromisoformat(text)
            fixed = fixed.astimezone(UTC) if fixed.tzinfo else fixed
        except (ValueError, OverflowError):
            fixed = None
        if fixed is None or fixed.tzinfo is None:
            raise IssuingError(
                "clock.invalid",
                f"{text!r} is no RFC 3339 time with a time zone",
                where="SMPKI_CLOCK",
                hint="such as 2026-11-22T12:00:00Z",
            )
        return lambda: fixed, True

    def pin(self, home: Home) -> Pin:
        """The token's PIN: from SMPKI_PIN_FILE, SMPKI_PIN, the home's pin file, or the prompt, in this order.

        :raises TokenError: ``token.pin.*``
        """
        named = self.environ.get("SMPKI_PIN_FILE")
        value = self.environ.get("SMPKI_PIN")
        file = Path(named) if named else None
        if file is None and not value and home.pin_file.exists():
            file = home.pin_file
        return read_pin(file=file, value=value, prompt=self.prompt)


@contextmanager
def open_pki(home: Home, surroundings: Surroundings, action: str) -> Iterator[Pki]:
    """Open a PKI for issuing. Policy and token are looked at once the audit can take note of what is wrong with them.

    :param action: what the audit calls the work, should it be refused
    :raises IssuingError: ``home.*`` when there is none
    :raises SmpkiError: what policy, token, audit or database refuse
    """
    with ExitStack() as stack:
        desk = stack.enter_context(_open_store(home, surroundings))
        try:
            policy = home.policy()
            token = stack.enter_context(_open_token(home, desk.settings, surroundings))
            signer = token.key(label=AUDIT_LABEL)
        except SmpkiError as error:
            desk.store(None).record(
                AuditEntry(action=action, outcome="refused", subject=str(home.folder), detail=error.as_dict())
            )
            raise
        store = desk.store(signer)
        _tell(store.recover(), surroundings)
        yield Pki(policy, desk.settings.environment, store, token, desk.clock)


@contextmanager
def open_store(home: Home, surroundings: Surroundings) -> Iterator[Store]:
    """Open a PKI for looking at it: no token is needed, and no policy.

    :raises SmpkiError: what home, audit key or database refuse
    """
    with _open_store(home, surroundings) as desk:
        yield desk.store(None)


@contextmanager
def open_token(home: Home, surroundings: Surroundings) -> Iterator[Token]:
    """Open a PKI's token alone.

    :raises TokenError: what the token refuses
    """
    with _open_token(home, home.settings(), surroundings) as token:
        yield token


def verify_audit(home: Home, surroundings: Surroundings) -> AuditReport:
    """Verify the audit chain with its key, and its heads with the token's public key.

    :raises SmpkiError: what home, token or database refuse; what the chain lacks is in the report
    """
    key = read_key(home.audit_key_file)
    with open_token(home, surroundings) as token:
        public_key = token.key(label=AUDIT_LABEL).public_key()
        engine = open_engine(home.database_url(home.settings()))
        try:
            check_schema(engine)
            return verify(engine, key, home.audit_head_file, public_key)
        finally:
            engine.dispose()


def create_pki(home: Home, settings: Settings, policy_text: str, surroundings: Surroundings) -> None:
    """Make a PKI's folder, token, audit and database: everything but certificates. An interrupted try is taken up.

    :param policy_text: the YAML document, checked here before anything is made
    :raises PolicyError: when the policy has an error
    :raises IssuingError: ``home.*``
    :raises TokenError: what the token refuses
    """
    load_policy(policy_text)
    clock, _ = surroundings.clock(settings)
    home.create(settings, policy_text)
    if settings.module is None:
        _create_softhsm_token(home, settings, surroundings)
    with _open_token(home, settings, surroundings) as token:
        try:
            token.generate(AUDIT_LABEL, CURVES["brainpoolP256r1"], KeyUse.SIGN)
        except TokenError as error:
            if error.code != "token.key.exists":
                raise
    if not home.audit_key_file.exists():
        create_key(home.audit_key_file, secrets.token_bytes)
    engine = open_engine(home.database_url(settings))
    try:
        migrate(engine)
        AuditChain(read_key(home.audit_key_file), home.audit_head_file, clock=clock).catch_up(engine)
    finally:
        engine.dispose()


def _create_softhsm_token(home: Home, settings: Settings, surroundings: Surroundings) -> None:
    """SoftHSM's token with the operator's PIN, or with a random one that the home keeps."""
    given = surroundings.environ.get("SMPKI_PIN_FILE") or surroundings.environ.get("SMPKI_PIN")
    if not given and not home.pin_file.exists():
        write_pin(home.pin_file, random_pin())
    if not home.so_pin_file.exists():
        write_pin(home.so_pin_file, random_pin())
    so_pin = read_pin(file=home.so_pin_file, value=None, prompt=None)
    try:
        SoftHsm(home.token_folder).create_token(settings.token, surroundings.pin(home), so_pin)
    except TokenError as error:
        if error.code != "token.exists":
            raise


@dataclass(frozen=True)
class _Desk:
    """A home's database, opened; the chain's signer is known only once the token is open."""

    settings: Settings
    engine: Engine
    audit_key: bytes
    head_file: Path
    owner: OwnerLock
    clock: Clock
    test_clock: bool

    def store(self, signer: ec.EllipticCurvePrivateKey | None) -> Store:
        chain = AuditChain(self.audit_key, self.head_file, clock=self.clock, signer=signer, test_clock=self.test_clock)
        return Store(self.engine, chain, owner=self.owner)


@contextmanager
def _open_store(home: Home, surroundings: Surroundings) -> Iterator[_Desk]:
    settings = home.settings()
    clock, test_clock = surroundings.clock(settings)
    key = read_key(home.audit_key_file)
    engine = open_engine(home.database_url(settings))
    owner = OwnerLock.take(home.run_folder, secrets.token_bytes)
    try:
        check_schema(engine)
        yield _Desk(settings, engine, key, home.audit_head_file, owner, clock, test_clock)
    finally:
        owner.release()
        engine.dispose()


@contextmanager
def _open_token(home: Home, settings: Settings, surroundings: Surroundings) -> Iterator[Token]:
    lock = home.token_lock
    if settings.module is None:
        softhsm = SoftHsm(home.token_folder)
        if not softhsm.tokens.is_dir():  # activation would make another, in the way of the one that was moved
            hint = "put the folder back: it holds the CA's keys"
            raise TokenError("token.missing", "the token's folder is gone", where=str(softhsm.tokens), hint=hint)
        softhsm.activate(surroundings.environ)
        lock = softhsm.lock
    with Token.open(settings.module, settings.token, surroundings.pin(home), lock=lock) as token:
        yield token


def _tell(found: tuple[OpenIntent, ...], surroundings: Surroundings) -> None:
    for intent in found:
        what = f"{intent.kind} {intent.purpose} {intent.subject_key}, serial {intent.serial}"
        if intent.closed:
            surroundings.warn(f"an earlier run was interrupted; its signature is not used: {what}")
        else:
            surroundings.warn(f"an intent of another machine is open: {what}")


def _system_clock() -> datetime:
    return datetime.now(UTC)


def open_in_worker(home: Home, action: str) -> AbstractContextManager[Pki]:
    """Open the PKI in a worker process, which has the environment but nobody to ask; see :func:`open_pki`."""
    return open_pki(home, process_surroundings(None, lambda message: None), action)


def process_surroundings(prompt: Callable[[], str] | None, warn: Callable[[str], None]) -> Surroundings:
    """The surroundings of this very process."""
    return Surroundings(os.environ, prompt, warn)
