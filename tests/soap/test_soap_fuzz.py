"""Whatever is sent: it is read, or answered by a Fault or failure_syntax, and what was read can be written again."""

import copy
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from lxml import etree

from smpki.errors import SoapError
from smpki.soap.codes import refusal
from smpki.soap.faults import FaultError, PeerFault, SyntaxFailure
from smpki.soap.messages import Operation, Request, ReturnCode
from smpki.soap.read import read_answer, read_request
from smpki.soap.schema import NAMESPACE
from smpki.soap.write import write_answer, write_fault, write_request

InSoap = Callable[..., bytes]
Element = etree._Element

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
LOCAL_NAMES = [
    *("Envelope", "Header", "Body", "Fault", "certType", "callbackIndicator", "messageID", "certReq", "certReference"),
    *("statusInfo", "statusInfoMessage", "certificateSeq", "certificateSequence", "certificate", "returnCode", "a"),
    *(f"{operation}_{end}" for operation in Operation for end in ("Req", "Res")),
]
NAMES = [f"{namespace}{name}" for name in LOCAL_NAMES for namespace in (f"{{{NAMESPACE}}}", f"{{{SOAP}}}", "", "{u:v}")]
ATTRIBUTES = [
    *(f"{{{SOAP}}}{name}" for name in ("mustUnderstand", "actor", "encodingStyle")),
    *(f"{{http://www.w3.org/2001/XMLSchema-instance}}{name}" for name in ("nil", "type", "schemaLocation")),
    *("a", "{http://www.w3.org/XML/1998/namespace}id", "{http://www.w3.org/XML/1998/namespace}lang"),
]
XML_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=20)
TEXTS = XML_TEXT | st.sampled_from(
    [
        *("", " ", "\n\t", "0", "1", "true", "MA==", "MA=", "M A = =", "4711"),
        *("callback_possible", "callback_not_possible", "EMT", *ReturnCode),
        *("x" * 1025, "ä" * 513, "http://schemas.xmlsoap.org/soap/actor/next"),
    ]
)
PIECES = st.sampled_from(
    [
        *(b"<", b">", b"/", b"&", b";", b'"', b"]]>", b"<![CDATA[", b"<!--", b"-->", b"<?a?>", b"<?xml "),
        *(
            b"<!DOCTYPE a>",
            b"&#0;",
            b"&#x10ffff;",
            b"&amp;",
            b"&a;",
            b"\x00",
            b"\xff\xfe",
            b"\xef\xbb\xbf",
            b"\xed\xa0\x80",
        ),
        *(b"xmlns=''", b"xmlns:a='u:a'", b"xmlns:xml='u:a'", b"a:", b"encoding='ascii'"),
    ]
)


@st.composite
def with_other_octets(draw: st.DrawFn, messages: list[bytes]) -> bytes:
    """Flips, insertions, deletions, repetitions and cuts anywhere, and other encodings."""
    data = bytearray(draw(st.sampled_from(messages)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["flip", "insert", "piece", "delete", "repeat", "cut", "recode"])):
            case "flip":
                data[at : at + 1] = bytes(octet ^ draw(st.integers(1, 255)) for octet in data[at : at + 1])
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=8))
            case "piece":
                data[at:at] = draw(PIECES)
            case "delete":
                del data[at : at + draw(st.integers(1, 40))]
            case "repeat":
                data[at:at] = data[at : at + draw(st.integers(1, 40))]
            case "cut":
                del data[at:]
            case "recode":
                encoding = draw(st.sampled_from(["utf-8-sig", "utf-16", "utf-16-le", "utf-32"]))
                data = bytearray(bytes(data).decode(errors="replace").encode(encoding))
    return bytes(data)


@st.composite
def with_other_elements(draw: st.DrawFn, messages: list[bytes]) -> bytes:
    """Other names, texts, attributes, neighbours and places for whole elements; the XML stays well-formed."""
    root = etree.fromstring(draw(st.sampled_from(messages)))
    for _ in range(draw(st.integers(1, 3))):
        elements = list(root.iter())
        element, other = draw(st.sampled_from(elements)), draw(st.sampled_from(elements))
        parent = element.getparent()
        match draw(st.sampled_from(["drop", "double", "rename", "text", "attribute", "wrap", "graft", "new"])):
            case "drop" if parent is not None:
                parent.remove(element)
            case "double" if parent is not None:
                parent.insert(draw(st.integers(0, len(parent))), copy.deepcopy(element))
            case "rename":
                element.tag = draw(st.sampled_from(NAMES))
            case "text":
                element.text = draw(TEXTS)
            case "attribute":
                element.set(draw(st.sampled_from(ATTRIBUTES)), draw(TEXTS))
            case "wrap" if parent is not None:
                wrapper = etree.Element(draw(st.sampled_from(NAMES)))
                parent.replace(element, wrapper)
                wrapper.append(element)
            case "graft":
                element.append(copy.deepcopy(other))
            case "new":
                etree.SubElement(element, draw(st.sampled_from(NAMES))).text = draw(TEXTS)
    return etree.tostring(root)


def mutations(messages: list[bytes]) -> st.SearchStrategy[bytes]:
    return with_other_octets(messages) | with_other_elements(messages)


@pytest.fixture(scope="module")
def messages(requests: tuple[Request, ...], in_soap: InSoap) -> list[bytes]:
    """What is mutated: requests as we write them, and one as others do."""
    foreign = in_soap(
        "<GetServiceStatus_Req><messageID>1</messageID></GetServiceStatus_Req>",
        '<s:Header><certType xmlns="">EMT</certType><a xmlns="u:v" s:mustUnderstand="0" s:actor=""/></s:Header>',
    )
    return [*map(write_request, requests), foreign]


def check(data: bytes) -> None:
    try:
        request = read_request(data)
    except FaultError as error:
        with pytest.raises(PeerFault) as answered:
            read_answer(write_fault(error.fault), Operation.GET_SERVICE_STATUS)
        assert answered.value.fault.code is error.fault.code
        return
    except SyntaxFailure as error:
        answer = read_answer(write_answer(error.operation, refusal(error, error.operation)), error.operation)
        assert answer.code is ReturnCode.FAILURE_SYNTAX
        assert error.code in answer.message
        return
    assert read_request(write_request(request)) == request


def check_as_answer(data: bytes) -> None:
    for operation in (Operation.GET_SERVICE_STATUS, Operation.REQUEST_CERTIFICATE):
        try:
            answer = read_answer(data, operation)
        except SoapError:
            continue
        assert isinstance(answer.code, ReturnCode)


quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=1_000, deadline=None, derandomize=True, suppress_health_check=quiet)
@given(data=st.data())
def test_no_error_but_ours(messages: list[bytes], data: st.DataObject) -> None:
    mutated = data.draw(mutations(messages))
    check(mutated)
    check_as_answer(mutated)


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=quiet)
@given(data=st.binary(max_size=200))
def test_no_error_but_ours_for_any_octets(data: bytes) -> None:
    check(data)
    check_as_answer(data)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_no_error_but_ours_in_50_000_messages(messages: list[bytes], part: int) -> None:
    @seed(part)
    @settings(max_examples=5_000, deadline=None, database=None, suppress_health_check=quiet)
    @given(data=mutations(messages))
    def check_all(data: bytes) -> None:
        check(data)
        check_as_answer(data)

    check_all()
