"""The one table that says by which code of TR-03129-4 an error is answered.

An error has one code of ours; the operations have each a list of return codes of their own. So the table says what an
error is, and what the operation's list lacks becomes ``failure_request_not_accepted``, or ``failure_other_error`` where
the list lacks that too.
"""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from smpki.errors import SmpkiError
from smpki.soap.messages import Answer, Operation, ReturnCode
from smpki.soap.schema import enumeration

TABLE: Mapping[str, ReturnCode] = MappingProxyType(
    {
        # the SOAP message
        "soap.message": ReturnCode.FAILURE_SYNTAX,
        # the service: who asks, and what the protocol's state does not allow
        "service.unauthorised": ReturnCode.FAILURE_UNAUTHORIZED_REQUEST,
        "service.synchronous": ReturnCode.FAILURE_SYNCHRONOUS_PROCESSING_NOT_POSSIBLE,
        "service.message_id.unknown": ReturnCode.FAILURE_MESSAGE_ID_UNKNOWN,
        "service.certificate.unavailable": ReturnCode.FAILURE_CERT_NOT_AVAILABLE,
        "service.message_id.used": ReturnCode.FAILURE_REQUEST_NOT_ACCEPTED,
        "service.not_accepted": ReturnCode.FAILURE_REQUEST_NOT_ACCEPTED,
        # a result that comes to a participant and is not what it asked for
        "web_service": ReturnCode.FAILURE_OTHER_ERROR,
        # what a request is: encoding, structure, names, extensions
        "request": ReturnCode.FAILURE_INCORRECT_REQUEST,
        "lint": ReturnCode.FAILURE_INCORRECT_REQUEST,
        "tr-03109-4": ReturnCode.FAILURE_INCORRECT_REQUEST,
        "sm-pki-cp": ReturnCode.FAILURE_INCORRECT_REQUEST,
        "rfc-5280": ReturnCode.FAILURE_INCORRECT_REQUEST,
        "x-520": ReturnCode.FAILURE_INCORRECT_REQUEST,
        "name": ReturnCode.FAILURE_INCORRECT_REQUEST,
        "device_id": ReturnCode.FAILURE_INCORRECT_REQUEST,
        "issuing.build": ReturnCode.FAILURE_INCORRECT_REQUEST,
        "issuing.sub_ca.request": ReturnCode.FAILURE_INCORRECT_REQUEST,
        "revocation.reason": ReturnCode.FAILURE_INCORRECT_REQUEST,
        # curves and signature algorithms that the policy does not allow
        "request.public_key.algorithm": ReturnCode.FAILURE_DOMAIN_PARAMETERS,
        "request.public_key.curve": ReturnCode.FAILURE_DOMAIN_PARAMETERS,
        "request.public_key.parameters": ReturnCode.FAILURE_DOMAIN_PARAMETERS,
        "request.proof_of_possession.algorithm": ReturnCode.FAILURE_DOMAIN_PARAMETERS,
        "tr-03109-4.c1.proof.hash": ReturnCode.FAILURE_DOMAIN_PARAMETERS,
        "tr-03116-3": ReturnCode.FAILURE_DOMAIN_PARAMETERS,
        # signatures, and whose they may be
        "request.proof_of_possession": ReturnCode.FAILURE_INNER_SIGNATURE,
        "request.outer_signature": ReturnCode.FAILURE_OUTER_SIGNATURE,
        "request.renewal": ReturnCode.FAILURE_OUTER_SIGNATURE,
        "request.signature": ReturnCode.FAILURE_OUTER_SIGNATURE,
        "request.authorisation": ReturnCode.FAILURE_AUTHORIZATION_SIGNATURE,
        "request.authorisation.role": ReturnCode.FAILURE_UNAUTHORIZED_REQUEST,
        "request.entitlement": ReturnCode.FAILURE_UNAUTHORIZED_REQUEST,
        # nothing is wrong with the request, and yet it is not granted
        "request.renewal.early": ReturnCode.FAILURE_REQUEST_NOT_ACCEPTED,
        "request.device_admin.administrator": ReturnCode.FAILURE_REQUEST_NOT_ACCEPTED,
        "request.device_admin.new_admin": ReturnCode.FAILURE_REQUEST_NOT_ACCEPTED,
        "request.revocation.issuer": ReturnCode.FAILURE_REQUEST_NOT_ACCEPTED,
        "issuing": ReturnCode.FAILURE_REQUEST_NOT_ACCEPTED,
        "revocation": ReturnCode.FAILURE_REQUEST_NOT_ACCEPTED,
        "revocation.reason.not_allowed": ReturnCode.FAILURE_REQUEST_NOT_ACCEPTED,
        "store.serial": ReturnCode.FAILURE_REQUEST_NOT_ACCEPTED,
        # it may be granted later: somebody else is faster, the CA itself has to be renewed first, the service ends
        "issuing.issuer": ReturnCode.FAILURE_OTHER_ERROR,
        "issuing.package.in_progress": ReturnCode.FAILURE_OTHER_ERROR,
        "issuing.subject.in_progress": ReturnCode.FAILURE_OTHER_ERROR,
        "policy.validity": ReturnCode.FAILURE_OTHER_ERROR,
        "service.ending": ReturnCode.FAILURE_OTHER_ERROR,
        # everything else is our own affair: token, database, audit, what nobody expected
        "issuing.conflict": ReturnCode.FAILURE_INTERNAL_ERROR,
        "issuing.permit": ReturnCode.FAILURE_INTERNAL_ERROR,
        "issuing.serial": ReturnCode.FAILURE_INTERNAL_ERROR,
        "": ReturnCode.FAILURE_INTERNAL_ERROR,
    }
)
"""What an error is, by the beginning of its code; the longest that fits counts."""

