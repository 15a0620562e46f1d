"""Every file in ``certificate_cases`` says: take this certificate, change that, and exactly these are the findings."""

import warnings
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.gateway.han_authority import lint_technician_ca
from smpki.gateway.han_certificate import HanType, lint_han_certificate
from smpki.gateway.han_names import HanRole
from smpki.gateway.lmn_certificate import LmnHolder, lint_lmn_certificate
from smpki.policy.lint.certificate import Linter
from smpki.policy.load import default_policy_text, load_policy
from smpki.requests.check import check
from smpki.requests.explain import explain

HERE = Path(__file__).parent
BASES = HERE / "certificate_bases.yaml"
CASES = sorted((HERE / "certificate_cases").glob("*.yaml"))
SOUND = [name for name in yaml.safe_load(BASES.read_text(encoding="utf-8"))["certificates"] if name != "sub-ca"]


@pytest.fixture(scope="module")
def workshop(workshop_of):
    return workshop_of(BASES)


@pytest.fixture(scope="module")
def lint(workshop):
    linter = Linter(load_policy(default_policy_text()), "test")

    def lint(base, wanted):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pyca warns of serial numbers that are not positive
            certificate = workshop.certificate(base, wanted)
            if "holder" in wanted:
                return lint_lmn_certificate(certificate, LmnHolder[wanted["holder"].upper()])
            if wanted["role"] == "technician-ca":
                return lint_technician_ca(certificate)
            role, type = HanRole[wanted["role"].upper()], HanType(wanted["type"])
            issuer = (
                None if type is HanType.SELF_SIGNED else workshop.base(workshop.bases["certificates"][base]["issuer"])
            )
            return lint_han_certificate(certificate, role, type, issuer=issuer, linter=linter)

    return lint


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_exactly_the_findings_expected(path, workshop, lint):
    case = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert case.keys() == {"certificate", "change", "findings"}
    findings = lint(case["certificate"], workshop.describe("certificates", case["certificate"], case["change"]))
    assert [f"{each.severity} {each.code}" for each in findings] == case["findings"]
    assert all(each.message.isprintable() for each in findings)


@pytest.mark.parametrize("name", SOUND)
def test_certificates_as_the_specification_has_them_have_no_finding(name, workshop, lint):
    assert lint(name, workshop.describe("certificates", name, {})) == ()


@pytest.mark.parametrize("name", SOUND)
def test_the_pkis_own_look_at_files_does_not_choke_on_them(name, workshop):
    data, policy = workshop.base(name).public_bytes(Encoding.DER), load_policy(default_policy_text())
    assert explain(data, policy).text().startswith("Certificate (Zertifikat)")
    passed = [part.passed for part in check(data, policy)]
    assert passed == [name == "han-gateway-c"]  # for all others it knows no rules
