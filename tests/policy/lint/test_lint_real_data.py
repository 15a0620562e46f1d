"""Certificates and a request package of the real test PKI: what there is to say about them, and why."""

from pathlib import Path

import pytest
from cryptography import x509

from smpki.policy.lint.certificate import lint_certificate
from smpki.policy.lint.classify import classify, default_kind, environment_of
from smpki.policy.lint.request import lint_request
from smpki.policy.load import default_policy_text, load_policy
from smpki.policy.model import CertificateType
from smpki.requests.read import read_package

DATA = Path(__file__).parents[4] / "shared" / "data"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"the sample data are not at {DATA}")


@pytest.fixture(scope="module")
def policy():
    return load_policy(default_policy_text())


def read(name):
    return x509.load_pem_x509_certificate((DATA / "certificates" / name).read_bytes())


def codes(findings):
    return [f"{each.severity} {each.code}" for each in findings]


def test_a_real_sub_ca(policy):
    certificate = read("test-sub-ca.pem")
    assert classify(certificate) == (CertificateType.SUB_CA, "ca")
    assert environment_of(certificate.subject, policy) == "test"
    # the test PKI changed its curves in 2022 already, earlier than the windows open
    assert codes(lint_certificate(certificate, CertificateType.SUB_CA, "ca", policy, "test")) == [
        "warning tr-03116-3.table_5.signature.window",
        "warning tr-03116-3.table_5.public_key.window",
    ]


def test_a_real_signature_certificate_under_that_sub_ca(policy):
    certificate = read("test-emt-sig.pem")
    assert classify(certificate) == (CertificateType.EMT, "sig")
    findings = lint_certificate(certificate, CertificateType.EMT, "sig", policy, "test", issuer=read("test-sub-ca.pem"))
    # SHA-384 before 2025, and the identifier of that operator's policy
    assert codes(findings) == [
        "warning tr-03116-3.table_5.signature.window",
        "notice tr-03109-4.a2.certificate_policies.other_operator",
    ]


def test_it_is_no_certificate_of_the_production_pki(policy):
    certificate = read("test-emt-sig.pem")
    assert codes(lint_certificate(certificate, CertificateType.EMT, "sig", policy, "production")) == [
        "error sm-pki-cp.a.issuer.organization",
        "warning tr-03116-3.table_5.signature.window",
        "error sm-pki-cp.a.organization.environment",
        "notice tr-03109-4.a2.certificate_policies.other_operator",
    ]


def test_a_real_request_package(policy):
    package = read_package((DATA / "requests" / "emt-initial.der").read_bytes())
    assert default_kind(package.subject) is CertificateType.EMT
    found = {}
    for request in package.requests:
        what = CertificateType.EMT, request.purpose.value, policy, "test"
        findings = lint_request(request.subject, request.public_key, request.extensions, request.hash, *what)
        found[request.purpose.value] = codes(findings)
    # beside its host the TLS request asks for localhost
    name = "warning tr-03109-4.c1.subject_alternative_name.dns.not_qualified"
    assert found == {"tls": [name], "sig": [], "enc": []}
