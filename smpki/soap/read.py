"""Read requests (as a service) and answers (as a client)."""

import binascii

from smpki.errors import SoapError
from smpki.policy.text import quoted, visible
from smpki.soap.envelope import MAX_SIZE, Envelope, in_envelope, open_envelope
from smpki.soap.faults import Fault, FaultCode, FaultError, PeerFault, SyntaxFailure
from smpki.soap.messages import (
    MAX_MESSAGE,
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
from smpki.soap.schema import fitting, qualified
from smpki.soap.tree import Node

_OPERATIONS = {qualified(f"{operation}_Req"): operation for operation in Operation}
_FAULT_CODES = {code.value: code for code in FaultCode}


def read_request(octets: bytes, limit: int = MAX_SIZE) -> Request:
    """Read what somebody asks of a service.

    :param octets: the body of the HTTP request
    :param limit: octets that are read at most
    :raises FaultError: as :func:`smpki.soap.envelope.open_envelope`; ``soap.operation`` for an unknown one
    :raises SyntaxFailure: ``soap.message.schema``, ``.base64``, ``.message_id`` (missing although a callback is
        possible, or there although it is not), ``.cert_type``, ``.certificates``, ``.length``
    """
    envelope = open_envelope(octets, limit)
    operation = _OPERATIONS.get(envelope.payload.name)
    if operation is None:
        raise FaultError(
            FaultCode.CLIENT,
            "operation",
            f"there is no operation with message {quoted(envelope.payload.name)}",
            where="body",
            hint=f"one of {', '.join(Operation)}: NAME_Req in the namespace of TR-03129-4 v1.3.1",
        )
    try:
        fitting(envelope.payload)
        return _request(operation, envelope)
    except SoapError as error:
        raise SyntaxFailure(operation, error) from None


def read_answer(octets: bytes, operation: Operation, limit: int = MAX_SIZE) -> Answer:
    """Read how a service answers.

    :param octets: the body of the HTTP response; with status 500 it holds a Fault
    :param operation: what was asked
    :param limit: octets that are read at most
    :raises PeerFault: ``soap.fault``: a Fault came instead
    :raises SoapError: as :func:`smpki.soap.envelope.open_envelope`; ``soap.answer`` for that of another operation,
        ``soap.message.schema``, ``.base64``, ``.certificates``
    """
    payload = open_envelope(octets, limit).payload
    if payload.name == in_envelope("Fault"):
        raise PeerFault(_fault(payload))
    if payload.name != qualified(f"{operation}_Res"):
        message = f"the answer to {operation} is {quoted(payload.name)}"
        raise SoapError("soap.answer", message, where="body", hint="ask the operator of the other side")
    fitting(payload)
    fields = _Fields(payload)
    return Answer(
        ReturnCode(fields.text("returnCode")),
        fields.optional("returnCodeMessage") or "",
        fields.certificates("certificateSeq") or fields.certificates("certificateSequence"),
    )


class _Fields:
    """The fields of a message that fits the schema."""

    def __init__(self, message: Node) -> None:
        self._nodes = {node.name: node for node in message.children}

    def optional(self, name: str) -> str | None:
        node = self._nodes.get(qualified(name))
        return None if node is None else node.text

    def text(self, name: str) -> str:
        return self._nodes[qualified(name)].text

    def octets(self, name: str) -> bytes:
        return _octets(self._nodes[qualified(name)], name)

    def certificates(self, name: str) -> tuple[bytes, ...]:
        node = self._nodes.get(qualified(name))
        return () if node is None else tuple(_octets(each, name) for each in node.children)

    def message_id(self) -> str | None:
        """The messageID if a callback is possible (TR-03129-4 section 2.2.1)."""
        possible = self.text("callbackIndicator") == "callback_possible"
        message_id = self.optional("messageID")
        if possible != (message_id is not None):
            raise SoapError(
                "soap.message.message_id",
                "messageID is missing, although a callback is possible"
                if possible
                else "there is a messageID, although no callback is possible",
                where="messageID",
                hint="messageID goes with callback_possible and with nothing else (TR-03129-4 section 2.2.1)",
            )
        return message_id


def _request(operation: Operation, envelope: Envelope) -> Request:
    fields = _Fields(envelope.payload)
    match operation:
        case Operation.REQUEST_CERTIFICATE:
            return RequestCertificate(fields.octets("certReq"), fields.message_id(), _cert_type(envelope.cert_types))
        case Operation.GET_CERTIFICATE_CHAIN:
            return GetCertificateChain(fields.text("certReference"), fields.message_id())
        case Operation.SEND_CERTIFICATES:
            return SendCertificates(
                ReturnCode(fields.text("statusInfo")),
                fields.optional("messageID"),
                _short(fields.optional("statusInfoMessage") or ""),
                fields.certificates("certificateSeq"),
            )
        case Operation.CERTIFICATE_REVOCATION_REQUEST:
            fields.message_id()
            return CertificateRevocationRequest(fields.octets("certRevReq"))
        case Operation.UPDATE_DEVICE_ADMIN:
            fields.message_id()
            return UpdateDeviceAdmin(fields.octets("updDevAdminReq"))
        case Operation.GENERAL_MESSAGE:
            return GeneralMessage(*map(fields.text, ("callerID", "messageID", "subject", "body")))
        case Operation.GET_SERVICE_STATUS:
            return GetServiceStatus(fields.text("messageID"))


def _octets(node: Node, name: str) -> bytes:
    """What base64 stands for; the schema's validation passes over characters that are none of base64."""
    try:
        return binascii.a2b_base64(b"".join(node.text.encode("ascii").split()), strict_mode=True)
    except ValueError:  # binascii.Error and UnicodeEncodeError
        message = f"{name} is no base64 text"
        raise SoapError("soap.message.base64", message, where=name, hint="encode it as RFC 4648 section 4") from None


def _cert_type(texts: tuple[str, ...]) -> CertType | None:
    if not texts:
        return None
    try:
        (text,) = texts
        return CertType(text.strip())
    except ValueError:
        raise SoapError(
            "soap.message.cert_type",
            f"certType is {', '.join(map(quoted, texts))}",
            where="header",
            hint=f"one of {', '.join(CertType)}, or leave it out",
        ) from None


def _short(text: str) -> str:
    if len(text.encode()) > MAX_MESSAGE:
        raise SoapError(
            "soap.message.length",
            f"statusInfoMessage has more than {MAX_MESSAGE} octets",
            where="statusInfoMessage",
            hint="see TR-03129-4 section 2.2.1",
        )
    return text


def _fault(payload: Node) -> Fault:
    """A Fault as others write it: whose fault it is may be qualified, refined behind a dot, or of another standard."""
    texts = {child.name: child.text for child in payload.children}
    code = texts.get("faultcode", "").strip().rpartition(":")[2].partition(".")[0]
    return Fault(_FAULT_CODES.get(code, FaultCode.SERVER), visible(texts.get("faultstring", "")[:MAX_MESSAGE]))
