"""The one error tree.

    SmpkiError
    ├── PolicyError     a policy file that does not load, or that contradicts itself
    ├── RequestError    a request package that cannot be read or may not be granted
    ├── TokenError      the PKCS#11 token: missing, locked, full, or a key that is not there
    ├── StoreError      the database: unreachable, read-only, full, of another version
    ├── AuditError      the audit chain: an entry changed, missing or swapped, a cut tail
    ├── TrustError      a question about a chain that can't be asked so
    ├── TlsError        a TLS connection that may not be, or that failed; its alert is with the peer
    ├── SoapError       the web service's protocol: a message that can't be read or written, a fault that came back
    ├── GatewayError    what reaches or leaves a gateway: a message, wake-up, telegram or slot that is not right
    ├── RevocationError the CA refuses to take a certificate back: it is not ours, expired, revoked already
    └── IssuingError    the CA refuses: unknown or expired issuer, key past its use, lint findings, a second triple

Every refusal says what was wrong (``message``), where (``where``: a file, field or index), which rule it breaks
(``code``, dotted and stable, so that scripts can match it) and what to do (``hint``). No message carries a key, a PIN
or other secret, and none is chained to an exception that does.
"""


class SmpkiError(Exception):
    """A refusal that explains itself.

    :param code: dotted, stable name of the rule, such as ``request.proof_of_possession.invalid``
    :param message: what was wrong, one sentence
    :param where: the place: file, field or index; empty when there is just one
    :param hint: what the reader can do about it
    :ivar audited: whether the audit has an entry for it
    """

    def __init__(self, code: str, message: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(code, message, where, hint)
        self.code = code
        self.message = message
        self.where = where
        self.hint = hint
        self.audited = False

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.message} [{self.code}]"

    def __reduce__(self) -> tuple[object, ...]:
        # keyword-only arguments, those of subclasses too, need help to cross a process boundary
        return _rebuild, (type(self), self.args, self.__dict__)

    def as_dict(self) -> dict[str, str]:
        """The refusal as the mapping that ``--json`` prints and the audit stores."""
        return {"code": self.code, "message": self.message, "where": self.where, "hint": self.hint}


def _rebuild(kind: type[SmpkiError], arguments: tuple[str, ...], state: dict[str, object]) -> SmpkiError:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(state)
    return error


class PolicyError(SmpkiError):
    """A policy file that does not load, or that contradicts itself; ``where`` is ``file:line: path``."""


class RequestError(SmpkiError):
    """A request package that cannot be read or may not be granted; ``where`` names the request and field."""


class TokenError(SmpkiError):
    """The PKCS#11 token refused; the message has the vendor's CKR name where there is one."""


class StoreError(SmpkiError):
    """The database is unreachable, refuses to write, or belongs to another version."""


class AuditError(SmpkiError):
    """The audit chain does not hold; ``where`` names the first entry that is wrong."""


class TrustError(SmpkiError):
    """A question about a chain that can't be asked so; what a chain lacks is in the verdict, not in an error."""


class TlsError(SmpkiError):
    """A TLS connection that may not be made, or that failed."""


class SoapError(SmpkiError):
    """A message that the protocol of the web service does not allow, or a fault that came back."""


class GatewayError(SmpkiError):
    """What a gateway or its partner refuses: a message, a wake-up, a telegram, a slot of the security module."""


class ServiceError(SmpkiError):
    """What the web service of a CA refuses: who asks, for what, and in which state of the protocol."""


class RevocationError(SmpkiError):
    """The CA refuses to revoke, suspend or resume."""


class IssuingError(SmpkiError):
    """The CA refuses to issue."""
