"""A client of LDAP over TLS or a local socket: asked from many tasks, answered in any order."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote, urlsplit

from smpki.errors import SmpkiError, TlsError
from smpki.service.publishing import ldap_messages as messages
from smpki.service.publishing.directory_errors import NO_SUCH_ENTRY, DirectoryRefused, lost, unreachable
from smpki.service.publishing.ldap_messages import Attributes, Change, Entry, LdapSyntaxError, Result
from smpki.tls.endpoint import Endpoint
from smpki.tls.profile import WAN_CLIENT
from smpki.tls.transport import connect

PROFILE = replace(WAN_CLIENT, name="directory client", certificate_curves=("brainpoolP256r1", "secp256r1"))
"""TLS to a directory: with certificates of the SM-PKI, or ordinary ones where it does not know their curves."""

_LDAPS = 636
_PAGE = 500
_LONGEST_MESSAGE = 256 * 1024 * 1024  # a CRL of several million entries
_END = "extended_done"  # the only one that comes unasked: the notice of disconnection (RFC 4511 4.4.1)


@dataclass(frozen=True)
class Place:
    """Where a directory listens.

    :param host: ``None`` for a local socket
    :param socket: its path
    """

    host: str | None
    port: int = _LDAPS
    socket: str = ""

    @classmethod
    def parse(cls, url: str) -> "Place":
        """Read ``ldaps://HOST[:PORT]`` or ``ldapi://PATH``, the path with ``%2F`` for ``/``.

        :raises SmpkiError: ``publish.url``
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or _LDAPS
        except ValueError:
            parts, host, port = urlsplit(""), None, 0
        if not parts.path.strip("/") and not parts.query and not parts.username:
            if parts.scheme == "ldaps" and host:
                return cls(host, port)
            if parts.scheme == "ldapi" and parts.netloc:
                return cls(None, 0, unquote(parts.netloc))
        message = f"{url!r} is no address of a directory that one can publish to"
        hint = "ldaps://HOST[:PORT], or ldapi://%2Frun%2Fslapd%2Fldapi on the same computer; others may be overheard"
        raise SmpkiError("publish.url", message, hint=hint)

    def __str__(self) -> str:
        return self.socket or f"{self.host} port {self.port}"


@asynccontextmanager
async def connection_to(place: Place, endpoint: Endpoint | None, patience: float) -> AsyncIterator["LdapConnection"]:
    """A connection as long as the context lasts.

    :param endpoint: our side of TLS, for a place with a host
    :param patience: seconds that an answer may take
    :raises SmpkiError: ``publish.directory.unreachable``
    :raises TlsError: what TLS refuses
    """
    connection = LdapConnection(str(place), patience)
    try:
        if endpoint is not None and place.host is not None:
            await connect(lambda: connection, endpoint, place.host, place.port)
        else:
            async with asyncio.timeout(patience):
                await asyncio.get_running_loop().create_unix_connection(lambda: connection, place.socket)
    except TimeoutError:
        raise unreachable(str(place), f"no answer within {patience:g} seconds") from None
    except TlsError as error:
        if error.code != "tls.transport.unreachable":
            raise
        raise unreachable(str(place), error.message.removeprefix("can't connect: ")) from None
    except OSError as error:
        raise unreachable(str(place), os.strerror(error.errno) if error.errno else "no connection") from None
    try:
        yield connection
    finally:
        await connection.close()


