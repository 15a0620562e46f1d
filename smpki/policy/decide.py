"""Decisions that the policy takes by arithmetic: which generation of keys, how long a certificate lives."""

from bisect import bisect_right
from datetime import UTC, date, datetime, time

from smpki.errors import PolicyError
from smpki.policy.model import CertificateType, EnvironmentName, Policy, Window


def generation_for(
    policy: Policy, kind: CertificateType, on: date, environment: EnvironmentName, *, named: str | None = None
) -> Window:
    """The generation of keys for a certificate type: the newest whose window is open (TR-03116-3 table 5).

    :param named: the operator's choice, which the policy may allow outside its window
    :raises PolicyError: ``policy.generation.*`` when there is none, or the named one is unknown or not open
    """
    windows = policy.algorithms[policy.certificates[kind].algorithm.value]
    open_windows = [window for window in windows if window.start <= on <= window.end]
    if named is None:
        if not open_windows:
            raise PolicyError(
                "policy.generation.none",
                f"no key of a {kind} may be made on {on}: no window is open",
                where=f"algorithms.{policy.certificates[kind].algorithm.value}",
                hint="extend the last window of the policy when the guideline does",
            )
        return open_windows[-1]
    window = next((window for window in windows if window.generation == named), None)
    if window is None:
        known = ", ".join(window.generation for window in windows)
        raise PolicyError("policy.generation.unknown", f"there is no generation {named!r}", hint=f"one of {known}")
    if window not in open_windows and environment not in policy.issuing.generation_outside_window.value:
        raise PolicyError(
            "policy.generation.closed",
            f"generation {named} may be made from {window.start} to {window.end}, not on {on}",
            hint="leave --generation out, or choose one whose window is open",
        )
    return window


def validity(
    policy: Policy, kind: CertificateType, start: datetime, issuer_end: datetime | None
) -> tuple[datetime, datetime]:
    """notBefore and notAfter of a certificate that is issued at ``start``.

    :param start: timezone-aware; seconds are the finest unit (RFC 5280 4.1.2.5)
    :param issuer_end: notAfter of the issuer's certificate, ``None`` for a self-signed one
    :raises PolicyError: ``policy.validity.past_issuer`` when it would pass the issuer's end and the policy says refuse
    """
    not_before = start.astimezone(UTC).replace(microsecond=0)
    not_after = policy.certificates[kind].validity.value.after(not_before)
    if policy.issuing.not_after_end_of_day.value:
        not_after = datetime.combine(not_after.date(), time(23, 59, 59), UTC)
    if issuer_end is not None and not_after > issuer_end:
        # a link certificate lasts as long as the old root and no longer, whatever the policy says of others
        if policy.issuing.past_issuer_end.value == "refuse" and kind is not CertificateType.LINK:
            raise PolicyError(
                "policy.validity.past_issuer",
                f"a {kind} certificate would end on {not_after:%Y-%m-%d}, after its issuer on {issuer_end:%Y-%m-%d}",
                where="validity",
                hint="renew the issuer first; the policy's issuing.past_issuer_end may say cut",
            )
        not_after = issuer_end
    return not_before, not_after


def key_use_end(policy: Policy, kind: CertificateType, not_before: datetime, not_after: datetime) -> datetime:
    """The last moment at which the certificate's private key signs certificates (TR-03109-4 chapter 3)."""
    return min(policy.certificates[kind].key_use.value.after(not_before), not_after)


def latest_start(policy: Policy, kind: CertificateType, issuer_end: datetime) -> datetime:
    """The last second at which a certificate of full length is issued that does not outlive its issuer (shell model).

    :param issuer_end: notAfter of the issuer's certificate
    """
    seconds = range(int(issuer_end.timestamp()) + 1)
    later = bisect_right(seconds, issuer_end, key=lambda second: validity(policy, kind, _moment(second), None)[1])
    return _moment(later - 1)


def _moment(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def renewal_opens(policy: Policy, not_after: datetime) -> datetime:
    """When a triple may be renewed first; the window closes with ``not_after``, for the old SIG key signs the request.

    :param not_after: the end of the triple, timezone-aware
    """
    return policy.renewal.opens_before_end.value.before(not_after)
