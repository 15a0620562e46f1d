"""Whoever acts: an account and its role, as every desk wants to know it."""

import enum
from dataclasses import dataclass


class Role(enum.StrEnum):
    """What an account is for."""

    PARTICIPANT = "participant"
    """Acts for one participant, and sees what is that participant's."""
    OPERATOR = "operator"
    """Decides on registrations and requests, and revokes; for some acts it takes two."""
    AUDITOR = "auditor"
    """Sees everything, changes nothing."""


@dataclass(frozen=True)
class Actor:
    """Whoever acts.

    :param account: its number; 0 for a participant that came with its TLS certificate and has no account
    :param name: what it is called on pages; it may be a person's, so it is in no audit entry
    :param subject_key: the participant it acts for, see :meth:`smpki.policy.names.DistinguishedName.key`; ``None`` for
        operators and auditors
    :param common_name: that participant's CN
    """

    account: int
    name: str
    role: Role
    subject_key: str | None = None
    common_name: str | None = None

    @property
    def who(self) -> str:
        """How the audit calls it: number and role, or the participant whose certificate it showed."""
        return f"account {self.account} ({self.role})" if self.account else f"certificate of {self.common_name}"
