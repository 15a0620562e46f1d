"""Certificates over REST: lists, files, what ends, revocation."""

import enum
import re
from datetime import timedelta
from typing import Annotated

from fastapi import FastAPI, Path, Query
from fastapi.responses import Response
from pydantic import AwareDatetime, BeforeValidator, Field

from smpki.policy.model import CertificateType
from smpki.service.desk.certificates import Standing
from smpki.service.desk.desk import Desk
from smpki.service.desk.download import DER, P12, PEM, ZIP, Download, der, p12, pem, zip_file
from smpki.service.rest.models import (
    PRINTED,
    CertificateModel,
    Page,
    ProcessedModel,
    RevocationModel,
    StandingModel,
    TakenBackModel,
    page_of,
)
from smpki.service.rest.operation import PREFIX, Pages, Upload, WhoAsks, download, file, operation

ROOT = f"{PREFIX}/certificates"
_SERIAL = "^[0-9a-f]{2,40}$"
Serial = Annotated[str, Path(pattern=_SERIAL, description="serial number, hexadecimal in lower case")]
_SOON = timedelta(days=90)


class FileKind(enum.StrEnum):
    """What a certificate can be taken away as."""

    PEM = "pem"
    DER = "der"
    P12 = "p12"
    ZIP = "zip"


def _is_time(text: str) -> str:
    """RFC 3339; pydantic would take numbers, too."""
    if not re.match("[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]", text):
        raise ValueError("this is no RFC 3339 time with a time zone")
    return text


_Time = Annotated[AwareDatetime, BeforeValidator(_is_time)]


class _Listed(Pages):
    after: Annotated[str, Query(pattern=_SERIAL, description="`next` of the page before")] | None = None


class _Wanted(_Listed):
    kind: CertificateType | None = None
    common_name: Annotated[str, Query(min_length=1, max_length=64, pattern=PRINTED)] | None = None


class _Ending(_Listed):
    until: _Time | None = Field(default=None, description="default: 90 days from now")


def add_to(app: FastAPI, desk: Desk) -> None:
    """Add the operations."""

    @app.get(ROOT, tags=["certificates"], **operation(404))
    def list_certificates(actor: WhoAsks, wanted: Annotated[_Wanted, Query()]) -> Page[StandingModel]:
        """Certificates in the order in which they were issued: your own, or all. Those of your gateways are with their
        packages."""
        found = desk.certificates.page(
            actor,
            after=wanted.after,
            limit=wanted.limit + 1,
            kind=wanted.kind,
            common_name=wanted.common_name,
        )
        page = page_of(found, wanted.limit, StandingModel.standing, lambda one: one.certificate.serial)
        return Page[StandingModel].model_validate(page)

    @app.get(f"{PREFIX}/expiry", tags=["certificates"], **operation(404))
    def list_ending(actor: WhoAsks, wanted: Annotated[_Ending, Query()]) -> Page[CertificateModel]:
        """Certificates that are valid and end soon, the first one to end first."""
        until = wanted.until or desk.pki.clock() + _SOON
        found = desk.certificates.ending(actor, until, after=wanted.after, limit=wanted.limit + 1)
        page = page_of(found, wanted.limit, CertificateModel.of, lambda one: one.serial)
        return Page[CertificateModel].model_validate(page)

    @app.get(f"{ROOT}/{{serial}}", tags=["certificates"], **operation(404))
    def get_certificate(actor: WhoAsks, serial: Serial) -> StandingModel:
        """One certificate and how it stands."""
        return StandingModel.standing(desk.certificates.standing(actor, serial))

    @app.get(f"{ROOT}/{{serial}}/files/{{kind}}", tags=["certificates"], **file(PEM, DER, P12, ZIP))
    def get_certificate_file(actor: WhoAsks, serial: Serial, kind: FileKind) -> Response:
        """A certificate as PEM or DER, with its chain as PKCS#12 (without a key), or its whole triple with the chain as
        ZIP."""
        return download(_file(desk, actor, serial, kind))

    @app.post(f"{ROOT}/{{serial}}/revocation", tags=["certificates"], **operation(404, 409, 415, key=True))
    def revoke_certificate(actor: WhoAsks, serial: Serial, wish: RevocationModel) -> TakenBackModel:
        """Revoke, suspend or resume a certificate and its triple. A CRL shows it once it is issued. For some types a
        second operator has to say the same."""
        return TakenBackModel.of(desk.certificates.revoke(actor, serial, wish.reason).taken_back)

    @app.post(f"{PREFIX}/signed-requests", tags=["certificates"], **operation(404, 409, key=True, upload=True))
    def process_signed_request(actor: WhoAsks, data: Upload) -> ProcessedModel:
        """Act on a revocation request or UpdateDeviceAdmin that you signed."""
        done = desk.certificates.process(actor, data)
        standings = [StandingModel.standing(Standing(one.certificate, one.revocation)) for one in done.taken_back]
        return ProcessedModel(
            sender=done.sender,
            known=done.known,
            certificates=standings,
            handed_over=list(done.handed_over),
            new_admin=done.new_admin,
        )


def _file(desk: Desk, actor: WhoAsks, serial: str, kind: FileKind) -> Download:
    one = desk.certificates.get(actor, serial)
    match kind:
        case FileKind.PEM:
            return pem(one)
        case FileKind.DER:
            return der(one)
        case FileKind.P12:
            return p12(one, desk.certificates.chain(actor, serial))
        case FileKind.ZIP:
            return zip_file(desk.certificates.triple(actor, serial), desk.certificates.chain(actor, serial))
