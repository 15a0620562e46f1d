"""One message to a web service and its answer: SOAP 1.1 over HTTP on our TLS."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

import httpx

from smpki.errors import ServiceError
from smpki.soap.envelope import CONTENT_TYPE, MAX_SIZE
from smpki.soap.messages import Answer, Operation
from smpki.soap.read import read_answer
from smpki.tls.endpoint import Endpoint
from smpki.tls.http_client import client
from smpki.tls.transport import Timing

_PASSING = (408, 429, 502, 503, 504)


@dataclass(frozen=True)
class Address:
    """Where a web service is.

    :param url: as it was given
    :param path: what is asked for there, the query included
    """

    url: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """Take a URL apart.

        :raises ServiceError: ``web_service.url``
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or 443
        except ValueError:
            host = None
        if not host or parts.scheme != "https" or parts.username is not None or not url.isprintable() or " " in url:
            hint = "such as https://ws.firma.example:8443/SmartMeterService"
            raise ServiceError("web_service.url", "this is no address of a web service", where=url, hint=hint)
        return cls(url, host, port, parts._replace(scheme="", netloc="", fragment="").geturl() or "/")

    @property
    def server_name(self) -> str | None:
        """The name to ask for (SNI); ``None`` for a numeric address."""
        return self.host if any(letter.isalpha() for letter in self.host) and ":" not in self.host else None


class Line:
    """A line to a web service: one connection at a time, made when it is needed. :func:`line` makes it."""

    def __init__(self, address: Address, http: httpx.AsyncClient, seconds: float) -> None:
        self.address = address
        self._http = http
        self._seconds = seconds

    async def ask(self, operation: Operation, message: bytes) -> Answer:
        """Send a message, once.

        :param message: of that operation
        :raises ServiceError: ``web_service.timeout``, ``web_service.connection``, ``web_service.unavailable``,
            ``web_service.status``
        :raises TlsError: the service can't be reached, is somebody else, or does not let us in
        :raises SoapError: what came is no answer, or is a Fault
        """
        headers = {"content-type": CONTENT_TYPE, "soapaction": f'"{operation}"', "accept-encoding": "identity"}
        try:
            async with (
                asyncio.timeout(self._seconds),
                self._http.stream("POST", self.address.path, content=message, headers=headers) as response,
            ):
                body = await self._body(response)
        except TimeoutError:
            raise self._failed("timeout", f"no answer within {self._seconds:g} seconds") from None
        except httpx.HTTPError as error:
            raise self._failed("connection", f"the exchange broke off: {type(error).__name__}") from None
        return read_answer(body, operation)

    async def _body(self, response: httpx.Response) -> bytes:
        if response.status_code in _PASSING:
            raise self._failed("unavailable", f"the service is not to be had now (HTTP status {response.status_code})")
        if response.status_code not in (200, 500):  # 500 has a Fault
            raise self._failed("status", f"the answer is HTTP status {response.status_code}, and no SOAP message")
        body = bytearray()
        async for piece in response.aiter_raw():
            body += piece
            if len(body) > MAX_SIZE:
                break  # the reader refuses it
        return bytes(body)

    def _failed(self, rule: str, message: str) -> ServiceError:
        hint = "see that this is the address of a web service of TR-03129-4, and that it works; then send it again"
        return ServiceError(f"web_service.{rule}", message, where=self.address.url, hint=hint)


@asynccontextmanager
async def line(address: Address, endpoint: Endpoint, seconds: float) -> AsyncIterator[Line]:
    """A line that is closed in the end.

    :param endpoint: of a TLS client
    :param seconds: for each message, from the connection to the last octet of its answer
    """
    # within the time of a message, so that who is not reached is told from who does not answer
    timing = Timing(handshake=seconds / 2, drain=min(1.0, seconds / 8))
    name = address.server_name
    async with client(endpoint, address.host, address.port, server_name=name, timing=timing, timeout=seconds) as http:
        yield Line(address, http, seconds)
