"""SOAP 1.1 around the messages: headers, versions, Faults."""

import pickle
from collections.abc import Callable

import pytest

from smpki.soap.faults import Fault, FaultCode, FaultError, PeerFault, SyntaxFailure
from smpki.soap.messages import CertType, GetServiceStatus, Operation, Request, RequestCertificate
from smpki.soap.read import read_answer, read_request
from smpki.soap.write import write_fault, write_request

InSoap = Callable[..., bytes]

STATUS = "<GetServiceStatus_Req><messageID>1</messageID></GetServiceStatus_Req>"
CERTIFICATE = (
    "<RequestCertificate_Req><callbackIndicator>callback_not_possible</callbackIndicator><certReq>MA==</certReq>"
    "</RequestCertificate_Req>"
)


def faulted(octets: bytes) -> FaultError:
    with pytest.raises(FaultError) as refused:
        read_request(octets)
    assert refused.value.hint
    assert refused.value.code in refused.value.fault.message
    assert pickle.loads(pickle.dumps(refused.value)).fault == refused.value.fault
    return refused.value


def with_header(in_soap: InSoap, entries: str, body: str = CERTIFICATE) -> bytes:
    return in_soap(body, f"<s:Header>{entries}</s:Header>")


def cert_type(octets: bytes) -> CertType | None:
    request = read_request(octets)
    assert isinstance(request, RequestCertificate)
    return request.cert_type


@pytest.mark.parametrize("name", CertType)
def test_the_type_of_the_certificate_is_in_the_header(name: CertType, in_soap: InSoap) -> None:
    assert cert_type(with_header(in_soap, f'<certType xmlns="">{name}</certType>')) is name
    assert cert_type(with_header(in_soap, f"<certType> {name}\n</certType>")) is name
    assert cert_type(with_header(in_soap, f'<certType s:mustUnderstand="1">{name}</certType>')) is name


def test_it_may_be_missing(in_soap: InSoap) -> None:
    assert cert_type(in_soap(CERTIFICATE)) is None
    assert cert_type(in_soap(CERTIFICATE, "<s:Header/>")) is None
    assert cert_type(with_header(in_soap, '<certType s:actor="http://other.example/">EMT</certType>')) is None


def test_clients_in_the_field_write_it_without_namespace() -> None:
    written = write_request(RequestCertificate(b"", cert_type=CertType.EMT))
    assert b"<soap:Header><certType>EMT</certType></soap:Header>" in written


@pytest.mark.parametrize("entries", ["<certType>emt</certType>", "<certType/>", 2 * "<certType>EMT</certType>"])
def test_a_type_that_is_none(entries: str, in_soap: InSoap) -> None:
    with pytest.raises(SyntaxFailure) as refused:
        read_request(with_header(in_soap, entries))
    assert (refused.value.operation, refused.value.code) == (Operation.REQUEST_CERTIFICATE, "soap.message.cert_type")


IGNORED = [
    '<a xmlns="http://other.example/">1</a>',
    '<a xmlns="http://other.example/" s:mustUnderstand="0"><b c="d">e</b></a>',
    '<a xmlns="http://other.example/" s:mustUnderstand="1" s:actor="http://other.example/"/>',
    "<certType>whatever</certType>",
]


@pytest.mark.parametrize("entries", IGNORED)
def test_other_entries_are_passed_over(entries: str, in_soap: InSoap) -> None:
    assert read_request(with_header(in_soap, entries, STATUS)) == GetServiceStatus("1")


@pytest.mark.parametrize("actor", ["", 's:actor=""', 's:actor="http://schemas.xmlsoap.org/soap/actor/next"'])
@pytest.mark.parametrize("value", ["1", "true"])
def test_entries_that_have_to_be_understood(actor: str, value: str, in_soap: InSoap) -> None:
    entry = f'<Security xmlns="http://other.example/" s:mustUnderstand="{value}" {actor}/>'
    error = faulted(with_header(in_soap, entry, STATUS))
    assert (error.fault.code, error.code) == (FaultCode.MUST_UNDERSTAND, "soap.must_understand")