class LdapConnection(asyncio.Protocol):
    """One connection to a directory; :func:`connection_to` makes it.

    Every operation raises :class:`DirectoryRefused` for what the directory refuses, and ``publish.directory.lost`` when
    the connection has ended or nothing came for too long.

    :param where: the directory, for messages
    :param patience: seconds that an answer may take
    """

    _transport: asyncio.Transport

    def __init__(self, where: str, patience: float) -> None:
        self.where = where
        self._patience = patience
        self._received = bytearray()
        self._numbers = 0
        self._waiting: dict[int, asyncio.Queue[Entry | Result | None]] = {}
        self._over: SmpkiError | None = None
        self._closed = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    # operations

    async def bind(self, name: str = "", password: str | None = None) -> None:
        """Say who we are.

        :param password: of the name; ``None``: who the connection says we are, by certificate or local user
        """
        await self._ask(messages.bind(name, password), name or "bind")

    async def read(self, name: str, attributes: Iterable[str] = ("*",)) -> Entry | None:
        """One entry; ``None`` when there is none."""
        try:
            found, _ = await self._ask(messages.search(name, 0, "objectClass", attributes), name)
        except DirectoryRefused as error:
            if error.result == NO_SUCH_ENTRY:
                return None
            raise
        return found[0] if found else None

    async def below(self, base: str, present: str, attributes: Iterable[str]) -> AsyncIterator[Entry]:
        """The entries at and below a base that have an attribute, page by page."""
        question, cookie = messages.search(base, 2, present, attributes), b""
        while True:
            found, result = await self._ask(question, base, (_PAGE, cookie))
            for entry in found:
                yield entry
            if not (cookie := result.cookie):
                return

    async def add(self, name: str, attributes: Attributes) -> None:
        """Make an entry."""
        await self._ask(messages.add(name, attributes), name)

    async def modify(self, name: str, changes: Iterable[Change]) -> None:
        """Change an entry, wholly or not at all."""
        await self._ask(messages.modify(name, changes), name)

    async def delete(self, name: str) -> None:
        """Take an entry away."""
        await self._ask(messages.delete(name), name)

    async def close(self) -> None:
        """Say goodbye and end the connection."""
        if not self._closed.is_set():
            self._transport.write(messages.encode(self._next(), messages.unbind()))
            self._transport.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), self._patience)

    # called by the transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """It begins."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take octets from the directory."""
        self._received += data
        try:
            while (octets := messages.length(self._received)) is not None and octets <= len(self._received):
                number, answer = messages.decode(bytes(self._received[:octets]))
                del self._received[:octets]
                self._take(number, answer)
            if octets is not None and octets > _LONGEST_MESSAGE:
                raise LdapSyntaxError(f"a message has more than {_LONGEST_MESSAGE} octets")
        except LdapSyntaxError as error:
            self._end(lost(self.where, str(error)))

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        if isinstance(exc, TlsError) and not exc.code.startswith(("tls.transport.", "tls.truncated")):
            self._end(exc)
        else:
            self._end(lost(self.where, "the other side closed it" if exc is None else "it broke"))
        self._closed.set()

    def pause_writing(self) -> None:
        """The directory takes less than is written."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The directory has caught up."""
        self._writable.set()

    # its own doings

    async def _ask(
        self, operation: Mapping[str, Any], where: str, page: tuple[int, bytes] | None = None
    ) -> tuple[list[Entry], Result]:
        """The entries that come to a question, and how it ends."""
        entries: list[Entry] = []
        number = self._next()
        queue = self._waiting[number] = asyncio.Queue()
        try:
            async with asyncio.timeout(self._patience):
                await self._writable.wait()
            if self._over is None:
                self._transport.write(messages.encode(number, operation, page))
            while self._over is None:
                async with asyncio.timeout(self._patience):
                    answer = await queue.get()
                if isinstance(answer, Entry):
                    entries.append(answer)
                elif isinstance(answer, Result):
                    if answer.code:
                        raise DirectoryRefused(answer.code, answer.message, f"{self.where}: {where}")
                    return entries, answer
            raise self._over
        except TimeoutError:
            raise self._end(lost(self.where, f"no answer within {self._patience:g} seconds")) from None
        finally:
            del self._waiting[number]

    def _next(self) -> int:
        self._numbers += 1
        return self._numbers

    def _take(self, number: int, answer: Entry | Result | None) -> None:
        if isinstance(answer, Result) and answer.operation == _END:
            raise LdapSyntaxError(f"the directory ends it: {answer.message or answer.code}")
        if number in self._waiting:
            self._waiting[number].put_nowait(answer)

    def _end(self, why: SmpkiError) -> SmpkiError:
        """Tell whoever waits why it is over; the first reason counts."""
        self._over = self._over or why
        self._writable.set()
        for queue in self._waiting.values():
            queue.put_nowait(None)
        self._transport.abort()
        return self._over
