"""How gateway, administrator and market participant ask as HTTP clients, and what an answer's status tells them.

Detailspezifikationen zur TR-03109-1, 6.3. Below is h11, which knows HTTP's syntax (:mod:`smpki.tls.http_asker`).
"""

import asyncio
import enum
from dataclasses import dataclass
from functools import partial

from smpki.errors import GatewayError, TlsError
from smpki.gateway.content_coding import compress, decode
from smpki.gateway.http_message import Model, parse_json
from smpki.gateway.http_refusal import HttpRefusal
from smpki.gateway.media_type import JSON, XML, MediaType
from smpki.tls.http_asker import Asker, BrokenExchange, Reply

_AGAIN = "try again later; see the log of the other side"


class Outcome(enum.Enum):
    """What the asker does about a status (RFC 9110 chapter 15 and table 6.2)."""

    DONE = "done"
    REFUSED = "refused"
    """Asked again unchanged, the answer would be the same."""
    TRY_AGAIN = "try again"

    @classmethod
    def of(cls, status: int) -> "Outcome":
        """What a status means; one that is not known means what the first of its hundred means."""
        if 200 <= status < 300:
            return cls.DONE
        return cls.TRY_AGAIN if status >= 500 or status in (408, 429) else cls.REFUSED


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    :param body: without its content coding
    """

    status: int
    body: bytes = b""
    content_type: MediaType | None = None

    @property
    def outcome(self) -> Outcome:
        """What to do about it."""
        return Outcome.of(self.status)

    def json(self, model: type[Model]) -> Model:
        """The body as the model.

        :raises NoAnswer: ``http.client.answer``: it is something else
        """
        if self.content_type is None or not self.content_type.is_a(JSON):
            raise _unreadable("it is not JSON")
        try:
            return parse_json(self.body, model)
        except HttpRefusal as refusal:
            raise _unreadable(f"{refusal.where}: {refusal.message}" if refusal.where else refusal.message) from None


class NoAnswer(GatewayError):
    """There was no answer, or none that can be read; what was asked for may have happened all the same.

    ``http.client.late``, ``http.client.broken``, ``http.client.answer``, or ``tls.*`` as TLS says it. Try again.
    """


@dataclass(frozen=True, slots=True)
class Manners:
    """How to ask.

    :param coding: what POST calls compression by RFC 1952, which others know as "gzip"; "zlib" is the specification's
        word (REQ.Webservice.HttpClient.130)
    :param sending: seconds for connecting and sending; large messages take theirs on slow lines
    :param answer: seconds from there to the end of the answer (REQ.Webservice.HttpServer.190)
    :param body: octets of an answer's body, as it comes and as it is unpacked
    """

    coding: str = "zlib"
    sending: float = 300.0
    answer: float = 20.0
    body: int = 1 << 20


class Caller:
    """Asks, with no more header fields than the other side needs (REQ.Webservice.HttpClient.90).

    :param asker: of :mod:`smpki.tls.http_asker`
    """

    def __init__(self, asker: Asker, manners: Manners | None = None) -> None:
        self._asker = asker
        self._manners = manners or Manners()

    async def post(self, path: str, body: bytes, content_type: MediaType) -> Answer:
        """Bring a message to its receiver (REQ.Webservice.HttpClient.60).

        :param path: of an entity, so that it doesn't end with ``/``
        :raises GatewayError: ``http.client.list``: it does
        :raises NoAnswer: see there
        """
        if path.endswith("/"):
            hint = "take the address of a receiver, which doesn't end with /"
            raise GatewayError("http.client.list", "this is the address of a list", where=path, hint=hint)
        return await self.ask("POST", path, body, content_type)

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        content_type: MediaType | None = None,
        *,
        accept: MediaType | None = None,
    ) -> Answer:
        """Ask once. JSON and XML are posted compressed (REQ.Webservice.HttpClient.130).

        :param path: absolute, with its query; percent-encoded where that is necessary
        :param content_type: of the body
        :param accept: the only type that is wanted
        :raises NoAnswer: see there
        """
        fields = []
        if content_type:
            fields.append(("content-type", str(content_type)))
            if method == "POST" and (content_type.is_a(JSON) or content_type.is_a(XML)):
                body = compress(body)
                fields.append(("content-encoding", self._manners.coding))
        if accept:
            fields.append(("accept", str(accept)))
        try:
            async with asyncio.timeout(self._manners.sending) as deadline:
                sent = partial(self._sent, deadline)
                most = self._manners.body
                return self._answer(await self._asker.ask(method, path, fields, body, most=most, sent=sent))
        except TimeoutError:
            raise NoAnswer("http.client.late", "the answer did not come in time", hint=_AGAIN) from None
        except BrokenExchange as error:
            raise NoAnswer("http.client.broken", f"the connection broke: {error.message}", hint=_AGAIN) from None
        except TlsError as error:
            raise NoAnswer(error.code, error.message, where=error.where, hint=error.hint) from None

    def _sent(self, deadline: asyncio.Timeout) -> None:
        """Give the answer its time from now on."""
        if not deadline.expired():
            deadline.reschedule(asyncio.get_running_loop().time() + self._manners.answer)

    def _answer(self, reply: Reply) -> Answer:
        if len(reply.body) > self._manners.body:
            raise _unreadable(f"it has more than {self._manners.body} octets")
        try:
            body = decode(reply.body, reply.fields.get("content-encoding", ""), self._manners.body)
        except HttpRefusal as refusal:
            raise _unreadable(refusal.message) from None
        return Answer(reply.status, body, _content_type(reply))


def _content_type(reply: Reply) -> MediaType | None:
    try:
        return MediaType.parse(reply.fields.get("content-type", ""))
    except HttpRefusal:
        return None


def _unreadable(why: str) -> NoAnswer:
    return NoAnswer("http.client.answer", f"the answer can't be read: {why}", hint=_AGAIN)
