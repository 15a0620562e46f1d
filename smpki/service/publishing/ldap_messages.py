"""The messages of LDAP that a publisher needs (RFC 4511 4): octets in, values out, and the other way round.

Of the libraries for Python, those that are kept up come with OpenLDAP's C library and its TLS, which does not know our
curves; the others have had no release for years.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from asn1crypto import core

from smpki.asn1 import der

PAGED_RESULTS = "1.2.840.113556.1.4.319"
"""The control that asks for a search's answer in pages (RFC 2696)."""

_BINARY = ";binary"


class LdapSyntaxError(ValueError):
    """Octets that are no message of a directory."""


class _Enumerated(core.Integer):  # type: ignore[misc]
    """An ENUMERATED whose numbers need not all be known."""

    tag = 10


class _Values(core.SetOf):  # type: ignore[misc]
    _child_spec = core.OctetString


class _Attribute(core.Sequence):  # type: ignore[misc]
    _fields = [("type", core.OctetString), ("values", _Values)]  # noqa: RUF012 - asn1crypto's way


class _Attributes(core.SequenceOf):  # type: ignore[misc]
    _child_spec = _Attribute


class _Texts(core.SequenceOf):  # type: ignore[misc]
    _child_spec = core.OctetString


class _Sasl(core.Sequence):  # type: ignore[misc]
    _fields = [("mechanism", core.OctetString), ("credentials", core.OctetString)]  # noqa: RUF012


class _Authentication(core.Choice):  # type: ignore[misc]
    _alternatives = [  # noqa: RUF012
        ("simple", core.OctetString, {"implicit": 0}),
        ("sasl", _Sasl, {"implicit": 3}),
    ]


class _BindRequest(core.Sequence):  # type: ignore[misc]
    _fields = [  # noqa: RUF012
        ("version", core.Integer),
        ("name", core.OctetString),
        ("authentication", _Authentication),
    ]


class _Filter(core.Choice):  # type: ignore[misc]
    _alternatives = [("present", core.OctetString, {"implicit": 7})]  # noqa: RUF012


class _SearchRequest(core.Sequence):  # type: ignore[misc]
    _fields = [  # noqa: RUF012
        ("base", core.OctetString),
        ("scope", _Enumerated),
        ("aliases", _Enumerated),
        ("size_limit", core.Integer),
        ("time_limit", core.Integer),
        ("types_only", core.Boolean),
        ("filter", _Filter),
        ("attributes", _Texts),
    ]


class _SearchEntry(core.Sequence):  # type: ignore[misc]
    _fields = [("name", core.OctetString), ("attributes", _Attributes)]  # noqa: RUF012


class _Change(core.Sequence):  # type: ignore[misc]
    _fields = [("operation", _Enumerated), ("attribute", _Attribute)]  # noqa: RUF012


class _Changes(core.SequenceOf):  # type: ignore[misc]
    _child_spec = _Change


class _ModifyRequest(core.Sequence):  # type: ignore[misc]
    _fields = [("name", core.OctetString), ("changes", _Changes)]  # noqa: RUF012


class _AddRequest(core.Sequence):  # type: ignore[misc]
    _fields = [("name", core.OctetString), ("attributes", _Attributes)]  # noqa: RUF012


class _Result(core.Sequence):  # type: ignore[misc]
    _fields = [  # noqa: RUF012
        ("code", _Enumerated),
        ("matched", core.OctetString),
        ("message", core.OctetString),
        ("referral", _Texts, {"implicit": 3, "optional": True}),
        ("credentials", core.OctetString, {"implicit": 7, "optional": True}),
        ("response_name", core.OctetString, {"implicit": 10, "optional": True}),
        ("response_value", core.OctetString, {"implicit": 11, "optional": True}),
    ]


