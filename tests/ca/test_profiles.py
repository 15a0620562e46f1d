"""Certificates of every type as others read them: OpenSSL, pkilint, and beside two real certificates."""

import re
import secrets
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, time
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.ca.pki import Pki
from smpki.ca.store.audit import AuditChain
from smpki.ca.store.owner import OwnerLock
from smpki.ca.store.records import StoredCertificate
from smpki.ca.store.store import Store
from smpki.ca.sub_cas import SubCaOrder
from smpki.ca.triples import Order
from smpki.db.engine import migrate, open_engine
from smpki.hsm.keystore import SoftwareKeys
from smpki.participant.new_request import Wanted, generate_keys, new_package, role_of
from smpki.policy.load import default_policy_text, load_policy
from smpki.policy.model import CertificateType

EXPECTED = Path(__file__).parent / "profiles"
DATA = Path(__file__).parents[3] / "shared" / "data"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
POLICY = load_policy(default_policy_text())

PARTICIPANTS = (
    Wanted("Firma.EMT.MAK", None, "9900000000001", "DE", "mako@firma.example", "https://mako.firma.example:8443/as4"),
    Wanted("Verwalter.GWA", None, None, "DE", "gwa@verwalter.example", "https://gwa.verwalter.example/"),
    Wanted("Hersteller.GWH", None, None, "DE", "gwh@hersteller.example", "https://gwh.hersteller.example/"),
    Wanted("EABC0012345678.SMGW", CertificateType.SMGW_G, "Hersteller GmbH"),
    Wanted("EABC0012345678.SMGW", CertificateType.SMGW_W, "Verwalter.GWA"),
)
KINDS = [(kind.value, purpose) for kind in CertificateType for purpose in POLICY.certificates[kind].certificates]

Made = Mapping[tuple[str, str], x509.Certificate]


@pytest.fixture(scope="module")
def new_pki(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Pki]]:
    """Call it for an empty PKI of the shipped policy, with keys in memory."""
    with ExitStack() as stack:

        def make() -> Pki:
            folder = tmp_path_factory.mktemp("pki")
            engine = open_engine(f"sqlite:///{folder / 'smpki.db'}")
            stack.callback(engine.dispose)
            migrate(engine)
            owner = OwnerLock.take(folder, secrets.token_bytes)
            stack.callback(owner.release)
            chain = AuditChain(bytes(32), folder / "head", clock=lambda: NOW, signer=None)
            return Pki(POLICY, "test", Store(engine, chain, owner=owner), SoftwareKeys(), lambda: NOW)

        yield make


@pytest.fixture(scope="module")
def made(new_pki: Callable[[], Pki]) -> Callable[[str], Made]:
    """Call it with a generation of CA keys for certificates of every type and purpose."""

    @cache
    def make(generation: str) -> Made:
        pki = new_pki()
        stored = [*pki.create_root(generation), *pki.create_sub_ca(sub_ca(generation))]
        orders = []
        for wanted in PARTICIPANTS:
            keys = generate_keys(POLICY, "test", role_of(wanted), NOW.date())
            orders.append(Order(wanted.common_name, new_package(wanted, keys, POLICY, "test"), wanted.role))
        for outcome in pki.issue(orders, "Beispiel.CA"):
            assert outcome.error is None
            stored += outcome.certificates
        stored += [one for one in pki.renew_root(generation) if one.kind == CertificateType.LINK]
        return by_type(stored)

    return make


def sub_ca(generation: str | None = None) -> SubCaOrder:
    return SubCaOrder("Beispiel", "DE", "ca@beispiel.example", "https://ca.beispiel.example/", generation)


def by_type(stored: list[StoredCertificate]) -> Made:
    return {(one.kind, one.purpose): x509.load_der_x509_certificate(one.der) for one in stored}


def issuer_of(certificate: x509.Certificate, made: Made) -> x509.Certificate:
    (issuer,) = (one for (_, purpose), one in made.items() if purpose == "ca" and one.subject == certificate.issuer)
    return issuer


