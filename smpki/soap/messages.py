"""The messages of TR-03129-4 as values: what the seven operations ask, and how they are answered."""

import enum
from dataclasses import dataclass
from typing import ClassVar

from smpki.errors import SoapError

MAX_MESSAGE = 1024
"""Octets of returnCodeMessage and statusInfoMessage (TR-03129-4 section 2.2.1), in UTF-8."""


class Operation(enum.StrEnum):
    """The operations (TR-03129-4 section 2.3), by their names in WSDL, which are their soapAction too."""

    REQUEST_CERTIFICATE = "RequestCertificate"
    GET_CERTIFICATE_CHAIN = "GetCertificateChain"
    SEND_CERTIFICATES = "SendCertificates"
    CERTIFICATE_REVOCATION_REQUEST = "CertificateRevocationRequest"
    UPDATE_DEVICE_ADMIN = "UpdateDeviceAdmin"
    GENERAL_MESSAGE = "GeneralMessage"
    GET_SERVICE_STATUS = "GetServiceStatus"


_EVERYBODY = {Operation.GENERAL_MESSAGE, Operation.GET_SERVICE_STATUS}

OFFERED_BY_ROOT = frozenset({*_EVERYBODY, Operation.REQUEST_CERTIFICATE, Operation.GET_CERTIFICATE_CHAIN})
"""What a Root-CA offers (TR-03129-4 section 2.4.1)."""

OFFERED_BY_SUB_CA = frozenset(Operation)
"""What a Sub-CA offers; SendCertificates if it takes callbacks of its root (TR-03129-4 section 2.4.2)."""

OFFERED_BY_END_USER = frozenset({*_EVERYBODY, Operation.SEND_CERTIFICATES})
"""What an end user offers, if it takes callbacks (TR-03129-4 section 2.4.3)."""


class ReturnCode(enum.StrEnum):
    """Return codes, and status codes of SendCertificates (TR-03129-4 section 2.2.2). Each operation has a list of its
    own, see :mod:`smpki.soap.codes`."""

    OK_SYNTAX = "ok_syntax"
    """Well received, will be processed: SendCertificates brings the result."""
    OK_RECEIVED_CORRECTLY = "ok_received_correctly"
    OK_CERT_AVAILABLE = "ok_cert_available"
    FAILURE_SYNTAX = "failure_syntax"
    """The SOAP message is wrong."""
    FAILURE_INCORRECT_REQUEST = "failure_incorrect_request"
    """What it carries is wrong."""
    FAILURE_SYNCHRONOUS_PROCESSING_NOT_POSSIBLE = "failure_synchronous_processing_not_possible"
    FAILURE_MESSAGE_ID_UNKNOWN = "failure_messageID_unknown"
    FAILURE_OTHER_ERROR = "failure_other_error"
    FAILURE_INTERNAL_ERROR = "failure_internal_error"
    FAILURE_INNER_SIGNATURE = "failure_inner_signature"
    FAILURE_OUTER_SIGNATURE = "failure_outer_signature"
    FAILURE_AUTHORIZATION_SIGNATURE = "failure_authorization_signature"
    FAILURE_REQUEST_NOT_ACCEPTED = "failure_request_not_accepted"
    """Nothing is wrong with it, and yet it is not granted."""
    FAILURE_UNAUTHORIZED_REQUEST = "failure_unauthorized_request"
    """Who asks may not ask for this type of certificate."""
    FAILURE_DOMAIN_PARAMETERS = "failure_domain_parameters"
    """A curve or a signature algorithm that the PKI does not allow."""
    FAILURE_CERT_NOT_AVAILABLE = "failure_cert_not_available"


class CertType(enum.StrEnum):
    """What type of certificate is requested; recommended in the SOAP header (TR-03129-4 section 2.3.2)."""

    SMGW_W = "SMGW-W"
    """Of a gateway in operation (Wirkzertifikat)."""
    SMGW_G = "SMGW-G"
    """Of a gateway's quality seal (Gütesiegelzertifikat)."""
    GWA = "GWA"
    GWH = "GWH"
    EMT = "EMT"
    SUB_CA = "Sub-CA"


