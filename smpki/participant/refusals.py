"""What the return codes of TR-03129-4 mean for whoever asked: an error each, with what to do."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from smpki.errors import RequestError, ServiceError, SmpkiError
from smpki.policy.text import visible
from smpki.soap.messages import Answer, Operation, ReturnCode

_Code = ReturnCode

_FINAL: Mapping[ReturnCode, tuple[str, str]] = MappingProxyType(
    {
        _Code.FAILURE_SYNTAX: (
            "the message is not as the service's interface has it",
            "compare the service's WSDL (?wsdl) with TR-03129-4 v1.3.1",
        ),
        _Code.FAILURE_INCORRECT_REQUEST: (
            "what the message carries is wrong",
            "see what it holds (smpki inspect) and what the policy allows (smpki lint), and make it anew",
        ),
        _Code.FAILURE_SYNCHRONOUS_PROCESSING_NOT_POSSIBLE: (
            "it can't be answered at once, and no answer can come later",
            "have an address for results registered, run smpki participant receive, and send it with --pending",
        ),
        _Code.FAILURE_MESSAGE_ID_UNKNOWN: ("nothing was asked by this messageID", "see what was sent, and to whom"),
        _Code.FAILURE_INNER_SIGNATURE: (
            "a proof of possession in the package does not hold",
            "make the package anew, with the keys that it is for",
        ),
        _Code.FAILURE_OUTER_SIGNATURE: (
            "the signature by the previous key does not hold",
            "sign with the SIG key of the triple in force; without one, register with a first package",
        ),
        _Code.FAILURE_AUTHORIZATION_SIGNATURE: (
            "the authorisation does not hold",
            "authorise as the gateway's manufacturer (Guetesiegel) or administrator (Wirk), with the SIG key in force",
        ),
        _Code.FAILURE_REQUEST_NOT_ACCEPTED: (
            "nothing is wrong with it, and yet it is not granted",
            "see what the service says, or ask the operator of the CA",
        ),
        _Code.FAILURE_UNAUTHORIZED_REQUEST: (
            "who asks may not ask for this",
            "see whose TLS certificate asks, and whose package or request it is",
        ),
        _Code.FAILURE_DOMAIN_PARAMETERS: (
            "a curve or signature algorithm is not allowed",
            "make keys and package anew, as the policy has them: smpki policy show",
        ),
        _Code.FAILURE_CERT_NOT_AVAILABLE: (
            "there are no such certificates",
            "compare the name with the issuer in the certificate in question, to the letter",
        ),
    }
)
"""What the same message again would be told again."""

_PASSING: Mapping[ReturnCode, tuple[str, str]] = MappingProxyType(
    {
        _Code.FAILURE_INTERNAL_ERROR: ("the service failed", "send it again later, or ask the operator of the CA"),
        _Code.FAILURE_OTHER_ERROR: (
            "the service can't do it now",
            "see what the service says; send it again later, or ask the operator of the CA",
        ),
    }
)
"""What may be otherwise the next time."""

_RULE = re.compile(r" \[([a-z_]+(?:\.[a-z0-9_-]+)+)\](?:;|$)")


def refusal(operation: Operation, answer: Answer, where: str) -> SmpkiError:
    """The error that an answer is which brings nothing of what was asked for.

    :param where: the address of the service
    :return: a :class:`RequestError` when the same message again would be refused again, a :class:`ServiceError`
        otherwise; the code is ``web_service.`` and the return code
    """
    meaning = _FINAL.get(answer.code) or _PASSING.get(answer.code)
    if meaning is None:
        message = f"{operation} is answered {answer.code}, which is no answer to it"
        hint = "ask the operator of the CA whether the service follows TR-03129-4 v1.3.1"
        return ServiceError("web_service.answer", message, where=where, hint=hint)
    what, hint = meaning
    said = f": {visible(answer.message)}" if answer.message else ""
    kind = RequestError if answer.code in _FINAL else ServiceError
    return kind(f"web_service.{answer.code.lower()}", f"{operation} is refused: {what}{said}", where=where, hint=hint)


def rule_behind(error: SmpkiError) -> str | None:
    """The rule that a CA like ours names in its refusal, such as ``issuing.subject.has_triple``."""
    found = _RULE.findall(error.message)
    return found[-1] if found else None
