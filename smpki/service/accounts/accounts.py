"""Accounts from the invitation on: become one, log in, stay logged in, get tokens."""

import re
import secrets
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from pwdlib import PasswordHash

from smpki.ca.pki import Pki
from smpki.errors import PolicyError, ServiceError
from smpki.policy.names import CommonName, DistinguishedName
from smpki.service.accounts.actor import Actor, Role
from smpki.service.accounts.secret import Random, digest_of, new_secret
from smpki.service.accounts.store.accounts import Account, AccountStore, NewAccount
from smpki.service.accounts.store.credentials import Invitations, SessionStore, Token, TokenStore
from smpki.service.accounts.strangers import Strangers

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")
_PARTICIPANTS = ("EMT", "GWA", "GWH")
_PASSWORD = (12, 128)
_AT_ONCE = 4
"""So many passwords are looked at side by side: argon2 takes 64 MiB for each."""


@dataclass(frozen=True)
class Rules:
    """How long things hold, and how many wrong passwords are put up with.

    :param invitation: from invitation to first log-in
    :param idle: a session ends when nobody was seen for so long
    :param session: and so long after it began in any case
    :param token: of scripts, at most and unless they want less
    :param failures: wrong passwords in a row, after which an account waits for :attr:`wait`; with each further one
        twice as long, up to :attr:`longest_wait`
    """

    invitation: timedelta = timedelta(days=14)
    idle: timedelta = timedelta(minutes=30)
    session: timedelta = timedelta(hours=12)
    token: timedelta = timedelta(days=365)
    failures: int = 5
    wait: timedelta = timedelta(seconds=30)
    longest_wait: timedelta = timedelta(hours=1)


