"""Names of entries: RFC 4514's own examples, what has to be escaped, and what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smpki.errors import PolicyError
from smpki.policy.directory_name import DirectoryAddress, DirectoryName, escaped


@pytest.mark.parametrize(
    ("text", "rdns"),
    [
        ("", ()),
        (
            "UID=jsmith,DC=example,DC=net",
            ((("UID", "jsmith"),), (("DC", "example"),), (("DC", "net"),)),
        ),
        (
            "OU=Sales+CN=J.  Smith,DC=example,DC=net",
            ((("OU", "Sales"), ("CN", "J.  Smith")), (("DC", "example"),), (("DC", "net"),)),
        ),
        (r"CN=James \"Jim\" Smith\, III,DC=net", ((("CN", 'James "Jim" Smith, III'),), (("DC", "net"),))),
        (r"CN=Before\0dAfter,DC=net", ((("CN", "Before\rAfter"),), (("DC", "net"),))),
        (r"CN=Lu\C4\8Di\C4\87", ((("CN", "Lučić"),),)),
        (r"cn = a , o=\ b\20", ((("cn", "a"),), (("o", " b "),))),
        ("cn=a;o=b=c", ((("cn", "a"),), (("o", "b=c"),))),
    ],
)
def test_names_are_read(text: str, rdns: object) -> None:
    name = DirectoryName.parse(text)
    assert name.rdns == rdns
    assert DirectoryName.parse(str(name)) == name


@pytest.mark.parametrize("text", ["cn", "cn=a,", ",cn=a", "cn=a,,o=b", "cn=a+", "cn=#0401", 'cn="a"', "=a", "cn=a\\"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(PolicyError) as refusal:
        DirectoryName.parse(text)
    assert refusal.value.code == "name.directory"


@given(st.lists(st.tuples(st.sampled_from(["cn", "serialNumber", "o", "dc"]), st.text(min_size=1)), min_size=1))
def test_every_value_comes_back(pairs: list[tuple[str, str]]) -> None:
    name = DirectoryName(tuple((pair,) for pair in pairs))
    assert DirectoryName.parse(str(name)) == name


def test_names_of_the_same_entry_are_the_same() -> None:
    one, other = map(DirectoryName.parse, ("CN=SM-Root.CA,O=SM-PKI-DE,C=DE", "cn=sm-root.ca, o=SM-PKI-DE ,c=de"))
    assert one.key == other.key
    assert one.below(other.parent)
    assert one.below(other)
    assert not one.parent.below(other)
    assert one.get("cn") == "SM-Root.CA"
    assert one.get("serialNumber") is None
    assert str(other.parent / ("cn", "A, B")) == r"cn=A\, B,o=SM-PKI-DE,c=de"


@pytest.mark.parametrize(
    ("uri", "name", "attribute"),
    [
        (
            "ldap://ldap.root.sm-pki.telesec.de/CN=SM-Root.CA,O=SM-PKI-DE,C=DE?CertificateRevocationList",
            "CN=SM-Root.CA,O=SM-PKI-DE,C=DE",
            "CertificateRevocationList",
        ),
        (
            "ldap://host/serialNumber=4,cn=M%C3%BCller%5C%2C%20S%C3%B6hne.CA,o=x,c=DE?authorityRevocationList;binary?base",
            r"serialNumber=4,cn=Müller\, Söhne.CA,o=x,c=DE",
            "authorityRevocationList",
        ),
        ("ldap:///cn=a", "cn=a", "certificateRevocationList"),
    ],
)
def test_addresses_lead_to_an_entry_and_an_attribute(uri: str, name: str, attribute: str) -> None:
    address = DirectoryAddress.parse(uri)
    assert (str(address.name), address.attribute) == (name, attribute)


def test_values_that_could_be_taken_for_something_else_are_escaped() -> None:
    assert escaped(' #,+"\\<>; ') == r"\ #\,\+\"\\\<\>\;\ "
    assert escaped("#a") == r"\#a"
    assert escaped("a\0b") == r"a\00b"
