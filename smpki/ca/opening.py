"""Open and make PKIs: this is where folder, token, database and surroundings come together."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from smpki.asn1.curves import CURVES
from smpki.ca.home import Home, Settings
from smpki.ca.pki import Pki
from smpki.ca.store.audit import AuditChain, AuditReport, create_key, read_key, verify
from smpki.ca.store.owner import OwnerLock
from smpki.ca.store.records import AuditEntry, OpenIntent
from smpki.ca.store.store import Store
from smpki.ca.surroundings import Clock, Surroundings
from smpki.db.engine import Engine, check_schema, migrate, open_engine
from smpki.errors import SmpkiError, TokenError
from smpki.hsm.key import KeyUse
from smpki.hsm.pin import random_pin, read_pin, write_pin
from smpki.hsm.softhsm import SoftHsm
from smpki.hsm.token import Token
from smpki.policy.load import load_policy

AUDIT_LABEL = "smpki audit"
"""Label of the token key that signs the heads of the audit chain."""


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
