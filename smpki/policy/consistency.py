"""Does a policy hold together? Contradictions that no single value shows, such as the arithmetic of shell validity."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import get_args

from smpki.policy.document import Complaint
from smpki.policy.model import (
    END_USERS,
    CertificateType,
    EnvironmentName,
    Policy,
    Presence,
    Profile,
    SignerClass,
    Window,
)

# a leap year and an ordinary one, so that calendar arithmetic is checked at its worst
_STARTS = (datetime(2024, 2, 29, tzinfo=UTC), datetime(2025, 3, 1, tzinfo=UTC))


def missing_parts(policy: Policy) -> Iterator[Complaint]:
    """Every certificate type and environment that a policy has to speak of and this one doesn't."""
    for kind in CertificateType:
        if kind not in policy.certificates:
            yield ("certificates", kind.value), "missing"
    for environment in get_args(EnvironmentName):
        if environment not in policy.environments:
            yield ("environments", environment), "missing"
    for signer in get_args(SignerClass):
        if signer not in policy.algorithms:
            yield ("algorithms", signer), "missing"
    for kind in END_USERS:
        if kind not in policy.revocation.entitled:
            yield ("revocation", "entitled", kind.value), "missing"


def contradictions(policy: Policy) -> Iterator[Complaint]:
    """Every contradiction of a policy without :func:`missing_parts`: (path in the file, what is wrong)."""
    yield from _windows(policy)
    yield from _profiles(policy)
    yield from _types(policy)
    yield from _arithmetic(policy)
    yield from _crl(policy)
    yield from _renewal(policy)
    yield from _revocation(policy)


def _windows(policy: Policy) -> Iterator[Complaint]:
    for signer, windows in policy.algorithms.items():
        path = ("algorithms", signer)
        if not windows:
            yield path, "no window: nobody could sign"
        names = [window.generation for window in windows]
        for index, window in enumerate(windows):
            if window.start > window.end:
                yield (
                    (*path, index, "from"),
                    f"the window opens on {window.start} and closes before that on {window.end}",
                )
            if window.generation in names[:index]:
                yield (*path, index, "generation"), f"generation {window.generation} is there twice"
        yield from _gaps(path, windows)


def _gaps(path: tuple[str | int, ...], windows: tuple[Window, ...]) -> Iterator[Complaint]:
    for index, (earlier, later) in enumerate(pairwise(windows), start=1):
        if later.start <= earlier.start:
            yield (*path, index, "from"), "windows stand in the order in which they open, each on a day of its own"
        elif later.start > earlier.end + timedelta(days=1):
            yield (*path, index, "from"), f"a gap: the window before closes on {earlier.end}"
        if later.end < earlier.end:
            yield (*path, index, "to"), f"the window closes before the older one does ({earlier.end})"


def _profiles(policy: Policy) -> Iterator[Complaint]:
    for name, profile in policy.profiles.items():
        for field in Profile.model_fields:
            rule = getattr(profile, field)
            content = {
                key for key in rule.model_fields_set if key not in {"presence", "critical", "source", "confidence"}
            }
            if rule.presence is Presence.FORBIDDEN and (content or rule.critical):
                yield ("profiles", name, field), "a forbidden extension has neither content nor criticality"
        if profile.key_usage.presence is not Presence.FORBIDDEN and not profile.key_usage.bits:
            yield ("profiles", name, "key_usage"), "bits are missing"
        if profile.extended_key_usage.presence is Presence.MANDATORY and not profile.extended_key_usage.purposes:
            yield ("profiles", name, "extended_key_usage"), "purposes are missing"
        for field in ("certificate_policies", "crl_distribution_points"):
            rule = getattr(profile, field)
            if rule.presence is Presence.MANDATORY and rule.content is None:
                yield ("profiles", name, field), "content is missing"
        constraints = profile.basic_constraints
        if constraints.path_length is not None and not constraints.ca:
            yield (
                ("profiles", name, "basic_constraints", "path_length"),
                "a path length goes with ca: true (RFC 5280 4.2.1.9)",
            )
        if ("key_cert_sign" in profile.key_usage.bits) != constraints.ca:
            yield (
                ("profiles", name, "key_usage"),
                "key_cert_sign and basic_constraints.ca go together (RFC 5280 4.2.1.9)",
            )


def _types(policy: Policy) -> Iterator[Complaint]:
    for kind, rules in policy.certificates.items():
        path = ("certificates", kind.value)
        if not rules.certificates:
            yield (*path, "certificates"), "no certificate"
        for purpose, profile in rules.certificates.items():
            if profile not in policy.profiles:
                yield (*path, "certificates", purpose), f"there is no profile {profile}"
        if kind.is_end_user and set(rules.certificates) != {"tls", "sig", "enc"}:
            yield (*path, "certificates"), "an end user has a triple: tls, sig, enc"
        if not kind.is_end_user and len(rules.certificates) != 1:
            yield (*path, "certificates"), "this type has one certificate"
        if (rules.issuer.value is kind) is not (kind is CertificateType.ROOT):
            yield (*path, "issuer", "value"), "the root issues to itself, and nobody else does"
        issuer = policy.certificates[rules.issuer.value]
        if set(issuer.certificates) != {"ca"}:
            yield (*path, "issuer", "value"), f"{rules.issuer.value} is no CA"


def _arithmetic(policy: Policy) -> Iterator[Complaint]:
    """Key use + longest child <= validity, for every issuer (shell model)."""
    for kind, rules in policy.certificates.items():
        children = [
            child
            for name, child in policy.certificates.items()
            if child.issuer.value == kind and name not in (kind, CertificateType.LINK)
        ]
        for start in _STARTS:
            if rules.key_use.value.after(start) > rules.validity.value.after(start):
                yield (
                    ("certificates", kind.value, "key_use"),
                    "the key would be used longer than its certificate is valid",
                )
                break
            last_use = rules.key_use.value.after(start)
            longest = max((child.validity.value.after(last_use) for child in children), default=last_use)
            if longest > rules.validity.value.after(start):
                yield (
                    ("certificates", kind.value, "validity"),
                    f"does not close: key use {rules.key_use.value} + longest certificate below it"
                    f" > validity {rules.validity.value}",
                )
                break


def _crl(policy: Policy) -> Iterator[Complaint]:
    for name in ("root", "crl_signer", "sub_ca"):
        rules = getattr(policy.crl, name)
        if rules.valid.value.after(_STARTS[0]) <= rules.every.value.after(_STARTS[0]):
            yield ("crl", name, "valid"), "a CRL is valid longer than the time to the next one, so that they overlap"


def _renewal(policy: Policy) -> Iterator[Complaint]:
    opens = policy.renewal.opens_before_end.value
    for kind in END_USERS:
        validity = policy.certificates[kind].validity.value
        if opens.after(_STARTS[0]) >= validity.after(_STARTS[0]):
            message = f"a triple could be renewed from its first day: a {kind}'s is valid for {validity}"
            yield ("renewal", "opens_before_end"), message
            break


def _revocation(policy: Policy) -> Iterator[Complaint]:
    rules = policy.revocation
    if rules.suspension_types.value and "certificate_hold" not in rules.reasons.value:
        yield ("revocation", "reasons", "value"), "certificate_hold is missing: it is what suspends a certificate"
    for kind in rules.entitled:
        if not kind.is_end_user:
            yield ("revocation", "entitled", kind.value), "only the triples of end users are taken back on request"
