"""Signed packages at the counter: renewals, authorised gateways, requests to take back and to hand over."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from smpki.errors import SmpkiError
from smpki.policy.names import DistinguishedName
from smpki.requests.build import RequestedNames, build_initial_package
from smpki.requests.build_signed import build_authorised_package, build_renewal_package
from smpki.requests.device_admin import build_device_admin_update
from smpki.requests.keys import KeyTriple, Signer
from smpki.requests.revocation import RevocationItem, build_revocation_request, read_revocation_request

CONTACT = RequestedNames("post@firma.example", "https://firma.example/", ("ws.firma.example",))
GATEWAY = "EABC0012345678.SMGW"


def new_keys() -> KeyTriple:
    return KeyTriple(*(ec.generate_private_key(ec.BrainpoolP256R1()) for _ in range(3)))


@dataclass
class Person:
    """Somebody with a triple."""

    subject: DistinguishedName
    keys: KeyTriple
    certificates: tuple[Any, ...]
    names: RequestedNames = CONTACT

    @property
    def certificate(self) -> x509.Certificate:
        (sig,) = (one for one in self.certificates if one.purpose == "sig")
        return x509.load_der_x509_certificate(sig.der)

    @property
    def signer(self) -> Signer:
        return Signer(self.keys.sig, self.certificate)

    def renewal(self, keys: KeyTriple | None = None, **change: str) -> bytes:
        attributes = dict(self.subject.attributes) | change
        subject = DistinguishedName.of(**attributes).to_x509()
        return build_renewal_package(subject, keys or new_keys(), self.names, self.signer)


class Town:
    """People and gateways of one PKI."""

    def __init__(self, workshop: Any) -> None:
        self.workshop = workshop

    def subject(self, cn: str, ou: str | None = None, number: int = 1) -> DistinguishedName:
        return DistinguishedName.of(CN=cn, O="SM-Test-PKI-DE", OU=ou, C="DE", serialNumber=str(number))

    def settle(self, cn: str, ou: str | None = None) -> Person:
        subject, keys = self.subject(cn, ou), new_keys()
        outcome = self.issue(build_initial_package(subject.to_x509(), keys, CONTACT))
        return Person(subject, keys, outcome.certificates)

    def gateway(self, authority: Person, ou: str, number: int, *, keys: KeyTriple | None = None) -> Person:
        subject, keys = self.subject(GATEWAY, ou, number), keys or new_keys()
        package = build_initial_package(subject.to_x509(), keys, RequestedNames())
        outcome = self.issue(build_authorised_package(package, authority.signer))
        return Person(subject, keys, outcome.certificates, RequestedNames())

    def issue(self, package: bytes, **choice: Any) -> Any:
        outcome = self.workshop.issue(package, **choice)
        if outcome.error is not None:
            raise outcome.error
        return outcome

    def process(self, request: bytes) -> Any:
        with self.workshop.open() as pki:
            return pki.process(request, "request")

    def states(self, person: Person) -> set[str]:
        with self.workshop.open() as pki:
            found = pki.store.revocations.among([one.serial for one in person.certificates])
        return {found[one.serial].reason if one.serial in found else "valid" for one in person.certificates}


@pytest.fixture
def town(workshop: Any) -> Town:
    return Town(workshop)


def refused(code: str) -> Any:
    return pytest.raises(SmpkiError, check=lambda error: error.code == code)  # type: ignore[call-overload]


def take_back(person: Person, sender: Person, reason: str) -> bytes:
    items = [
        RevocationItem(certificate.issuer, certificate.serial_number, reason)  # type: ignore[arg-type]
        for certificate in [person.certificate]
    ]
    return build_revocation_request(items, sender.signer)


def near_its_end(town: Town) -> None:
    town.workshop.now += timedelta(days=365 * 2 - 30)


# Renewals


def test_a_renewal_in_its_window_gets_the_next_number(town: Town) -> None:
    person = town.settle("Firma.EMT.MAK", "9900000000001")
    near_its_end(town)
    renewed = town.issue(person.renewal())
    assert {one.dn_serial for one in renewed.certificates} == {2}
    assert {one.kind for one in renewed.certificates} == {"emt"}


def test_the_same_renewal_again_gets_the_same_triple(town: Town) -> None:
    person = town.settle("Firma.EMT.MAK", "9900000000001")
    near_its_end(town)
    package = person.renewal()
    first, second = town.issue(package), town.issue(package)
    assert (second.state, second.certificates) == ("known", first.certificates)


def test_a_renewal_too_early_is_refused(town: Town) -> None:
    person = town.settle("Firma.EMT.MAK", "9900000000001")
    with refused("request.renewal.early"):
        town.issue(person.renewal())


def test_a_renewal_after_the_end_is_refused(town: Town) -> None:
    person = town.settle("Firma.EMT.MAK", "9900000000001")
    town.workshop.now += timedelta(days=365 * 2 - 30)
    package = person.renewal()
    town.workshop.now += timedelta(days=60)
    with pytest.raises(SmpkiError) as error:
        town.issue(package)
    assert error.value.code in ("request.outer_signature.signer.expired", "issuing.issuer.key_use_over")


def test_a_renewal_with_the_key_of_an_older_triple_is_refused(town: Town) -> None:
    person = town.settle("Firma.EMT.MAK", "9900000000001")
    near_its_end(town)
    town.issue(person.renewal())
    with refused("request.renewal.superseded"):
        town.issue(person.renewal())


def test_a_renewal_for_another_subject_is_refused(town: Town) -> None:
    person = town.settle("Firma.EMT.MAK", "9900000000001")
    near_its_end(town)
    with refused("request.renewal.subject"):
        town.issue(person.renewal(CN="Andere.EMT"))


def test_a_renewal_with_keys_that_were_certified_is_refused(town: Town) -> None:
    person = town.settle("Firma.EMT.MAK", "9900000000001")
    near_its_end(town)
    with refused("issuing.key.reused"):
        town.issue(person.renewal(person.keys))


@pytest.mark.parametrize("reason", ["key_compromise", "superseded"])
def test_a_renewal_with_a_revoked_key_is_refused(town: Town, reason: str) -> None:
    person = town.settle("Firma.EMT.MAK", "9900000000001")
    near_its_end(town)
    with town.workshop.open() as pki:
        pki.revocations.revoke([person.certificates[0].serial], reason)
    with refused("request.outer_signature.signer.revoked"):
        town.issue(person.renewal())


def test_a_renewal_signed_by_a_stranger_is_refused(town: Town) -> None:
    person = town.settle("Firma.EMT.MAK", "9900000000001")
    near_its_end(town)
    key = ec.generate_private_key(ec.BrainpoolP256R1())
    own = person.certificate
    forged = x509.CertificateBuilder(own.issuer, own.subject, key.public_key(), own.serial_number)
    forged = forged.not_valid_before(own.not_valid_before_utc).not_valid_after(own.not_valid_after_utc)
    for extension in own.extensions:
        value = extension.value
        if isinstance(value, x509.SubjectKeyIdentifier):
            value = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        forged = forged.add_extension(value, extension.critical)
    from cryptography.hazmat.primitives import hashes

    stranger = Signer(key, forged.sign(key, hashes.SHA256()))
    package = build_renewal_package(person.subject.to_x509(), new_keys(), CONTACT, stranger)
    with refused("request.outer_signature.signer.unknown"):
        town.issue(package)


# Gateways


def test_a_gateways_life_from_the_factory_to_the_next_administrator(town: Town) -> None:
    maker, first, second = town.settle("Hersteller.GWH"), town.settle("Eins.GWA"), town.settle("Zwei.GWA")
    seal = town.gateway(maker, "Hersteller", 0)
    assert {one.dn_serial for one in seal.certificates} == {0}
    wirk = town.gateway(first, "Eins.GWA", 1)
    assert {one.dn_serial for one in wirk.certificates} == {1}

    with refused("request.authorisation.administrator"):
        town.gateway(second, "Zwei.GWA", 1)
    with refused("request.device_admin.administrator"):
        town.process(build_device_admin_update([GATEWAY], "Zwei.GWA", second.signer))
    with refused("request.device_admin.new_admin"):
        town.process(build_device_admin_update([GATEWAY], "Niemand.GWA", first.signer))
    town.process(build_device_admin_update([GATEWAY], "Zwei.GWA", first.signer))
    with refused("request.entitlement"):
        town.process(take_back(wirk, first, "certificate_hold"))
    town.process(take_back(wirk, second, "certificate_hold"))
    assert town.states(wirk) == {"certificate_hold"}
    town.process(take_back(wirk, second, "remove_from_crl"))
    assert town.states(wirk) == {"valid"}
    handed_over = town.gateway(second, "Zwei.GWA", 1)
    assert {one.dn_serial for one in handed_over.certificates} == {2}


def test_a_new_guetesiegel_supersedes_the_old_one(town: Town) -> None:
    maker = town.settle("Hersteller.GWH")
    old = town.gateway(maker, "Hersteller", 0)
    new = town.gateway(maker, "Hersteller", 0)
    assert (town.states(old), town.states(new)) == ({"superseded"}, {"valid"})


def test_of_guetesiegel_of_one_moment_only_the_last_is_valid(town: Town) -> None:
    maker = town.settle("Hersteller.GWH")
    seals = [town.gateway(maker, "Hersteller", 0) for _ in range(4)]
    assert [town.states(one) for one in seals] == [{"superseded"}] * 3 + [{"valid"}]
    near_its_end(town)
    renewed = town.issue(build_authorised_package(seals[-1].renewal(), maker.signer))
    assert renewed.state == "issued"


def test_a_guetesiegel_that_the_operator_grants_supersedes_too(town: Town) -> None:
    old = town.gateway(town.settle("Hersteller.GWH"), "Hersteller", 0)
    subject = town.subject(GATEWAY, "Hersteller", 0)
    unauthorised = build_initial_package(subject.to_x509(), new_keys(), RequestedNames())
    assert town.issue(unauthorised, again=True).state == "issued"
    assert town.states(old) == {"superseded"}


def test_another_manufacturers_guetesiegel_stays_until_it_is_revoked(town: Town) -> None:
    maker, other = town.settle("Hersteller.GWH"), town.settle("Anderer.GWH")
    seal = town.gateway(maker, "Hersteller", 0)
    with refused("request.authorisation.manufacturer"):
        town.gateway(other, "Anderer", 0)
    assert town.states(seal) == {"valid"}
    town.process(take_back(seal, maker, "cessation_of_operation"))
    assert town.states(town.gateway(other, "Anderer", 0)) == {"valid"}


def test_the_manufacturer_takes_its_guetesiegel_back_and_no_other(town: Town) -> None:
    maker, other = town.settle("Hersteller.GWH"), town.settle("Anderer.GWH")
    seal = town.gateway(maker, "Hersteller", 0)
    with refused("request.entitlement"):
        town.process(take_back(seal, other, "key_compromise"))
    assert town.states(seal) == {"valid"}
    town.process(take_back(seal, maker, "key_compromise"))
    assert town.states(seal) == {"key_compromise"}
    with refused("revocation.revoked"):
        town.process(take_back(seal, maker, "superseded"))


@pytest.mark.parametrize(
    ("authority", "ou", "number", "code"),
    [
        ("Firma.GWA", "Hersteller", 0, "request.authorisation.role"),
        ("Firma.GWH", "Firma.GWA", 1, "request.authorisation.role"),
        ("Andere.GWA", "Firma.GWA", 1, "request.authorisation.administrator"),
    ],
)
def test_only_the_right_party_authorises(town: Town, authority: str, ou: str, number: int, code: str) -> None:
    person = town.settle(authority)
    with refused(code):
        town.gateway(person, ou, number)


def test_an_administrator_renews_its_gateway(town: Town) -> None:
    administrator = town.settle("Eins.GWA")
    wirk = town.gateway(administrator, "Eins.GWA", 1)
    near_its_end(town)
    package = build_authorised_package(wirk.renewal(), administrator.signer)
    renewed = town.issue(package)
    assert {one.dn_serial for one in renewed.certificates} == {2}
    with refused("request.renewal.superseded"):
        town.issue(build_authorised_package(wirk.renewal(), administrator.signer))


def test_a_wirk_package_for_a_gateway_with_a_valid_one_needs_the_operator(town: Town) -> None:
    administrator = town.settle("Eins.GWA")
    town.gateway(administrator, "Eins.GWA", 1)
    with refused("issuing.subject.has_triple"):
        town.gateway(administrator, "Eins.GWA", 1)


# Requests to take back


def test_a_participant_takes_its_own_back_and_nobody_elses(town: Town) -> None:
    one, other = town.settle("Eins.EMT", "9900000000001"), town.settle("Zwei.EMT", "9900000000002")
    with refused("request.entitlement"):
        town.process(take_back(one, other, "superseded"))
    with refused("revocation.suspension.kind"):
        town.process(take_back(one, one, "certificate_hold"))
    assert town.states(one) == {"valid"}
    town.process(take_back(one, one, "key_compromise"))
    assert (town.states(one), town.states(other)) == ({"key_compromise"}, {"valid"})
    with refused("request.signature.signer.revoked"):
        town.process(take_back(one, one, "key_compromise"))


def test_an_unknown_serial_and_a_foreign_issuer_are_refused(town: Town) -> None:
    person = town.settle("Eins.EMT", "9900000000001")
    own = person.certificate
    unknown = RevocationItem(own.issuer, own.serial_number + 1, "superseded")
    with refused("store.serial.unknown"):
        town.process(build_revocation_request([unknown], person.signer))
    foreign = RevocationItem(own.subject, own.serial_number, "superseded")
    with refused("request.revocation.issuer"):
        town.process(build_revocation_request([foreign], person.signer))


def test_a_refusal_leaves_one_entry_in_the_audit_and_nothing_else(town: Town) -> None:
    one, other = town.settle("Eins.EMT", "9900000000001"), town.settle("Zwei.EMT", "9900000000002")
    before = town.workshop.tables()
    with refused("request.entitlement"):
        town.process(take_back(one, other, "superseded"))
    with refused("request.renewal.early"):
        town.issue(one.renewal())
    after = town.workshop.tables()
    assert len(after["audit"]) == len(before["audit"]) + 2
    for name in before.keys() - {"audit", "audit_head"}:
        assert after[name] == before[name]


# The same again


def test_a_kept_request_to_resume_lifts_no_later_suspension(town: Town) -> None:
    administrator = town.settle("Eins.GWA")
    wirk = town.gateway(administrator, "Eins.GWA", 1)
    hold, resume = (take_back(wirk, administrator, reason) for reason in ("certificate_hold", "remove_from_crl"))
    assert not town.process(hold).known
    assert town.process(hold).known
    assert not town.process(resume).known
    assert town.process(hold).known
    assert town.states(wirk) == {"valid"}
    town.process(take_back(wirk, administrator, "certificate_hold"))
    assert town.process(resume).known
    assert town.states(wirk) == {"certificate_hold"}


def test_a_kept_handover_takes_no_gateway_away(town: Town) -> None:
    first, second = town.settle("Eins.GWA"), town.settle("Zwei.GWA")
    town.gateway(first, "Eins.GWA", 1)
    handover = build_device_admin_update([GATEWAY], "Zwei.GWA", first.signer)
    town.process(handover)
    town.process(build_device_admin_update([GATEWAY], "Eins.GWA", second.signer))
    assert town.process(handover).known
    with refused("request.device_admin.administrator"):
        town.process(build_device_admin_update([GATEWAY], "Eins.GWA", second.signer))


def test_nobody_signs_under_a_revoked_sub_ca(town: Town) -> None:
    person = town.settle("Eins.EMT", "9900000000001")
    near_its_end(town)
    with town.workshop.open() as pki:
        (sub_ca,) = pki.store.authorities(kind="sub-ca")
        pki.revocations.revoke([sub_ca.serial], "ca_compromise")
    with refused("request.signature.signer.issuer_revoked"):
        town.process(take_back(person, person, "superseded"))


def test_a_package_that_was_granted_is_not_answered_in_another_role(town: Town) -> None:
    package = build_initial_package(town.subject("Eins.EMT", "9900000000001").to_x509(), new_keys(), CONTACT)
    town.issue(package)
    assert town.issue(package, role="emt").state == "known"
    with refused("issuing.package.other_role"):
        town.issue(package, role="gwa")


def test_the_same_signature_in_its_other_form_is_the_same_request(town: Town) -> None:
    person = town.settle("Eins.EMT", "9900000000001")
    signed = read_revocation_request(take_back(person, person, "superseded")).signature
    signer = signed.signed_data.signer
    r, s = decode_dss_signature(signer.signature)
    order = 0xA9FB57DBA1EEA9BC3E660A909D838D718C397AA3B561A6F7901E0E82974856A7  # of brainpoolP256r1, RFC 5639
    turned = replace(signer, signature=encode_dss_signature(r, order - s))
    other_form = replace(signed, signed_data=replace(signed.signed_data, signer=turned))
    other_form.verify()
    assert turned.signature != signer.signature
    assert other_form.digest == signed.digest
    assert read_revocation_request(take_back(person, person, "superseded")).signature.digest != signed.digest