EXCEPTIONS: Mapping[Operation, Mapping[str, ReturnCode]] = MappingProxyType(
    {
        # a name that no CA here can have
        Operation.GET_CERTIFICATE_CHAIN: MappingProxyType(
            {
                "name": ReturnCode.FAILURE_CERT_NOT_AVAILABLE,
                "device_id": ReturnCode.FAILURE_CERT_NOT_AVAILABLE,
                "issuing.issuer.unknown": ReturnCode.FAILURE_CERT_NOT_AVAILABLE,
            }
        ),
        # an application that does not work is what is asked about (TR-03129-4 section 2.3.6)
        Operation.GET_SERVICE_STATUS: MappingProxyType({"": ReturnCode.FAILURE_OTHER_ERROR}),
    }
)
"""Where an operation sees it in another way."""

_OUR_AFFAIR = "the service failed, which is no fault of the request: send it again later"


def return_code(error: Exception, operation: Operation) -> ReturnCode:
    """The return code for an error in an operation: one of the operation's list."""
    return _listed(_meaning(error, operation), return_codes(operation))


def status_info(error: Exception, operation: Operation) -> ReturnCode:
    """The status that SendCertificates reports when an operation failed that was answered with ok_syntax."""
    return _listed(_meaning(error, operation), status_codes())


def refusal(error: Exception, operation: Operation) -> Answer:
    """The answer that an error gets."""
    return Answer(return_code(error, operation), explanation(error))


def explanation(error: Exception) -> str:
    """What the sender is told beside the code: what is wrong, where, which rule, what to do; of what is the service's
    own affair only the rule."""
    if not isinstance(error, SmpkiError):
        return _OUR_AFFAIR
    if _look_up(error.code, TABLE) is ReturnCode.FAILURE_INTERNAL_ERROR:
        return f"{_OUR_AFFAIR} [{error.code}]"
    return f"{error}; {error.hint}" if error.hint else str(error)


@cache
def return_codes(operation: Operation) -> frozenset[ReturnCode]:
    """What an operation may be answered with."""
    return frozenset(map(ReturnCode, enumeration(f"{operation}_Res", "returnCode")))


@cache
def status_codes() -> frozenset[ReturnCode]:
    """What SendCertificates may report."""
    return frozenset(map(ReturnCode, enumeration(f"{Operation.SEND_CERTIFICATES}_Req", "statusInfo")))


def _meaning(error: Exception, operation: Operation) -> ReturnCode:
    if not isinstance(error, SmpkiError):
        return ReturnCode.FAILURE_INTERNAL_ERROR
    return _look_up(error.code, EXCEPTIONS.get(operation, {}), TABLE)


def _look_up(code: str, *tables: Mapping[str, ReturnCode]) -> ReturnCode:
    beginning = code
    while True:
        for table in tables:
            if beginning in table:
                return table[beginning]
        beginning = beginning.rpartition(".")[0]


def _listed(meaning: ReturnCode, codes: frozenset[ReturnCode]) -> ReturnCode:
    for code in (meaning, ReturnCode.FAILURE_REQUEST_NOT_ACCEPTED):
        if code in codes:
            return code
    return ReturnCode.FAILURE_OTHER_ERROR