class _Operation(core.Choice):  # type: ignore[misc]
    _alternatives = [  # noqa: RUF012
        ("bind", _BindRequest, {"implicit": ("application", 0)}),
        ("bind_done", _Result, {"implicit": ("application", 1)}),
        ("unbind", core.Null, {"implicit": ("application", 2)}),
        ("search", _SearchRequest, {"implicit": ("application", 3)}),
        ("entry", _SearchEntry, {"implicit": ("application", 4)}),
        ("search_done", _Result, {"implicit": ("application", 5)}),
        ("modify", _ModifyRequest, {"implicit": ("application", 6)}),
        ("modify_done", _Result, {"implicit": ("application", 7)}),
        ("add", _AddRequest, {"implicit": ("application", 8)}),
        ("add_done", _Result, {"implicit": ("application", 9)}),
        ("delete", core.OctetString, {"implicit": ("application", 10)}),
        ("delete_done", _Result, {"implicit": ("application", 11)}),
        ("reference", _Texts, {"implicit": ("application", 19)}),
        ("extended_done", _Result, {"implicit": ("application", 24)}),
    ]


class _Control(core.Sequence):  # type: ignore[misc]
    _fields = [  # noqa: RUF012
        ("type", core.OctetString),
        ("critical", core.Boolean, {"default": False}),
        ("value", core.OctetString, {"optional": True}),
    ]


class _Controls(core.SequenceOf):  # type: ignore[misc]
    _child_spec = _Control


class _Message(core.Sequence):  # type: ignore[misc]
    _fields = [  # noqa: RUF012
        ("id", core.Integer),
        ("operation", _Operation),
        ("controls", _Controls, {"implicit": 0, "optional": True}),
    ]


class _Page(core.Sequence):  # type: ignore[misc]
    _fields = [("size", core.Integer), ("cookie", core.OctetString)]  # noqa: RUF012


Attributes = Mapping[str, Iterable[bytes]]
"""Values by attribute type; in what comes from a directory the types are in lower case and without ``;binary``."""


@dataclass(frozen=True)
class Entry:
    """An entry as a search found it; the attributes that were asked for."""

    name: str
    attributes: Mapping[str, tuple[bytes, ...]]


@dataclass(frozen=True)
class Result:
    """How an operation ended (RFC 4511 4.1.9).

    :param operation: such as ``add_done``
    :param code: 0 for success
    :param message: the directory's own words
    :param cookie: asks for the next page of a search's answer; empty on the last
    """

    operation: str
    code: int
    message: str = ""
    cookie: bytes = b""


@dataclass(frozen=True)
class Change:
    """One change of an attribute (RFC 4511 4.6)."""

    operation: int
    attribute: str
    values: tuple[bytes, ...]

    @classmethod
    def add(cls, attribute: str, values: Iterable[bytes]) -> "Change":
        """More values."""
        return cls(0, attribute, tuple(values))

    @classmethod
    def take(cls, attribute: str, values: Iterable[bytes]) -> "Change":
        """These values go."""
        return cls(1, attribute, tuple(values))

    @classmethod
    def replace(cls, attribute: str, values: Iterable[bytes]) -> "Change":
        """These values instead of all that there are."""
        return cls(2, attribute, tuple(values))


def bind(name: str, password: str | None) -> dict[str, Any]:
    """Who we are.

    :param password: of the name. ``None``: the directory knows us by the connection (SASL EXTERNAL, RFC 4422 A).
    """
    if password is None:
        chosen = _Authentication("sasl", _Sasl({"mechanism": b"EXTERNAL", "credentials": b""}))
    else:
        chosen = _Authentication("simple", core.OctetString(password.encode()))
    return {"bind": _BindRequest({"version": 3, "name": name.encode(), "authentication": chosen})}


def search(base: str, scope: int, present: str, attributes: Iterable[str]) -> dict[str, Any]:
    """Which entries have an attribute.

    :param scope: 0 the base alone, 2 all below, too
    :param attributes: those that are wanted; ``*`` for all
    """
    value = {"base": base.encode(), "scope": scope, "aliases": 0, "size_limit": 0, "time_limit": 0}
    wanted = [one.encode() for one in attributes]
    chosen = _Filter("present", core.OctetString(present.encode()))
    return {"search": _SearchRequest({**value, "types_only": False, "filter": chosen, "attributes": wanted})}


