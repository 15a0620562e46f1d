"""How certificates stand, as JSON values and in words."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smpki.ca.store.revocations import Revocation


def revocation_value(revocation: "Revocation | None") -> dict[str, str | None] | None:
    """A revocation or suspension as a JSON value; ``None`` for a certificate that is neither."""
    if revocation is None:
        return None
    until = revocation.suspended_until
    return {
        "reason": revocation.reason,
        "since": revocation.since.isoformat(),
        "suspended_until": until.isoformat() if until else None,
    }


def revocation_words(revocation: "Revocation | None") -> str:
    """The same for people; empty for a certificate that is neither."""
    if revocation is None:
        return ""
    if revocation.suspended_until is not None:
        return f"suspended until {revocation.suspended_until:%Y-%m-%d}"
    return f"revoked on {revocation.since:%Y-%m-%d}: {revocation.reason}"
