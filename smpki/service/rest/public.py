"""What everybody may see over REST: CAs, the chain, CRLs."""

from typing import Annotated

from fastapi import FastAPI, Path
from fastapi.responses import Response

from smpki.ca.chain import chain_above
from smpki.ca.output import pem_file
from smpki.service.desk.desk import Desk
from smpki.service.desk.download import PEM, Download
from smpki.service.rest.models import CrlModel, Page, StandingModel
from smpki.service.rest.operation import PREFIX, WhoAsks, download, file, operation

CRL = "application/pkix-crl"


def add_to(app: FastAPI, desk: Desk) -> None:
    """Add the operations."""

    @app.get(f"{PREFIX}/authorities", tags=["published"], **operation(public=True))
    def list_authorities() -> Page[StandingModel]:
        """The certificates of all CAs, and how they stand."""
        items = [StandingModel.standing(one) for one in desk.certificates.authorities()]
        return Page[StandingModel](items=items, next=None)

    @app.get(f"{PREFIX}/chain", tags=["published"], **file(PEM, public=True))
    def get_chain() -> Response:
        """The chain of the Sub-CA that issues here, from the root down, as PEM."""
        own = desk.pki.store.get(desk.pki.authorities.sub_ca(desk.sub_ca).serial)
        return download(Download("chain.pem", PEM, pem_file([*chain_above(desk.pki.store, own), own])))

    @app.get(f"{PREFIX}/crls", tags=["published"], **operation(public=True))
    def list_crls() -> Page[CrlModel]:
        """The CRLs in force."""
        return Page[CrlModel](items=[CrlModel.of(one) for one in desk.crls.series()], next=None)

    @app.get(f"{PREFIX}/crls/{{name}}", tags=["published"], **file(CRL, public=True))
    def get_crl(name: Annotated[str, Path(max_length=200)]) -> Response:
        """A CRL as DER."""
        found = desk.crls.get(name)
        return download(Download(name, CRL, found.der))

    @app.post(f"{PREFIX}/crls", tags=["published"], **operation(409, key=True))
    def issue_crls(actor: WhoAsks) -> Page[CrlModel]:
        """Issue the next CRL of every CA now, as an operator."""
        for outcome in desk.crls.issue(actor):
            if outcome.error is not None:
                raise outcome.error
        return Page[CrlModel](items=[CrlModel.of(one) for one in desk.crls.series()], next=None)
