"""What becomes of messages that can't be read: SOAP Faults, and ``failure_syntax`` where the operation is known."""

import enum
from dataclasses import dataclass

from smpki.errors import SoapError
from smpki.soap.messages import Operation


class FaultCode(enum.StrEnum):
    """Whose fault it is (SOAP 1.1 section 4.4.1)."""

    VERSION_MISMATCH = "VersionMismatch"
    """The envelope is of another SOAP."""
    MUST_UNDERSTAND = "MustUnderstand"
    """A header entry has to be understood, and is not."""
    CLIENT = "Client"
    """The message is wrong: to send it again unchanged is of no use."""
    SERVER = "Server"
    """The message could not be processed now."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A SOAP Fault (SOAP 1.1 section 4.4).

    :param code: whose fault it is
    :param message: what people are told; not empty
    """

    code: FaultCode
    message: str


class FaultError(SoapError):
    """A message of no known operation: it is answered by a Fault.

    :ivar fault: the answer
    """

    def __init__(self, code: FaultCode, rule: str, message: str, *, where: str = "message", hint: str) -> None:
        super().__init__(f"soap.{rule}", message, where=where, hint=hint)
        self.fault = Fault(code, str(self))


class SyntaxFailure(SoapError):
    """A message of a known operation that is not as the interface defines it: ``failure_syntax`` answers it.

    :ivar operation: the operation
    """

    def __init__(self, operation: Operation, refused: SoapError) -> None:
        super().__init__(refused.code, refused.message, where=refused.where, hint=refused.hint)
        self.operation = operation


class PeerFault(SoapError):
    """A Fault that came instead of an answer.

    :ivar fault: what came
    """

    def __init__(self, fault: Fault) -> None:
        hint = "try again later" if fault.code is FaultCode.SERVER else "see what the other side found wrong"
        super().__init__("soap.fault", f"the other side answered {fault.code}: {fault.message}", hint=hint)
        self.fault = fault
