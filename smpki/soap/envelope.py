"""SOAP 1.1 envelopes: what is inside, and what the header makes us understand."""

from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from smpki.policy.text import quoted
from smpki.soap.faults import FaultCode, FaultError
from smpki.soap.schema import NAMESPACE, qualified
from smpki.soap.tree import Node, build, parse

MAX_SIZE = 1024 * 1024
"""Octets of a message: more than twice what the largest signed request takes in base64."""

CONTENT_TYPE = "text/xml; charset=utf-8"
"""The media type of SOAP 1.1 over HTTP (SOAP 1.1 section 6)."""

_NAMESPACE = "http://schemas.xmlsoap.org/soap/envelope/"
_HERE = ("", "http://schemas.xmlsoap.org/soap/actor/next")
_CERT_TYPE = ("certType", qualified("certType"))
_PREFIXES: dict[str | None, str] = {"soap": _NAMESPACE, "pki": NAMESPACE}


def in_envelope(name: str) -> str:
    """A name of SOAP 1.1: ``Fault``, ``Body``."""
    return f"{{{_NAMESPACE}}}{name}"


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a message carries.

    :param payload: the one element in the body
    :param cert_types: texts of the header entries certType; clients write it without a namespace
    """

    payload: Node
    cert_types: tuple[str, ...] = ()


def open_envelope(octets: bytes, limit: int) -> Envelope:
    """Read a message as far as SOAP 1.1 goes.

    :param limit: octets that are read at most
    :raises FaultError: as :func:`smpki.soap.tree.parse`; ``soap.version``, ``soap.envelope``, ``soap.must_understand``
    """
    root = parse(octets, limit)
    namespace, _, name = root.name.rpartition("}")
    if name != "Envelope":
        raise _malformed("the document is no SOAP envelope")
    if root.name != in_envelope("Envelope"):
        raise FaultError(
            FaultCode.VERSION_MISMATCH,
            "version",
            f"the envelope is in namespace {quoted(namespace[1:])}",
            where="envelope",
            hint=f"send SOAP 1.1, whose namespace is {_NAMESPACE}",
        )
    header, body = in_envelope("Header"), in_envelope("Body")
    names = [child.name for child in root.children]
    if names not in ([body], [header, body]):
        raise _malformed("an envelope holds a Body, and before it perhaps a Header")
    payload = root.children[-1].children
    if len(payload) != 1:
        raise _malformed(f"the Body holds {len(payload)} elements where one is due")
    entries = root.children[0].children if len(names) > 1 else []
    return Envelope(payload[0], tuple(entry.text for entry in _understood(entries)))


def close_envelope(payload: etree._Element, cert_type: str | None = None) -> bytes:
    """A message around a payload.

    :param cert_type: for the header; without a namespace, as clients in the field write it
    """
    envelope = build(Node(in_envelope("Envelope")), _PREFIXES)
    if cert_type is not None:
        envelope.append(build(Node(in_envelope("Header"), children=[Node("certType", cert_type)])))
    body = build(Node(in_envelope("Body")))
    body.append(payload)
    envelope.append(body)
    etree.cleanup_namespaces(envelope)
    return etree.tostring(envelope, xml_declaration=True, encoding="UTF-8")


def _understood(entries: list[Node]) -> Iterator[Node]:
    """The header entries certType; of the others those may be ignored that need not be understood here (SOAP 1.1
    section 4.2)."""
    for entry in entries:
        if entry.attributes.get(in_envelope("actor"), "") not in _HERE:
            continue
        if entry.name in _CERT_TYPE:
            yield entry
        elif entry.attributes.get(in_envelope("mustUnderstand"), "0").strip() not in ("0", "false"):
            raise FaultError(
                FaultCode.MUST_UNDERSTAND,
                "must_understand",
                f"header entry {quoted(entry.name)} has to be understood, and is not",
                where="header",
                hint="the only header entry of this service is certType",
            )


def _malformed(message: str) -> FaultError:
    return FaultError(
        FaultCode.CLIENT, "envelope", message, where="envelope", hint="send a SOAP 1.1 envelope, document/literal"
    )
