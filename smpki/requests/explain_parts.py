"""What an explanation is made of, and the words that certificates, CRLs and requests have in common."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from smpki.asn1.oids import ECDSA_WITH_SHA256, ECDSA_WITH_SHA384, ECDSA_WITH_SHA512
from smpki.policy.lint.finding import Finding
from smpki.policy.model import CertificateType, EnvironmentName, Policy, PurposeName
from smpki.policy.names import ATTRIBUTES as OIDS
from smpki.policy.terms import ATTRIBUTES, PURPOSES, Term
from smpki.policy.text import visible

T = TypeVar("T")

_SHORT = {oid: short for short, oid in OIDS.items()}
_SIGNATURES = {
    ECDSA_WITH_SHA256: "ECDSA and SHA-256",
    ECDSA_WITH_SHA384: "ECDSA and SHA-384",
    ECDSA_WITH_SHA512: "ECDSA and SHA-512",
}
_LONGEST = 400  # characters of one value; names and addresses are shorter


@dataclass(frozen=True)
class Fact:
    """One thing to know.

    :param name: what it is, in words
    :param german: the German term
    :param values: lines to print; what strangers wrote is escaped
    :param critical: for an extension, whether it is critical
    """

    name: str
    german: str
    values: tuple[str, ...]
    critical: bool | None = None


@dataclass(frozen=True)
class Part:
    """One certificate, CRL, request package or request.

    :param kind: ``certificate``, ``crl``, ``request-package`` or ``request``
    :param title: what it is, in one line
    :param role: the certificate type of the holder, ``None`` where it is not known
    :param purpose: what the certificate is for, ``None`` where it is not known
    :param findings: what the lint says, ``None`` where it was not asked
    """

    kind: str
    title: str
    facts: tuple[Fact, ...]
    extensions: tuple[Fact, ...] = ()
    findings: tuple[Finding, ...] | None = None
    role: CertificateType | None = None
    purpose: PurposeName | None = None

    def as_dict(self) -> dict[str, object]:
        """The part as the mapping that ``--json`` prints."""
        return {
            "kind": self.kind,
            "title": self.title,
            "role": self.role,
            "purpose": self.purpose,
            "facts": [{key: value for key, value in asdict(fact).items() if key != "critical"} for fact in self.facts],
            "extensions": [asdict(extension) for extension in self.extensions],
            "findings": None if self.findings is None else [finding.as_dict() for finding in self.findings],
        }


def fact(term: Term, values: Iterable[str], *, critical: bool | None = None) -> Fact:
    """A fact whose values strangers may have written: made visible, and cut where they are too long to be read."""
    shown = (visible(value[:_LONGEST]) + ("..." if len(value) > _LONGEST else "") for value in values)
    return Fact(term.name, term.german, tuple(shown), critical)


def attempt(read: Callable[[], T], otherwise: Callable[[str], T]) -> T:
    """What ``read`` returns, or what ``otherwise`` makes of the complaint: pyca parses the fields one by one, late."""
    try:
        return read()
    except Exception as failed:  # pyca: ValueError, TypeError, DuplicateExtension and more
        return otherwise(str(failed))


def hash_words(hash: hashes.HashAlgorithm) -> str:
    """A hash as people write it: ``SHA-256``."""
    return hash.name.upper().replace("SHA", "SHA-")


def signature_words(algorithm: x509.ObjectIdentifier) -> str:
    """A signature algorithm."""
    return _SIGNATURES.get(algorithm.dotted_string, f"{algorithm.dotted_string}, which the SM-PKI does not use")


def holder_words(
    role: CertificateType | None, purpose: PurposeName | None, environment: EnvironmentName | None, policy: Policy
) -> str:
    """Whose certificate it is and what it is for, such as ``TLS certificate (TLS-Zertifikat) of: Gateway ...``."""
    pki = f"{environment} PKI" if environment else "of no PKI that the policy knows"
    if role is None or purpose is None:
        return f"of no type that the name scheme and the key usage tell, {pki}"
    rules = policy.certificates[role]
    return f"{PURPOSES[purpose]} of: {Term(rules.title, rules.german)}, {pki}"


def name_values(name: x509.Name) -> tuple[str, ...]:
    """The attributes of a name, one a line: ``CN (common name, Name): Company.EMT``."""
    return tuple(_attribute_words(attribute) for attribute in name)


def one_line(name: x509.Name) -> str:
    """A name in one line: ``CN=SM-Root.CA, O=SM-PKI-DE``; the order of the encoding is kept."""
    return ", ".join(f"{_SHORT.get(each.oid, each.oid.dotted_string)}={_text(each)}" for each in name)


def moment_words(moment: datetime) -> str:
    """A point in time, UTC."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def span_words(start: datetime, end: datetime) -> str:
    """How long it is from ``start`` to ``end``: in years where it is some years to the day, in days otherwise."""
    years = end.year - start.year
    if years > 0 and (start.month, start.day) == (end.month, end.day):
        return f"{years} year{'s' if years > 1 else ''}"
    days = (end - start).days
    return f"{days} day{'s' if days != 1 else ''}"


def key_words(key: CertificatePublicKeyTypes) -> str:
    """Curve and size of a key."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"elliptic curve {key.curve.name}, {key.key_size} bits"
    return f"{type(key).__name__}, which the SM-PKI does not use"


def _attribute_words(attribute: x509.NameAttribute[str | bytes]) -> str:
    short = _SHORT.get(attribute.oid)
    if short is None:
        return f"{attribute.oid.dotted_string}: {_text(attribute)}"
    term = ATTRIBUTES[short]
    return f"{short} ({term.name}, {term.german}): {_text(attribute)}"


def _text(attribute: x509.NameAttribute[str | bytes]) -> str:
    return attribute.value if isinstance(attribute.value, str) else attribute.value.hex()
