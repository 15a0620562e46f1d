"""The token's one owner in this process."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pkcs11
from asn1crypto.core import OctetString
from cryptography.hazmat.primitives.asymmetric import ec
from pkcs11 import Attribute, KeyType, MechanismFlag, ObjectClass
from pkcs11.mechanisms import Mechanism

from smpki.asn1.curves import CURVES
from smpki.errors import TokenError
from smpki.hsm.ecdh import shared_secret
from smpki.hsm.filelock import exclusive
from smpki.hsm.key import KeyInfo, KeyUse, TokenKey
from smpki.hsm.loading import LoadedModule, acquire
from smpki.hsm.lookup import EC_PARAMS, private_keys, template
from smpki.hsm.module import find_module
from smpki.hsm.pin import Pin
from smpki.hsm.sessions import Channel, Sessions

__all__ = ["KeyInfo", "KeyUse", "Token", "TokenInfo", "TokenKey"]

_NEEDED = {
    Mechanism.EC_KEY_PAIR_GEN: "CKM_EC_KEY_PAIR_GEN",
    Mechanism.ECDSA: "CKM_ECDSA",
    Mechanism.ECDH1_DERIVE: "CKM_ECDH1_DERIVE",
}
_PASSING = frozenset(
    {
        "token.missing",
        "token.removed",
        "token.pkcs11.general_error",
        "token.pkcs11.function_failed",
        "token.pkcs11.token_not_recognized",
    }
)
"""What SoftHSM says while a process that does not keep to our lock rewrites the token's file."""
_COLLISIONS = frozenset(
    {"token.pkcs11.general_error", "token.pkcs11.function_failed", "token.pkcs11.template_inconsistent"}
)
"""What SoftHSM says, too, when it makes a key while another thread makes it look at its folder anew."""
_ATTEMPTS = 4
_PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class TokenInfo:
    """What a token is and can do.

    :param label: the token's label
    :param manufacturer: who made the token
    :param model: the token's model
    :param serial: the token's serial number
    :param module: the PKCS#11 library
    :param via_proxy: the library is p11-kit's proxy
    :param library_version: of the library; p11-kit's for the proxy
    :param firmware_version: of the token
    :param mechanisms: the PKCS#11 mechanisms that are needed here, and whether the token offers them
    :param key_count: private keys on the curves of :data:`smpki.asn1.curves.CURVES`
    """

    label: str
    manufacturer: str
    model: str
    serial: str
    module: Path
    via_proxy: bool
    library_version: str
    firmware_version: str
    mechanisms: Mapping[str, bool]
    key_count: int


