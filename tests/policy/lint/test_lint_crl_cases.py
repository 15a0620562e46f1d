"""Every file in ``crl_cases`` says: take this CRL, change that, and exactly these are the findings."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509

from smpki.asn1 import der
from smpki.asn1.algorithms import SIGNATURE_IDENTIFIERS
from smpki.asn1.signed import assemble, encode_extension, encode_time
from smpki.policy.lint.crl import crl_kind, lint_crl
from smpki.policy.load import default_policy_text, load_policy
from smpki.policy.model import CertificateType
from smpki.policy.names import DistinguishedName

HERE = Path(__file__).parent
CASES = sorted((HERE / "crl_cases").glob("*.yaml"))
BASES = yaml.safe_load((HERE / "crl_bases.yaml").read_text(encoding="utf-8"))
OIDS = {"reason": "2.5.29.21", "invalidity_date": "2.5.29.24", "certificate_issuer": "2.5.29.29"}
ENUMERATED, GENERALIZED_TIME = 0x0A, 0x18


@pytest.fixture(scope="module")
def policy() -> Any:
    return load_policy(default_policy_text())


@pytest.fixture(scope="module")
def make(workshop: Any) -> Callable[[Mapping[str, Any]], x509.CertificateRevocationList]:
    """Call it with a description for a CRL; it is put together by hand, since pyca refuses what is wrong."""

    def subject(name: str) -> x509.Name:
        return DistinguishedName.of(**workshop.bases["certificates"][name]["subject"]).to_x509()

    def issuer_of_entry(text: str) -> x509.GeneralName:
        return x509.UniformResourceIdentifier(text) if ":" in text else x509.DirectoryName(subject(text))

    def entry_extension(wanted: Mapping[str, Any]) -> bytes:
        ((what, value),) = ((key, value) for key, value in wanted.items() if key != "critical")
        critical = wanted.get("critical", what == "certificate_issuer")
        match what:
            case "reason":
                content = der.encode(ENUMERATED, bytes((value,)))
            case "invalidity_date":
                content = x509.InvalidityDate(value).public_bytes()
            case "certificate_issuer":
                content = x509.CertificateIssuer([issuer_of_entry(value)]).public_bytes()
            case _:
                content = der.encode(0x05)
        flag = der.encode(0x01, b"\xff") if critical else b""
        oid = der.encode_object_identifier(OIDS.get(what, value))
        return der.encode(der.SEQUENCE, oid, flag, der.encode(der.OCTET_STRING, content))

    def entry(wanted: Mapping[str, Any]) -> bytes:
        extensions = b"".join(map(entry_extension, wanted.get("extensions", ())))
        end = der.encode(der.SEQUENCE, extensions) if extensions else b""
        return der.encode(der.SEQUENCE, der.encode_integer(wanted["serial"]), encode_time(wanted["since"]), end)

    def fields(wanted: Mapping[str, Any]) -> Iterator[bytes]:
        if wanted.get("version", 2) == 2:
            yield der.encode_integer(1)
        yield SIGNATURE_IDENTIFIERS[wanted["hash"]]
        if "issuer_octets" in wanted:
            yield bytes.fromhex(wanted["issuer_octets"])
        elif "issuer_name" in wanted:
            yield DistinguishedName.of(**wanted["issuer_name"]).to_x509().public_bytes()
        else:
            yield subject(wanted["issuer"]).public_bytes()
        for field in ("this_update", "next_update"):
            if field in wanted:
                yield time(wanted[field], field in wanted.get("generalized", ()))
        if wanted.get("entries") is not None:
            yield der.encode(der.SEQUENCE, *map(entry, wanted["entries"]))
        if wanted["extensions"]:
            identifier = x509.SubjectKeyIdentifier.from_public_key(workshop.base(wanted["issuer"]).public_key()).digest
            each = {name: extension(name, value, identifier) for name, value in wanted["extensions"].items()}
            again = each.get(wanted.get("repeat_extension", ""), b"")
            yield der.encode(der.context(0), der.encode(der.SEQUENCE, *each.values(), again))

    def build(wanted: Mapping[str, Any]) -> x509.CertificateRevocationList:
        return x509.load_der_x509_crl(assemble(der.encode(der.SEQUENCE, *fields(wanted)), wanted["hash"], bytes(8)))

    return build


def time(moment: datetime, generalized: bool) -> bytes:
    return der.encode(GENERALIZED_TIME, f"{moment:%Y%m%d%H%M%SZ}".encode()) if generalized else encode_time(moment)


def extension(name: str, wanted: Mapping[str, Any], own_identifier: bytes) -> bytes:
    value: x509.ExtensionType
    match name:
        case "authority_key_identifier":
            named = wanted["key_identifier"]
            value = x509.AuthorityKeyIdentifier(own_identifier if named == "own" else bytes.fromhex(named), None, None)
        case "crl_number":
            value = x509.CRLNumber(wanted["number"])
        case "delta_crl_indicator":
            value = x509.DeltaCRLIndicator(wanted["number"])
        case _:
            names = [x509.UniformResourceIdentifier(uri) for uri in wanted.get("full_name", ())]
            relative = DistinguishedName.of(**wanted["relative_name"]).to_x509() if "relative_name" in wanted else None
            value = x509.IssuingDistributionPoint(
                full_name=names or None,
                relative_name=relative.rdns[0] if relative else None,
                only_contains_user_certs=False,
                only_contains_ca_certs=wanted.get("only") == "ca_certs",
                only_some_reasons=frozenset(map(x509.ReasonFlags, wanted["reasons"])) if "reasons" in wanted else None,
                indirect_crl=wanted.get("indirect_crl", False),
                only_contains_attribute_certs=False,
            )
    return encode_extension(value, wanted.get("critical", False))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # pyca warns of what is not positive
def test_exactly_the_findings_expected(path: Path, workshop: Any, make: Any, policy: Any) -> None:
    case = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert case.keys() <= {"crl", "change", "issuer_at_hand", "environment", "findings", "messages"}
    wanted = type(workshop)(BASES).describe("crls", case["crl"], case["change"])
    issuer = workshop.base(wanted["issuer"]) if case.get("issuer_at_hand", True) else None
    kind = CertificateType(wanted["kind"])
    findings = lint_crl(make(wanted), kind, policy, case.get("environment", "test"), issuer=issuer)
    assert [f"{each.severity} {each.code}" for each in findings] == case["findings"]
    for message in case.get("messages", ()):
        assert message in [each.message for each in findings]
    assert all(each.message.isprintable() for each in findings)


@pytest.mark.parametrize("at_hand", [True, False], ids=["issuer at hand", "issuer unknown"])
@pytest.mark.parametrize("name", BASES["crls"])
def test_crls_as_they_should_be_have_no_finding(
    name: str, at_hand: bool, workshop: Any, make: Any, policy: Any
) -> None:
    wanted = BASES["crls"][name]
    crl, kind = make(wanted), CertificateType(wanted["kind"])
    issuer = workshop.base(wanted["issuer"]) if at_hand else None
    assert lint_crl(crl, kind, policy, "test", issuer=issuer) == ()
    assert crl_kind(crl, policy) is kind


@pytest.mark.parametrize("name", ["Firma.EMT", "SM-Test-Root.CA.TLS-S", "SM-Test-Root.CA.CRL-S.CA.EMT"])
def test_crls_of_nobody_who_signs_them(name: str, make: Any, policy: Any) -> None:
    wanted = {**BASES["crls"]["empty"], "issuer_name": {"CN": name, "O": "SM-Test-PKI-DE", "C": "DE"}}
    assert crl_kind(make(wanted), policy) is None
