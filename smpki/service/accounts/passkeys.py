"""Passkeys (WebAuthn level 2): make one, and log in with one. The challenge is kept here and holds once."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from smpki.ca.pki import Pki
from smpki.errors import ServiceError
from smpki.service.accounts.actor import Actor
from smpki.service.accounts.secret import Random, digest_of, new_secret
from smpki.service.accounts.store.accounts import Account, AccountStore
from smpki.service.accounts.store.passkeys import Passkey, PasskeyStore

_HOLDS = timedelta(minutes=5)
_CHALLENGE_OCTETS = 32
_LARGEST_ANSWER = 64 * 1024


@dataclass(frozen=True)
class RelyingParty:
    """Who we are to browsers.

    :param id: the host name that passkeys are bound to, such as ``portal.example``
    :param origin: such as ``https://portal.example``, or ``http://localhost:8080``
    """

    id: str
    origin: str
    name: str = "smpki"


@dataclass(frozen=True)
class Ceremony:
    """What a browser is given.

    :param handle: names the challenge; comes back with the answer
    :param options: JSON for ``navigator.credentials.create`` or ``.get``
    """

    handle: str
    options: str


class Passkeys:
    """Where passkeys are made and used.

    :param random: gives that many random octets
    """

    def __init__(self, pki: Pki, party: RelyingParty, random: Random) -> None:
        self._clock = pki.clock
        self._party = party
        self._random = random
        self._store = pki.store.beside(PasskeyStore)
        self._accounts = pki.store.beside(AccountStore)

    def begin_registration(self, actor: Actor) -> Ceremony:
        """Begin to make a passkey for somebody who is logged in."""
        challenge = self._random(_CHALLENGE_OCTETS)
        known = [PublicKeyCredentialDescriptor(id=bytes.fromhex(one.credential)) for one in self.of(actor)]
        options = generate_registration_options(
            rp_id=self._party.id,
            rp_name=self._party.name,
            user_name=actor.name,
            user_id=actor.account.to_bytes(8, "big"),  # no name in it (WebAuthn 14.6.1)
            challenge=challenge,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=known,
        )
        return Ceremony(self._keep(challenge, actor.account), options_to_json(options))

    def finish_registration(self, actor: Actor, handle: str, answer: str, label: str) -> Passkey:
        """Check what the browser answered, and keep the passkey.

        :param answer: JSON of the credential
        :param label: to tell it from others
        :raises ServiceError: ``service.account.passkey.*``
        """
        challenge = self._take(handle, actor.account)
        try:
            made = verify_registration_response(
                credential=_read(answer),
                expected_challenge=challenge,
                expected_rp_id=self._party.id,
                expected_origin=self._party.origin,
                require_user_verification=True,
            )
        except _BROKEN:
            raise _refused() from None
        key, count = made.credential_public_key, made.sign_count
        return self._store.add(made.credential_id.hex(), actor.account, key, count, label[:100])

    def begin_log_in(self) -> Ceremony:
        """Begin to log somebody in, by whichever passkey the browser has for us."""
        challenge = self._random(_CHALLENGE_OCTETS)
        options = generate_authentication_options(
            rp_id=self._party.id, challenge=challenge, user_verification=UserVerificationRequirement.REQUIRED
        )
        return Ceremony(self._keep(challenge, None), options_to_json(options))

    def finish_log_in(self, handle: str, answer: str) -> Account:
        """Check what the browser answered: whose passkey it is.

        :param answer: JSON of the credential
        :raises ServiceError: ``service.account.passkey.*``
        """
        challenge = self._take(handle, None)
        try:
            credential = _read(answer)
            one = self._store.find(_credential_id(credential))
            if one is None:
                raise _refused()
            used = verify_authentication_response(
                credential=credential,
                expected_challenge=challenge,
                expected_rp_id=self._party.id,
                expected_origin=self._party.origin,
                credential_public_key=one.public_key,
                credential_current_sign_count=one.sign_count,
                require_user_verification=True,
            )
        except _BROKEN:
            raise _refused() from None
        account = self._accounts.get(one.account)
        if account.blocked or not self._store.used(one, used.new_sign_count):
            raise _refused()
        self._accounts.succeeded(account.id)
        return account

    def of(self, actor: Actor) -> Sequence[Passkey]:
        """Somebody's passkeys."""
        return self._store.of(actor.account)

    def remove(self, actor: Actor, credential: str) -> bool:
        """Remove one of somebody's passkeys.

        :return: whether there was one
        """
        return self._store.remove(credential, actor.account)

    def _keep(self, challenge: bytes, account: int | None) -> str:
        handle = new_secret("challenge", self._random)
        self._store.put_challenge(digest_of(handle), challenge, self._clock() + _HOLDS, account)
        return handle

    def _take(self, handle: str, account: int | None) -> bytes:
        challenge = self._store.take_challenge(digest_of(handle), account)
        if challenge is None:
            message, hint = "this was used already, or took too long", "begin again"
            raise ServiceError("service.account.passkey.challenge", message, hint=hint)
        return challenge


# Besides its own, the library lets errors of decoders through: what a browser sends is anybody's.
_BROKEN = (WebAuthnException, ValueError, KeyError, TypeError, IndexError, RecursionError, AttributeError)


def _read(answer: str) -> dict[str, object]:
    if len(answer) > _LARGEST_ANSWER:
        raise ValueError("too large")
    value = json.loads(answer)
    if not isinstance(value, dict):
        raise TypeError("a credential is an object")
    return value


def _credential_id(credential: dict[str, object]) -> str:
    return base64url_to_bytes(str(credential["rawId"])).hex()


def _refused() -> ServiceError:
    message, hint = "this passkey is not one that holds here", "take another one, or log in by password"
    return ServiceError("service.account.passkey.refused", message, hint=hint)