class Accounts:
    """All that has to do with who somebody is. Threads may share it.

    :param hasher: of passwords; argon2id by default
    :param random: gives that many random octets
    """

    def __init__(
        self,
        pki: Pki,
        rules: Rules | None = None,
        *,
        hasher: PasswordHash | None = None,
        random: Random = secrets.token_bytes,
    ) -> None:
        self._pki = pki
        self._clock = pki.clock
        self._rules = rules or Rules()
        self._hasher = hasher or PasswordHash.recommended()
        self._random = random
        self._hashing = threading.BoundedSemaphore(_AT_ONCE)
        self._strangers = Strangers()
        self._store = pki.store.beside(AccountStore)
        self._invitations = pki.store.beside(Invitations)
        self._sessions = pki.store.beside(SessionStore)
        self._tokens = pki.store.beside(TokenStore)

    def invite(self, name: str, role: Role, *, by: str, common_name: str | None = None) -> str:
        """Make an account, or let somebody into one that there is, by a one-time invitation.

        :param name: for logging in
        :param by: who invites, as the audit calls it
        :param common_name: CN of the participant that the account acts for
        :return: the invitation; it is told this once
        :raises ServiceError: ``service.account.name``, ``.role``, ``.participant``
        """
        if not _NAME.fullmatch(name):
            message, hint = "this is no name for an account", "up to 100 letters, digits and . _ @ + -"
            raise ServiceError("service.account.name", message, where="name", hint=hint)
        if (role is Role.PARTICIPANT) != (common_name is not None):
            message, hint = "an account of a participant, and no other, names that participant", "give its CN"
            raise ServiceError("service.account.participant", message, where="participant", hint=hint)
        if common_name is not None:
            _check_participant(common_name)
        key = self.subject_key(common_name) if common_name else None
        account = self._store.find(name)
        if account is None:
            new = NewAccount(name=name, role=role, subject_key=key, common_name=common_name)
            account = self._store.add(new)
        elif (account.role, account.subject_key) != (role, key):
            message, hint = "the account has another role, or is another participant's", "choose another name"
            raise ServiceError("service.account.role", message, where=name, hint=hint)
        return self._invitation(account, by)

    def join(self, invitation: str, password: str | None = None) -> Account:
        """Use an invitation up: whoever has it is the account's owner.

        :param password: to be set; ``None``: a passkey or token comes now, in the same visit
        :raises ServiceError: ``service.account.invitation``: it never was, was used, or has expired;
            ``service.account.password.length``: the invitation still holds
        """
        password_hash = None if password is None else self._hash(password)
        account = self._invitations.use(digest_of(invitation))
        if account is None:
            message, hint = "this invitation does not hold: it was used, or has expired", "ask for another one"
            raise ServiceError("service.account.invitation", message, where="invitation", hint=hint)
        if password_hash is not None:
            self._store.set_password(account.id, password_hash)
        return account

    def set_password(self, actor: Actor, password: str) -> None:
        """Set or change the password; all sessions end, this one too.

        :raises ServiceError: ``service.account.password.length``
        """
        self._store.set_password(actor.account, self._hash(password))

    def log_in(self, name: str, password: str) -> Account:
        """Who has this name and password.

        A wrong name takes as long as a wrong password, gets the same answer, and makes one wait as much.

        :raises ServiceError: ``service.account.credentials``; ``service.account.throttled``: too many were wrong
        """
        account = self._store.find(name)
        now = self._clock()
        locked_until = self._strangers.locked_until(name) if account is None else account.locked_until
        if locked_until is not None and locked_until > now:
            raise throttled((locked_until - now).total_seconds())
        kept = account.password_hash if account is not None else None
        with self._hashing:
            right = self._hasher.verify(_octets(password[: _PASSWORD[1] + 1]), kept or self._nobodys_hash)
        if account is None or kept is None or not right or account.blocked:
            if account is None:
                self._strangers.failed(name, self._waits)
            else:
                self._store.failed(account.id, self._waits)
            message, hint = "name or password is wrong", "see to capital letters; after some tries one has to wait"
            raise ServiceError("service.account.credentials", message, hint=hint)
        self._store.succeeded(account.id)
        return account

    def open_session(self, account: Account) -> str:
        """Let somebody stay logged in.

        :return: the session's secret, for a cookie
        """
        secret = new_secret("session", self._random)
        self._sessions.clean(self._rules.idle)
        self._sessions.put(digest_of(secret), account.id)
        return secret

    def session(self, secret: str) -> Actor | None:
        """Who is logged in with this secret; ``None``: nobody, or not any more."""
        account = self._sessions.find(digest_of(secret), self._rules.idle, self._rules.session)
        return account.actor if account else None

    def end_session(self, secret: str) -> None:
        """Log out."""
        self._sessions.end(digest_of(secret))

    def new_token(self, actor: Actor, label: str, lifetime: timedelta | None = None) -> tuple[str, Token]:
        """Make a token for scripts.

        :param label: to tell it from others
        :param lifetime: ``None``: as long as the rules let it
        :return: the token, told this once, and what is kept of it
        :raises ServiceError: ``service.account.token.lifetime``, ``.machine``
        """
        lifetime = self._rules.token if lifetime is None else lifetime
        if not timedelta() < lifetime <= self._rules.token:
            message = f"a token holds at most {self._rules.token.days} days"
            raise ServiceError("service.account.token.lifetime", message, where="lifetime", hint="ask for less")
        if not actor.account:
            message, hint = "who comes with a certificate has no account", "go on with the certificate"
            raise ServiceError("service.account.token.machine", message, hint=hint)
        secret = new_secret("token", self._random)
        return secret, self._tokens.put(digest_of(secret), actor.account, label, self._clock() + lifetime)

    def token(self, secret: str) -> Actor | None:
        """Whose token it is; ``None``: nobody's, or not any more."""
        account = self._tokens.find(digest_of(secret))
        return account.actor if account else None

    @property
    def tokens(self) -> TokenStore:
        """The tokens."""
        return self._tokens

    @property
    def store(self) -> AccountStore:
        """The accounts."""
        return self._store

    def subject_key(self, common_name: str) -> str:
        """The identity of a participant of this PKI, by its CN."""
        organization = self._pki.policy.environments[self._pki.environment].organization.value
        return DistinguishedName.of(CN=common_name, O=organization).key()

    def _hash(self, password: str) -> str:
        shortest, longest = _PASSWORD
        if not shortest <= len(password) <= longest:
            message = f"a password has {shortest} to {longest} characters"
            raise ServiceError("service.account.password.length", message, where="password", hint="take a sentence")
        with self._hashing:
            return self._hasher.hash(_octets(password))

    def _invitation(self, account: Account, by: str) -> str:
        secret = new_secret("invitation", self._random)
        self._invitations.put(digest_of(secret), account.id, self._clock() + self._rules.invitation, by)
        return secret

    @property
    def _waits(self) -> dict[int, datetime]:
        now, rules = self._clock(), self._rules
        waits = [min(rules.longest_wait, rules.wait * (1 << step)) for step in range(8)]
        return {rules.failures + step: now + wait for step, wait in enumerate(waits)}

    @cached_property
    def _nobodys_hash(self) -> str:
        return self._hasher.hash(self._random(16))


def throttled(seconds: float) -> ServiceError:
    """Too many were wrong."""
    message = f"too many tries failed: wait {max(1, round(seconds))} seconds"
    return ServiceError("service.account.throttled", message, hint="then try again")


def _check_participant(common_name: str) -> None:
    try:
        scheme = CommonName.parse(common_name).scheme
    except PolicyError:
        scheme = ""
    if scheme not in _PARTICIPANTS:
        message, hint = "this is no participant's CN", "such as ORGANISATION.EMT, as it is registered"
        raise ServiceError("service.account.participant", message, where="participant", hint=hint)


def _octets(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
