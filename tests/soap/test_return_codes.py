"""Every error has its return code; each operation answers with codes of its own list only."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from smpki.errors import IssuingError, RequestError, SmpkiError, StoreError, TokenError
from smpki.soap.codes import (
    EXCEPTIONS,
    TABLE,
    explanation,
    refusal,
    return_code,
    return_codes,
    status_codes,
    status_info,
)
from smpki.soap.messages import Operation, ReturnCode
from smpki.soap.read import read_answer
from smpki.soap.write import write_answer

HERE = Path(__file__).parent
ROOMS = ("policy", "hsm", "db", "requests", "trust", "ca", "soap")
"""Where errors come from while a request is answered; those of the service itself are its own tests' affair."""

C, Op = ReturnCode, Operation


@pytest.fixture(scope="module")
def sources() -> ModuleType:
    spec = importlib.util.spec_from_file_location("error_codes", HERE / "error_codes.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def error(code: str) -> SmpkiError:
    return SmpkiError(code, "what was wrong", where="where", hint="what to do")


def meaning(code: str) -> ReturnCode:
    """What the table says: the row with the longest beginning of the code."""
    return TABLE[max((row for row in TABLE if f"{code}.".startswith(f"{row}.") or not row), key=len)]


def test_where_every_error_in_the_sources_lands(sources: ModuleType) -> None:
    expected = yaml.safe_load((HERE / "return_codes.yaml").read_text(encoding="utf-8"))
    found: dict[str, list[str]] = {}
    for code in sorted(sources.codes_in(*ROOMS)):
        if meaning(code) is not C.FAILURE_INTERNAL_ERROR:
            found.setdefault(meaning(code).value, []).append(code)
    assert found == expected


def test_what_is_the_services_own_affair(sources: ModuleType) -> None:
    internal = {code for code in sources.codes_in(*ROOMS) if meaning(code) is C.FAILURE_INTERNAL_ERROR}
    areas = {code.split(".")[0] for code in internal}
    assert {"token", "store", "audit", "policy", "home", "crl"} <= areas
    assert not areas & {"request", "revocation", "name", "device_id"}
    assert {code for code in internal if code.startswith("issuing.")} == {
        *("issuing.conflict", "issuing.permit.used", "issuing.serial.taken")
    }


def test_every_document_that_the_lint_names_has_a_row(sources: ModuleType) -> None:
    documents = {
        text.split(".")[0] for text in sources.texts_in("policy/lint") if re.match(r"[a-z]+-[0-9a-z-]+\.", text)
    }
    assert {"tr-03109-4", "tr-03116-3", "rfc-5280", "sm-pki-cp", "x-520"} <= documents
    assert {document for document in documents if meaning(document) is C.FAILURE_INTERNAL_ERROR} == set()


def test_no_row_of_the_tables_is_without_a_code(sources: ModuleType) -> None:
    codes, texts = sources.codes_in(*ROOMS), sources.texts_in(*ROOMS)

    def named(row: str) -> bool:
        beginnings = (text for text in texts if text and row.startswith(text))
        return (
            any(f"{code}.".startswith(f"{row}.") for code in codes | texts)
            or any(row.removeprefix(text) in texts for text in beginnings)
            or row.startswith(("service.", "web_service"))
        )

    rows = {*TABLE, *(row for table in EXCEPTIONS.values() for row in table)} - {""}
    assert {row for row in rows if not named(row)} == set()


# what an operation's list lacks becomes failure_request_not_accepted, or failure_other_error
LANDINGS = [
    ("request.proof_of_possession.invalid", Op.REQUEST_CERTIFICATE, C.FAILURE_INNER_SIGNATURE),
    ("request.proof_of_possession.algorithm", Op.REQUEST_CERTIFICATE, C.FAILURE_DOMAIN_PARAMETERS),
    ("request.public_key.curve", Op.REQUEST_CERTIFICATE, C.FAILURE_DOMAIN_PARAMETERS),
    ("tr-03116-3.table_6.public_key.curve", Op.REQUEST_CERTIFICATE, C.FAILURE_DOMAIN_PARAMETERS),
    ("tr-03109-4.c1.proof.hash", Op.REQUEST_CERTIFICATE, C.FAILURE_DOMAIN_PARAMETERS),
    ("tr-03109-4.a1.common_name.pattern", Op.REQUEST_CERTIFICATE, C.FAILURE_INCORRECT_REQUEST),
    ("request.outer_signature.signer.expired", Op.REQUEST_CERTIFICATE, C.FAILURE_OUTER_SIGNATURE),
    ("request.authorisation.missing", Op.REQUEST_CERTIFICATE, C.FAILURE_AUTHORIZATION_SIGNATURE),
    ("request.authorisation.role", Op.REQUEST_CERTIFICATE, C.FAILURE_UNAUTHORIZED_REQUEST),
    ("request.encoding.tag", Op.REQUEST_CERTIFICATE, C.FAILURE_INCORRECT_REQUEST),
    ("request.encoding.tag", Op.UPDATE_DEVICE_ADMIN, C.FAILURE_INCORRECT_REQUEST),
    ("request.signature.invalid", Op.CERTIFICATE_REVOCATION_REQUEST, C.FAILURE_REQUEST_NOT_ACCEPTED),
    ("request.entitlement", Op.CERTIFICATE_REVOCATION_REQUEST, C.FAILURE_REQUEST_NOT_ACCEPTED),
    ("revocation.revoked", Op.CERTIFICATE_REVOCATION_REQUEST, C.FAILURE_REQUEST_NOT_ACCEPTED),
    ("store.serial.unknown", Op.CERTIFICATE_REVOCATION_REQUEST, C.FAILURE_REQUEST_NOT_ACCEPTED),
    ("service.unauthorised", Op.REQUEST_CERTIFICATE, C.FAILURE_UNAUTHORIZED_REQUEST),
    ("service.unauthorised", Op.UPDATE_DEVICE_ADMIN, C.FAILURE_REQUEST_NOT_ACCEPTED),
    ("service.unauthorised", Op.GENERAL_MESSAGE, C.FAILURE_OTHER_ERROR),
    ("service.synchronous", Op.GET_CERTIFICATE_CHAIN, C.FAILURE_SYNCHRONOUS_PROCESSING_NOT_POSSIBLE),
    ("service.message_id.unknown", Op.SEND_CERTIFICATES, C.FAILURE_MESSAGE_ID_UNKNOWN),
    ("service.certificate.unavailable", Op.GET_CERTIFICATE_CHAIN, C.FAILURE_CERT_NOT_AVAILABLE),
    ("name.text", Op.GET_CERTIFICATE_CHAIN, C.FAILURE_CERT_NOT_AVAILABLE),
    ("store.unreachable", Op.GET_CERTIFICATE_CHAIN, C.FAILURE_INTERNAL_ERROR),
    ("store.unreachable", Op.GET_SERVICE_STATUS, C.FAILURE_OTHER_ERROR),
    ("token.missing", Op.GET_SERVICE_STATUS, C.FAILURE_OTHER_ERROR),
    ("soap.message.schema", Op.GET_SERVICE_STATUS, C.FAILURE_SYNTAX),
    ("issuing.subject.in_progress", Op.REQUEST_CERTIFICATE, C.FAILURE_OTHER_ERROR),
    ("issuing.subject.has_triple", Op.REQUEST_CERTIFICATE, C.FAILURE_REQUEST_NOT_ACCEPTED),
    *(
        (code, Op.REQUEST_CERTIFICATE, C.FAILURE_INTERNAL_ERROR)
        for code in ("token.full", "store.full", "audit.tail.cut")
    ),
    *(
        ("never.heard.of", operation, C.FAILURE_INTERNAL_ERROR)
        for operation in Op
        if operation is not Op.GET_SERVICE_STATUS
    ),
]


@pytest.mark.parametrize(("code", "operation", "expected"), LANDINGS)
def test_where_an_error_lands(code: str, operation: Operation, expected: ReturnCode) -> None:
    assert return_code(error(code), operation) is expected


def test_every_failure_can_be_reached() -> None:
    """By some error, for each operation, and in what SendCertificates reports."""
    errors = [RuntimeError(), *map(error, TABLE)]
    for operation in Operation:
        reached = {return_code(one, operation) for one in errors}
        assert {code for code in return_codes(operation) - reached if code.startswith("failure_")} == set(), operation
    reported = {status_info(one, Op.REQUEST_CERTIFICATE) for one in errors}
    assert {code for code in status_codes() - reported if code.startswith("failure_")} == set()


def test_answers_are_of_the_operations_list_whatever_went_wrong(sources: ModuleType) -> None:
    for code in sources.codes_in(*ROOMS) | set(TABLE):
        for operation in Operation:
            answer = refusal(error(code), operation)
            assert read_answer(write_answer(operation, answer), operation).code is answer.code
            if operation not in EXCEPTIONS and meaning(code) in return_codes(operation):
                assert answer.code is meaning(code)
            assert status_info(error(code), operation) in status_codes()


def test_the_sender_is_told_what_to_do() -> None:
    refused = RequestError("request.count", "the package holds 2 requests", where="package", hint="send three")
    assert explanation(refused) == "package: the package holds 2 requests [request.count]; send three"
    assert explanation(IssuingError("issuing.lint", "no")) == "no [issuing.lint]"


@pytest.mark.parametrize(
    "failed",
    [
        StoreError("store.unreachable", "no connection", where="db.internal:5432", hint="start it"),
        TokenError("token.pin.incorrect", "the PIN is not 123456"),
        RuntimeError("db.internal"),
    ],
)
@pytest.mark.parametrize("operation", [Op.REQUEST_CERTIFICATE, Op.GET_SERVICE_STATUS])
def test_the_sender_is_not_told_about_what_is_inside(failed: Exception, operation: Operation) -> None:
    told = refusal(failed, operation).message
    assert "internal" not in told
    assert "123456" not in told
    assert told.startswith("the service failed")
    assert isinstance(failed, RuntimeError) or failed.args[0] in told
