"""What is written is read again; what the interface does not allow is refused by the operation it belongs to."""

import pickle
from collections.abc import Callable

import pytest

from smpki.errors import SoapError
from smpki.soap.codes import return_codes
from smpki.soap.faults import SyntaxFailure
from smpki.soap.messages import (
    Answer,
    GeneralMessage,
    GetCertificateChain,
    GetServiceStatus,
    Operation,
    Request,
    RequestCertificate,
    ReturnCode,
    SendCertificates,
)
from smpki.soap.read import read_answer, read_request
from smpki.soap.write import write_answer, write_request

InSoap = Callable[..., bytes]

POSSIBLE = "<callbackIndicator>callback_possible</callbackIndicator>"
NOT_POSSIBLE = "<callbackIndicator>callback_not_possible</callbackIndicator>"


def test_requests_are_read_as_they_were_written(any_request: Request) -> None:
    assert read_request(write_request(any_request)) == any_request


def answers() -> list[tuple[Operation, Answer]]:
    return [
        (operation, Answer(code, "", (b"root", b"sub-ca") if code is ReturnCode.OK_CERT_AVAILABLE else ()))
        for operation in Operation
        for code in sorted(return_codes(operation))
    ]


@pytest.mark.parametrize(("operation", "answer"), answers(), ids=lambda one: str(getattr(one, "code", one)))
def test_answers_are_read_as_they_were_written(operation: Operation, answer: Answer) -> None:
    assert read_answer(write_answer(operation, answer), operation) == answer


@pytest.mark.parametrize("operation", Operation)
def test_no_answer_with_a_code_that_is_not_the_operations(operation: Operation) -> None:
    for code in set(ReturnCode) - return_codes(operation):
        certificates = (b"certificate",) if code is ReturnCode.OK_CERT_AVAILABLE else ()
        with pytest.raises(SoapError) as refused:
            write_answer(operation, Answer(code, certificates=certificates))
        assert refused.value.code == "soap.message.schema"


def test_the_name_of_the_sequence_in_an_answer_is_the_one_of_the_wsdl() -> None:
    answer = Answer(ReturnCode.OK_CERT_AVAILABLE, certificates=(b"root",))
    assert b"certificateSequence>" in write_answer(Operation.GET_CERTIFICATE_CHAIN, answer)
    assert b"certificateSeq>" in write_answer(Operation.REQUEST_CERTIFICATE, answer)


