"""A token's sessions; every operation borrows one."""

import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pkcs11

from smpki.errors import TokenError
from smpki.hsm.key import KeyInfo
from smpki.hsm.loading import LoadedModule
from smpki.hsm.vendor import refusal


class Channel:
    """A session, and the handles of the private keys that it has found."""

    def __init__(self, session: pkcs11.Session) -> None:
        self.session = session
        self.keys: dict[KeyInfo, pkcs11.PrivateKey] = {}
        self.age = 0


class Sessions:
    """Sessions of one token, for as many threads as its module can serve at once.

    Finding a key costs as much as half a signature, and a login as much as four; so a session keeps its handles, and
    sessions are kept. The process is logged in by :meth:`LoadedModule.login` before the first is opened.

    :param module: the module
    :param token: the token
    """

    def __init__(self, module: LoadedModule, token: pkcs11.Token) -> None:
        self._module = module
        self._token = token
        self._pid = os.getpid()
        self._permits = threading.Semaphore(module.threads)
        self._idle: deque[Channel] = deque()
        self._age = 0
        self._closed = False

    @contextmanager
    def borrow(self, doing: str) -> Iterator[Channel]:
        """A session for one operation; a vendor's error in it becomes ours, and ends the session.

        :param doing: what the operation is, for the error
        :raises TokenError: ``token.forked``, ``token.closed``, or the vendor's
        """
        if self.foreign:
            # before any lock: the parent's other threads may have held it when they ceased to exist here
            raise TokenError(
                "token.forked",
                f"{doing}: the token was opened in the parent process",
                where=self._token.label,
                hint="open the token in each process that uses it",
            )
        with self._permits, self._module.lock:
            if self._closed:
                raise TokenError(
                    "token.closed", f"{doing}: the token is closed", where=self._token.label, hint="open it again"
                )
            try:
                channel = self._take()
                try:
                    yield channel
                except TokenError:
                    self._idle.append(channel)  # a refusal of ours leaves the session sound
                    raise
                except BaseException:
                    with suppress(pkcs11.PKCS11Error):
                        channel.session.close()
                    raise
            except pkcs11.PKCS11Error as error:
                raise refusal(error, doing, self._token.label) from None
            self._idle.append(channel)

    @property
    def foreign(self) -> bool:
        """Whether these sessions are another process's, copied by a fork."""
        return self._pid != os.getpid()

    def forget_keys(self) -> None:
        """Let every session look its keys up again; a token may give a destroyed key's handle to a new one."""
        self._age += 1

    def close(self) -> None:
        """Close the sessions, after the operations under way; none begins from now on."""
        self._closed = True
        for _ in range(self._module.threads):
            self._permits.acquire()
        with self._module.lock:
            while self._idle:
                with suppress(pkcs11.PKCS11Error):  # a token that was removed has no sessions to close
                    self._idle.pop().session.close()
        self._permits.release(self._module.threads)

    def _take(self) -> Channel:
        try:
            channel = self._idle.pop()
        except IndexError:
            channel = Channel(self._token.open(rw=True))
        if channel.age != self._age:
            channel.keys.clear()
            channel.age = self._age
        return channel
