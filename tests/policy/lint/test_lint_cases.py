"""Every file in ``cases`` says: take this certificate or request, change that, and exactly these are the findings."""

import warnings
from pathlib import Path

import pytest
import yaml

from smpki.policy.lint.certificate import Linter, lint_certificate
from smpki.policy.lint.classify import classify, default_kind
from smpki.policy.lint.request import lint_request
from smpki.policy.load import default_policy_text, load_policy
from smpki.policy.model import CertificateType

HERE = Path(__file__).parent
CASES = sorted((HERE / "cases").glob("*.yaml"))
BASES = yaml.safe_load((HERE / "bases.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def policy():
    return load_policy(default_policy_text())


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_exactly_the_findings_expected(path, workshop, policy):
    case = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert case.keys() <= {"certificate", "request", "change", "issuer_at_hand", "environment", "findings", "messages"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyca warns of serial numbers that are not positive
        findings = _lint(case, workshop, policy)
    assert [f"{each.severity} {each.code}" for each in findings] == case["findings"]
    for message in case.get("messages", ()):
        assert message in [each.message for each in findings]
    assert all(each.message.isprintable() for each in findings)


def _lint(case, workshop, policy):
    sort, base = ("certificates", case["certificate"]) if "certificate" in case else ("requests", case["request"])
    wanted = workshop.describe(sort, base, case["change"])
    what = CertificateType(wanted["kind"]), wanted["purpose"], policy, case.get("environment", "test")
    if sort == "requests":
        made = workshop.request(base, wanted)
        return lint_request(made.subject, made.public_key, made.extensions, made.proof_hash, *what)
    issuer = workshop.base(wanted["issuer"]) if wanted["issuer"] != base else None
    if not case.get("issuer_at_hand", True):
        issuer = None
    certificate = workshop.certificate(base, wanted)
    found = lint_certificate(certificate, *what, issuer=issuer)
    assert _found_after_sound_ones(certificate, base, workshop, *what, issuer) == found
    return found


def _found_after_sound_ones(certificate, base, workshop, kind, purpose, policy, environment, issuer):
    """What a linter finds that remembers the base, which differs in nothing but what the case changes."""
    linter, sound = Linter(policy, environment), workshop.base(base)
    for _ in range(2):
        linter.certificate(sound, kind, purpose, issuer=issuer)
    found = linter.certificate(certificate, kind, purpose, issuer=issuer)
    assert linter.certificate(certificate, kind, purpose, issuer=issuer, public_key=sound.public_key()) == found
    return found


@pytest.mark.parametrize("at_hand", [True, False], ids=["issuer at hand", "issuer unknown"])
@pytest.mark.parametrize("name", BASES["certificates"])
def test_certificates_as_the_guideline_has_them_have_no_finding(name, at_hand, workshop, policy):
    base = BASES["certificates"][name]
    issuer = workshop.base(base["issuer"]) if at_hand else None
    certificate = workshop.base(name)
    kind = CertificateType(base["kind"])
    assert lint_certificate(certificate, kind, base["purpose"], policy, "test", issuer=issuer) == ()
    assert classify(certificate) == (kind, base["purpose"])


@pytest.mark.parametrize("name", BASES["requests"])
def test_requests_as_real_clients_send_them_have_no_finding(name, workshop, policy):
    base = BASES["requests"][name]
    made = workshop.request(name, base)
    kind = CertificateType(base["kind"])
    what = kind, base["purpose"], policy, "test"
    assert lint_request(made.subject, made.public_key, made.extensions, made.proof_hash, *what) == ()
    assert default_kind(made.subject) is kind


def test_a_linter_finds_the_same_in_one_certificate_after_another(workshop, policy):
    linter = Linter(policy, "test")
    wanted = workshop.describe("certificates", "emt-sig", {"subject/OU": "12"})
    faulty = workshop.certificate("emt-sig", wanted)
    for certificate, codes in (
        (workshop.base("emt-sig"), []),
        (faulty, ["sm-pki-cp.a.organizational_unit.pattern"]),
    ) * 2:
        for body in (None, certificate.tbs_certificate_bytes):
            findings = linter.certificate(certificate, CertificateType.EMT, "sig", body=body)
            assert [each.code for each in findings] == codes