def test_another_version_of_soap(in_soap: InSoap) -> None:
    newer = in_soap(STATUS).replace(
        b"http://schemas.xmlsoap.org/soap/envelope/", b"http://www.w3.org/2003/05/soap-envelope"
    )
    error = faulted(newer)
    assert (error.fault.code, error.code) == (FaultCode.VERSION_MISMATCH, "soap.version")


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (b"", "soap.xml.malformed"),
        (b"{}", "soap.xml.malformed"),
        (b"<a", "soap.xml.malformed"),
        (b"<p:a/>", "soap.xml.malformed"),
        (b"<a/><b/>", "soap.xml.malformed"),
        (b"<a>&b;</a>", "soap.xml.malformed"),
        (b"<a>\x01</a>", "soap.xml.malformed"),
        (b"<![CDATA[a]]>", "soap.xml.malformed"),
        (b"<a>\xff</a>", "soap.xml.encoding"),
        (b"<?xml version='1.0' encoding='utf-7'?><a/>", "soap.xml.encoding"),
        (b"<?xml version='1.0' encoding='iso-8859-1'?><a/>", "soap.xml.encoding"),
        (b"<!DOCTYPE a><a/>", "soap.xml.doctype"),
        (b"<?xml version='1.0'?> <!-- a --> <!DOCTYPE a SYSTEM 'b'><a/>", "soap.xml.doctype"),
        (b"<?a b?><a/>", "soap.xml.instruction"),
        (b"<a><?b c?></a>", "soap.xml.instruction"),
        (b"<a/>", "soap.envelope"),
    ],
)
def test_what_is_no_message_at_all(octets: bytes, code: str) -> None:
    error = faulted(octets)
    assert (error.fault.code, error.code) == (FaultCode.CLIENT, code)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda text: text.replace(STATUS, ""), "soap.envelope"),
        (lambda text: text.replace(STATUS, STATUS + STATUS), "soap.envelope"),
        (lambda text: text.replace("</s:Body>", "</s:Body><s:Body/>"), "soap.envelope"),
        (lambda text: text.replace("</s:Body>", "</s:Body><s:Header/>"), "soap.envelope"),
        (lambda text: text.replace("s:Body>", "s:Bodies>"), "soap.envelope"),
        (lambda text: text.replace("GetServiceStatus", "GetServiceStatistics"), "soap.operation"),
        (lambda text: text.replace("GetServiceStatus_Req", "GetServiceStatus"), "soap.operation"),
        (lambda text: text.replace("Protocol/1.3", "Protocol/1.2"), "soap.operation"),
    ],
)
def test_what_is_a_message_of_no_operation(change: Callable[[str], str], code: str, in_soap: InSoap) -> None:
    error = faulted(change(in_soap(STATUS).decode()).encode())
    assert (error.fault.code, error.code) == (FaultCode.CLIENT, code)


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("utf-16"),
        lambda text: f"<?xml version='1.0' encoding='UTF-16'?>{text}".encode("utf-16"),
        lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
        lambda text: f'<?xml version="1.0" encoding="utf-8" standalone="yes"?>\n<!-- ä -->\n{text}\n'.encode(),
        lambda text: f"<?xml version='1.0'?>{text}".encode(),
    ],
)
def test_encodings(encode: Callable[[str], bytes], any_request: Request) -> None:
    text = write_request(any_request).decode().partition("?>")[2]
    assert read_request(encode(text)) == any_request


@pytest.mark.parametrize("code", FaultCode)
def test_faults_are_read_as_they_were_written(code: FaultCode) -> None:
    fault = Fault(code, "what is <wrong>")
    with pytest.raises(PeerFault) as answered:
        read_answer(write_fault(fault), Operation.GET_SERVICE_STATUS)
    assert answered.value.fault == fault
    assert answered.value.code == "soap.fault"


@pytest.mark.parametrize(
    ("code", "understood"),
    [
        ("s:Client.Authentication", FaultCode.CLIENT),
        ("Client", FaultCode.CLIENT),
        ("\n s:Server.userException \n", FaultCode.SERVER),
        ("axis:Whatever", FaultCode.SERVER),
        ("", FaultCode.SERVER),
    ],
)
def test_faults_of_others(code: str, understood: FaultCode, in_soap: InSoap) -> None:
    body = (
        f'<s:Fault><faultcode xmlns="">{code}</faultcode><faultstring xmlns="">no \u202e</faultstring>'
        '<detail xmlns=""><a:b xmlns:a="urn:a"/></detail></s:Fault>'
    )
    with pytest.raises(PeerFault) as answered:
        read_answer(in_soap(body), Operation.REQUEST_CERTIFICATE)
    assert answered.value.fault == Fault(understood, "no \\u202e")


def test_a_fault_is_no_request(in_soap: InSoap) -> None:
    assert faulted(write_fault(Fault(FaultCode.CLIENT, "no"))).code == "soap.operation"
