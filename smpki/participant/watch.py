"""Say which certificates expire when, and which triples are due for renewal."""

import enum
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from smpki.errors import SmpkiError, TrustError
from smpki.participant.signers import read_file_certificates
from smpki.policy.decide import renewal_opens
from smpki.policy.lint.classify import classify, environment_of
from smpki.policy.model import CertificateType, EnvironmentName, Policy, PurposeName
from smpki.policy.names import DistinguishedName

_SUFFIXES = frozenset({".pem", ".crt", ".cer", ".der"})


class State(enum.StrEnum):
    """How a certificate stands, the most urgent last."""

    REPLACED = "replaced"
    """A newer one of the same holder for the same purpose is here and valid."""
    VALID = "valid"
    FUTURE = "future"
    """It is not valid yet."""
    DUE = "due"
    """The renewal window of its triple is open."""
    EXPIRED = "expired"


@dataclass(frozen=True)
class Found:
    """A certificate of the SM-PKI in a file; everything in it that is looked at can be read.

    :param subject: its holder's name
    :param environment: ``None`` for a PKI that the policy does not know
    """

    file: Path
    certificate: x509.Certificate
    kind: CertificateType
    purpose: PurposeName
    subject: DistinguishedName
    environment: EnvironmentName | None


@dataclass(frozen=True)
class Watched:
    """A certificate and how it stands.

    :param renewal_opens: when its triple can be renewed first; ``None`` for a CA's, which renews itself
    :param days_left: whole days until it ends; negative when it has
    """

    found: Found
    state: State
    renewal_opens: datetime | None
    days_left: int

    def as_dict(self) -> dict[str, object]:
        """The certificate as the mapping that ``--json`` prints."""
        found = self.found
        return {
            "file": str(found.file),
            "subject": str(found.subject),
            "kind": found.kind.value,
            "purpose": found.purpose,
            "serial": f"{found.certificate.serial_number:x}",
            "not_after": found.certificate.not_valid_after_utc.isoformat(),
            "renewal_opens": self.renewal_opens.isoformat() if self.renewal_opens else None,
            "days_left": self.days_left,
            "state": self.state.value,
        }


def find_certificates(places: Iterable[Path], policy: Policy) -> tuple[Found, ...]:
    """The certificates of the SM-PKI in files and folders, each once, whatever files it is in.

    Of a folder, and of those in it, every file is tried that is named like a certificate; what holds none is passed
    over. What a named file holds has to be certificates.

    :raises SmpkiError: ``file.unreadable``, ``trust.file.unreadable`` for a file that was named; ``watch.nothing``
    """
    found: dict[bytes, Found] = {}
    for place in places:
        for file, certificate in _certificates(place):
            if (one := _found(file, certificate, policy)) is not None:
                found.setdefault(certificate.fingerprint(SHA256()), one)
    if not found:
        hint = "name files or folders with certificates of the SM-PKI"
        raise SmpkiError("watch.nothing", "there is no certificate of the SM-PKI", hint=hint)
    return tuple(found.values())


def assess(certificates: Sequence[Found], policy: Policy, now: datetime) -> tuple[Watched, ...]:
    """How certificates stand, the one that ends first in front.

    :param now: timezone-aware
    """
    newest: dict[tuple[str, CertificateType, PurposeName], datetime] = {}
    for one in certificates:
        if one.certificate.not_valid_before_utc <= now:
            newest[_line(one)] = max(newest.get(_line(one), one.certificate.not_valid_after_utc), _end(one))
    ordered = sorted(certificates, key=lambda one: (_end(one), str(one.subject), one.purpose))
    return tuple(_assess(one, newest.get(_line(one), _end(one)), policy, now) for one in ordered)


def exit_code(watched: Sequence[Watched]) -> int:
    """What to tell a timer: 0 nothing to do, 3 a triple is due for renewal, 4 one has expired.

    CAs renew themselves: theirs don't count.
    """
    states = {each.state for each in watched if each.renewal_opens is not None}
    return 4 if State.EXPIRED in states else 3 if State.DUE in states else 0


def _assess(one: Found, newest: datetime, policy: Policy, now: datetime) -> Watched:
    end = _end(one)
    opens = renewal_opens(policy, end) if one.kind.is_end_user else None
    if opens is not None and end < newest and now <= newest:
        state = State.REPLACED
    elif now > end:
        state = State.EXPIRED
    elif now < one.certificate.not_valid_before_utc:
        state = State.FUTURE
    else:
        state = State.DUE if opens is not None and now >= opens else State.VALID
    return Watched(one, state, opens, (end - now).days)


def _line(one: Found) -> tuple[str, CertificateType, PurposeName]:
    """What one certificate has in common with its successors."""
    return one.subject.key(), one.kind, one.purpose


def _end(one: Found) -> datetime:
    return one.certificate.not_valid_after_utc


def _certificates(place: Path) -> Iterator[tuple[Path, x509.Certificate]]:
    if not place.is_dir():
        yield from ((place, certificate) for certificate in read_file_certificates(place))
        return
    for file in sorted(place.rglob("*")):
        if file.suffix.lower() not in _SUFFIXES or not file.is_file():
            continue
        try:
            certificates = read_file_certificates(file)
        except TrustError:
            continue
        yield from ((file, certificate) for certificate in certificates)


def _found(file: Path, certificate: x509.Certificate, policy: Policy) -> Found | None:
    what = classify(certificate)
    if what is None:
        return None
    try:
        subject = DistinguishedName.from_x509(certificate.subject)
        subject.key()
    except SmpkiError:
        return None
    return Found(file, certificate, *what, subject, environment_of(certificate.subject, policy))
