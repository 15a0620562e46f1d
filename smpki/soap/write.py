"""Write requests (as a client), and answers and Faults (as a service)."""

import base64
import re
from collections.abc import Iterator, Sequence

from smpki.policy.text import visible
from smpki.soap.envelope import close_envelope, in_envelope
from smpki.soap.faults import Fault
from smpki.soap.messages import (
    MAX_MESSAGE,
    Answer,
    CertificateRevocationRequest,
    GeneralMessage,
    GetCertificateChain,
    GetServiceStatus,
    Operation,
    Request,
    RequestCertificate,
    SendCertificates,
    UpdateDeviceAdmin,
)
from smpki.soap.schema import fitting, qualified
from smpki.soap.tree import Node, build

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0 section 2.2


def write_request(request: Request) -> bytes:
    """The body of an HTTP request; SOAPAction is the operation's name in quotation marks (SOAP 1.1 section 6.1.1).

    :raises SoapError: ``soap.message.schema``, for a text that XML can't carry or a code that is not for its place
    """
    cert_type = request.cert_type if isinstance(request, RequestCertificate) else None
    message = Node(qualified(f"{request.operation}_Req"), children=list(_request_fields(request)))
    return close_envelope(fitting(message), cert_type)


def write_answer(operation: Operation, answer: Answer) -> bytes:
    """The body of an HTTP response with status 200.

    :raises SoapError: ``soap.message.schema``, for a code or certificates that the operation does not answer with
    """
    message = Node(qualified(f"{operation}_Res"), children=list(_answer_fields(operation, answer)))
    return close_envelope(fitting(message))


def write_fault(fault: Fault) -> bytes:
    """The body of an HTTP response with status 500 (SOAP 1.1 section 6.2)."""
    code, message = Node("faultcode", f"soap:{fault.code}"), Node("faultstring", _carried(fault.message))
    return close_envelope(build(Node(in_envelope("Fault"), children=[code, message])))


def _request_fields(request: Request) -> Iterator[Node]:
    match request:
        case RequestCertificate(package, message_id):
            yield from _callback(message_id)
            yield _octets("certReq", package)
        case GetCertificateChain(issuer, message_id):
            yield from _callback(message_id)
            yield _text("certReference", issuer)
        case SendCertificates(status, message_id, message, certificates):
            yield from _optional("messageID", message_id)
            yield _text("statusInfo", status)
            yield from _optional("statusInfoMessage", _shortened(message))
            yield from _certificates("certificateSeq", certificates)
        case CertificateRevocationRequest(signed):
            yield from _callback(None)
            yield _octets("certRevReq", signed)
        case UpdateDeviceAdmin(signed):
            yield from _callback(None)
            yield _octets("updDevAdminReq", signed)
        case GeneralMessage(caller_id, message_id, subject, body):
            yield _text("callerID", caller_id)
            yield _text("messageID", message_id)
            yield _text("subject", subject)
            yield _text("body", body)
        case GetServiceStatus(message_id):
            yield _text("messageID", message_id)


def _answer_fields(operation: Operation, answer: Answer) -> Iterator[Node]:
    # the WSDL and the guideline's text differ in this name; the wire has the WSDL's
    chain = operation is Operation.GET_CERTIFICATE_CHAIN
    yield from _certificates("certificateSequence" if chain else "certificateSeq", answer.certificates)
    yield _text("returnCode", answer.code)
    yield from _optional("returnCodeMessage", _shortened(answer.message))


def _callback(message_id: str | None) -> Iterator[Node]:
    yield _text("callbackIndicator", "callback_not_possible" if message_id is None else "callback_possible")
    yield from _optional("messageID", message_id)


def _certificates(name: str, certificates: Sequence[bytes]) -> Iterator[Node]:
    if certificates:
        yield Node(qualified(name), children=[_octets("certificate", each) for each in certificates])


def _optional(name: str, text: str | None) -> Iterator[Node]:
    if text:
        yield _text(name, text)


def _text(name: str, text: str) -> Node:
    return Node(qualified(name), text)


def _octets(name: str, octets: bytes) -> Node:
    return Node(qualified(name), base64.b64encode(octets).decode())


def _shortened(message: str) -> str:
    """As much of a message as may be, in whole characters."""
    return _carried(message).encode()[:MAX_MESSAGE].decode(errors="ignore")


def _carried(text: str) -> str:
    """A text that XML can carry: other characters are escaped."""
    return _NOT_XML.sub(lambda found: visible(found[0]), text)
