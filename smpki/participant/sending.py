"""Send request packages to the CA, and keep the triples that come: once, whatever happens in between."""

import enum
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from smpki.errors import ServiceError
from smpki.participant.granted import Granted, check_granted
from smpki.participant.own_ca import OwnCa
from smpki.participant.packages import write_whole
from smpki.participant.pending import PendingFolder
from smpki.participant.web_service import WebService
from smpki.policy.lint.classify import default_kind
from smpki.policy.model import CertificateType
from smpki.requests.armour import strip_armour
from smpki.requests.submission import read_submission
from smpki.soap.messages import CertType, ReturnCode

_CERT_TYPES: Mapping[CertificateType | None, CertType] = MappingProxyType(
    {
        CertificateType.SMGW_W: CertType.SMGW_W,
        CertificateType.SMGW_G: CertType.SMGW_G,
        CertificateType.GWA: CertType.GWA,
        CertificateType.GWH: CertType.GWH,
        CertificateType.EMT: CertType.EMT,
    }
)
_FILES = ("chain.pem", "enc.pem", "sig.pem", "tls.pem")


class Sent(enum.StrEnum):
    """What became of a package."""

    STORED = "stored"
    """Its triple has come, and is where it belongs."""
    PENDING = "pending"
    """The CA answers later."""


async def ask_for_triple(
    service: WebService, package: bytes, ca: OwnCa, *, message_id: str | None = None
) -> Granted | None:
    """Ask a Sub-CA's web service for the triple of a package of any kind, and check what comes.

    :param package: in whatever armour; the bare package is sent
    :param message_id: lets it answer later
    :return: ``None``: it answers later
    :raises RequestError: the package can't be read, or is refused
    :raises SmpkiError: as :meth:`WebService.request_certificates` and
        :func:`smpki.participant.granted.check_granted`
    """
    package = strip_armour(package)
    kind = default_kind(read_submission(package).package.subject)
    came = await service.request_certificates(package, message_id=message_id, cert_type=_CERT_TYPES.get(kind))
    return None if came is None else await check_granted(came, package, ca, service.certificate_chain)


async def send_package(
    service: WebService, package: bytes, folder: Path, ca: OwnCa, pending: PendingFolder | None = None
) -> Sent:
    """Send a package, and keep its triple; the same again sends the same message, and finds the same triple.

    :param folder: where its triple goes
    :param pending: lets the CA answer later, to whoever receives for this folder
    :raises SmpkiError: as :func:`ask_for_triple` and :func:`store_triple`
    """
    package = strip_armour(package)
    request = None if pending is None else pending.put(package, folder, service.url)
    message_id = None if request is None else request.message_id
    granted = await ask_for_triple(service, package, ca, message_id=message_id)
    if granted is None:
        return Sent.PENDING
    store_triple(folder, granted)
    if pending is not None and request is not None:
        pending.finish(request, ReturnCode.OK_CERT_AVAILABLE, "", granted.octets())
    return Sent.STORED


def store_triple(folder: Path, granted: Granted) -> tuple[Path, ...]:
    """Write a triple and its chain, durably; the same once more changes nothing.

    :return: the files
    :raises ServiceError: ``web_service.triple_there``: the folder has another one
    :raises SmpkiError: ``output.unwritable``
    """
    files = {folder / name: content for name, content in granted.files().items()}
    for file, content in files.items():
        if file.name != "chain.pem" and file.exists() and file.read_bytes() != content:
            hint = "name another folder for this triple; the one that is here stays"
            message = "there is a certificate of another triple"
            raise ServiceError("web_service.triple_there", message, where=str(file), hint=hint)
    for file, content in files.items():
        write_whole(file, content)
    return tuple(files)


def triple_in(folder: Path) -> tuple[Path, ...]:
    """The files of a triple that was stored there, whole; none otherwise."""
    files = tuple(folder / name for name in _FILES)
    return files if all(file.exists() for file in files) else ()


def has_triple(folder: Path) -> bool:
    """Whether a triple has been stored there, whole."""
    return bool(triple_in(folder))
