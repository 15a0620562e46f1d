"""What is asked about a certificate, and what is answered."""

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from smpki.errors import PolicyError
from smpki.policy.model import CertificateType
from smpki.policy.names import DistinguishedName
from smpki.trust.algorithms import PKI_ALGORITHMS, AllowedAlgorithms

ANY_POLICY = "2.5.29.32.0"

Use = Literal["tls", "sig", "enc"]

Path = tuple[x509.Certificate, ...]
"""A chain from the trusted root down (the order of TR-03129-4)."""


class Revocation(enum.StrEnum):
    """How much must be known about revocation (Sperrung) and suspension (Suspendierung)."""

    REQUIRED = "required"
    """Each certificate below the root needs a current CRL that speaks for it; without one it is not valid."""
    IF_KNOWN = "if-known"
    """What a CRL lists is not valid; a CRL that is missing, stale or unusable doesn't matter."""
    IGNORED = "ignored"
    """CRLs are not looked at."""


@dataclass(frozen=True)
class PolicyInputs:
    """The inputs of RFC 5280 6.1.1 (c), (e), (f) and (g) about certificate policies.

    The SM-PKI sets none of them: real end-user certificates carry their Sub-CA's policy only.

    :param initial: acceptable policies, dotted
    :param explicit: at least one of them must hold for the whole chain
    """

    initial: frozenset[str] = frozenset({ANY_POLICY})
    explicit: bool = False
    inhibit_mapping: bool = False
    inhibit_any: bool = False


NO_POLICY_INPUTS = PolicyInputs()


@dataclass(frozen=True)
class Question:
    """Does this certificate hold?

    :param roots: the trusted roots (Vertrauensanker); nothing else is trusted
    :param at: the moment the answer is about, with a time zone
    :param untrusted: certificates a chain may be made of, in any order: Sub-CAs, link certificates, CRL signers
    :param crls: revocation lists, in any order; those that don't speak for the chain don't matter
    :param role: the certificate type that the holder must have by its name; ``None``: any
    :param use: the purpose that the key must have; ``None``: any
    """

    certificate: x509.Certificate
    roots: tuple[x509.Certificate, ...]
    at: datetime
    untrusted: tuple[x509.Certificate, ...] = ()
    crls: tuple[x509.CertificateRevocationList, ...] = ()
    role: CertificateType | None = None
    use: Use | None = None
    algorithms: AllowedAlgorithms = PKI_ALGORITHMS
    revocation: Revocation = Revocation.REQUIRED
    policies: PolicyInputs = NO_POLICY_INPUTS


@dataclass(frozen=True)
class Reason:
    """Why a chain does not hold.

    :param code: dotted and stable, such as ``trust.certificate.revoked``
    :param rule: the clause that is broken, such as ``RFC 5280 6.1.3 (a)(3)``
    :param message: what is wrong, one sentence
    :param subject: of the certificate at fault; empty when none is
    :param serial: its serial number
    """

    code: str
    rule: str
    message: str
    subject: str = ""
    serial: int | None = None

    def __str__(self) -> str:
        place = f"{self.subject}: " if self.subject else ""
        return f"{place}{self.message} [{self.code}, {self.rule}]"

    def as_dict(self) -> dict[str, object]:
        """The reason as the mapping that ``--json`` prints; the serial in hexadecimal."""
        serial = None if self.serial is None else f"{self.serial:x}"
        return {
            "code": self.code,
            "rule": self.rule,
            "message": self.message,
            "subject": self.subject,
            "serial": serial,
        }


@dataclass(frozen=True)
class Verdict:
    """The answer.

    :param chain: the chain that holds; of several that don't, the one that came furthest; empty when there is none
    :param reasons: all that is wrong with it; empty exactly when it is valid
    """

    chain: Path
    reasons: tuple[Reason, ...]

    @property
    def valid(self) -> bool:
        """Whether the certificate holds."""
        return not self.reasons


def reason(certificate: x509.Certificate, code: str, rule: str, message: str) -> Reason:
    """A reason about a certificate."""
    return Reason(code, rule, message, name_text(certificate.subject), certificate.serial_number)


def unreadable(certificate: x509.Certificate) -> Reason:
    """A certificate that nobody can read; so its name is not in the reason either."""
    message = f"a certificate has parts that can't be read (SHA-256 {certificate.fingerprint(SHA256()).hex()})"
    return Reason("trust.certificate.unreadable", "RFC 5280 4.1", message)


def name_text(name: x509.Name) -> str:
    """A name for people: ``CN=..., O=...`` where the name scheme knows its attributes, RFC 4514 otherwise."""
    try:
        return str(DistinguishedName.from_x509(name))
    except PolicyError:
        return name.rfc4514_string()