@dataclass(frozen=True, slots=True)
class RequestCertificate:
    """Ask for certificates.

    :param package: certReq, the request package as TR-03109-4 annex C has it
    :param message_id: what a callback shall name; ``None``: callback_not_possible
    :param cert_type: what is asked for, if the sender says so
    """

    operation: ClassVar = Operation.REQUEST_CERTIFICATE
    package: bytes
    message_id: str | None = None
    cert_type: CertType | None = None

    def __post_init__(self) -> None:
        _check_message_id(self.message_id)


@dataclass(frozen=True, slots=True)
class GetCertificateChain:
    """Ask for the CA certificates above a certificate, link certificates included, the root's first.

    :param issuer: certReference, the distinguished name of the certificate's issuer
    :param message_id: what a callback shall name; ``None``: callback_not_possible
    """

    operation: ClassVar = Operation.GET_CERTIFICATE_CHAIN
    issuer: str
    message_id: str | None = None

    def __post_init__(self) -> None:
        _check_message_id(self.message_id)


@dataclass(frozen=True, slots=True)
class SendCertificates:
    """Bring the result of RequestCertificate or GetCertificateChain (callback), or news of certificates (push).

    :param status: statusInfo
    :param message_id: that of the request; ``None`` in a push
    :param message: statusInfoMessage; what is longer than :data:`MAX_MESSAGE` octets is cut when it is written
    :param certificates: DER; there are some if and only if the status is ok_cert_available
    """

    operation: ClassVar = Operation.SEND_CERTIFICATES
    status: ReturnCode
    message_id: str | None = None
    message: str = ""
    certificates: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        _check_message_id(self.message_id)
        _check_certificates(self.status, self.certificates)


@dataclass(frozen=True, slots=True)
class CertificateRevocationRequest:
    """Ask that certificates be revoked, suspended or resumed; answered at once, so without messageID.

    :param request: certRevReq, the signed request as TR-03109-4 annex C has it
    """

    operation: ClassVar = Operation.CERTIFICATE_REVOCATION_REQUEST
    request: bytes


@dataclass(frozen=True, slots=True)
class UpdateDeviceAdmin:
    """Hand gateways over to another administrator; answered at once, so without messageID.

    :param request: updDevAdminReq, the signed request as TR-03109-4 annex C has it
    """

    operation: ClassVar = Operation.UPDATE_DEVICE_ADMIN
    request: bytes


@dataclass(frozen=True, slots=True)
class GeneralMessage:
    """A message for people.

    :param caller_id: callerID, unique in the PKI
    :param subject: what it is about
    :param body: plain text of any length
    """

    operation: ClassVar = Operation.GENERAL_MESSAGE
    caller_id: str
    message_id: str
    subject: str
    body: str

    def __post_init__(self) -> None:
        _check_message_id(self.message_id)


@dataclass(frozen=True, slots=True)
class GetServiceStatus:
    """Ask whether the application behind the service works."""

    operation: ClassVar = Operation.GET_SERVICE_STATUS
    message_id: str

    def __post_init__(self) -> None:
        _check_message_id(self.message_id)


Request = (
    RequestCertificate
    | GetCertificateChain
    | SendCertificates
    | CertificateRevocationRequest
    | UpdateDeviceAdmin
    | GeneralMessage
    | GetServiceStatus
)
"""What may be asked; ``operation`` tells one from the other."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How any of them is answered.

    :param code: returnCode
    :param message: returnCodeMessage; what is longer than :data:`MAX_MESSAGE` octets is cut when it is written
    :param certificates: DER, the highest first; there are some if and only if the code is ok_cert_available
    """

    code: ReturnCode
    message: str = ""
    certificates: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        _check_certificates(self.code, self.certificates)


def _check_message_id(message_id: str | None) -> None:
    if message_id == "":
        raise SoapError(
            "soap.message.message_id",
            "messageID is empty",
            where="messageID",
            hint="name each message that may be answered later by an id of its own (TR-03129-4 section 2.2.1)",
        )


def _check_certificates(code: ReturnCode, certificates: tuple[bytes, ...]) -> None:
    if bool(certificates) != (code is ReturnCode.OK_CERT_AVAILABLE):
        raise SoapError(
            "soap.message.certificates",
            f"the code is {code}, and there are {len(certificates)} certificates",
            where="certificateSeq",
            hint="certificates come with ok_cert_available and with nothing else (TR-03129-4 section 2.2.2)",
        )
