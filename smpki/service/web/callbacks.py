"""Results on their way to who asked for them: SendCertificates to the registered URL, over mutual TLS."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlsplit

import httpx

from smpki.errors import ServiceError
from smpki.service.web.peers import Peers
from smpki.soap.envelope import CONTENT_TYPE, MAX_SIZE
from smpki.soap.messages import Answer, Operation
from smpki.soap.read import read_answer
from smpki.tls.endpoint import Endpoint
from smpki.tls.http_client import client
from smpki.tls.identity import Identity
from smpki.tls.profile import WAN_CLIENT
from smpki.tls.transport import Timing

HEADERS = {"content-type": CONTENT_TYPE, "soapaction": f'"{Operation.SEND_CERTIFICATES}"'}


class Callbacks:
    """Sends results.

    :param identity: the CA's TLS certificate and key
    :param seconds: for everything from the connection to the answer
    """

    def __init__(self, identity: Identity, peers: Peers, clock: Callable[[], datetime], seconds: float = 30.0) -> None:
        self._identity = identity
        self._peers = peers
        self._clock = clock
        self._seconds = seconds

    async def send(self, url: str, role: str, subject_key: str, message: bytes) -> Answer:
        """Send a result, once.

        :param url: of the receiver's service
        :param role: of the receiver: type of its certificates
        :param subject_key: its identity; nobody else's certificate is accepted
        :param message: a SendCertificates
        :raises SmpkiError: it can't be reached, is somebody else, or answers what is no answer
        """
        host, port = check_url(url)
        endpoint = Endpoint(WAN_CLIENT, self._identity, self._peers.check_server(role, subject_key), clock=self._clock)
        name = host if any(letter.isalpha() for letter in host) and ":" not in host else None
        timing = Timing(handshake=self._seconds)
        parts = urlsplit(url)
        path = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
        try:
            async with (
                asyncio.timeout(self._seconds),
                client(endpoint, host, port, server_name=name, timing=timing, timeout=self._seconds) as http,
                http.stream("POST", path, content=message, headers=HEADERS) as response,
            ):
                return read_answer(await _body(response), Operation.SEND_CERTIFICATES)
        except TimeoutError:
            raise _failed(url, f"no answer within {self._seconds:g} seconds") from None
        except httpx.HTTPError as error:
            raise _failed(url, type(error).__name__) from None


def check_url(url: str) -> tuple[str, int]:
    """Host and port of an address for callbacks.

    :raises ServiceError: ``service.callback.url``
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 443
    except ValueError:
        host = None
    if not host or parts.scheme != "https" or parts.username is not None or not url.isprintable() or " " in url:
        message, hint = "this is no address for callbacks", "such as https://ws.firma.example:8443/SmartMeterService"
        raise ServiceError("service.callback.url", message, where=url, hint=hint)
    return host, port


async def _body(response: httpx.Response) -> bytes:
    if response.status_code not in (200, 500):  # 500 has a Fault
        raise _failed(str(response.url), f"HTTP status {response.status_code}")
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > MAX_SIZE:
            break  # the reader refuses it
    return bytes(body)


def _failed(url: str, why: str) -> ServiceError:
    hint = "the service tries again; see that the receiver's service is there"
    return ServiceError("service.callback.failed", f"the result was not taken: {why}", where=url, hint=hint)
