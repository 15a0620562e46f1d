"""The address for people and their scripts: REST, and pages beside it, over ordinary TLS, or plain behind a proxy.

Browsers can't do brainpool, so this is no port of the web service: it has a certificate as the web has them, or is
plain on loopback.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from smpki.errors import TlsError
from smpki.participant.portal import is_loopback
from smpki.service.desk.desk import Desk
from smpki.service.plain_http import http_server
from smpki.service.rest.access import ByCertificate, ByToken, Throttle
from smpki.service.rest.application import rest_application
from smpki.service.rest.operation import PREFIX
from smpki.tls.http_server import Application, Receive, Scope, Send


@dataclass(frozen=True)
class Address:
    """Where people find the service.

    :param port: 0: a free one
    :param tls: folder with ``tls.pem``, the certificate and behind it those above, and ``tls.key``; ``None``: plain,
        which is for loopback alone
    """

    host: str
    port: int
    tls: Path | None = None


@asynccontextmanager
async def people_server(desk: Desk, address: Address, pages: Application | None = None) -> AsyncIterator[int]:
    """Serve people as long as the context lasts.

    :param pages: the portal, for all that is not REST
    :return: the port
    :raises TlsError: ``tls.people.*``
    :raises SmpkiError: ``http.listen``
    """
    application = beside(rest_by_token(desk), pages)
    async with http_server(application, address.host, address.port, tls=tls_of(address)) as port:
        yield port


def rest_by_token(desk: Desk) -> Application:
    """REST for whoever has a token."""
    return rest_application(desk, ByToken(desk.accounts, Throttle(desk.pki.clock)))


def rest_by_certificate(desk: Desk) -> Application:
    """REST for whoever has a TLS certificate of this PKI, on the web service's port."""
    return rest_application(desk, ByCertificate(desk.pki))


def beside(rest: Application, other: Application | None) -> Application:
    """REST below its prefix, another application everywhere else; without one REST answers to everything."""

    if other is None:
        return rest

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope.get("path", "")
        is_rest = path == PREFIX or path.startswith(f"{PREFIX}/")
        await (rest if is_rest else other)(scope, receive, send)

    return answer


def tls_of(address: Address) -> ssl.SSLContext | None:
    """What people are served with; ``None``: plain.

    :raises TlsError: ``tls.people.*``
    """
    if address.tls is None:
        if not is_loopback(address.host):
            raise TlsError(
                "tls.people.plain",
                "without TLS people are served on loopback only",
                where=address.host,
                hint="name a folder with a certificate: --portal-tls; or listen on 127.0.0.1 behind a proxy",
            )
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2

    def no_password() -> str:
        raise ValueError("the key is encrypted")

    try:
        context.load_cert_chain(address.tls / "tls.pem", address.tls / "tls.key", no_password)
    except (OSError, ValueError):  # SSLError is an OSError
        raise TlsError(
            "tls.people.certificate",
            "certificate or key can't be read, or do not belong together",
            where=str(address.tls),
            hint="tls.pem has the certificate and those above it, tls.key its key, not encrypted",
        ) from None
    return context
