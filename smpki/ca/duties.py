"""What the operator of the CAs has to do next, and until when: the policy's arithmetic of key use and validity."""

import enum
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from smpki.ca.store.records import StoredCertificate
from smpki.ca.store.revocations import Revocation
from smpki.ca.store.store import Store
from smpki.policy.decide import latest_start, renewal_opens
from smpki.policy.model import CertificateType, Policy

_KINDS = tuple(kind for kind in CertificateType if not kind.is_end_user)
_SIGN_CRLS = (CertificateType.ROOT, CertificateType.SUB_CA)
_OF_SUB_CA = (CertificateType.SUB_CA, CertificateType.SUB_CA_TLS_ROOT, CertificateType.SUB_CA_TLS)


class DutyState(enum.StrEnum):
    """How urgent it is."""

    NOTHING = "nothing"
    """Nothing to do, for now or for good."""
    DUE = "due"
    """To be renewed; there is time until :attr:`Duty.by`."""
    OVERDUE = "overdue"
    """It should have been renewed: it does less now than it is there for, or nothing."""


@dataclass(frozen=True)
class Duty:
    """A certificate of a CA, and what to do about it.

    :param by: the last moment at which it does all that it is there for; ``None`` when nothing is to be renewed
    :param todo: in words
    """

    certificate: StoredCertificate
    state: DutyState
    by: datetime | None
    todo: str


class _Limit(NamedTuple):
    """A moment after which a CA does not do all that it is there for, and why."""

    moment: datetime
    reason: str


def duties(policy: Policy, store: Store, now: datetime) -> tuple[Duty, ...]:
    """Every certificate of a CA (roots, link certificates, signers, Sub-CAs, their TLS), by type, name and number.

    A CA is to be renewed before its key's use ends, and while what it issues still fits into its own validity at full
    length; the time for it opens as that for the triples of end users does.

    :param now: timezone-aware
    """
    found = sorted(store.of_kinds(_KINDS), key=_place)
    revoked = store.revocations.among([one.serial for one in found])
    adviser = _Adviser(policy, found, revoked, now)
    return tuple(adviser.duty(one) for one in found)


def _place(one: StoredCertificate) -> tuple[int, str, int, datetime]:
    return _KINDS.index(CertificateType(one.kind)), one.subject_cn, one.dn_serial or 0, one.not_before


class _Adviser:
    def __init__(
        self,
        policy: Policy,
        certificates: list[StoredCertificate],
        revoked: Mapping[str, Revocation],
        now: datetime,
    ) -> None:
        self._policy = policy
        self._revoked = revoked
        self._now = now
        self._newest = {(one.kind, one.subject_key): one for one in certificates}  # sorted: the last one wins
        roots = [one for one in certificates if one.kind == CertificateType.ROOT and one.token_key_id]
        self._has_root_key = bool(roots)
        self._can_link = any(now <= (root.key_use_end or root.not_after) for root in roots[-1:])

    def duty(self, one: StoredCertificate) -> Duty:
        if one.kind == CertificateType.LINK:
            return _nothing(one, "nothing to do: it ends with the root that signed it")
        newest = self._newest[one.kind, one.subject_key]
        if newest is not one:
            return _nothing(one, self._replaced(one, newest))
        revocation = self._revoked.get(one.serial)
        if revocation is not None:
            why = f"revoked since {_day(revocation.since)}"
            return Duty(one, DutyState.OVERDUE, revocation.since, f"{why}: {self._how(one)}")
        return self._renewal(one)

    def _replaced(self, one: StoredCertificate, newest: StoredCertificate) -> str:
        by = "a newer one" if newest.dn_serial is None else f"number {newest.dn_serial}"
        if one.kind in _SIGN_CRLS and one.token_key_id and self._now <= one.not_after:
            return f"replaced by {by}: it signs CRLs only, until {_day(one.not_after)}"
        return f"replaced by {by}: nothing to do"

    def _renewal(self, one: StoredCertificate) -> Duty:
        limits = sorted(self._limits(one))
        by, opens = limits[0].moment, renewal_opens(self._policy, limits[0].moment)
        if one.kind not in _OF_SUB_CA and not self._has_root_key:
            return Duty(
                one, DutyState.NOTHING, by, f"the root's operator renews it by {_day(by)}; then: smpki sub-ca install"
            )
        reasons = "; ".join(f"{limit.reason} until {_day(limit.moment)}" for limit in limits)
        if self._now > by:
            return Duty(one, DutyState.OVERDUE, by, f"overdue since {_day(by)}: {self._how(one)} ({self._left(one)})")
        if self._now >= opens:
            return Duty(one, DutyState.DUE, by, f"by {_day(by)}: {self._how(one)} ({reasons})")
        return Duty(
            one,
            DutyState.NOTHING,
            by,
            f"nothing to do until {_day(opens)}, then by {_day(by)}: {self._how(one)} ({reasons})",
        )

    def _limits(self, one: StoredCertificate) -> Iterator[_Limit]:
        if one.key_use_end is None or one.key_use_end >= one.not_after:
            yield _Limit(one.not_after, "it is valid")
        else:
            yield _Limit(one.key_use_end, "its key signs")
        below = (
            (latest_start(self._policy, kind, one.not_after), kind)
            for kind, rules in self._policy.certificates.items()
            # a link certificate is cut to what is left of the root
            if rules.issuer.value == one.kind and kind not in (one.kind, CertificateType.LINK)
        )
        for moment, kind in sorted(below)[:1]:
            length = self._policy.certificates[kind].validity.value
            yield _Limit(moment, f"{kind} certificates have their full {length}")

    def _left(self, one: StoredCertificate) -> str:
        """What it still does."""
        if self._now > one.not_after:
            return f"it was valid until {_day(one.not_after)}"
        if one.key_use_end is None or self._now <= one.key_use_end:
            return "what it issues no longer has its full length"
        if one.kind in _SIGN_CRLS:
            return f"its key signs CRLs only, until {_day(one.not_after)}"
        return "its key signs no more"

    def _how(self, one: StoredCertificate) -> str:
        """The command, where one helps."""
        if one.kind in _OF_SUB_CA:
            organisation = shlex.quote(one.subject_cn.removesuffix(".TLS").removesuffix(".CA"))
            if not self._has_root_key:
                return f"smpki sub-ca request --name {organisation} --renew"
            request = "" if one.token_key_id else " --request FILE"
            return f"smpki issue-sub-ca --name {organisation} --renew{request}"
        if not self._can_link:
            return "too late for a link certificate: make a root in a new home, and hand it out anew"
        return "smpki root renew"


def _nothing(one: StoredCertificate, todo: str) -> Duty:
    return Duty(one, DutyState.NOTHING, None, todo)


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
