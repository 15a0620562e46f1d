"""Hand a package in at a test-certificate service: over REST, with a token, by whom has no certificate yet."""

import io
import ipaddress
import ssl
import zipfile
import zlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.errors import ServiceError
from smpki.participant.granted import Granted, check_granted
from smpki.participant.own_ca import OwnCa, material_of
from smpki.participant.sending import Sent, store_triple
from smpki.policy.names import DistinguishedName
from smpki.policy.text import visible
from smpki.trust.question import Revocation

_OCTETS = {"content-type": "application/octet-stream", "accept-encoding": "identity"}
_LARGEST = 1024 * 1024
_SECONDS = 60.0


class Portal:
    """A test-certificate service, as a script reaches it; an asynchronous context manager.

    :param url: of the service, without ``/api/v1``
    :param token: says who asks
    :param authorities: PEM file of the CAs that its ordinary TLS certificate is from; ``None``: those of this machine
    :param now: the clock
    :raises ServiceError: ``portal.url``: a token goes over TLS, or to this machine; ``portal.token``,
        ``portal.authorities``
    """

    def __init__(self, url: str, token: str, now: Callable[[], datetime], authorities: Path | None = None) -> None:
        if (scheme := _scheme(url)) is None:
            message = "a token goes to an https address, or by http to this machine alone"
            raise ServiceError("portal.url", message, where=visible(url[:200]), hint="such as https://portal.example")
        if not (token.isascii() and token.isprintable()):
            message, hint = "this is no token: it has other characters than tokens have", "name the file that holds it"
            raise ServiceError("portal.token", message, hint=hint)
        self._now = now
        self._client = httpx.AsyncClient(
            base_url=f"{url.rstrip('/')}/api/v1",
            headers={"authorization": f"Bearer {token}"},
            timeout=_SECONDS,
            verify=_context(authorities) if scheme == "https" else False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def send(self, package: bytes, folder: Path) -> Sent:
        """Hand in a package, and keep its triple where it is granted at once; the same again finds the same triple.

        What comes is checked against the package. Its root is taken for the PKI's on the word of the service, to whom
        TLS has led: who has no certificate yet knows no root.

        :param folder: where the triple goes
        :return: ``PENDING``: an operator has to approve of it; send it again later
        :raises ServiceError: ``portal.*``, ``web_service.certificates.*``, ``web_service.triple_there``
        """
        state, number, remark = _result(await self._ask("POST", "/packages", content=package, headers=_OCTETS))
        match state:
            case "held":
                return Sent.PENDING
            case "issued":
                archive = await self._ask("GET", f"/packages/{number}/files")
                store_triple(folder, await self._granted(package, archive.content))
                return Sent.STORED
        message, hint = f"the operator has refused the package: {remark}", "ask the operator, and make another one"
        raise ServiceError("portal.refused", message, where=f"package {number}", hint=hint)

    async def _granted(self, package: bytes, archive: bytes) -> Granted:
        files = _unpacked(archive)
        name = DistinguishedName.from_x509(files["sig.pem"][0].issuer)
        ca = OwnCa(name, lambda: material_of(files["chain.pem"]), Revocation.IGNORED, self._now)
        octets = [files[f"{purpose}.pem"][0].public_bytes(Encoding.DER) for purpose in ("tls", "sig", "enc")]
        return await check_granted(octets, package, ca)

    async def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            async with self._client.stream(method, path, **request) as response:
                content = bytearray()
                async for part in response.aiter_raw():
                    content += part
                    if len(content) > _LARGEST:
                        raise _strange("its answer is too large")
        except httpx.HTTPError as error:
            message = f"the service can't be reached: {type(error).__name__}"
            raise ServiceError("portal.unreachable", message, hint="check the address, and try again") from None
        answer = httpx.Response(response.status_code, content=bytes(content))  # as it came: nothing is unpacked
        if answer.is_success:
            return answer
        raise _refusal(answer)


def _result(answer: httpx.Response) -> tuple[str, int, str]:
    """What became of a package: its state, its number, and what the operator says of it."""
    try:
        told = answer.json()
        return str(told["state"]), int(told["id"]), visible(str(told["remark"])[:500])
    except (ValueError, KeyError, TypeError):
        raise _strange("its answer can't be read") from None


def _refusal(answer: httpx.Response) -> ServiceError:
    """A problem detail (RFC 9457) as an error of ours."""
    try:
        told = answer.json()
        message, code = str(told["detail"] or told["title"]), str(told["code"])
        where, hint = str(told.get("where") or ""), str(told.get("hint") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        return _strange(f"it answers with HTTP status {answer.status_code}")
    said, place, advice = (visible(text[:500]) for text in (f"the service says: {message} [{code}]", where, hint))
    return ServiceError("portal.refused", said, where=place, hint=advice)


def _strange(message: str) -> ServiceError:
    return ServiceError("portal.answer", message, hint="is this the address of a test-certificate service?")


def _unpacked(archive: bytes) -> dict[str, tuple[x509.Certificate, ...]]:
    """The certificates of a ZIP, of sizes that certificates have."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as files:
            found = {}
            for name in ("tls.pem", "sig.pem", "enc.pem", "chain.pem"):
                if files.getinfo(name).file_size > _LARGEST:
                    raise ValueError(name)
                found[name] = tuple(x509.load_pem_x509_certificates(files.read(name)))
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, RuntimeError):  # of zipfile and pyca
        raise _strange("what it gives out is no triple") from None
    return found


def _context(authorities: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=authorities)
    except (OSError, ValueError):
        message, hint = "no certificates can be read from it", "name a PEM file with the service's CA"
        raise ServiceError("portal.authorities", message, where=str(authorities), hint=hint) from None


def _scheme(url: str) -> str | None:
    """``https``, or ``http`` to this machine; ``None`` for all else."""
    try:
        parts = urlsplit(url)
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        return None
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    return parts.scheme if parts.hostname and is_safe else None


def is_loopback(host: str) -> bool:
    """Whether a host, by name or address, is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
