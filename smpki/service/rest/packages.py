"""Request packages over REST."""

from typing import Annotated

from fastapi import FastAPI, Query, Response

from smpki.ca.chain import chain_above
from smpki.errors import SmpkiError
from smpki.service.desk.access import unknown
from smpki.service.desk.desk import Desk
from smpki.service.desk.download import ZIP, zip_file
from smpki.service.desk.store.submissions import SubmissionState
from smpki.service.rest.models import CheckedModel, PackageModel, Page, RemarkModel, ResultModel, page_of
from smpki.service.rest.operation import PREFIX, NumberedPages, Upload, WhoAsks, created, download, file, operation
from smpki.service.rest.problems import RefusedPackage
from smpki.service.rest.registrations import Number

ROOT = f"{PREFIX}/packages"


class _Wanted(NumberedPages):
    state: SubmissionState | None = None


def add_to(app: FastAPI, desk: Desk) -> None:
    """Add the operations."""

    @app.post(f"{PREFIX}/checks", tags=["packages"], **operation(413, upload=True))
    def check_file(actor: WhoAsks, data: Upload) -> CheckedModel:
        """What the lint says of a package, certificate or CRL, PEM or DER. Nothing is kept."""
        return CheckedModel.of(desk.packages.check(data))

    @app.post(ROOT, tags=["packages"], **created(operation(409, key=True, upload=True)))
    def submit_package(actor: WhoAsks, data: Upload, response: Response) -> ResultModel:
        """Hand in a request package, a first one or a renewal: granted at once, or held for an operator. The same
        package again gets the same answer. A refusal says what the lint found."""
        try:
            result = desk.packages.submit(actor, data)
        except SmpkiError as error:
            raise _explained(desk, data, error) from None
        response.headers["location"] = f"{ROOT}/{result.submitted.id}"
        return ResultModel.result(result)

    @app.get(ROOT, tags=["packages"], **operation())
    def list_packages(actor: WhoAsks, wanted: Annotated[_Wanted, Query()]) -> Page[PackageModel]:
        """Packages in the order in which they came: your own, or all."""
        found = desk.packages.page(actor, state=wanted.state, after=wanted.after, limit=wanted.limit + 1)
        return Page[PackageModel].model_validate(page_of(found, wanted.limit, PackageModel.of, lambda one: one.id))

    @app.get(f"{ROOT}/{{number}}", tags=["packages"], **operation(404))
    def get_package(actor: WhoAsks, number: Number) -> ResultModel:
        """One package and what came of it."""
        return ResultModel.result(desk.packages.get(actor, number))

    @app.get(f"{ROOT}/{{number}}/files", tags=["packages"], **file(ZIP))
    def get_package_files(actor: WhoAsks, number: Number) -> Response:
        """What was issued for a package: tls.pem, sig.pem, enc.pem and chain.pem in a ZIP."""
        certificates = desk.packages.get(actor, number).certificates
        if not certificates:
            raise unknown(number)
        return download(zip_file(certificates, chain_above(desk.pki.store, certificates[0])))

    @app.post(f"{ROOT}/{{number}}/approval", tags=["packages"], **operation(404, 409, key=True))
    def approve_package(actor: WhoAsks, number: Number) -> ResultModel:
        """Approve of a held package, as an operator: it is granted now."""
        return ResultModel.result(desk.packages.approve(actor, number))

    @app.post(f"{ROOT}/{{number}}/refusal", tags=["packages"], **operation(404, 409, 415, key=True))
    def refuse_package(actor: WhoAsks, number: Number, why: RemarkModel) -> ResultModel:
        """Refuse a held package, as an operator."""
        return ResultModel.result(desk.packages.refuse(actor, number, why.remark))


def _explained(desk: Desk, data: bytes, error: SmpkiError) -> SmpkiError:
    """A refusal with all that the lint finds, not the first error alone."""
    try:
        return RefusedPackage(error, desk.packages.check(data))
    except SmpkiError:
        return error