def openssl(*arguments: object, certificate: x509.Certificate) -> str:
    pem = certificate.public_bytes(Encoding.PEM).decode()
    done = subprocess.run(["openssl", *map(str, arguments)], input=pem, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("generation", ["2015", "2025"])
@pytest.mark.parametrize(("kind", "purpose"), KINDS)
def test_openssl_accepts_the_chain(
    kind: str, purpose: str, generation: str, made: Callable[[str], Made], tmp_path: Path
) -> None:
    certificates = made(generation)
    root, between = tmp_path / "root.pem", tmp_path / "between.pem"
    root.write_bytes(certificates["root", "ca"].public_bytes(Encoding.PEM))
    between.write_bytes(issuer_of(certificates[kind, purpose], certificates).public_bytes(Encoding.PEM))
    trust = ("-no-CApath", "-no-CAstore", "-CAfile", root, "-untrusted", between, "-attime", int(NOW.timestamp()))
    openssl("verify", "-x509_strict", *trust, certificate=certificates[kind, purpose])


def as_openssl_explains(certificate: x509.Certificate, issuer: x509.Certificate) -> str:
    """``openssl x509 -text`` without what differs from run to run, in the same words for all versions of OpenSSL."""
    hidden = "no_header,no_version,no_serial,no_signame,no_pubkey,no_sigdump"
    text = openssl("x509", "-noout", "-text", "-certopt", hidden, certificate=certificate)
    for who, holder in (("own", certificate), ("the issuer's", issuer)):
        identifier = x509.SubjectKeyIdentifier.from_public_key(holder.public_key()).digest
        text = text.replace(identifier.hex(":").upper(), f"({who} key)")
    text = re.sub(r"\s*CRL Issuer:", "\n" + " " * 16 + "CRL Issuer:", text.replace(" = ", "="))
    lines = (line.rstrip() for line in text.splitlines() if line.strip())
    return "".join(f"{'    ' * (not line.startswith(HEADINGS))}{line.strip()}\n" for line in lines)


HEADINGS = tuple(f"{' ' * 8}{name}" for name in ("Issuer:", "Validity", "Subject:", "    X509v3", "X509v3"))


@pytest.mark.parametrize(("kind", "purpose"), KINDS)
def test_openssl_shows_what_the_profile_says(kind: str, purpose: str, made: Callable[[str], Made]) -> None:
    certificates = made("2025")
    certificate = certificates[kind, purpose]
    expected = (EXPECTED / f"{kind}-{purpose}.txt").read_text(encoding="utf-8")
    assert as_openssl_explains(certificate, issuer_of(certificate, certificates)) == expected


P256, P384, P512 = "brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1"
OF_SUB_CA = ("sub-ca-tls", "emt", "gwa", "gwh", "smgw-g", "smgw-w")
OF_TLS_SIGNER = ("root-tls", "sub-ca-tls-root")
ALGORITHMS = {
    "2015": {
        **dict.fromkeys(("root", "link", "crl-signer"), (P384, "sha384")),
        **dict.fromkeys(("tls-signer", "sub-ca"), (P256, "sha384")),
        **dict.fromkeys((*OF_SUB_CA, *OF_TLS_SIGNER), (P256, "sha256")),
    },
    "2025": {
        **dict.fromkeys(("root", "link", "crl-signer"), (P512, "sha512")),
        **dict.fromkeys(("tls-signer", "sub-ca"), (P384, "sha512")),
        **dict.fromkeys((*OF_SUB_CA, *OF_TLS_SIGNER), (P256, "sha384")),
    },
}
"""Own curve, and the hash of the issuer's signature (TR-03116-3 tables 5, 6, 21 and 23)."""


@pytest.mark.parametrize("generation", ALGORITHMS)
def test_algorithms_of_both_generations(generation: str, made: Callable[[str], Made]) -> None:
    assert made(generation).keys() == set(KINDS)
    for (kind, purpose), certificate in made(generation).items():
        key: Any = certificate.public_key()
        hash_used = certificate.signature_hash_algorithm
        assert hash_used is not None
        found = key.curve.name, hash_used.name
        assert found == ALGORITHMS[generation][kind], (kind, purpose)


# RFC 8813 section 3 forbids it, real ENC certificates have it
REAL_CERTIFICATES_DO = {("enc", "pkix.key_usage_value_prohibited_for_ec")}


@pytest.mark.parametrize(("kind", "purpose"), KINDS)
def test_pkilint_has_no_error(kind: str, purpose: str, made: Callable[[str], Made]) -> None:
    from pkilint.loader import load_certificate
    from pkilint.validation import ValidationFindingSeverity

    document = load_certificate(made("2025")[kind, purpose].public_bytes(Encoding.DER), f"{kind} {purpose}")
    found = {
        (purpose, description.finding.code)
        for result in rfc5280_lint().validate(document.root)
        for description in result.finding_descriptions
        if description.finding.severity <= ValidationFindingSeverity.ERROR
    }
    assert found == {known for known in REAL_CERTIFICATES_DO if known[0] == purpose}


@cache
def rfc5280_lint() -> Any:
    """What the command ``lint_pkix_cert`` runs."""
    from pkilint.pkix import certificate, extension, name

    return certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
        [
            certificate.create_issuer_validator_container([]),
            certificate.create_validity_validator_container(),
            certificate.create_subject_validator_container([]),
            certificate.create_extensions_validator_container([]),
            certificate.create_spki_validator_container([]),
        ],
    )


