"""Whatever is done to a request: it is read, or refused with our own error, and what was read can be used."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from smpki.asn1 import der
from smpki.errors import RequestError
from smpki.requests.any_request import AnyRequest, read_request
from smpki.requests.build import RequestedNames, build_initial_package
from smpki.requests.build_signed import build_authorised_package, build_renewal_package
from smpki.requests.device_admin import build_device_admin_update
from smpki.requests.keys import Signer
from smpki.requests.revocation import RevocationItem, build_revocation_request
from smpki.requests.signature import Signature
from smpki.requests.submission import Submission, verify_submission

Forge = Any  # conftest.Forge
Authority = Any  # conftest.Authority

# pytest drops the filter that importing the reader sets; and mutated certificates have odd serial numbers
pytestmark = pytest.mark.filterwarnings("ignore:Attribute's length", "ignore:Parsed a serial number")


@dataclass(frozen=True)
class Node:
    """An element as a tree, so that a change deep inside keeps all lengths right. Nodes count in encoding order."""

    tag: int
    content: bytes
    children: tuple["Node", ...] = ()

    @classmethod
    def parse(cls, element: der.Element) -> "Node":
        # extension values hide their DER in an OCTET STRING
        if element.tag & 0x20 or element.tag == der.OCTET_STRING:
            try:
                return cls(element.tag, b"", tuple(map(cls.parse, der.elements(element.content, "it"))))
            except der.DerError:
                pass
        return cls(element.tag, element.content)

    @cached_property
    def encoded(self) -> bytes:
        return der.encode(self.tag, self.content, *(child.encoded for child in self.children))

    @cached_property
    def size(self) -> int:
        return 1 + sum(child.size for child in self.children)

    def node(self, at: int) -> "Node":
        """Node number ``at``, this one being number 0."""
        at -= 1
        for child in self.children:
            if 0 <= at < child.size:
                return child.node(at)
            at -= child.size
        return self

    def replaced(self, at: int, instead: list["Node"]) -> list["Node"]:
        """This node with others instead of node number ``at``."""
        if at == 0:
            return instead
        at -= 1
        children: list[Node] = []
        for child in self.children:
            children += child.replaced(at, instead) if 0 <= at < child.size else [child]
            at -= child.size
        return [replace(self, children=tuple(children))]


def signatures_of(request: AnyRequest) -> list[Signature]:
    signatures = [request.renewal, request.authorisation] if isinstance(request, Submission) else [request.signature]
    return [signature for signature in signatures if signature is not None]


def signed_in(request: AnyRequest) -> set[bytes]:
    """Everything in a request that some key has signed."""
    proven = {each.signed for each in request.package.requests} if isinstance(request, Submission) else set()
    return proven | {signature.signed_data.content for signature in signatures_of(request)}


@dataclass(frozen=True)
class Target:
    """The request that is mutated."""

    octets: bytes = field(repr=False)
    tree: Node = field(repr=False)
    signed: set[bytes] = field(repr=False)

    @classmethod
    def of(cls, octets: bytes) -> "Target":
        return cls(octets, Node.parse(der.single(octets, der.SEQUENCE, "it")), signed_in(read_request(octets)))


KINDS = ["initial", "renewal", "authorised", "revocation", "device admin"]


@pytest.fixture(scope="module", params=KINDS)
def target(request: pytest.FixtureRequest, forge: Forge, previous: Signer, authority: Authority) -> Target:
    names = RequestedNames("pki@beispiel.de", "https://maco.beispiel.de", ("maco.beispiel.de",))
    administrator = authority.signer("CN=Beispiel.GWA, O=SM-Test-PKI-DE, C=DE, serialNumber=1", 11)
    renewal = build_renewal_package(forge.subject, forge.keys, names, previous)
    match request.param:
        case "initial":
            return Target.of(build_initial_package(forge.subject, forge.keys, names))
        case "renewal":
            return Target.of(renewal)
        case "authorised":
            return Target.of(build_authorised_package(renewal, administrator))
        case "revocation":
            issuer = authority.certificate.subject
            items = [RevocationItem(issuer, 1, "key_compromise"), RevocationItem(issuer, 2, "certificate_hold")]
            return Target.of(build_revocation_request(items, previous))
    return Target.of(build_device_admin_update(["EABC0012345678.SMGW", "EABC0012345679.SMGW"], "Neu.GWA", previous))


@st.composite
def with_other_octets(draw: st.DrawFn, target: Target) -> bytes:
    """Flips, length octets, insertions, deletions, repetitions and cuts anywhere."""
    data = bytearray(target.octets)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["flip", "length", "insert", "delete", "repeat", "cut"])):
            case "flip":
                data[at : at + 1] = bytes(octet ^ draw(st.integers(1, 255)) for octet in data[at : at + 1])
            case "length":
                data[at : at + 1] = draw(
                    st.sampled_from([b"\x00", b"\x7f", b"\x80", b"\x81", b"\x82", b"\x84", b"\xff"])
                )
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=8))
            case "delete":
                del data[at : at + draw(st.integers(1, 40))]
            case "repeat":
                data[at:at] = data[at : at + draw(st.integers(1, 40))]
            case "cut":
                del data[at:]
    return bytes(data)


@st.composite
def with_other_elements(draw: st.DrawFn, target: Target) -> bytes:
    """Other tags, contents, neighbours and places for whole elements; all lengths stay right."""
    tree = target.tree
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, tree.size - 1))
        node = tree.node(at)
        other = target.tree.node(draw(st.integers(0, target.tree.size - 1)))
        instead = [node]
        match draw(st.sampled_from(["drop", "double", "splice", "insert", "wrap", "retag", "refill", "extend"])):
            case "drop" if at:
                instead = []
            case "double" if at:
                instead = [node, node]
            case "splice":
                instead = [other]
            case "insert" if at:
                instead = [other, node]
            case "wrap":
                instead = [Node(draw(st.sampled_from([0x30, 0x31, 0xA0, 0xA1])), b"", (node,))]
            case "retag":
                instead = [replace(node, tag=draw(st.integers(0, 255)))]
            case "refill":
                instead = [Node(node.tag, draw(st.binary(max_size=12)))]
            case "extend":
                instead = [Node(node.tag, node.content + draw(st.binary(max_size=12)), node.children)]
        [tree] = tree.replaced(at, instead)
    return tree.encoded


def mutations(target: Target) -> st.SearchStrategy[bytes]:
    return with_other_octets(target) | with_other_elements(target)


def check(target: Target, data: bytes) -> None:
    try:
        request = read_request(data)
    except RequestError:
        return
    # what is handed out has been parsed: nothing in it can fail any more
    assert repr(request)
    assert isinstance(hash(request), int)
    for signature in signatures_of(request):
        assert len(signature.digest) == 32
        for certificate in signature.certificates:
            assert certificate.issuer.public_bytes()
            assert all(extension.value is not None for extension in certificate.extensions)
    if isinstance(request, Submission):
        assert len(request.digest) == 32
        for each in request.package.requests:
            assert each.subject.public_bytes()
            assert all(extension.value is not None for extension in each.extensions)
    try:
        if isinstance(request, Submission):
            verify_submission(request)
        else:
            request.signature.verify()
    except RequestError:
        return
    assert signed_in(request) <= target.signed


quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=quiet)
@given(data=st.data())
def test_no_error_but_ours(target: Target, data: st.DataObject) -> None:
    check(target, data.draw(mutations(target)))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_no_error_but_ours_in_50_000_inputs(target: Target, part: int) -> None:
    @seed(part)
    @settings(max_examples=5_000, deadline=None, database=None, suppress_health_check=quiet)
    @given(data=mutations(target))
    def check_all(data: bytes) -> None:
        check(target, data)

    check_all()


def test_the_tree_is_faithful(target: Target) -> None:
    assert target.tree.encoded == target.octets
    assert target.tree.size > 70
