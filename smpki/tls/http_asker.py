"""An HTTP/1.1 client on h11 and on connections of our own, for those who ask often and briefly.

httpx, which :mod:`smpki.tls.http_client` has for all else, takes for a request as long as it takes to encrypt it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import h11
import httpcore

from smpki.errors import TlsError
from smpki.tls.endpoint import Endpoint
from smpki.tls.http_stream import HttpStream
from smpki.tls.transport import TIMING, Timing, connect

_PIECE = 65536
_LONGEST_HEAD = 100 * 1024  # octets
_WITH_BODY = frozenset(("POST", "PUT", "PATCH"))


class BrokenExchange(TlsError):
    """The other side closed the connection before its answer was whole, or what it sent is no HTTP:
    ``tls.http.broken``."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came.

    :param fields: by their names in lower case; repeated ones joined by commas
    :param body: in its content coding
    """

    status: int
    fields: Mapping[str, str]
    body: bytes


class Asker:
    """Asks one thing after another over one connection, which is made for the first, and anew when it has ended.

    :param reach: makes a connection
    :param host: for the field of that name
    """

    def __init__(self, reach: Callable[[], Awaitable[HttpStream]], host: str) -> None:
        self._reach, self._host = reach, host
        self._stream: HttpStream | None = None
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, if there is one; does not wait for the peer."""
        stream, self._stream = self._stream, None
        if stream:
            stream.transport.close()

    async def ask(
        self,
        method: str,
        target: str,
        fields: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        most: int = 1 << 20,
        sent: Callable[[], None] = lambda: None,
    ) -> Reply:
        """Ask once; who stops waiting ends the connection.

        :param target: path and query
        :param fields: of the request, besides Host and Content-Length
        :param most: octets of the answer's body; of a longer one only so much more is read that this can be seen
        :param sent: called when the request is sent, or as much as the other side takes of it
        :raises BrokenExchange: see there
        :raises TlsError: the connection can't be made, or failed
        """
        head = [("Host", self._host), *fields]
        if body or method in _WITH_BODY:
            head.append(("Content-Length", str(len(body))))
        async with self._turn:
            try:
                stream = await self._connected()
                octets = [
                    self._parser.send(h11.Request(method=method, target=target, headers=head)),
                    self._parser.send(h11.Data(data=body)) if body else b"",
                    self._parser.send(h11.EndOfMessage()),
                ]
                with suppress(httpcore.WriteError):  # it may have answered before it closed
                    await stream.write(b"".join(each or b"" for each in octets))
                sent()
                reply = await self._reply(stream, most)
            except BaseException as error:
                self.close()
                if isinstance(error, h11.ProtocolError):
                    raise _broken(str(error)) from None
                raise
            if self._parser.our_state is self._parser.their_state is h11.DONE:
                self._parser.start_next_cycle()
            else:
                self.close()
            return reply

    async def _connected(self) -> HttpStream:
        if self._stream and self._stream.get_extra_info("is_readable"):
            self.close()
        if self._stream is None:
            self._stream = await self._reach()
            self._parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LONGEST_HEAD)
        return self._stream

    async def _reply(self, stream: HttpStream, most: int) -> Reply:
        status, fields, body = 0, dict[str, str](), bytearray()
        while len(body) <= most:
            match self._parser.next_event():
                case h11.Response(status_code=status, headers=headers):
                    for name, value in headers:
                        text, before = value.decode("latin-1"), fields.get(name.decode("latin-1"))
                        fields[name.decode("latin-1")] = text if before is None else f"{before}, {text}"
                case h11.Data(data=data):
                    body += data
                case h11.EndOfMessage():
                    break
                case h11.NEED_DATA:
                    octets = await stream.read(_PIECE)
                    if not octets and not status:
                        raise _broken("there was no answer")
                    self._parser.receive_data(octets)
        return Reply(status, fields, bytes(body))


def asker(
    endpoint: Endpoint, host: str, port: int, *, server_name: str | None = None, timing: Timing = TIMING
) -> Asker:
    """Asks as the TLS client.

    :param server_name: the name to ask for (SNI)
    """

    async def reach() -> HttpStream:
        stream = HttpStream()
        await connect(lambda: stream, endpoint, host, port, server_name=server_name, timing=timing)
        return stream

    name = server_name or host
    return Asker(reach, f"{f'[{name}]' if ':' in name else name}:{port}")


def asker_over(stream: HttpStream) -> Asker:
    """Asks over one connection there is, and over no other: the session lives and dies with it.

    :param stream: given to :func:`smpki.tls.transport.connect` or ``serve`` as the protocol
    """
    left = [stream]

    async def once() -> HttpStream:
        if not left:
            raise TlsError("tls.http.over", "the connection is over", hint="the other side has to connect again")
        return left.pop()

    return Asker(once, "peer")


def _broken(why: str) -> BrokenExchange:
    return BrokenExchange("tls.http.broken", f"the exchange broke: {why}", hint="see the log of the other side")
