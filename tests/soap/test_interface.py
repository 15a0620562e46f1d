"""Our WSDL is the interface of TR-03129-4: the same facts as in the original, and good for clients."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

from smpki.soap.codes import return_codes, status_codes
from smpki.soap.messages import Operation, ReturnCode
from smpki.soap.schema import NAMESPACE, wsdl

ORIGINAL = Path(__file__).parents[3] / "shared" / "data" / "tr-03129-4" / "WSDL_TR-03129-4_v1.3.1_Smartmeter.wsdl"
NAMES = {
    "w": "http://schemas.xmlsoap.org/wsdl/",
    "s": "http://schemas.xmlsoap.org/wsdl/soap/",
    "x": "http://www.w3.org/2001/XMLSchema",
}
ADDRESS = "https://pki.example:8443/soap"

Element = etree._Element
Facts = dict[str, object]


def local(name: str | None) -> str:
    return (name or "").rpartition(":")[2]


def within(element: Element, path: str) -> list[Element]:
    return element.findall(path, NAMES)


class Interface:
    """The facts of a WSDL, wherever it writes its types."""

    def __init__(self, document: bytes) -> None:
        self.root = etree.fromstring(document)
        (self.schema,) = within(self.root, "w:types/x:schema")
        self.named = {each.get("name"): each for each in within(self.schema, "*") if each.tag.endswith("Type")}

    def facts(self) -> Facts:
        (binding,) = within(self.root, "w:binding")
        (transport,) = within(binding, "s:binding")
        (service,) = within(self.root, "w:service")
        (port,) = within(service, "w:port")
        return {
            "namespaces": [self.root.get("targetNamespace"), self.schema.get("targetNamespace")],
            "forms": [self.schema.get("elementFormDefault"), self.schema.get("attributeFormDefault")],
            "elements": {each.get("name"): self.content(each) for each in within(self.schema, "x:element")},
            "messages": {
                each.get("name"): [(part.get("name"), local(part.get("element"))) for part in within(each, "w:part")]
                for each in within(self.root, "w:message")
            },
            "port type": [(each.get("name"), dict(self.ends(each))) for each in within(self.root, "w:portType")],
            "binding": [binding.get("name"), local(binding.get("type")), dict(transport.attrib)],
            "actions": {each.get("name"): self.bound(each) for each in within(binding, "w:operation")},
            "service": [service.get("name"), port.get("name"), local(port.get("binding"))],
        }

    def ends(self, port_type: Element) -> Iterator[tuple[str | None, list[str]]]:
        for each in within(port_type, "w:operation"):
            yield each.get("name"), [local(end.get("message")) for end in each]

    def bound(self, operation: Element) -> list[dict[str, str]]:
        paths = "s:operation", "w:input/s:body", "w:output/s:body"
        return [{str(key): str(value) for key, value in within(operation, path)[0].attrib.items()} for path in paths]

    def content(self, element: Element) -> object:
        """What may be in an element: a type of XML Schema, a list of values, or a sequence of elements."""
        name = element.get("type")
        if name is not None:
            return self.type(self.named[local(name)]) if local(name) in self.named else local(name)
        (anonymous,) = element
        return self.type(anonymous)

    def type(self, declared: Element) -> object:
        (inside,) = (each for each in declared if isinstance(each.tag, str))
        if declared.tag.endswith("simpleType"):
            return local(inside.get("base")), [each.get("value") for each in within(inside, "x:enumeration")]
        bounds = ("minOccurs", "1"), ("maxOccurs", "1"), ("fixed", None)
        return [
            (each.get("name"), self.content(each), *(each.get(name, default) for name, default in bounds))
            for each in within(inside, "x:element")
        ]


@pytest.fixture(scope="module")
def ours() -> Facts:
    return Interface(wsdl(ADDRESS)).facts()


@pytest.mark.skipif(not ORIGINAL.is_file(), reason=f"the original WSDL is not at {ORIGINAL}")
def test_the_facts_are_those_of_the_original(ours: Facts) -> None:
    original = Interface(ORIGINAL.read_bytes()).facts()
    assert ours.keys() == original.keys()
    for what, fact in original.items():
        assert ours[what] == fact, what


def test_it_has_every_operation_under_its_name(ours: Facts) -> None:
    assert ours["namespaces"] == [NAMESPACE, NAMESPACE]
    actions = ours["actions"]
    assert isinstance(actions, dict)
    assert {name: bound[0]["soapAction"] for name, bound in actions.items()} == {each: each for each in Operation}


def test_it_names_the_address_that_it_is_served_at() -> None:
    addresses = [within(etree.fromstring(wsdl(each)), ".//s:address")[0].get("location") for each in (ADDRESS, "b&<")]
    assert addresses == [ADDRESS, "b&<"]


def test_how_many_codes_each_operation_has() -> None:
    assert {operation.value: len(return_codes(operation)) for operation in Operation} == {
        "RequestCertificate": 13,
        "GetCertificateChain": 7,
        "SendCertificates": 5,
        "CertificateRevocationRequest": 6,
        "UpdateDeviceAdmin": 6,
        "GeneralMessage": 4,
        "GetServiceStatus": 4,
    }
    assert len(status_codes()) == 12
    assert set(ReturnCode) == status_codes().union(*map(return_codes, Operation))
