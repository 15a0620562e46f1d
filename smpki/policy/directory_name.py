"""Names as LDAP spells them (RFC 4514), and the addresses in CRLDistributionPoints that hold one (RFC 4516)."""

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from smpki.errors import PolicyError
from smpki.policy.names import prepared

Rdn = tuple[tuple[str, str], ...]
"""One step of a name: pairs of attribute type and value, seldom more than one."""

NameKey = tuple[frozenset[tuple[str, str]], ...]
"""A name as a value that can be compared."""

_PAIR = re.compile(
    r" *(?P<type>[A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)*) *= *"
    r"(?P<value>(?!\#)(?:\\[0-9A-Fa-f]{2}|\\.|[^\\,+;\"<>\0])*)(?P<end>[,;+]|\Z)",
    re.DOTALL,
)
_TRAILING = re.compile(r"(?<!\\) +\Z")
_ESCAPED = re.compile(r"((?:\\[0-9A-Fa-f]{2})+)|\\(.)", re.DOTALL)
_SPECIAL = re.compile(r'[,+"\\<>;]|^[ #]| $')
_CRL = "certificateRevocationList"


def escaped(value: str) -> str:
    """An attribute value as it stands in a name (RFC 4514 2.4)."""
    return _SPECIAL.sub(lambda found: f"\\{found[0]}", value).replace("\0", "\\00")


@dataclass(frozen=True)
class DirectoryName:
    """The name of an entry.

    :param rdns: the entry's own step first, as in the text
    """

    rdns: tuple[Rdn, ...]

    @classmethod
    def parse(cls, text: str) -> "DirectoryName":
        """Read a name.

        :raises PolicyError: ``name.directory``
        """
        rdns: list[Rdn] = []
        at, end = 0, "," if text else ""
        while end:
            found = _PAIR.match(text, at)
            if found is None:
                message = f"{text!r} is no name of an entry"
                raise PolicyError("name.directory", message, hint="such as serialNumber=1,cn=ORG.CA,o=SM-PKI-DE,c=DE")
            pair = found["type"], _unescaped(_TRAILING.sub("", found["value"]))
            if end == "+":
                rdns[-1] += (pair,)
            else:
                rdns.append((pair,))
            at, end = found.end(), found["end"]
        return cls(tuple(rdns))

    @property
    def parent(self) -> "DirectoryName":
        """The name of the entry above."""
        return DirectoryName(self.rdns[1:])

    @property
    def key(self) -> NameKey:
        """Equal for names of the same entry (RFC 4517 4.2.15)."""
        return tuple(frozenset((kind.lower(), prepared(value)) for kind, value in rdn) for rdn in self.rdns)

    def get(self, kind: str) -> str | None:
        """The value of an attribute type, the one nearest to the entry; ``None`` where the name has none."""
        return next((value for rdn in self.rdns for each, value in rdn if each.lower() == kind.lower()), None)

    def below(self, above: "DirectoryName") -> bool:
        """Whether the entry stands under another one, or is it."""
        deeper = len(self.rdns) - len(above.rdns)
        return deeper >= 0 and self.key[deeper:] == above.key

    def __truediv__(self, rdn: tuple[str, str]) -> "DirectoryName":
        return DirectoryName(((rdn,), *self.rdns))

    def __str__(self) -> str:
        return ",".join("+".join(f"{kind}={escaped(value)}" for kind, value in rdn) for rdn in self.rdns)


@dataclass(frozen=True)
class DirectoryAddress:
    """Where an LDAP URI leads to.

    :param attribute: the one that is asked for
    """

    name: DirectoryName
    attribute: str

    @classmethod
    def parse(cls, uri: str) -> "DirectoryAddress":
        """Read a URI such as ``ldap://host/cn=X?certificateRevocationList``.

        :raises PolicyError: ``name.directory``
        """
        parts = urlsplit(uri)
        attributes = parts.query.partition("?")[0]
        name = DirectoryName.parse(unquote(parts.path.removeprefix("/")))
        return cls(name, unquote(attributes.partition(",")[0]).partition(";")[0] or _CRL)


def _unescaped(value: str) -> str:
    def plain(found: re.Match[str]) -> str:
        return found[2] or bytes.fromhex(found[1].replace("\\", "")).decode(errors="replace")

    return _ESCAPED.sub(plain, value)
