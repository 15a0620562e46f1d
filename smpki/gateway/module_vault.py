"""A security module's part of a vault: held alone, read when needed, tidied up before it is changed."""

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.errors import GatewayError, TokenError
from smpki.gateway.module_contents import Contents, HeldKey, read_contents
from smpki.gateway.slots import Group, Slot
from smpki.hsm.key import TokenKey
from smpki.hsm.vault import ObjectKind, StoredObject, Vault


class ModuleVault:
    """What belongs to one security module, and nobody else's business until it is closed.

    All its labels begin with the name and a space; whatever begins so is the module's.

    :raises GatewayError: ``module.record.unknown``
    :raises TokenError: ``token.claimed``, or what the vault refuses
    """

    def __init__(self, vault: Vault, name: str) -> None:
        self.vault = vault
        self.name = name
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._known: Contents | None = None
        self._handles: dict[bytes, TokenKey] = {}
        self._sequences: dict[Group, int] = {}
        self._closed = False
        self._claim = vault.claim(name)
        try:
            self._contents()
        except BaseException:
            self._claim.release()
            raise

    def check(self) -> None:
        """Refuse to work in a forked copy, or after the end.

        :raises GatewayError: ``module.forked``, ``module.closed``
        """
        if os.getpid() != self._pid:
            raise GatewayError(
                "module.forked",
                "the module was opened in the parent process",
                where=self.name,
                hint="one process works with the module: the one that opened it",
            )
        if self._closed:
            raise GatewayError("module.closed", "the module is closed", where=self.name, hint="open it again")

    @contextmanager
    def reading(self) -> Iterator[Contents]:
        """What is there; nobody changes it within."""
        self.check()  # before the lock, which a thread of the parent may have held
        with self._lock:
            yield self._contents()

    @contextmanager
    def changing(self) -> Iterator[Contents]:
        """What is there at this moment, without what interruptions left. After what is done within it is read again."""
        self.check()
        with self._lock:
            try:
                self._known = None
                contents = self._contents()
                self._tidy_up(contents)
                yield contents
            finally:
                self._known = None
            self._contents()  # what is current now must not be lost from now on

    def handle(self, held: HeldKey) -> TokenKey:
        """The handle of a key; within :meth:`reading` or :meth:`changing`."""
        key_id = held.info.key_id
        if key_id not in self._handles:
            self._handles[key_id] = self.vault.key(label=held.info.label, key_id=key_id)
        return self._handles[key_id]

    def generate(self, label: str, slot: Slot, curve: ec.EllipticCurve) -> TokenKey:
        """Make a slot's key, and have its handle from then on; within :meth:`changing`."""
        key = self.vault.generate(label, curve, slot.key_use)
        self._handles[key.info.key_id] = key
        return key

    def is_whole(self, held: HeldKey) -> bool:
        """Whether a key has its public half; within :meth:`reading` or :meth:`changing`."""
        try:
            self.handle(held)
        except TokenError as error:
            if error.code != "token.key.public_half":
                raise
            return False
        return True

    def store(self, objects: Sequence[StoredObject]) -> None:
        """Store objects, if there are any; within :meth:`changing`."""
        if objects:
            self.vault.store(*objects)

    def destroy(self, keys: Iterable[HeldKey]) -> None:
        """Destroy keys with their certificates; within :meth:`changing`."""
        for held in keys:
            self.vault.destroy(held.info)
            if held.certificate is not None:
                # it comes last: a certificate without a key is found later and dropped
                value = held.certificate.public_bytes(Encoding.DER)
                self.vault.drop(StoredObject(ObjectKind.CERTIFICATE, held.info.label, value, held.info.key_id))

    def close(self) -> None:
        """Let others have it; a second time does nothing."""
        with self._lock:
            self._closed = True
            self._claim.release()

    def _contents(self) -> Contents:
        if self._known is None:
            contents = read_contents(self.name, self.vault.keys(), self.vault.objects())
            self._check_not_older(contents)
            there = {held.info.key_id for keys in contents.keys.values() for held in keys}
            self._handles = {key_id: handle for key_id, handle in self._handles.items() if key_id in there}
            self._known = contents
        return self._known

    def _check_not_older(self, contents: Contents) -> None:
        """A token that was removed can look like an empty one."""
        for group in Group:
            if contents.sequence(group) < self._sequences.get(group, 0):
                raise GatewayError(
                    "module.contents.older",
                    "the token has lost what was current, or is another one now",
                    where=f"{self.vault.label}: {self.name} {group.value}",
                    hint="connect the right token; look who else writes to it",
                )
            self._sequences[group] = contents.sequence(group)

    def _tidy_up(self, contents: Contents) -> None:
        for slot in contents.keys:
            self.destroy(contents.superseded(slot))
        for each in contents.leftovers:
            self.vault.drop(each)
        self.vault.sweep(f"{self.name} ")
