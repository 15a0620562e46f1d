"""What each link of the metering system lets TLS do, as values."""

import enum
from dataclasses import dataclass, replace
from datetime import timedelta

from smpki.asn1.curves import CURVES
from smpki.errors import TlsError
from smpki.tls.suites import GROUPS, SIGNATURE_SCHEMES, SUITES, Version, of_version

__all__ = [
    "HAN_CLIENT",
    "HAN_SERVER",
    "LMN_CLIENT",
    "LMN_SERVER",
    "WAN_CLIENT",
    "WAN_SERVER",
    "Profile",
    "Role",
    "Version",
]


SMALLEST_RECORD = 512
"""Octets; what a ``record_limit`` has to leave room for."""


class Role(enum.Enum):
    """Who says hello first."""

    CLIENT = "client"
    SERVER = "server"


@dataclass(frozen=True)
class Profile:
    """How one side of a link speaks TLS; ``dataclasses.replace`` makes a narrower one.

    :param name: for messages
    :param role: which side this is
    :param versions: at least one
    :param suites: names of :data:`~smpki.tls.suites.SUITES`, the preferred first
    :param groups: names of :data:`~smpki.tls.suites.GROUPS`, the preferred first
    :param signature_algorithms: names of :data:`~smpki.tls.suites.SIGNATURE_SCHEMES` for the handshake
    :param signature_algorithms_cert: the same for the certificates of the peer's chain
    :param certificate_curves: names of :data:`~smpki.asn1.curves.CURVES` that the key of either end may be on
    :param session_limit: how long a session lives at most, resumptions included, from its first handshake
    :param resumption: whether a session may be resumed
    :param alpn: application protocols, the preferred first (RFC 7301); none: the extension is not used
    :param record_limit: octets that a record we write has at most, its header included; ``None``: what TLS allows
    """

    name: str
    role: Role
    versions: frozenset[Version]
    suites: tuple[str, ...]
    groups: tuple[str, ...]
    signature_algorithms: tuple[str, ...]
    signature_algorithms_cert: tuple[str, ...]
    certificate_curves: tuple[str, ...]
    session_limit: timedelta
    resumption: bool
    alpn: tuple[str, ...]
    record_limit: int | None

    def __post_init__(self) -> None:
        """Refuse what is outside the lists, and what could never agree on anything.

        :raises TlsError: ``tls.profile``
        """
        choices = ((self.suites, SUITES), (self.groups, GROUPS), (self.signature_algorithms, SIGNATURE_SCHEMES))
        others = ((self.signature_algorithms_cert, SIGNATURE_SCHEMES), (self.certificate_curves, CURVES))
        for names, table in (*choices, *others):
            for name in names:
                if name not in table:
                    raise self._wrong(f"{name!r} may not be used", f"known are {', '.join(table)}")
        if not self.versions:
            raise self._wrong("no version is allowed", "name TLS12, TLS13 or both")
        for version in self.versions:
            for names, table in choices:
                if not of_version(names, table, {version}):
                    hint = f"name one of {', '.join(name for name in table if version in table[name].versions)}"
                    raise self._wrong(f"nothing is left to agree on in {version.value}", hint)
        if Version.TLS12 in self.versions and not set(self.certificate_curves) <= set(self.groups):
            message = "in TLS 1.2 the curve of a certificate has to be among the groups (RFC 8422 5.3)"
            raise self._wrong(
                message, f"add {', '.join(set(self.certificate_curves) - set(self.groups))} to the groups"
            )
        if self.record_limit is not None and self.record_limit < SMALLEST_RECORD:
            raise self._wrong("records are too small", f"allow {SMALLEST_RECORD} octets at least")

    def _wrong(self, message: str, hint: str) -> TlsError:
        return TlsError("tls.profile", message, where=self.name, hint=hint)


WAN_CLIENT = Profile(
    name="WAN client",
    role=Role.CLIENT,
    versions=frozenset(Version),
    suites=tuple(SUITES),
    groups=tuple(GROUPS),
    signature_algorithms=tuple(SIGNATURE_SCHEMES),
    signature_algorithms_cert=tuple(name for name in SIGNATURE_SCHEMES if "secp" not in name),
    certificate_curves=("brainpoolP256r1",),
    session_limit=timedelta(hours=48),
    resumption=False,
    alpn=(),
    record_limit=None,
)
"""The gateway, and whoever calls another party of the market (BSI TR-03116-3 chapter 4)."""

WAN_SERVER = replace(WAN_CLIENT, name="WAN server", role=Role.SERVER)
"""The administrator and the market participants (BSI TR-03116-3 chapter 4)."""

HAN_CLIENT = replace(WAN_CLIENT, name="HAN client", certificate_curves=tuple(CURVES))
"""Who calls the gateway in the home, or the gateway that calls a device there (BSI TR-03116-3 chapter 5)."""

HAN_SERVER = replace(HAN_CLIENT, name="HAN server", role=Role.SERVER)
"""The gateway in the home (BSI TR-03116-3 chapter 5)."""

LMN_CLIENT = replace(
    HAN_CLIENT, name="LMN client", session_limit=timedelta(days=31), resumption=True, record_limit=2034
)
"""The gateway towards a wired meter (BSI TR-03116-3 chapter 6).

A record fits into the information field of one HDLC frame (2,034 octets). ``alpn`` is what the meter speaks.
"""

LMN_SERVER = replace(LMN_CLIENT, name="LMN server", role=Role.SERVER)
"""A wired meter, or the gateway where the meter calls (BSI TR-03116-3 chapter 6)."""
