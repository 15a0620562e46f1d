"""XML as a small tree: read by expat, written and held against the schema by lxml.

lxml does not read what strangers send, since its parser remembers all names that it ever met, for as long as the thread
lives: who sends elements with new names in every message could fill the memory.
"""

import codecs
import re
from dataclasses import dataclass, field
from xml.parsers import expat

from lxml import etree

from smpki.soap.faults import FaultCode, FaultError

MAX_ELEMENTS = 10_000
"""Elements of a message; one without certificates has about ten."""

MAX_DEPTH = 64
"""How deep elements may be nested: those of our own four deep, header entries of others deeper."""

# What comes first: an XML declaration, space and comments, and then an element, unless it is something that may not be
_START = re.compile(r"(<\?xml\s[^>?]{1,200}\?>)?+(?:\s++|<!--.*?-->)*+<(!DOCTYPE|\?|[^!?])", re.DOTALL)
_ENCODING = re.compile(r"encoding\s*=\s*[\"'](?!(utf-?8|utf-16|us-ascii)[\"'])", re.IGNORECASE)


@dataclass(slots=True)
class Node:
    """An element.

    :param name: ``{namespace}local``, or ``local`` without a namespace
    :param text: all text straight inside, wherever it stands between the children
    """

    name: str
    text: str = ""
    children: list["Node"] = field(default_factory=list)
    attributes: dict[str, str] = field(default_factory=dict)


def parse(octets: bytes, limit: int) -> Node:
    """Read a document of a stranger: no DTD, so no entities and nothing from elsewhere; no processing instructions.

    :param octets: UTF-8 or, with a byte order mark, UTF-16 (WS-I Basic Profile 1.1, R1012)
    :param limit: octets that are read at most
    :raises FaultError: ``soap.size``, ``soap.xml.encoding``, ``.doctype``, ``.instruction``, ``.malformed``,
        ``.elements`` or ``.depth``
    """
    if len(octets) > limit:
        raise FaultError(
            FaultCode.CLIENT,
            "size",
            f"the message has more than the {limit} octets that are read at most",
            hint=_SMALLER,
        )
    text = _decoded(octets)
    start = _START.match(text)
    if start is None:
        raise _refused("malformed", "this is no XML: no element comes first")
    if start[2] == "!DOCTYPE":
        raise _refused("doctype", "there is a document type declaration")
    if start[2] == "?":
        raise _refused("instruction", _INSTRUCTION)
    if _ENCODING.search(start[1] or ""):
        raise _refused("encoding", "the XML declaration names an encoding other than UTF-8 and UTF-16")
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.data
    parser.ProcessingInstructionHandler = reader.instruction
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise _refused("malformed", f"this is no well-formed XML: {error}") from None
    return reader.document.children[0]


def build(node: Node, nsmap: dict[str | None, str] | None = None) -> etree._Element:
    """The same, but for attributes, as an element of lxml, which remembers names here too: give it known ones.

    :raises ValueError: for characters that XML has not
    """
    element = etree.Element(node.name, nsmap=nsmap)
    element.text = node.text or None
    element.extend(build(child) for child in node.children)
    return element


class _Reader:
    """Takes expat's events."""

    def __init__(self) -> None:
        self.document = Node("")
        self._count = 0
        self._open: list[tuple[Node, list[str]]] = [(self.document, [])]

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS:
            raise _refused("elements", f"there are more than {MAX_ELEMENTS} elements")
        if len(self._open) > MAX_DEPTH:
            raise _refused("depth", f"elements are nested more than {MAX_DEPTH} deep")
        node = Node(_qualified(name), attributes={_qualified(key): value for key, value in attributes.items()})
        self._open[-1][0].children.append(node)
        self._open.append((node, []))

    def end(self, _: str) -> None:
        node, text = self._open.pop()
        node.text = "".join(text)

    def data(self, data: str) -> None:
        self._open[-1][1].append(data)

    def instruction(self, *_: str) -> None:
        raise _refused("instruction", _INSTRUCTION)


def _qualified(name: str) -> str:
    return f"{{{name}" if "}" in name else name


def _decoded(octets: bytes) -> str:
    utf_16 = octets.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return octets.decode("utf-16" if utf_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise _refused("encoding", f"the octets are not {'UTF-16' if utf_16 else 'UTF-8'}: {error.reason}") from None


_INSTRUCTION = "there is a processing instruction"
_SMALLER = "a request package takes about 5,000 octets; many revocations go in several requests"
_PLAIN = "send plain XML 1.0 in UTF-8: no DTD, no processing instructions (SOAP 1.1 section 3)"


def _refused(rule: str, message: str) -> FaultError:
    return FaultError(FaultCode.CLIENT, f"xml.{rule}", message, hint=_PLAIN)
