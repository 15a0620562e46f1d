"""PKCS#11 modules in use in this process, and their logins."""

import os
import threading
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

import pkcs11

from smpki.errors import TokenError
from smpki.hsm.module import ModuleChoice
from smpki.hsm.pin import Pin
from smpki.hsm.vendor import refusal

_process_lock = threading.RLock()
_loaded: dict[Path, "LoadedModule"] = {}  # by the library's real path: two spellings are one library to the process


class LoadedModule:
    """A module between its first and its last user in this process; made by :func:`acquire`.

    It is initialised for the first user and finalised after the last, so that the next first user reads the module's
    configuration anew.
    """

    def __init__(self, lib: "pkcs11._pkcs11.lib", choice: ModuleChoice) -> None:
        self.choice = choice
        self.lock: AbstractContextManager[object] = nullcontext() if choice.via_proxy else _process_lock
        """Held for every call into the module. python-pkcs11 initialises modules without locking, and two threads in
        one crash the process; the proxy does its own locking."""
        self.threads = max(2, os.cpu_count() or 2) if choice.via_proxy else 1
        """How many sessions of a token are worth having."""
        self._lib = lib
        self._pid = os.getpid()
        self._users = 0
        self._logins: dict[int, tuple[pkcs11.Session | None, int]] = {}  # by slot: session and number of users

    @property
    def version(self) -> str:
        """The module's own version, such as ``2.6``; the proxy gives p11-kit's."""
        return "{}.{}".format(*self._lib.library_version)

    def find(self, label: str | None) -> pkcs11.Token:
        """The token with this label.

        :param label: ``None``: the only token that users log in to
        :raises TokenError: ``token.missing``, ``token.ambiguous``, or the vendor's
        """
        try:
            with self.lock:
                flags = None if label is not None else pkcs11.TokenFlag.USER_PIN_INITIALIZED
                found = list(self._lib.get_tokens(token_label=label, token_flags=flags))
        except pkcs11.PKCS11Error as error:
            raise refusal(error, "look for the token", label or "") from None
        if not found:
            raise TokenError(
                "token.missing",
                f"the PKCS#11 module {self.choice.path} has no token" + (" with this label" if label else ""),
                where=label or "",
                hint="check the label; SoftHSM needs SOFTHSM2_CONF, and sees no token that was made while it is in use",
            )
        if len(found) > 1 and label is None:
            names = ", ".join(repr(token.label) for token in found)
            raise TokenError("token.ambiguous", f"there are several tokens: {names}", hint="say which by its label")
        if len(found) > 1:
            raise TokenError(
                "token.ambiguous",
                f"{len(found)} tokens have this label",
                where=label or "",
                hint="give the token that you mean a label of its own",
            )
        return found[0]

    def login(self, token: pkcs11.Token, pin: Pin) -> None:
        """Log this process in; PKCS#11 logins hold for all its sessions with the token.

        The session that logged in stays open for the login's sake, and only the last user ends it: to log out ends
        everybody's login. Where the process is logged in already the token does not look at the PIN.

        :raises TokenError: ``token.pin.incorrect`` and others of the vendor's
        """
        slot = token.slot.slot_id
        with _process_lock:
            session, users = self._logins.get(slot, (None, 0))
            if users == 0:
                try:
                    session = token.open(rw=True, user_pin=pin.reveal())
                except pkcs11.UserAlreadyLoggedIn:
                    pass  # somebody else in this process, through the proxy; theirs is not ours to end
                except pkcs11.PKCS11Error as error:
                    raise refusal(error, "log in", token.label) from None
            self._logins[slot] = session, users + 1

    def logout(self, token: pkcs11.Token) -> None:
        """Undo one :meth:`login`."""
        slot = token.slot.slot_id
        with _process_lock:
            session, users = self._logins.pop(slot)
            if users > 1:
                self._logins[slot] = session, users - 1
            elif session is not None:
                with suppress(pkcs11.PKCS11Error):  # a token that was removed has nobody to log out
                    session.close()

    def release(self) -> None:
        """Undo one :func:`acquire`."""
        with _process_lock:
            self._users -= 1
            if self._users == 0:
                del _loaded[self.choice.path.resolve()]
                self._finalise()

    def _finalise(self) -> None:
        with suppress(pkcs11.PKCS11Error):  # after a fork the proxy does not know the parent's initialisation
            self._lib.finalize()


def acquire(choice: ModuleChoice) -> LoadedModule:
    """The module, loaded and initialised; give it back with :meth:`LoadedModule.release`.

    :raises TokenError: ``token.module.missing``, ``token.module.invalid``, ``token.module.in_use``, or the vendor's
    """
    with _process_lock:
        library = choice.path.resolve()
        module = _loaded.get(library)
        if module is not None and module._pid != os.getpid():
            module._finalise()  # what a fork has copied is of no use here
            module = None
        if module is None:
            module = _loaded[library] = LoadedModule(_load(choice.path), choice)
        module._users += 1
        return module


def modules_in_use() -> tuple[Path, ...]:
    """The modules that this process has not given back yet."""
    return tuple(_loaded)


def _load(path: Path) -> "pkcs11._pkcs11.lib":
    try:
        return pkcs11.lib(str(path))
    except pkcs11.PKCS11Error as error:
        if "while loading" not in str(error):
            raise refusal(error, "initialise the PKCS#11 module", str(path)) from None
        raise TokenError(
            "token.module.invalid",
            f"this is not a PKCS#11 module: {error}",
            where=str(path),
            hint="give the vendor's PKCS#11 library, built for this machine",
        ) from None


def _after_fork() -> None:
    global _process_lock
    _process_lock = threading.RLock()  # another thread of the parent may have held it


os.register_at_fork(after_in_child=_after_fork)