def add(name: str, attributes: Attributes) -> dict[str, Any]:
    """A new entry."""
    values = [{"type": kind.encode(), "values": list(those)} for kind, those in attributes.items()]
    return {"add": _AddRequest({"name": name.encode(), "attributes": values})}


def modify(name: str, changes: Iterable[Change]) -> dict[str, Any]:
    """Changes of an entry, all or none."""
    values = [
        {"operation": one.operation, "attribute": {"type": one.attribute.encode(), "values": list(one.values)}}
        for one in changes
    ]
    return {"modify": _ModifyRequest({"name": name.encode(), "changes": values})}


def delete(name: str) -> dict[str, Any]:
    """An entry goes."""
    return {"delete": core.OctetString(name.encode())}


def unbind() -> dict[str, Any]:
    """The end."""
    return {"unbind": core.Null()}


def encode(number: int, operation: Mapping[str, Any], page: tuple[int, bytes] | None = None) -> bytes:
    """A message to the directory.

    :param operation: of the functions above
    :param page: how many entries at a time, and the cookie of the page before
    """
    ((name, value),) = operation.items()
    message = {"id": number, "operation": _Operation(name, value)}
    if page is not None:
        wanted = _Page({"size": page[0], "cookie": page[1]}).dump()
        message["controls"] = [{"type": PAGED_RESULTS.encode(), "critical": False, "value": wanted}]
    encoded: bytes = _Message(message).dump()
    return encoded


def decode(message: bytes) -> tuple[int, Entry | Result | None]:
    """A message from the directory: its number and what it says; ``None`` for a reference to another directory.

    :raises LdapSyntaxError: it is none
    """
    try:
        read = _Message.load(message, strict=True)
        name, value = read["operation"].name, read["operation"].chosen
        if name == "entry":
            return read["id"].native, _entry(value)
        if name == "reference":
            return read["id"].native, None
        if not isinstance(value, _Result):
            raise LdapSyntaxError(f"a directory sends no {name}")
        text = value["message"].native.decode(errors="replace")
        return read["id"].native, Result(name, value["code"].native, text, _cookie(read["controls"]))
    except LdapSyntaxError:
        raise
    except (ValueError, TypeError, KeyError) as error:
        raise LdapSyntaxError("what came is no message of LDAP") from error


def length(received: bytes | bytearray) -> int | None:
    """How many octets the message has that begins here; ``None`` when its head is not whole yet.

    :raises LdapSyntaxError: no message begins so
    """
    if received[:1] not in (b"", bytes((der.SEQUENCE,))):
        raise LdapSyntaxError("what came is no message of LDAP")
    if len(received) < 2:
        return None
    if received[1] < 0x80:
        return 2 + received[1]
    octets = received[1] & 0x7F
    if not 1 <= octets <= 4:
        raise LdapSyntaxError("a message has a length that LDAP does not know")
    if len(received) < 2 + octets:
        return None
    return 2 + octets + int.from_bytes(received[2 : 2 + octets], "big")


def _entry(value: _SearchEntry) -> Entry:
    found: dict[str, tuple[bytes, ...]] = {}
    for attribute in value["attributes"]:
        kind = attribute["type"].native.decode().lower().removesuffix(_BINARY)
        found[kind] = found.get(kind, ()) + tuple(one.native for one in attribute["values"])
    return Entry(value["name"].native.decode(), found)


def _cookie(controls: Any) -> bytes:
    for control in controls if isinstance(controls, _Controls) else ():
        if control["type"].native.decode() == PAGED_RESULTS:
            cookie: bytes = _Page.load(control["value"].native)["cookie"].native
            return cookie
    return b""
