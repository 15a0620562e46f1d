"""Reasons for which certificates are taken back: their names and numbers (RFC 5280 5.3.1)."""

from typing import Literal, get_args

from smpki.errors import RevocationError
from smpki.policy.model import Reason

AnyReason = Reason | Literal["remove_from_crl"]
"""A reason to revoke, to suspend (certificate_hold), or to end a suspension (remove_from_crl)."""

_BY_NUMBER: tuple[AnyReason | None, ...] = (
    *("unspecified", "key_compromise", "ca_compromise", "affiliation_changed", "superseded", "cessation_of_operation"),
    *("certificate_hold", None, "remove_from_crl", "privilege_withdrawn", "aa_compromise"),
)
_BY_NAME: dict[str, AnyReason] = {reason.replace("_", ""): reason for reason in _BY_NUMBER if reason}


def reason_of_number(number: int) -> AnyReason:
    """The reason that a CRLReason stands for.

    :raises RevocationError: ``revocation.reason.unknown``; 7 is no reason either
    """
    reason = _BY_NUMBER[number] if 0 <= number < len(_BY_NUMBER) else None
    if reason is None:
        raise _unknown(str(number))
    return reason


def read_reason(text: str) -> AnyReason:
    """The reason that a person names: by its number, or its name in any of its spellings, such as keyCompromise.

    :raises RevocationError: ``revocation.reason.unknown``
    """
    if text.isascii() and text.isdecimal():
        return reason_of_number(int(text[:4]))
    reason = _BY_NAME.get(text.replace("-", "").replace("_", "").lower())
    if reason is None:
        raise _unknown(text)
    return reason


def _unknown(what: str) -> RevocationError:
    return RevocationError(
        "revocation.reason.unknown",
        f"{what[:40]!r} is no reason of RFC 5280 section 5.3.1",
        where="reason",
        hint=f"one of {', '.join(get_args(Reason))}",
    )