@pytest.fixture
def real() -> Callable[[str], x509.Certificate]:
    if not DATA.is_dir():
        pytest.skip("the real certificates are not part of the project")
    return lambda name: x509.load_pem_x509_certificate((DATA / "certificates" / name).read_bytes())


def criticality(certificate: x509.Certificate) -> list[tuple[str, bool]]:
    return [(extension.oid.dotted_string, extension.critical) for extension in certificate.extensions]


def value_of(certificate: x509.Certificate, extension: type[x509.ExtensionType]) -> Any:
    return certificate.extensions.get_extension_for_class(extension).value


def attributes(name: x509.Name) -> list[tuple[str, str]]:
    """Type and encoding of a name's attributes, in their order."""
    return [(attribute.oid.dotted_string, attribute._type.name) for attribute in name]


def test_a_sub_ca_like_a_real_one(made: Callable[[str], Made], real: Callable[[str], x509.Certificate]) -> None:
    ours, theirs = made("2025")["sub-ca", "ca"], real("test-sub-ca.pem")
    assert criticality(ours) == criticality(theirs)
    same = (x509.KeyUsage, x509.BasicConstraints, x509.CertificatePolicies, x509.IssuerAlternativeName)
    for extension in same:
        assert value_of(ours, extension) == value_of(theirs, extension)
    ours_san, theirs_san = (value_of(one, x509.SubjectAlternativeName) for one in (ours, theirs))
    assert [type(name) for name in ours_san] == [type(name) for name in theirs_san]
    ((ours_point,), (theirs_point,)) = (value_of(one, x509.CRLDistributionPoints) for one in (ours, theirs))
    assert ours_point.crl_issuer == theirs_point.crl_issuer
    assert [name.value.partition(":")[0] for name in ours_point.full_name] == ["http", "ldap"]
    assert [name.value.partition(":")[0] for name in theirs_point.full_name] == ["http", "ldap"]
    # the real one goes on with its address
    assert attributes(ours.subject) == attributes(theirs.subject)[: len(ours.subject.rdns)]
    assert attributes(ours.issuer) == attributes(theirs.issuer)
    assert ours.signature_algorithm_oid == theirs.signature_algorithm_oid
    assert ours.public_key().curve.name == theirs.public_key().curve.name  # type: ignore[union-attr]


def test_a_triple_for_a_real_package_like_the_real_one(
    new_pki: Callable[[], Pki], real: Callable[[str], x509.Certificate]
) -> None:
    pki = new_pki()
    pki.create_root()
    pki.create_sub_ca(sub_ca())
    package = (DATA / "requests" / "emt-initial.der").read_bytes()
    (outcome,) = pki.issue([Order("emt-initial.der", package)], "Beispiel.CA")
    assert outcome.error is None
    ours, theirs = by_type(list(outcome.certificates))["emt", "sig"], real("test-emt-sig.pem")
    assert criticality(ours) == criticality(theirs)
    assert ours.subject.public_bytes() == theirs.subject.public_bytes()
    for extension in (x509.KeyUsage, x509.BasicConstraints, x509.SubjectAlternativeName):
        assert value_of(ours, extension) == value_of(theirs, extension)
    for extension in (x509.IssuerAlternativeName, x509.CRLDistributionPoints, x509.CertificatePolicies):
        assert shape(value_of(ours, extension)) == shape(value_of(theirs, extension))
    assert ours.signature_algorithm_oid == theirs.signature_algorithm_oid
    assert {one.not_valid_after_utc.time() for one in (ours, theirs)} == {time(23, 59, 59)}


def shape(value: Any) -> object:
    """What an extension is made of, without the issuer's own addresses and identifiers."""
    match value:
        case x509.CRLDistributionPoints():
            # ours names an HTTP address too, as other issuers do
            return [(point.crl_issuer, point.reasons, point.full_name[-1].value[:7]) for point in value]
        case x509.CertificatePolicies():
            return [[type(qualifier) for qualifier in policy.policy_qualifiers] for policy in value]
        case _:
            return [type(name) for name in value]
