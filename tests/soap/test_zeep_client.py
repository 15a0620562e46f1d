"""zeep, an independent client, with our WSDL and the original: it sends what we read, and reads what we answer."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import zeep
from lxml import etree
from zeep.transports import Transport

from smpki.soap.envelope import CONTENT_TYPE
from smpki.soap.faults import Fault, FaultCode
from smpki.soap.messages import (
    Answer,
    CertificateRevocationRequest,
    CertType,
    GeneralMessage,
    GetCertificateChain,
    GetServiceStatus,
    Operation,
    Request,
    RequestCertificate,
    ReturnCode,
    SendCertificates,
    UpdateDeviceAdmin,
)
from smpki.soap.read import read_request
from smpki.soap.schema import NAMESPACE, wsdl
from smpki.soap.write import write_answer, write_fault

ORIGINAL = Path(__file__).parents[3] / "shared" / "data" / "tr-03129-4" / "WSDL_TR-03129-4_v1.3.1_Smartmeter.wsdl"
ADDRESS = "https://pki.example/soap"

Call = Callable[..., Any]


class Wire(Transport):
    """Instead of the network: keeps what is sent, answers what it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.headers: dict[str, str] = {}
        self.response = b""
        self.status = 200

    def load(self, url: str) -> bytes:
        raise AssertionError(f"zeep asks for {url}")

    def post(self, address: str, message: bytes, headers: dict[str, str]) -> requests.Response:
        assert address == ADDRESS
        self.sent, self.headers = message, headers
        response = requests.Response()
        response.status_code = self.status
        response.headers["Content-Type"] = CONTENT_TYPE
        response._content = self.response
        return response


def description(name: str) -> bytes:
    if name == "ours":
        return wsdl(ADDRESS)
    if not ORIGINAL.is_file():
        pytest.skip(f"the original WSDL is not at {ORIGINAL}")
    return ORIGINAL.read_bytes()


@pytest.fixture(scope="module", params=["ours", "original"])
def wire_and_service(request: pytest.FixtureRequest) -> tuple[Wire, Any]:
    wire = Wire()
    client = zeep.Client(io.BytesIO(description(request.param)), transport=wire)
    return wire, client.create_service(f"{{{NAMESPACE}}}SmartMeterBinding", ADDRESS)


@pytest.fixture
def wire(wire_and_service: tuple[Wire, Any]) -> Wire:
    wire = wire_and_service[0]
    wire.status = 200
    return wire


@pytest.fixture
def call(wire: Wire, wire_and_service: tuple[Wire, Any]) -> Call:
    """Call an operation by zeep; the answer, and what we have read."""

    def call(operation: Operation, answer: Answer, **arguments: Any) -> tuple[Any, Request]:
        wire.response = write_answer(operation, answer)
        answered = wire_and_service[1][operation.value](**arguments)
        assert wire.headers["SOAPAction"] == f'"{operation}"'
        return answered, read_request(wire.sent)

    return call


def header(name: str) -> etree._Element:
    element = etree.Element(name)
    element.text = "SMGW-G"
    return element


REQUESTS: dict[Request, dict[str, Any]] = {
    RequestCertificate(b"0package"): {"callbackIndicator": "callback_not_possible", "certReq": b"0package"},
    RequestCertificate(b"0package", "4711", CertType.SMGW_G): {
        "callbackIndicator": "callback_possible",
        "messageID": "4711",
        "certReq": b"0package",
        "_soapheaders": [header("certType")],
    },
    RequestCertificate(b"0", "4711", CertType.SMGW_G): {
        "callbackIndicator": "callback_possible",
        "messageID": "4711",
        "certReq": b"0",
        "_soapheaders": [header(f"{{{NAMESPACE}}}certType")],
    },
    GetCertificateChain("CN=Süd.CA, O=SM-Test-PKI-DE"): {
        "callbackIndicator": "callback_not_possible",
        "certReference": "CN=Süd.CA, O=SM-Test-PKI-DE",
    },
    SendCertificates(ReturnCode.OK_CERT_AVAILABLE, "4711", "", (b"a", b"b")): {
        "messageID": "4711",
        "statusInfo": "ok_cert_available",
        "certificateSeq": {"certificate": [b"a", b"b"]},
    },
    SendCertificates(ReturnCode.FAILURE_CERT_NOT_AVAILABLE, None, "why"): {
        "statusInfo": "failure_cert_not_available",
        "statusInfoMessage": "why",
    },
    CertificateRevocationRequest(b"0revoke"): {
        "callbackIndicator": "callback_not_possible",
        "certRevReq": b"0revoke",
    },
    UpdateDeviceAdmin(b"0update"): {"callbackIndicator": "callback_not_possible", "updDevAdminReq": b"0update"},
    GeneralMessage("Süd.EMT", "4711", "<Grüße>", "a\nb"): {
        "callerID": "Süd.EMT",
        "messageID": "4711",
        "subject": "<Grüße>",
        "body": "a\nb",
    },
    GetServiceStatus("4711"): {"messageID": "4711"},
}


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda one: one.operation.value)
def test_what_zeep_sends_is_read(request_: Request, call: Call) -> None:
    _, read = call(request_.operation, Answer(ReturnCode.FAILURE_SYNTAX), **REQUESTS[request_])
    assert read == request_


def arguments(operation: Operation) -> dict[str, Any]:
    return next(arguments for request, arguments in REQUESTS.items() if request.operation is operation)


@pytest.mark.parametrize("operation", Operation)
def test_what_we_answer_is_read_by_zeep(operation: Operation, call: Call) -> None:
    answer, _ = call(operation, Answer(ReturnCode.FAILURE_INTERNAL_ERROR, "Süd"), **arguments(operation))
    assert (answer.returnCode, answer.returnCodeMessage) == ("failure_internal_error", "Süd")


@pytest.mark.parametrize(
    ("operation", "sequence"),
    [
        (Operation.REQUEST_CERTIFICATE, "certificateSeq"),
        (Operation.GET_CERTIFICATE_CHAIN, "certificateSequence"),
    ],
)
def test_certificates_are_read_by_zeep(operation: Operation, sequence: str, call: Call) -> None:
    sent = Answer(ReturnCode.OK_CERT_AVAILABLE, certificates=(b"root", b"sub-ca"))
    answer, _ = call(operation, sent, **arguments(operation))
    assert (answer.returnCode, answer.returnCodeMessage) == ("ok_cert_available", None)
    assert answer[sequence].certificate == [b"root", b"sub-ca"]


def test_a_fault_is_read_by_zeep(wire: Wire, wire_and_service: tuple[Wire, Any]) -> None:
    wire.response, wire.status = write_fault(Fault(FaultCode.CLIENT, "no <such> operation")), 500
    with pytest.raises(zeep.exceptions.Fault) as fault:
        wire_and_service[1].GetServiceStatus(messageID="1")
    assert (fault.value.code, fault.value.message) == ("soap:Client", "no <such> operation")
