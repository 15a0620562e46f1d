"""The interface as a file, ``smart_meter.wsdl``: what is served at ``?wsdl``, and the schema that messages must fit."""

import copy
import threading
from functools import cache
from importlib import resources

from lxml import etree

from smpki.errors import SoapError
from smpki.policy.text import visible
from smpki.soap.tree import Node, build

NAMESPACE = "uri://bsi.bund.de/Smart-Meter-PKI-Protocol/1.3"
"""The target namespace of TR-03129-4's schema; all its elements are qualified."""

_PREFIXES = {
    "wsdl": "http://schemas.xmlsoap.org/wsdl/",
    "soap": "http://schemas.xmlsoap.org/wsdl/soap/",
    "xs": "http://www.w3.org/2001/XMLSchema",
}
_INSTANCE = "{http://www.w3.org/2001/XMLSchema-instance}"
_SAY_NOTHING = {_INSTANCE + name for name in ("type", "schemaLocation", "noNamespaceSchemaLocation")}
"""Attributes that any element may have (XML Schema part 1, section 2.6). No type of ours can be replaced by another,
and schemas are taken from nowhere else."""

_validating = threading.Lock()  # a schema has one log of errors for all threads


def qualified(name: str) -> str:
    """An element name of the interface as lxml writes it: ``{namespace}name``."""
    return f"{{{NAMESPACE}}}{name}"


def wsdl(address: str) -> bytes:
    """The interface's description (WSDL 1.1), its schema inside.

    :param address: the URL of the service
    """
    definitions = copy.deepcopy(_definitions())
    for place in definitions.iterfind("wsdl:service/wsdl:port/soap:address", _PREFIXES):
        place.set("location", address)
    return etree.tostring(definitions, xml_declaration=True, encoding="UTF-8")


def fitting(message: Node) -> etree._Element:
    """A message that fits the schema, as an element of lxml.

    :param message: what stands in the SOAP body
    :raises SoapError: ``soap.message.schema``
    """
    names, waiting = _names(), [message]
    while waiting:
        node = waiting.pop()
        if node.name not in names:
            raise _unfit(f"there is an element {node.name}")
        if others := sorted(node.attributes.keys() - _SAY_NOTHING):
            raise _unfit(f"{node.name} has an attribute {others[0]}")
        waiting += node.children
    try:
        element = build(message)
    except ValueError:
        raise _unfit("a text has characters that XML has not") from None
    schema = _schema()
    with _validating:
        if schema.validate(element):
            return element
        raise _unfit(str(schema.error_log[0].message))


def enumeration(message: str, field: str) -> frozenset[str]:
    """The values that a field of a message may have, such as ``RequestCertificate_Res`` and ``returnCode``."""
    (declared,) = _schema_element().iterfind(f"xs:element[@name='{message}']//xs:element[@name='{field}']", _PREFIXES)
    name = declared.get("type", "").rpartition(":")[2]
    values = _schema_element().iterfind(f"xs:simpleType[@name='{name}']//xs:enumeration", _PREFIXES)
    return frozenset(value.get("value", "") for value in values)


@cache
def _definitions() -> etree._Element:
    return etree.fromstring(resources.files(__package__).joinpath("smart_meter.wsdl").read_bytes())


def _schema_element() -> etree._Element:
    (schema,) = _definitions().iterfind("wsdl:types/xs:schema", _PREFIXES)
    return schema


@cache
def _schema() -> etree.XMLSchema:
    return etree.XMLSchema(_schema_element())


@cache
def _names() -> frozenset[str]:
    declared = _schema_element().iterfind(".//xs:element", _PREFIXES)
    return frozenset(qualified(each.get("name", "")) for each in declared)


def _unfit(message: str) -> SoapError:
    return SoapError(
        "soap.message.schema",
        visible(message[:300]),
        where="body",
        hint="the service's WSDL, at ?wsdl, has the schema of TR-03129-4",
    )
