"""How certificates come to be: what the counter grants, what it refuses, and that a refusal leaves nothing behind."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import text

from smpki.asn1.curves import CURVES
from smpki.ca.permit import Preparer
from smpki.ca.profile import Plan
from smpki.ca.sub_cas import SubCaOrder
from smpki.ca.triples import Order
from smpki.db.engine import open_engine, writing
from smpki.errors import IssuingError, PolicyError, SmpkiError, StoreError, TokenError
from smpki.hsm.keystore import SoftwareKeys
from smpki.policy.model import CertificateType
from smpki.policy.names import DistinguishedName
from smpki.requests.build import RequestedNames

SUB_CA = "Beispiel.CA"


def certificates(stored: Any) -> list[x509.Certificate]:
    return [x509.load_der_x509_certificate(one.der) for one in stored]


def by_kind(stored: Any) -> dict[str, x509.Certificate]:
    return {one.kind: x509.load_der_x509_certificate(one.der) for one in stored}


# What a triple is


def test_a_triple_is_for_the_packages_keys_below_the_sub_ca(workshop: Any, packages: Any, new_keys: Any) -> None:
    keys = new_keys()
    with workshop.open() as pki:
        (outcome,) = pki.issue([Order("package", packages.make(keys=keys))], SUB_CA)
        issuer = pki.authorities.sub_ca(SUB_CA).certificate
    assert outcome.state == "issued"
    assert [one.purpose for one in outcome.certificates] == ["tls", "sig", "enc"]
    for certificate, key in zip(certificates(outcome.certificates), (keys.tls, keys.sig, keys.enc), strict=True):
        certificate.verify_directly_issued_by(issuer)
        assert certificate.public_key() == key.public_key()
        name = DistinguishedName.from_x509(certificate.subject)
        assert str(name) == "CN=Firma.EMT.MAK, O=SM-Test-PKI-DE, OU=9900000000001, C=DE, serialNumber=1"
        assert certificate.not_valid_before_utc == workshop.now
        assert certificate.not_valid_after_utc == datetime(2028, 11, 22, 23, 59, 59, tzinfo=UTC)


def test_serial_numbers_have_16_octets_are_positive_and_unique(workshop: Any, packages: Any) -> None:
    for number in range(5):
        workshop.issue(packages.make(f"Firma {number}.EMT"))
    found = [x509.load_der_x509_certificate(row["der"]) for row in workshop.tables()["certificate"]]
    serials = {one.serial_number for one in found}
    assert len(serials) == len(found) == 7 + 5 * 3
    assert {(serial.bit_length() + 8) // 8 for serial in serials} == {16}
    assert [format(one.serial_number, "x") for one in found] == [
        row["serial"] for row in workshop.tables()["certificate"]
    ]


def test_the_audit_names_what_was_issued(workshop: Any, packages: Any) -> None:
    before = workshop.tables()["audit"]
    outcome = workshop.issue(packages.make())
    (row,) = workshop.tables()["audit"][len(before) :]
    assert (row["action"], row["outcome"], row["subject"]) == ("issue", "done", "Firma.EMT.MAK")
    assert all(one.serial in row["detail"] for one in outcome.certificates)
    assert "override" not in row["detail"]
    workshop.assert_chain_holds()


# The same package again


def pem(der: bytes) -> bytes:
    lines = base64.encodebytes(der).replace(b"\n", b"\r\n")
    return b"-----BEGIN CMS-----\r\n" + lines + b"-----END CMS-----\r\n"


def indefinite(der: bytes) -> bytes:
    """The outermost SEQUENCE in BER with indefinite length."""
    octets = der[1] & 0x7F if der[1] & 0x80 else 0
    return b"\x30\x80" + der[2 + octets :] + b"\x00\x00"


@pytest.mark.parametrize("armour", [bytes, pem, base64.b64encode, indefinite])
def test_the_same_package_gets_the_same_triple(workshop: Any, packages: Any, armour: Callable[[bytes], bytes]) -> None:
    package = packages.make()
    first = workshop.issue(package)
    with workshop.nothing_but_audit(entries=0):
        again = workshop.issue(armour(package))
    assert again.state == "known"
    assert again.certificates == first.certificates


def test_the_same_package_gets_the_same_triple_when_its_time_is_over(workshop: Any, packages: Any) -> None:
    package = packages.make()
    first = workshop.issue(package)
    workshop.now += timedelta(days=3 * 365)
    assert workshop.issue(package, again=True).certificates == first.certificates


def test_packages_in_one_call_are_answered_as_one_after_another(workshop: Any, packages: Any) -> None:
    first, second, other = packages.make(), packages.make(), packages.make("Andere.EMT")
    orders = [
        Order("first", first),
        Order("twin", pem(first)),
        Order("second", second),
        Order("third", packages.make(), again=True),
        Order("other", other),
    ]
    with workshop.open() as pki:
        outcomes = pki.issue(orders, SUB_CA)
    assert [one.name for one in outcomes] == ["first", "twin", "second", "third", "other"]
    assert [one.state for one in outcomes] == ["issued", "known", "refused", "issued", "issued"]
    assert outcomes[1].certificates == outcomes[0].certificates
    assert outcomes[2].error.code == "issuing.subject.has_triple"
    assert {one.dn_serial for one in outcomes[3].certificates} == {2}


# Numbers


def test_a_second_package_is_refused_while_the_triple_is_valid(workshop: Any, packages: Any) -> None:
    workshop.issue(packages.make())
    with workshop.nothing_but_audit() as audited:
        outcome = workshop.issue(packages.make())
    assert (outcome.state, outcome.certificates) == ("refused", ())
    assert outcome.error.code == "issuing.subject.has_triple"
    assert "2028-11-22" in outcome.error.message
    assert outcome.error.where == "subject"
    assert "--again" in outcome.error.hint
    assert audited[0]["detail"] == outcome.error.as_dict()


def test_the_subject_is_the_same_in_other_spelling(workshop: Any, packages: Any) -> None:
    workshop.issue(packages.make("Firma Nord.EMT"))
    assert workshop.issue(packages.make("FIRMA  nord.EMT")).error.code == "issuing.subject.has_triple"


def test_again_gives_the_next_number_and_the_audit_says_so(workshop: Any, packages: Any) -> None:
    numbers = [
        {one.dn_serial for one in workshop.issue(packages.make(), again=again).certificates}
        for again in (True, True, True)
    ]
    assert numbers == [{1}, {2}, {3}]
    details = [row["detail"] for row in workshop.tables()["audit"][-3:]]
    assert ["override" in detail for detail in details] == [False, True, True]


def test_an_expired_triple_is_followed_by_the_next_number(workshop: Any, packages: Any) -> None:
    workshop.issue(packages.make())
    workshop.now = datetime(2028, 11, 22, 12, 0, tzinfo=UTC)
    assert workshop.issue(packages.make()).error.code == "issuing.subject.has_triple"
    workshop.now = datetime(2028, 11, 23, tzinfo=UTC)
    with workshop.open() as pki:
        pki.create_sub_ca(SubCaOrder("Nachfolger"))
        (outcome,) = pki.issue([Order("package", packages.make())], "Nachfolger.CA")
    assert [one.dn_serial for one in outcome.certificates] == [2, 2, 2]


@pytest.mark.parametrize("wish", ["0", "77", None])
def test_the_number_is_the_cas_whatever_the_request_says(workshop: Any, packages: Any, wish: str | None) -> None:
    outcome = workshop.issue(packages.make(serialNumber=wish))
    for certificate in certificates(outcome.certificates):
        assert DistinguishedName.from_x509(certificate.subject).serial_number == 1


def test_guetesiegel_is_0_and_wirk_starts_at_1(workshop: Any, packages: Any) -> None:
    wirk = {"ou": "Admin.GWA", "serial_number": "1"}
    issued = [
        workshop.issue(packages.gateway()),
        workshop.issue(packages.gateway(), again=True),
        workshop.issue(packages.gateway(**wirk)),
        workshop.issue(packages.gateway(**wirk), again=True),
    ]
    assert [{(one.kind, one.dn_serial) for one in outcome.certificates} for outcome in issued] == [
        {("smgw-g", 0)},
        {("smgw-g", 0)},
        {("smgw-w", 1)},
        {("smgw-w", 2)},
    ]


# Roles


@pytest.mark.parametrize(
    ("cn", "role"), [("Firma.EMT", "emt"), ("Firma.EMT.MAK", "emt"), ("Firma.GWA", "gwa"), ("Firma.GWH.X", "gwh")]
)
def test_the_cn_says_the_role(workshop: Any, packages: Any, cn: str, role: str) -> None:
    assert {one.kind for one in workshop.issue(packages.make(cn)).certificates} == {role}


def test_the_argument_says_the_role(workshop: Any, packages: Any) -> None:
    # by its OU and number this is a quality seal
    package = packages.gateway(ou="Admin.GWA", serial_number="0")
    assert {one.kind for one in workshop.issue(package, role=CertificateType.SMGW_W).certificates} == {"smgw-w"}


@pytest.mark.parametrize(
    ("cn", "role", "code"),
    [
        ("Firma.EMT", "gwa", "common_name"),
        ("Firma.GWA", "emt", "common_name"),
        ("EABC0000000001.SMGW", "emt", "common_name"),
        ("Firma.EMT", "sub-ca", "request.role.unknown"),
        ("Firma.CA", None, "request.role.unknown"),
        ("Firma", None, "request.role.unknown"),
    ],
)
def test_a_role_that_contradicts_the_cn_is_refused(
    workshop: Any, packages: Any, cn: str, role: str | None, code: str
) -> None:
    with workshop.nothing_but_audit() as audited:
        outcome = workshop.issue(packages.make(cn), role=CertificateType(role) if role else None)
    assert outcome.state == "refused"
    assert code in outcome.error.code
    assert audited[0]["detail"]["code"] == outcome.error.code


def test_an_unauthorised_gateway_package_is_an_override(workshop: Any, packages: Any) -> None:
    assert workshop.issue(packages.gateway()).state == "issued"
    assert "a gateway's package without authorisation" in workshop.tables()["audit"][-1]["detail"]


def test_the_policy_can_refuse_unauthorised_gateway_packages(workshop: Any, packages: Any, changed_policy: Any) -> None:
    policy = changed_policy({"issuing.unauthorised_gateway_package": "refuse"})
    with workshop.nothing_but_audit():
        outcome = workshop.issue(packages.gateway(), policy=policy)
    assert outcome.error.code == "request.authorisation.missing"
    assert workshop.issue(packages.make(), policy=policy).state == "issued"


# Validity


@pytest.fixture
def longer(changed_policy: Any) -> Callable[[str], Any]:
    """A policy of later days: new Sub-CAs hold longer, and so do EMT certificates."""

    def make(past_issuer_end: str) -> Any:
        return changed_policy(
            {
                "certificates.sub-ca.key_use": "1y",
                "certificates.emt.validity": "4y",
                "certificates.emt.key_use": "4y",
                "issuing.past_issuer_end": past_issuer_end,
            }
        )

    return make


def test_a_validity_past_the_issuers_end_is_refused(workshop: Any, packages: Any, longer: Any) -> None:
    workshop.now += timedelta(days=400)
    with workshop.nothing_but_audit():
        outcome = workshop.issue(packages.make(), policy=longer("refuse"))
    assert outcome.error.code == "policy.validity.past_issuer"


def test_a_validity_past_the_issuers_end_is_cut_where_the_policy_says_so(
    workshop: Any, packages: Any, longer: Any
) -> None:
    workshop.now += timedelta(days=400)
    outcome = workshop.issue(packages.make(), policy=longer("cut"))
    with workshop.open() as pki:
        end = pki.authorities.sub_ca(SUB_CA).certificate.not_valid_after_utc
    assert {one.not_valid_after_utc for one in certificates(outcome.certificates)} == {end}


# Issuers


def test_a_key_past_its_use_signs_no_certificate(workshop: Any, packages: Any) -> None:
    workshop.now = datetime(2028, 11, 22, 12, 0, tzinfo=UTC)
    assert workshop.issue(packages.make("Letzte.EMT")).state == "issued"
    workshop.now += timedelta(seconds=1)
    with workshop.nothing_but_audit():
        outcome = workshop.issue(packages.make())
    assert outcome.error.code == "issuing.issuer.key_use_over"
    assert outcome.error.where == SUB_CA


@pytest.mark.parametrize("now", [datetime(2026, 11, 22, 11, 59, tzinfo=UTC), datetime(2031, 11, 23, tzinfo=UTC)])
def test_a_sub_ca_issues_while_it_is_valid(workshop: Any, packages: Any, now: datetime) -> None:
    workshop.now = now
    with workshop.nothing_but_audit():
        outcome = workshop.issue(packages.make())
    assert outcome.error.code == "issuing.issuer.expired"


def test_an_issuer_that_may_not_sign_still_gives_the_same_triple(workshop: Any, packages: Any) -> None:
    package = packages.make()
    first = workshop.issue(package)
    workshop.now = datetime(2035, 1, 1, tzinfo=UTC)
    assert workshop.issue(package).certificates == first.certificates


@pytest.mark.parametrize("name", ["Fremde.CA", "SM-Test-Root.CA", "beispiel.ca", ""])
def test_an_unknown_sub_ca_is_refused(workshop: Any, packages: Any, name: str) -> None:
    with workshop.nothing_but_audit() as audited, workshop.open() as pki, pytest.raises(IssuingError) as caught:
        pki.issue([Order("package", packages.make())], name)
    assert caught.value.code == "issuing.issuer.unknown"
    assert audited[0]["detail"] == caught.value.as_dict()


@pytest.mark.parametrize(
    ("now", "code"),
    [
        (datetime(2029, 11, 22, 12, 0, 1, tzinfo=UTC), "issuing.issuer.key_use_over"),
        (datetime(2035, 1, 1, tzinfo=UTC), "issuing.issuer.expired"),
        (datetime(2020, 1, 1, tzinfo=UTC), "issuing.issuer.expired"),
    ],
)
def test_a_root_makes_sub_cas_while_its_key_may_sign(workshop: Any, now: datetime, code: str) -> None:
    workshop.now = now
    with workshop.nothing_but_audit() as audited, workshop.open() as pki, pytest.raises(IssuingError) as caught:
        pki.create_sub_ca(SubCaOrder("Neue"))
    assert caught.value.code == code
    assert audited[0]["detail"] == caught.value.as_dict()


# The hierarchy


def test_todays_hierarchy(workshop: Any) -> None:
    with workshop.open() as pki:
        root, sub_ca = pki.authorities.root().certificate, pki.authorities.sub_ca(SUB_CA).certificate
    root.verify_directly_issued_by(root)
    sub_ca.verify_directly_issued_by(root)
    assert (root.public_key().curve.name, root.signature_hash_algorithm.name) == ("brainpoolP512r1", "sha512")
    assert (sub_ca.public_key().curve.name, sub_ca.signature_hash_algorithm.name) == ("brainpoolP384r1", "sha512")
    constraints = [one.extensions.get_extension_for_class(x509.BasicConstraints).value for one in (root, sub_ca)]
    assert constraints == [x509.BasicConstraints(ca=True, path_length=None), x509.BasicConstraints(True, 0)]


def test_a_sub_cas_crl_distribution_point_names_the_crl_signer(workshop: Any) -> None:
    with workshop.open() as pki:
        certificate = pki.authorities.sub_ca(SUB_CA).certificate
    (point,) = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    (issuer,) = point.crl_issuer
    assert str(DistinguishedName.from_x509(issuer.value)) == "CN=SM-Test-Root.CA.CRL-S, O=SM-Test-PKI-DE, C=DE"
    assert [type(name.value) for name in point.full_name] == [str, str]


def algorithms(stored: Any) -> dict[str, tuple[str, str]]:
    return {
        kind: (one.public_key().curve.name, one.signature_hash_algorithm.name) for kind, one in by_kind(stored).items()
    }


OLDER = {
    "root": ("brainpoolP384r1", "sha384"),
    "crl-signer": ("brainpoolP384r1", "sha384"),
    "tls-signer": ("brainpoolP256r1", "sha384"),
    "root-tls": ("brainpoolP256r1", "sha256"),
    "sub-ca": ("brainpoolP256r1", "sha384"),
    "sub-ca-tls-root": ("brainpoolP256r1", "sha256"),
    "sub-ca-tls": ("brainpoolP256r1", "sha256"),
}


def test_the_clock_chooses_the_older_generation(empty_workshop: Any, packages: Any) -> None:
    empty_workshop.now = datetime(2024, 6, 1, tzinfo=UTC)
    with empty_workshop.open() as pki:
        made = (*pki.create_root(), *pki.create_sub_ca(SubCaOrder("Beispiel")))
        (outcome,) = pki.issue([Order("package", packages.make())], SUB_CA)
    assert algorithms(made) == OLDER
    assert algorithms(outcome.certificates) == {"emt": ("brainpoolP256r1", "sha256")}


def test_the_operator_chooses_the_older_generation(empty_workshop: Any) -> None:
    with empty_workshop.open() as pki:
        made = (*pki.create_root("2015"), *pki.create_sub_ca(SubCaOrder("Beispiel", generation="2015")))
    assert algorithms(made) == OLDER


def test_generations_mix(workshop: Any, packages: Any) -> None:
    with workshop.open() as pki:
        made = pki.create_sub_ca(SubCaOrder("Alte", generation="2015"))
        (outcome,) = pki.issue([Order("package", packages.make())], "Alte.CA")
    assert algorithms(made)["sub-ca"] == ("brainpoolP256r1", "sha512")
    assert algorithms(outcome.certificates) == {"emt": ("brainpoolP256r1", "sha256")}


def test_production_keeps_to_the_windows(empty_workshop: Any) -> None:
    contact = {"email": "ca@beispiel.example", "uri": "https://beispiel.example"}
    with empty_workshop.open(environment="production") as pki:
        with empty_workshop.nothing_but_audit(), pytest.raises(PolicyError) as caught:
            pki.create_root("2015")
        assert caught.value.code == "policy.generation.closed"
        pki.create_root()
        with empty_workshop.nothing_but_audit(), pytest.raises(PolicyError) as caught:
            pki.create_sub_ca(SubCaOrder("Beispiel", generation="2015", **contact))
        assert caught.value.code == "policy.generation.closed"
        made = pki.create_sub_ca(SubCaOrder("Beispiel", **contact))
    assert {DistinguishedName.from_x509(one.subject).get("O") for one in certificates(made)} == {"SM-PKI-DE"}


@pytest.mark.parametrize("generation", ["2015 ", "3000", ""])
def test_an_unknown_generation_is_refused(empty_workshop: Any, generation: str) -> None:
    with empty_workshop.nothing_but_audit(), empty_workshop.open() as pki, pytest.raises(PolicyError) as caught:
        pki.create_root(generation)
    assert caught.value.code == "policy.generation.unknown"


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (SubCaOrder("Beispiel"), "issuing.sub_ca.exists"),
        (SubCaOrder("Neue.CA"), "name.common_name"),
        (SubCaOrder(""), "name.common_name"),
        (SubCaOrder("N" * 62), "name.value"),
        (SubCaOrder("Neue", country="Deutschland"), "name.value"),
        (SubCaOrder("Neue", country="de"), "issuing.lint"),
        (SubCaOrder("Neue", email="poste@größe.example"), "issuing.contact"),
        (SubCaOrder("Neue", uri="nirgendwo"), "issuing.contact"),
        (SubCaOrder("Neue", generation="3000"), "policy.generation.unknown"),
    ],
)
def test_a_sub_ca_that_may_not_be_leaves_neither_row_nor_key(workshop: Any, order: SubCaOrder, code: str) -> None:
    with workshop.nothing_but_audit() as audited, workshop.open() as pki, pytest.raises(SmpkiError) as caught:
        pki.create_sub_ca(order)
    assert caught.value.code == code
    assert caught.value.hint
    assert audited[0]["detail"] == caught.value.as_dict()
    assert (audited[0]["action"], audited[0]["outcome"]) == ("issue-sub-ca", "refused")


def test_there_is_one_root(workshop: Any) -> None:
    with workshop.nothing_but_audit(), workshop.open() as pki, pytest.raises(IssuingError) as caught:
        pki.create_root()
    assert caught.value.code == "issuing.root.exists"


def test_a_sub_ca_needs_a_root(empty_workshop: Any) -> None:
    with empty_workshop.nothing_but_audit(), empty_workshop.open() as pki, pytest.raises(IssuingError) as caught:
        pki.create_sub_ca(SubCaOrder("Beispiel"))
    assert caught.value.code == "issuing.issuer.unknown"


# Permits


def test_a_permit_signs_once(issuing_program: Any) -> None:
    policy = issuing_program.default_policy()
    keys = SoftwareKeys()
    key = keys.generate("a key", CURVES["brainpoolP512r1"], None)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    plan = Plan(
        kind=CertificateType.ROOT,
        purpose="ca",
        subject=DistinguishedName.of(CN="SM-Test-Root.CA", O="SM-Test-PKI-DE", C="DE", serialNumber="1"),
        public_key=key.public_key(),
        serial=1 << 126,
        not_before=start,
        not_after=datetime(2033, 12, 31, 23, 59, 59, tzinfo=UTC),
        key_use_end=start,
        alternative_names=x509.SubjectAlternativeName(
            [x509.RFC822Name("a@b.example"), x509.UniformResourceIdentifier("https://b.example")]
        ),
    )
    permit = Preparer(policy, "test").prepare_self_signed(plan, key, "sha512")
    certificate = x509.load_der_x509_certificate(permit.sign())
    certificate.verify_directly_issued_by(certificate)
    assert certificate.tbs_certificate_bytes == permit.tbs
    with pytest.raises(IssuingError) as caught:
        permit.sign()
    assert caught.value.code == "issuing.permit.used"


# Faults on the way


class FailingKeys:
    """Signs so many times and then no more."""

    def __init__(self, times: int) -> None:
        self.left = times

    def sign(self, sign: Callable[..., bytes], *arguments: Any) -> bytes:
        if self.left == 0:
            raise TokenError("token.pkcs11.device_removed", "the token is gone", hint="put it back")
        self.left -= 1
        return sign(*arguments)


@pytest.fixture
def failing(workshop: Any, issuing_program: Any) -> Callable[[int], Any]:
    return lambda times: issuing_program.WatchedKeys(workshop.key_store, FailingKeys(times).sign)


@pytest.mark.parametrize("signatures", [0, 1, 2])
def test_a_triple_is_whole_or_not_at_all(workshop: Any, packages: Any, failing: Any, signatures: int) -> None:
    package = packages.make()
    before = workshop.tables()
    outcome = workshop.issue(package, keys=failing(signatures))
    assert outcome.error.code == "token.pkcs11.device_removed"
    after = workshop.tables()
    for name in ("certificate", "request", "participant"):
        assert after[name] == before[name]
    assert [row["outcome"] for row in after["audit"][len(before["audit"]) :]] == ["refused"]
    assert [row["state"] for row in after["intent"] if row not in before["intent"]] == ["abandoned"] * 3
    workshop.assert_chain_holds()
    assert workshop.issue(package).state == "issued"


def test_a_token_that_fails_refuses_each_package_of_the_call_once(workshop: Any, packages: Any, failing: Any) -> None:
    orders = [Order(name, packages.make(f"{name}.EMT")) for name in ("Eine", "Andere")]
    before = len(workshop.tables()["audit"])
    with workshop.open(keys=failing(4)) as pki:
        outcomes = pki.issue(orders, SUB_CA)
    assert [one.error.code for one in outcomes] == ["token.pkcs11.device_removed"] * 2
    assert len(workshop.tables()["audit"]) == before + 2
    with workshop.open() as pki:
        assert [one.state for one in pki.issue(orders, SUB_CA)] == ["issued"] * 2


@pytest.mark.parametrize("signatures", [0, 1, 2])
def test_a_sub_ca_is_made_whole_or_not_at_all(workshop: Any, failing: Any, signatures: int) -> None:
    before, keys = workshop.tables(), workshop.key_labels
    with workshop.open(keys=failing(signatures)) as pki, pytest.raises(TokenError):
        pki.create_sub_ca(SubCaOrder("Neue"))
    after = workshop.tables()
    assert after["certificate"] == before["certificate"]
    assert {row["state"] for row in after["intent"] if row not in before["intent"]} == {"abandoned"}
    assert workshop.key_labels == keys
    with workshop.open() as pki:
        pki.create_sub_ca(SubCaOrder("Neue"))


def test_each_package_falls_for_its_own_fault_only(workshop: Any, packages: Any, new_keys: Any) -> None:
    known = packages.make("Bekannt.EMT")
    workshop.issue(known)
    keys = new_keys()
    orders = [
        Order("known", known),
        Order("broken", packages.make("Kaputt.EMT")[:-9]),
        Order("good", packages.make("Gut.EMT", keys=keys)),
        Order("same keys", packages.make("Andere.EMT", keys=keys)),
        Order("no OU", packages.make("Namenlos.EMT", OU=None)),
        Order("other", packages.make("Noch.EMT")),
        Order("promised", b"", fault="not a line of the schema"),
    ]
    before = len(workshop.tables()["audit"])
    with workshop.open() as pki:
        outcomes = pki.issue(orders, SUB_CA)
    assert [one.state for one in outcomes] == [
        *("known", "refused", "issued", "refused", "refused", "issued", "refused"),
    ]
    assert outcomes[3].error.code == "issuing.key.reused"
    assert outcomes[6].error.code == "batch.line"
    audited = workshop.tables()["audit"][before:]
    assert sorted(row["subject"] for row in audited) == sorted(
        ["Gut.EMT", "Noch.EMT", "broken", "same keys", "no OU", "promised"]
    )
    workshop.assert_chain_holds()


@pytest.mark.parametrize(
    ("attributes", "names"),
    [
        ({"O": "SM-PKI-DE"}, None),
        ({"OU": None}, None),
        ({"serialNumber": "eins"}, None),
        ({"street": "S" * 65}, None),
        ({}, RequestedNames("post@firma.example")),
        ({"curve": ec.SECP384R1()}, None),
    ],
)
def test_what_the_policy_forbids_is_refused(
    workshop: Any, packages: Any, attributes: dict[str, Any], names: RequestedNames | None
) -> None:
    with workshop.nothing_but_audit() as audited:
        outcome = workshop.issue(packages.make(names=names, **attributes))
    assert outcome.state == "refused"
    assert outcome.error.hint
    assert outcome.error.where
    assert audited[0]["detail"] == outcome.error.as_dict()


def other_content_type(package: bytes) -> bytes:
    own, other = (bytes.fromhex(f"060904007f0007040101{last}") for last in ("01", "63"))
    assert package.count(own) == 1
    return package.replace(own, other)


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda package: b"", "request.encoding.truncated"),
        (lambda package: b"\x00" * 100, "request."),
        (lambda package: package[:-1], "request.encoding."),
        (lambda package: package[: len(package) // 2], "request.encoding."),
        (lambda package: package + b"\x05\x00", "request.encoding."),
        (lambda package: b"\x30\x80" * 10_000, "request.encoding."),
        (lambda package: package + bytes(65_536), "request.size"),
        (lambda package: package[:-1] + bytes([package[-1] ^ 1]), "request.proof_of_possession.invalid"),
        (lambda package: base64.b64encode(package)[:-5] + b"!!!!!", "request.armour."),
        (other_content_type, "request.content_type.unsupported"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_package_is_refused_and_audited(
    workshop: Any, packages: Any, damage: Callable[[bytes], bytes], code: str
) -> None:
    with workshop.nothing_but_audit() as audited:
        outcome = workshop.issue(damage(packages.make()))
    assert (outcome.state, outcome.certificates) == ("refused", ())
    assert outcome.error.code.startswith(code)
    assert outcome.error.hint
    assert audited[0]["detail"] == outcome.error.as_dict()


# Nothing without the audit


def execute(workshop: Any, statement: str) -> None:
    engine = open_engine(workshop.database)
    with writing(engine) as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.mark.parametrize(
    "sabotage",
    [
        "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(FAIL, 'no'); END",
        "CREATE TRIGGER full BEFORE INSERT ON audit_head BEGIN SELECT RAISE(FAIL, 'no'); END",
        "DROP TABLE audit",
    ],
)
def test_nothing_is_issued_where_the_audit_cant_be_written(workshop: Any, packages: Any, sabotage: str) -> None:
    before, keys = workshop.tables(), workshop.key_labels
    execute(workshop, sabotage)
    with pytest.raises(StoreError):
        workshop.issue(packages.make())
    with workshop.open() as pki, pytest.raises(StoreError):
        pki.create_sub_ca(SubCaOrder("Neue"))
    engine = open_engine(workshop.database)
    with writing(engine) as connection:
        for table in ("certificate", "request", "participant"):
            assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar() == len(before[table])
        states = connection.execute(text("SELECT DISTINCT state FROM intent")).scalars().all()
    engine.dispose()
    assert "open" not in states
    assert set(keys) <= set(workshop.key_labels)


def test_nothing_is_issued_on_a_chain_that_was_cut(workshop: Any, packages: Any) -> None:
    before = workshop.tables()
    for table, column in (("audit", "seq"), ("audit_head", "counter")):
        execute(workshop, f"DELETE FROM {table} WHERE {column} = (SELECT max({column}) FROM {table})")
    with pytest.raises(SmpkiError) as caught:
        workshop.issue(packages.make())
    assert caught.value.code == "audit.tail.cut"
    for table in ("certificate", "request", "participant"):
        assert workshop.tables()[table] == before[table]
