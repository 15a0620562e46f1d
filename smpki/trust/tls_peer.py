"""Checks of TLS peers by chain and revocation list: smpki.trust's answer as an alert for the peer."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple, NoReturn

from cryptography import x509

from smpki.errors import PolicyError, SmpkiError
from smpki.policy.lint.classify import classify
from smpki.policy.model import CertificateType
from smpki.policy.names import DistinguishedName
from smpki.policy.text import visible
from smpki.tls.peers import Alert, PeerCheck, PeerRefused
from smpki.trust.algorithms import PKI_ALGORITHMS, AllowedAlgorithms
from smpki.trust.question import Question, Reason, Revocation, Use, reason
from smpki.trust.validate import validate

_Chain = tuple[x509.Certificate, ...]

_MOST_REMEMBERED = 1000


@dataclass(frozen=True, eq=False)
class TrustMaterial:
    """What peers are checked against.

    :param roots: the trusted roots (Vertrauensanker)
    :param authorities: what chains may be made of besides what the peer sends: Sub-CAs, link certificates, CRL signers
    :param crls: revocation lists
    """

    roots: tuple[x509.Certificate, ...]
    authorities: tuple[x509.Certificate, ...] = ()
    crls: tuple[x509.CertificateRevocationList, ...] = ()


def trusted(
    material: Callable[[], TrustMaterial],
    *,
    now: Callable[[], datetime],
    roles: Collection[CertificateType] | None = None,
    use: Use | None = "tls",
    revocation: Revocation = Revocation.REQUIRED,
    algorithms: AllowedAlgorithms = PKI_ALGORITHMS,
) -> PeerCheck:
    """A check that accepts whose chain leads to a trusted root and is not revoked (RFC 5280 6).

    What it accepts it remembers as long as the material is the same object and no date in question has passed. Whatever
    goes wrong in it refuses the peer. Threads may share it.

    :param material: asked for each peer, so that a new revocation list takes effect at once
    :param now: the clock
    :param roles: types of certificate, one of which the peer's has to be; ``None``: any
    :param use: ``None`` for a CA on the HAN, where extended key usage is recommended only
    :param revocation: ``REQUIRED`` refuses a peer for whom there is no current revocation list
    """
    accepted: dict[_Chain, _Accepted] = {}

    def check(chain: _Chain) -> None:
        try:
            at, present = now(), material()
            known = accepted.get(chain)
            if known is not None and known.still(present, at):
                return
            reasons = _reasons(chain, present, at)
            if not reasons:
                if len(accepted) >= _MOST_REMEMBERED:
                    accepted.clear()
                accepted[chain] = _Accepted(present, at, _next_date(chain, present, at))
                return
        except Exception as error:
            message = error.message if isinstance(error, SmpkiError) else type(error).__name__
            raise PeerRefused(
                "tls.peer.unchecked",
                f"the peer's certificate can't be checked: {message}",
                alert=Alert.CERTIFICATE_UNKNOWN,
                hint="see to roots, revocation lists and clock",
            ) from error
        _refuse(reasons)

    def _reasons(chain: _Chain, present: TrustMaterial, at: datetime) -> list[Reason]:
        peer = chain[0]
        kind = classify(peer)
        role = None if roles is None or kind is None or kind[0] not in roles else kind[0]
        untrusted = (*present.authorities, *chain[1:])
        question = Question(
            peer, present.roots, at, untrusted, present.crls, role, use, algorithms=algorithms, revocation=revocation
        )
        reasons = list(validate(question).reasons)
        if roles is not None and role is None:
            message = f"it is no certificate of type {' or '.join(sorted(roles))}"
            reasons.append(reason(peer, "trust.role.name", "SM-PKI Certificate Policy annex A", message))
        return reasons

    return check


def held_by(holders: Iterable[DistinguishedName]) -> PeerCheck:
    """A check that accepts just the certificates of these holders, past and future ones; for use behind another one.

    :param holders: their names, of which CN and O count
    """
    known = frozenset(holder.key() for holder in holders)

    def check(chain: _Chain) -> None:
        try:
            key = DistinguishedName.from_x509(chain[0].subject).key()
        except (PolicyError, ValueError):  # pyca reads names late
            key = None
        if key not in known:
            message = "the peer is none of those who may connect"
            hint = "let its holder in, by CN and O"
            raise PeerRefused("tls.peer.holder", message, alert=Alert.CERTIFICATE_UNKNOWN, hint=hint)

    return check


def all_of(*checks: PeerCheck) -> PeerCheck:
    """A check that accepts whom each of the checks accepts, asked in their order."""

    def check(chain: _Chain) -> None:
        for one in checks:
            one(chain)

    return check


class _Accepted(NamedTuple):
    """Under which circumstances a chain was accepted."""

    material: TrustMaterial
    since: datetime
    until: datetime | None

    def still(self, material: TrustMaterial, at: datetime) -> bool:
        """Whether the answer is the same without asking again: nothing begins or ends in between."""
        return material is self.material and self.since <= at and (self.until is None or at < self.until)


def _next_date(chain: _Chain, material: TrustMaterial, at: datetime) -> datetime | None:
    """The first date from now on at which one of the certificates or lists begins or ends to count."""
    dates: list[datetime | None] = []
    for certificate in (*chain, *material.roots, *material.authorities):
        dates += certificate.not_valid_before_utc, certificate.not_valid_after_utc
    for crl in material.crls:
        dates += crl.last_update_utc, crl.next_update_utc
    return min((date for date in dates if date is not None and date >= at), default=None)


_ALERTS: Mapping[str, Alert] = MappingProxyType(
    {
        "trust.certificate.signature": Alert.BAD_CERTIFICATE,
        "trust.certificate.unreadable": Alert.BAD_CERTIFICATE,
        "trust.certificate.name": Alert.BAD_CERTIFICATE,
        "trust.algorithm.signature": Alert.BAD_CERTIFICATE,
        "trust.path": Alert.UNKNOWN_CA,
        "trust.role.issuer": Alert.UNKNOWN_CA,
        "trust.certificate.not_ca": Alert.UNKNOWN_CA,
        "trust.certificate.path_length": Alert.UNKNOWN_CA,
        "trust.certificate.key_usage": Alert.UNKNOWN_CA,
        "trust.certificate.revoked": Alert.CERTIFICATE_REVOKED,
        "trust.certificate.suspended": Alert.CERTIFICATE_REVOKED,
        "trust.certificate.expired": Alert.CERTIFICATE_EXPIRED,
        "trust.certificate.not_yet_valid": Alert.CERTIFICATE_EXPIRED,
        "trust.use": Alert.UNSUPPORTED_CERTIFICATE,
        "trust.role.name": Alert.UNSUPPORTED_CERTIFICATE,
        "trust.algorithm.key": Alert.UNSUPPORTED_CERTIFICATE,
    }
)
"""The alert by the code of a reason, or by its beginning; revocation lists and all else: certificate_unknown."""

_TELLING = (
    *(Alert.BAD_CERTIFICATE, Alert.UNKNOWN_CA, Alert.CERTIFICATE_REVOKED, Alert.CERTIFICATE_EXPIRED),
    *(Alert.UNSUPPORTED_CERTIFICATE, Alert.CERTIFICATE_UNKNOWN),
)
"""Of several alerts the first of these goes out: who nobody knows has no use that would be wrong."""

_HINTS: Mapping[Alert, str] = MappingProxyType(
    {
        Alert.BAD_CERTIFICATE: "the peer has to send the certificate that its CA signed",
        Alert.UNKNOWN_CA: "compare the peer's chain with the roots and authorities that are trusted here",
        Alert.CERTIFICATE_REVOKED: "the peer needs a new certificate, or has to be resumed by its CA",
        Alert.CERTIFICATE_EXPIRED: "compare the clocks of both sides, and renew what has ended",
        Alert.UNSUPPORTED_CERTIFICATE: "the peer has to use its TLS certificate for this link",
        Alert.CERTIFICATE_UNKNOWN: "see that the revocation lists of its CAs are here and current",
    }
)


def _refuse(reasons: Iterable[Reason]) -> NoReturn:
    alert, found = min(((_alert(one.code), one) for one in reasons), key=lambda pair: _TELLING.index(pair[0]))
    message = f"the peer's certificate does not hold: {visible(found.message)}"
    raise PeerRefused(found.code, message, alert=alert, where=visible(found.subject), hint=_HINTS[alert])


def _alert(code: str) -> Alert:
    return _ALERTS.get(code) or _ALERTS.get(code.rpartition(".")[0], Alert.CERTIFICATE_UNKNOWN)
