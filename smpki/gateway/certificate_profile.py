"""What a profile says about a certificate of the LMN or HAN, as a value (TR-03109-1 detail specification, 3 and 4)."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from smpki.policy.duration import Duration

SEVEN_YEARS: Final = Duration(7, "y")
"""How long LMN certificates and their keys may be used (TR-03116-3 table 17)."""

PURPOSES: Final = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
"""The extended key usages: who has such a certificate may be TLS server and client (3.3.5, 4.3.5.4)."""


class Presence(enum.StrEnum):
    """Whether a field has to be there (tables 3.2 and 4.2); what depends on others is optional here."""

    MANDATORY = "m"
    RECOMMENDED = "r"
    OPTIONAL = "o"
    FORBIDDEN = "x"


@dataclass(frozen=True)
class ExtensionRule:
    """What a profile says about one extension.

    :param critical: whether it is critical where it is there; ``None``: that is not said
    """

    presence: Presence
    critical: bool | None = None


@dataclass(frozen=True)
class Profile:
    """A certificate profile.

    :param chapter: of the detail specification; 3 and 4 number their sections alike
    :param extensions: by field, as :data:`smpki.policy.lint.extensions.FIELDS` spells it
    :param section: that speaks of the extensions, behind the chapter
    :param others: whether there may be other extensions
    :param hashes: of the signature
    :param self_signed: whether the holder signs it, not a CA
    :param ca: whether its holder is a CA
    :param usages: key usages that have to be there, spelt as pyca spells them
    :param further_usages: those that may stand beside them
    :param host_suffixes: last labels of the dNSName that is recommended; none: nothing is said of names
    :param longest: how long it may be valid; ``None``: that is not said
    :param largest: octets of the whole certificate; ``None``: that is not said
    """

    chapter: int
    extensions: Mapping[str, ExtensionRule]
    others: Presence
    hashes: tuple[str, ...]
    host_suffixes: tuple[str, ...] = ()
    section: str = "3_5"
    self_signed: bool = True
    ca: bool = False
    usages: frozenset[str] = frozenset({"digital_signature"})
    further_usages: frozenset[str] = frozenset()
    longest: Duration | None = None
    largest: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "extensions", MappingProxyType(dict(self.extensions)))

    def at(self, section: str) -> str:
        """Document and clause for the code of a finding.

        :param section: behind the chapter, such as ``3_5`` for 3.3.5 or 4.3.5
        """
        return f"tr-03109-1-ds.{self.chapter}_{section}"

    def extension(self, value: x509.ExtensionType, field: str) -> x509.Extension[x509.ExtensionType]:
        """The extension with this value, critical as the profile wants it."""
        return x509.Extension(value.oid, bool(self.extensions[field].critical), value)