class Token:
    """A token that this process is logged in to; a context manager. :meth:`open` makes it.

    Threads may share it: through p11-kit's proxy their operations run side by side, otherwise one after another.
    Processes open it each for themselves; a copy that a fork made refuses.
    """

    def __init__(self, module: LoadedModule, token: pkcs11.Token, lock: Path) -> None:
        self._module = module
        self._token = token
        self.lock = lock
        """The lock file of all processes that use the token; on the file system of its files."""
        self._sessions = Sessions(module, token)
        self._open = True

    @classmethod
    def open(cls, module: str | None, label: str | None, pin: Pin, *, lock: Path) -> Self:
        """Log in to a token.

        :param module: name or path of the PKCS#11 module, as :func:`smpki.hsm.module.find_module` takes it
        :param label: the token's label; ``None``: the only one that the module has
        :param pin: the user's PIN; it is not kept
        :param lock: a lock file that all processes share which use the token, on the file system of the token's files
            (:attr:`smpki.hsm.softhsm.SoftHsm.lock`)
        :raises TokenError: ``token.missing``, ``token.ambiguous``, ``token.full``, ``token.pin.*``,
            ``token.module.*``, ``token.lock.*``, or the vendor's
        """
        choice = find_module(module)
        with exclusive(lock):
            for _ in range(_ATTEMPTS - 1):
                try:
                    return cls(*_log_in(acquire(choice), label, pin), lock)
                except TokenError as error:
                    if error.code not in _PASSING:
                        raise
                time.sleep(_PAUSE_SECONDS)
            return cls(*_log_in(acquire(choice), label, pin), lock)

    @property
    def label(self) -> str:
        """The token's label."""
        return self._token.label

    def generate(self, label: str, curve: ec.EllipticCurve, use: KeyUse) -> TokenKey:
        """Make a key pair in the token. The private key is sensitive and can never be extracted.

        CKA_ID is 16 random octets of the token, and not a hash of the public key: it has to be in the template, when
        the public key does not exist yet, so that no crash can leave a key without it.

        :param label: for both halves; no private key of the token may have it yet (a public one may: it is all that a
            process leaves behind which was killed in here)
        :param curve: one of :data:`smpki.asn1.curves.CURVES`
        :param use: what the key may do
        :raises TokenError: ``token.key.exists``, ``token.key.curve``, ``token.key.attributes``, ``token.full``, or the
            vendor's
        """
        if curve.name not in CURVES:
            raise TokenError(
                "token.key.curve",
                f"no keys are made on {curve.name}",
                where=label,
                hint=f"choose one of {', '.join(CURVES)} (BSI TR-03116-3 table 4)",
            )
        with exclusive(self.lock):
            with self._sessions.borrow("generate a key") as channel:
                if list(channel.session.get_objects(template(ObjectClass.PRIVATE_KEY, label, None))):
                    raise TokenError(
                        "token.key.exists",
                        "the token has a private key with this label",
                        where=f"{self.label}: {label}",
                        hint="choose another label, or destroy the key that has it",
                    )
                info = KeyInfo(label, channel.session.generate_random(128), curve.name, use)
            for _ in range(_ATTEMPTS - 1):
                try:
                    return self._generate(info)
                except TokenError as error:
                    if error.code not in _COLLISIONS:
                        raise
                self._clean_up(info)
                time.sleep(_PAUSE_SECONDS)
            return self._generate(info)

    def key(self, *, label: str | None = None, key_id: bytes | None = None) -> TokenKey:
        """The private key with this label, this CKA_ID, or both.

        :raises TokenError: ``token.key.missing``, ``token.key.ambiguous``, ``token.key.unspecified``,
            ``token.key.public_half``, or the vendor's
        """
        if label is None and key_id is None:
            raise TokenError("token.key.unspecified", "no key was named", where=self.label, hint="give label or key_id")
        with self._sessions.borrow("find a key") as channel:
            found = list(private_keys(channel, label=label, key_id=key_id))
            if not found:
                raise self._missing(label, key_id)
            if len(found) > 1:
                raise TokenError(
                    "token.key.ambiguous",
                    f"{len(found)} keys have this label or identifier",
                    where=f"{self.label}: {_name(label, key_id)}",
                    hint="name the key by label and identifier",
                )
            ((info, private),) = found
            channel.keys[info] = private
            return self._token_key(channel, info)

    def keys(self) -> tuple[KeyInfo, ...]:
        """The private keys on the curves of :data:`smpki.asn1.curves.CURVES`, by label.

        :raises TokenError: the vendor's
        """
        with self._sessions.borrow("list the keys") as channel:
            return tuple(
                sorted((info for info, _ in private_keys(channel)), key=lambda info: (info.label, info.key_id))
            )

    def key_id(self, key: ec.EllipticCurvePrivateKey) -> bytes:
        """The CKA_ID of a key of this token.

        :raises TokenError: ``token.key.foreign``
        """
        return self._own(key).key_id

    def destroy(self, key: ec.EllipticCurvePrivateKey | KeyInfo) -> None:
        """Destroy both halves of a key pair, for good.

        :param key: the key, or which one it is: what has lost its public half gives no key any more
        :raises TokenError: ``token.key.foreign``, ``token.key.missing``, ``token.full``, or the vendor's
        """
        info = key if isinstance(key, KeyInfo) else self._own(key)
        with exclusive(self.lock), self._sessions.borrow("destroy a key") as channel:
            self._destroy(channel, info)

    def info(self) -> TokenInfo:
        """What the token is and can do.

        :raises TokenError: the vendor's
        """
        with self._sessions.borrow("describe the token"):
            offered = self._token.slot.get_mechanisms()
            firmware = self._token.firmware_version
        return TokenInfo(
            label=self.label,
            manufacturer=self._token.manufacturer_id,
            model=self._token.model,
            serial=self._token.serial.decode(errors="replace"),
            module=self._module.choice.path,
            via_proxy=self._module.choice.via_proxy,
            library_version=self._module.version,
            firmware_version="{}.{}".format(*firmware),
            mechanisms={name: mechanism in offered for mechanism, name in _NEEDED.items()},
            key_count=len(self.keys()),
        )

    @contextmanager
    def channel(self, doing: str, *, changing: bool = False) -> Iterator[Channel]:
        """A session for one operation, for what else of this package works on tokens.

        :param doing: what the operation is, for the error
        :param changing: it changes what the token holds: hold the lock
        :raises TokenError: ``token.forked``, ``token.closed``, ``token.full``, ``token.lock.*``, or the vendor's
        """
        with exclusive(self.lock) if changing else nullcontext(), self._sessions.borrow(doing) as channel:
            yield channel

    def close(self) -> None:
        """Log out and give the module back, after the operations under way; a second time does nothing."""
        if self._open and not self._sessions.foreign:
            self._open = False
            self._sessions.close()
            self._module.logout(self._token)
            self._module.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Token {self.label!r} of {self._module.choice.path}>"

    def sign_digest(self, key: KeyInfo, digest: bytes) -> bytes:
        """For :class:`TokenKey`: the signature of a digest, as r || s."""
        with self._sessions.borrow("sign") as channel:
            signature: bytes = self._private(channel, key).sign(digest, mechanism=Mechanism.ECDSA)
            return signature

    def derive(self, key: KeyInfo, point: bytes) -> bytes:
        """For :class:`TokenKey`: the ECDH shared secret with an uncompressed point."""
        with self._sessions.borrow("derive") as channel:
            return shared_secret(self._private(channel, key), point)

    def _own(self, key: ec.EllipticCurvePrivateKey) -> KeyInfo:
        if not isinstance(key, TokenKey) or key.owner is not self:
            raise TokenError(
                "token.key.foreign", "the key is not of this token", where=self.label, hint="ask the token that owns it"
            )
        return key.info

    def _private(self, channel: Channel, info: KeyInfo) -> Any:
        if info not in channel.keys:
            channel.keys.update(private_keys(channel, label=info.label, key_id=info.key_id))
        try:
            return channel.keys[info]
        except KeyError:
            raise self._missing(info.label, info.key_id) from None

    def _token_key(self, channel: Channel, info: KeyInfo) -> TokenKey:
        halves = list(channel.session.get_objects(template(ObjectClass.PUBLIC_KEY, info.label, info.key_id)))
        try:
            (public,) = halves
            point = OctetString.load(public[Attribute.EC_POINT]).native
            return TokenKey(self, info, ec.EllipticCurvePublicKey.from_encoded_point(CURVES[info.curve], point))
        except ValueError:
            raise TokenError(
                "token.key.public_half",
                "the token has not exactly one public key, with a point on the curve, for this private key",
                where=f"{self.label}: {info.label}",
                hint="write the public key into the token, with the private key's label and CKA_ID",
            ) from None

    def _generate(self, info: KeyInfo) -> TokenKey:
        """Make a key pair, under the lock."""
        with self._sessions.borrow("generate a key") as channel:
            parameters = channel.session.create_domain_parameters(
                KeyType.EC, {Attribute.EC_PARAMS: EC_PARAMS[info.curve]}, local=True
            )
            _, private = parameters.generate_keypair(
                id=info.key_id,
                label=info.label,
                store=True,
                mechanism=Mechanism.EC_KEY_PAIR_GEN,
                capabilities=_capabilities(info.use),
                public_template={Attribute.PRIVATE: False},
                private_template={
                    Attribute.PRIVATE: True,
                    Attribute.SENSITIVE: True,
                    Attribute.EXTRACTABLE: False,
                },
            )
            if not private[Attribute.NEVER_EXTRACTABLE] or not private[Attribute.ALWAYS_SENSITIVE]:
                self._destroy(channel, info)
                raise TokenError(
                    "token.key.attributes",
                    "the token made a key that could leave it, against our template; the key was destroyed",
                    where=f"{self.label}: {info.label}",
                    hint="ask the vendor for a setting that honours CKA_SENSITIVE and CKA_EXTRACTABLE",
                )
            return self._token_key(channel, info)

    def _clean_up(self, info: KeyInfo) -> None:
        """Destroy what an attempt has left of a key pair that nobody knows yet."""
        with self._sessions.borrow("generate a key") as channel:
            for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY):
                for half in list(channel.session.get_objects(template(kind, info.label, info.key_id))):
                    half.destroy()

    def _destroy(self, channel: Channel, info: KeyInfo) -> None:
        private = list(channel.session.get_objects(template(ObjectClass.PRIVATE_KEY, info.label, info.key_id)))
        if not private:
            raise self._missing(info.label, info.key_id)
        public = list(channel.session.get_objects(template(ObjectClass.PUBLIC_KEY, info.label, info.key_id)))
        try:
            for half in private + public:
                half.destroy()
        finally:
            self._sessions.forget_keys()

    def _missing(self, label: str | None, key_id: bytes | None) -> TokenError:
        return TokenError(
            "token.key.missing",
            "the token has no such private key",
            where=f"{self.label}: {_name(label, key_id)}",
            hint="`smpki hsm info` shows what the token holds",
        )


def _log_in(module: LoadedModule, label: str | None, pin: Pin) -> tuple[LoadedModule, pkcs11.Token]:
    try:
        token = module.find(label)
        module.login(token, pin)
    except BaseException:
        module.release()
        raise
    return module, token


def _capabilities(use: KeyUse) -> MechanismFlag:
    flags = MechanismFlag(0)
    if KeyUse.SIGN in use:
        flags |= MechanismFlag.SIGN | MechanismFlag.VERIFY
    if KeyUse.DERIVE in use:
        flags |= MechanismFlag.DERIVE
    return flags


def _name(label: str | None, key_id: bytes | None) -> str:
    return " ".join(part for part in (label, key_id.hex() if key_id is not None else None) if part)
