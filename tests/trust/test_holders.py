"""Is it the certificate of whom it should be: role by name scheme, use by key usage, issuer by hierarchy."""

from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from smpki.policy.model import CertificateType
from smpki.trust.question import Revocation, Verdict

Codes = Callable[[Verdict], list[str]]

ROLES = {
    "root": CertificateType.ROOT,
    "crl_signer": CertificateType.CRL_SIGNER,
    "tls_signer": CertificateType.TLS_SIGNER,
    "root_tls": CertificateType.ROOT_TLS,
    "sub_ca": CertificateType.SUB_CA,
    "gateway": CertificateType.SMGW_W,
}


@pytest.mark.parametrize("role", CertificateType)
def test_each_holder_has_one_role(pki: Any, codes: Codes, role: CertificateType) -> None:
    holders = {name: getattr(pki.old, name) for name in ROLES} | {"emt": pki.old.emt["tls"], "link": pki.link}
    roles = ROLES | {"emt": CertificateType.EMT, "link": CertificateType.LINK}
    for name, holder in holders.items():
        expected = [] if roles[name] is role else ["trust.role.name"]
        assert codes(pki.ask(holder, role=role))[-1:] == expected


def test_below_the_link_roles_are_the_same(pki: Any) -> None:
    assert pki.ask(pki.new.sub_ca, pki.old.root, role=CertificateType.SUB_CA).valid
    assert pki.ask(pki.new.emt["enc"], pki.old.root, role=CertificateType.EMT, use="enc").valid


@pytest.mark.parametrize("key", ["tls", "sig", "enc"])
@pytest.mark.parametrize("use", ["tls", "sig", "enc"])
def test_each_key_has_one_use(pki: Any, key: str, use: str) -> None:
    verdict = pki.ask(pki.old.emt[key], use=use)
    assert verdict.valid is (key == use)
    assert all(one.code.startswith("trust.use.") for one in verdict.reasons)


def test_a_ca_has_none_of_the_uses(pki: Any, codes: Codes) -> None:
    assert "trust.use.key_usage" in codes(pki.ask(pki.old.sub_ca, use="sig"))


def test_tls_works_both_ways_or_not_at_all(pki: Any, codes: Codes) -> None:
    client_only = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    holder = pki.issue(f"CN=Firma.EMT, {pki.TEST}", pki.old.sub_ca, ["digital_signature"], more=[client_only])
    asked = {"use": "tls", "revocation": Revocation.IGNORED}
    assert codes(pki.ask(holder, **asked)) == ["trust.use.extended_key_usage"]


def test_who_is_not_in_the_scheme_has_no_role(pki: Any, codes: Codes) -> None:
    stranger = pki.issue("CN=www.firma.example, O=Firma, C=DE", pki.old.sub_ca, "tls", crl=pki.old.of_sub_ca)
    assert pki.ask(stranger, use="tls").valid
    assert codes(pki.ask(stranger, use="tls", role=CertificateType.EMT)) == ["trust.role.name"]


@pytest.mark.parametrize("issuer", ["root", "tls_signer"])
def test_end_users_get_their_certificates_from_a_sub_ca(pki: Any, codes: Codes, issuer: str) -> None:
    above = getattr(pki.old, issuer)
    holder = pki.issue(f"CN=Firma.EMT, {pki.TEST}, OU=9900000000001", above, "sig")
    asked = {"role": CertificateType.EMT, "revocation": Revocation.IGNORED}
    verdict = pki.ask(holder, **asked)
    assert codes(verdict) == ["trust.role.issuer"]
    assert verdict.reasons[0].serial == above.certificate.serial_number


def test_all_that_is_wrong_is_told(pki: Any, codes: Codes) -> None:
    leaf = pki.old.emt["tls"].certificate
    verdict = pki.ask(leaf, crls=pki.crls(pki.Entry(leaf)), role=CertificateType.GWA, use="enc")
    assert codes(verdict) == [
        "trust.certificate.revoked",
        "trust.role.name",
        "trust.use.key_usage",
        "trust.use.extended_key_usage",
    ]
    assert [str(one) for one in verdict.reasons[1:2]] == [
        f"CN=Firma.EMT, {pki.TEST}, OU=9900000000001, serialNumber=1: its name and key usage make it a certificate of"
        " type emt, not of type gwa [trust.role.name, SM-PKI Certificate Policy annex A]"
    ]
    assert verdict.reasons[0].as_dict() == {
        "code": "trust.certificate.revoked",
        "rule": "RFC 5280 6.1.3 (a)(3)",
        "message": "it was revoked on 2027-05-02 12:00:00 UTC: keyCompromise",
        "subject": f"CN=Firma.EMT, {pki.TEST}, OU=9900000000001, serialNumber=1",
        "serial": f"{leaf.serial_number:x}",
    }