REFUSED = {
    # name: (operation, body, rule)
    "a messageID is missing": (
        Operation.REQUEST_CERTIFICATE,
        f"<RequestCertificate_Req>{POSSIBLE}<certReq>MA==</certReq></RequestCertificate_Req>",
        "message_id",
    ),
    "a messageID is there": (
        Operation.REQUEST_CERTIFICATE,
        f"<RequestCertificate_Req>{NOT_POSSIBLE}<messageID>1</messageID><certReq>MA==</certReq></RequestCertificate_Req>",
        "message_id",
    ),
    "an empty one is there": (
        Operation.GET_CERTIFICATE_CHAIN,
        f"<GetCertificateChain_Req>{NOT_POSSIBLE}<messageID/><certReference/></GetCertificateChain_Req>",
        "message_id",
    ),
    "the messageID is empty": (
        Operation.GET_CERTIFICATE_CHAIN,
        f"<GetCertificateChain_Req>{POSSIBLE}<messageID/><certReference/></GetCertificateChain_Req>",
        "message_id",
    ),
    "a synchronous operation has a messageID": (
        Operation.CERTIFICATE_REVOCATION_REQUEST,
        f"<CertificateRevocationRequest_Req>{NOT_POSSIBLE}<messageID>1</messageID><certRevReq>MA==</certRevReq>"
        "</CertificateRevocationRequest_Req>",
        "message_id",
    ),
    "a synchronous operation offers a callback": (
        Operation.UPDATE_DEVICE_ADMIN,
        f"<UpdateDeviceAdmin_Req>{POSSIBLE}<updDevAdminReq>MA==</updDevAdminReq></UpdateDeviceAdmin_Req>",
        "schema",
    ),
    "a status without messageID": (Operation.GET_SERVICE_STATUS, "<GetServiceStatus_Req/>", "schema"),
    "a message with an empty messageID": (
        Operation.GENERAL_MESSAGE,
        "<GeneralMessage_Req><callerID/><messageID/><subject/><body/></GeneralMessage_Req>",
        "message_id",
    ),
    "the order is another": (
        Operation.GENERAL_MESSAGE,
        "<GeneralMessage_Req><messageID>1</messageID><callerID/><subject/><body/></GeneralMessage_Req>",
        "schema",
    ),
    "an element is unknown": (
        Operation.GET_SERVICE_STATUS,
        "<GetServiceStatus_Req><messageID>1</messageID><more/></GetServiceStatus_Req>",
        "schema",
    ),
    "an element is in no namespace": (
        Operation.GET_SERVICE_STATUS,
        '<GetServiceStatus_Req><messageID xmlns="">1</messageID></GetServiceStatus_Req>',
        "schema",
    ),
    "an attribute is there": (
        Operation.GET_SERVICE_STATUS,
        '<GetServiceStatus_Req><messageID kind="1">1</messageID></GetServiceStatus_Req>',
        "schema",
    ),
    "something is nil": (
        Operation.GET_SERVICE_STATUS,
        '<GetServiceStatus_Req><messageID i:nil="true"/></GetServiceStatus_Req>',
        "schema",
    ),
    "text between elements": (
        Operation.GET_SERVICE_STATUS,
        "<GetServiceStatus_Req>text<messageID>1</messageID></GetServiceStatus_Req>",
        "schema",
    ),
    "a status with a code that is not for it": (
        Operation.SEND_CERTIFICATES,
        "<SendCertificates_Req><statusInfo>ok_syntax</statusInfo></SendCertificates_Req>",
        "schema",
    ),
    "certificates with a failure": (
        Operation.SEND_CERTIFICATES,
        "<SendCertificates_Req><statusInfo>failure_syntax</statusInfo><certificateSeq><certificate>MA==</certificate>"
        "</certificateSeq></SendCertificates_Req>",
        "certificates",
    ),
    "success without certificates": (
        Operation.SEND_CERTIFICATES,
        "<SendCertificates_Req><statusInfo>ok_cert_available</statusInfo></SendCertificates_Req>",
        "certificates",
    ),
    "an empty sequence": (
        Operation.SEND_CERTIFICATES,
        "<SendCertificates_Req><statusInfo>ok_cert_available</statusInfo><certificateSeq/></SendCertificates_Req>",
        "schema",
    ),
    "a message of 1,025 octets": (
        Operation.SEND_CERTIFICATES,
        "<SendCertificates_Req><statusInfo>failure_syntax</statusInfo>"
        f"<statusInfoMessage>{512 * 'ä'}x</statusInfoMessage></SendCertificates_Req>",
        "length",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_the_refused_message_names_its_operation(case: str, in_soap: InSoap) -> None:
    operation, body, rule = REFUSED[case]
    with pytest.raises(SyntaxFailure) as refused:
        read_request(in_soap(body))
    assert (refused.value.operation, refused.value.code) == (operation, f"soap.message.{rule}")
    assert refused.value.hint
    assert pickle.loads(pickle.dumps(refused.value)).operation == operation


def revocation(base64: str) -> str:
    return (
        f"<CertificateRevocationRequest_Req>{NOT_POSSIBLE}<certRevReq>{base64}</certRevReq>"
        "</CertificateRevocationRequest_Req>"
    )


@pytest.mark.parametrize("text", ["MA=", "MA", "MB==", "MA==MA==", "M", "=", "MA*=", "M-_=", "M\u00a0A==", "MÄ==", "!"])
def test_base64_is_strict(text: str, in_soap: InSoap) -> None:
    with pytest.raises(SyntaxFailure) as refused:
        read_request(in_soap(revocation(text)))
    assert refused.value.code in ("soap.message.base64", "soap.message.schema")


@pytest.mark.parametrize("text", ["MA==", " M\n A = = ", "<!-- a -->MA<!-- b -->==", "<![CDATA[MA==]]>", "M&#65;=="])
def test_base64_may_be_wrapped(text: str, in_soap: InSoap) -> None:
    assert read_request(in_soap(revocation(text))) == read_request(in_soap(revocation("MA==")))


def test_attributes_that_say_nothing_new_are_passed_over(in_soap: InSoap) -> None:
    body = (
        '<GetServiceStatus_Req i:schemaLocation="http://a.example/ http://a.example/a.xsd">'
        '<messageID i:type="x:string" xmlns:x="http://www.w3.org/2001/XMLSchema">1</messageID></GetServiceStatus_Req>'
    )
    assert read_request(in_soap(body)) == GetServiceStatus("1")


def test_messages_are_cut_to_what_may_be() -> None:
    long = "ä" * 513
    answer = read_answer(
        write_answer(Operation.GET_SERVICE_STATUS, Answer(ReturnCode.FAILURE_OTHER_ERROR, long)),
        Operation.GET_SERVICE_STATUS,
    )
    assert answer.message == "ä" * 512
    shifted = SendCertificates(ReturnCode.FAILURE_SYNTAX, "1", f"x{long}")
    status = read_request(write_request(shifted))
    assert isinstance(status, SendCertificates)
    assert status.message == "x" + "ä" * 511


def test_messages_carry_whatever_an_error_says() -> None:
    said = Answer(ReturnCode.FAILURE_OTHER_ERROR, "a\x00b\x1b[1m\ud800\ufffe<&\nc")
    answer = read_answer(write_answer(Operation.GENERAL_MESSAGE, said), Operation.GENERAL_MESSAGE)
    assert answer.message == "a\\x00b\\x1b[1m\\ud800\\ufffe<&\nc"


def test_a_long_message_of_another_service_loses_no_certificates(in_soap: InSoap) -> None:
    answer = in_soap(
        "<RequestCertificate_Res><certificateSeq><certificate>MA==</certificate></certificateSeq>"
        f"<returnCode>ok_cert_available</returnCode><returnCodeMessage>{2000 * 'x'}</returnCodeMessage>"
        "</RequestCertificate_Res>"
    )
    assert read_answer(answer, Operation.REQUEST_CERTIFICATE).certificates == (b"0",)


@pytest.mark.parametrize(
    "message",
    [
        lambda: RequestCertificate(b"", ""),
        lambda: GetServiceStatus(""),
        lambda: SendCertificates(ReturnCode.OK_CERT_AVAILABLE, "1"),
        lambda: SendCertificates(ReturnCode.FAILURE_SYNTAX, "1", certificates=(b"",)),
        lambda: Answer(ReturnCode.OK_SYNTAX, certificates=(b"",)),
        lambda: write_request(SendCertificates(ReturnCode.OK_SYNTAX, "1")),
        lambda: write_request(GeneralMessage("a", "b", "c", "\x00")),
        lambda: write_request(GetCertificateChain("\ud800")),
    ],
)
def test_nobody_writes_what_could_not_be_read(message: Callable[[], object]) -> None:
    with pytest.raises(SoapError):
        message()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("<GetServiceStatus_Res><returnCode>ok_received_correctly</returnCode></GetServiceStatus_Res>", "soap.answer"),
        ("<RequestCertificate_Req/>", "soap.answer"),
        ("<RequestCertificate_Res><returnCode>ok_received_correctly</returnCode></RequestCertificate_Res>", "schema"),
        ("<RequestCertificate_Res><returnCode>ok_cert_available</returnCode></RequestCertificate_Res>", "certificates"),
    ],
)
def test_answers_that_are_none(body: str, code: str, in_soap: InSoap) -> None:
    with pytest.raises(SoapError) as refused:
        read_answer(in_soap(body), Operation.REQUEST_CERTIFICATE)
    assert refused.value.code.endswith(code)
