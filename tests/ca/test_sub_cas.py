"""Sub-CAs change their keys, and run apart from their root: requests go there, certificates come back, as files."""

import json
import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.ca.chain import bundle
from smpki.ca.installing import Installed
from smpki.ca.output import pem_file
from smpki.ca.store.records import StoredCertificate
from smpki.ca.sub_cas import SubCaOrder
from smpki.ca.triples import Order
from smpki.errors import IssuingError, SmpkiError, TokenError
from smpki.policy.names import DistinguishedName

YEAR = timedelta(days=365)
EXTERN = SubCaOrder("Extern", email="ca@extern.example", uri="https://ca.extern.example/")
RENEWED = SubCaOrder("Extern", renew=True)


@pytest.fixture
def root(workshop: Any) -> Any:
    """The root's side: a PKI with root and ``Beispiel.CA``."""
    return workshop


@pytest.fixture
def sub_ca(empty_workshop: Any) -> Any:
    """The Sub-CA's side: a PKI without certificates."""
    return empty_workshop


def ask(sub_ca: Any, order: SubCaOrder = EXTERN, number: int | None = None) -> bytes:
    with sub_ca.open() as pki:
        return pki.request_sub_ca(order, number)


def certify(root: Any, requests: bytes, order: SubCaOrder = EXTERN) -> tuple[tuple[StoredCertificate, ...], bytes]:
    """The certificates, and the bundle that goes back."""
    with root.open() as pki:
        made = pki.certify_sub_ca(order, requests)
        return made, pem_file(bundle(pki.store, made, root.now))


def install(sub_ca: Any, answer: bytes, root_sha256: str | None = None) -> Installed:
    with sub_ca.open() as pki:
        return pki.install_sub_ca(answer, root_sha256)


def set_up(root: Any, sub_ca: Any) -> bytes:
    """``Extern.CA``, in operation; the bundle that made it so."""
    _, answer = certify(root, ask(sub_ca))
    install(sub_ca, answer)
    return answer


def certificate(stored: StoredCertificate) -> x509.Certificate:
    return x509.load_der_x509_certificate(stored.der)


def what(stored: Any) -> list[tuple[str, int | None]]:
    return [(one.kind, one.dn_serial) for one in stored]


# Beside the root


def test_a_renewed_sub_ca_has_the_next_number_a_new_key_and_its_contact(root: Any, packages: Any) -> None:
    root.now += YEAR
    with root.open() as pki:
        old = pki.authorities.sub_ca("Beispiel.CA").certificate
        made = pki.create_sub_ca(SubCaOrder("Beispiel", renew=True))
        (outcome,) = pki.issue([Order("package", packages.make())], "Beispiel.CA")
    assert what(made) == [("sub-ca", 2), ("sub-ca-tls-root", 2), ("sub-ca-tls", 2)]
    new = certificate(made[0])
    assert new.public_key() != old.public_key()
    names = (one.extensions.get_extension_for_class(x509.SubjectAlternativeName).value for one in (old, new))
    assert next(names) == next(names)
    assert outcome.certificates[0].issuer_serial == made[0].serial


def test_a_renewed_sub_ca_stands_below_the_newest_root(root: Any) -> None:
    root.now += YEAR
    with root.open() as pki:
        new_root, *_ = pki.renew_root()
        sub_ca, *_ = pki.create_sub_ca(SubCaOrder("Beispiel", renew=True))
    assert sub_ca.issuer_serial == new_root.serial


# Apart from the root


def test_a_sub_ca_elsewhere_issues_below_the_root(root: Any, sub_ca: Any, packages: Any, tmp_path: Path) -> None:
    made, answer = certify(root, ask(sub_ca))
    installed = install(sub_ca, answer)
    assert what(made) == [("sub-ca", 1), ("sub-ca-tls-root", 1)]
    assert what(installed.certificates) == [
        *(("root", 1), ("crl-signer", None), ("tls-signer", 1)),
        *(("sub-ca", 1), ("sub-ca-tls-root", 1), ("sub-ca-tls", 1)),
    ]
    assert [bool(one.token_key_id) for one in installed.certificates] == [False] * 3 + [True] * 3
    with root.open() as pki:
        root_certificate = pki.authorities.root().certificate
    assert [certificate(one) for one in installed.roots] == [root_certificate]
    with sub_ca.open() as pki:
        (outcome,) = pki.issue([Order("package", packages.make())], "Extern.CA")
        (crl,) = pki.crls.issue()
    assert outcome.state == "issued"
    assert (crl.series.authority.serial, crl.error) == (made[0].serial, None)
    files = [tmp_path / name for name in ("root", "sub-ca", "tls")]
    for file, one in zip(
        files, (root_certificate, certificate(made[0]), certificate(outcome.certificates[0])), strict=True
    ):
        file.write_bytes(one.public_bytes(Encoding.PEM))
    at = ["-attime", str(int(sub_ca.now.timestamp()))]
    trust = ["-no-CApath", "-no-CAstore", "-CAfile", files[0], "-untrusted", files[1]]
    done = subprocess.run(["openssl", "verify", "-x509_strict", *at, *trust, files[2]], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    root.assert_chain_holds()
    sub_ca.assert_chain_holds()


def test_its_certificates_say_what_the_root_would_have_said(root: Any, sub_ca: Any) -> None:
    """Names, contact, and where the CRLs are, though the root's key is elsewhere."""
    set_up(root, sub_ca)
    with root.open() as pki:
        *_, here = pki.create_sub_ca(SubCaOrder("Hier", email=EXTERN.email, uri=EXTERN.uri))
    with sub_ca.open() as pki:
        there = pki.store.latest(
            "sub-ca-tls", DistinguishedName.of(CN="Extern.CA.TLS", O="SM-Test-PKI-DE").key(), "tls"
        )
    texts = []
    for one, name in ((here, "Hier"), (there, "Extern")):
        parsed = certificate(one)
        own = (x509.SubjectKeyIdentifier, x509.AuthorityKeyIdentifier)
        texts.append(
            [str(each.value).replace(name, "X") for each in parsed.extensions if not isinstance(each.value, own)]
        )
    assert texts[0] == texts[1]


def test_asking_again_asks_for_the_same_keys(root: Any, sub_ca: Any) -> None:
    first = ask(sub_ca)
    keys = sub_ca.key_labels
    again = ask(sub_ca)
    assert sub_ca.key_labels == keys
    made, answer = certify(root, first)
    with root.nothing_but_audit(entries=0):
        assert certify(root, again) == (made, answer)


def test_the_request_says_who_asks_for_what(sub_ca: Any) -> None:
    ca, tls = (
        x509.load_pem_x509_csr(block) for block in re.findall(b"-----BEGIN.+?-----END[^\n]+", ask(sub_ca), re.DOTALL)
    )
    assert str(DistinguishedName.from_x509(ca.subject)) == "CN=Extern.CA, O=SM-Test-PKI-DE, C=DE, serialNumber=1"
    assert str(DistinguishedName.from_x509(tls.subject)) == "CN=Extern.CA.TLS, O=SM-Test-PKI-DE, C=DE, serialNumber=1"
    curves = [
        key.curve.name for key in (ca.public_key(), tls.public_key()) if isinstance(key, ec.EllipticCurvePublicKey)
    ]
    assert curves == ["brainpoolP384r1", "brainpoolP256r1"]
    assert ca.is_signature_valid and tls.is_signature_valid


def test_the_contact_comes_from_the_request_unless_the_operator_says_otherwise(root: Any, sub_ca: Any) -> None:
    requests = ask(sub_ca)
    made, _ = certify(root, requests, SubCaOrder("Extern", uri="https://andere.example/"))
    names = certificate(made[0]).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.RFC822Name) == ["ca@extern.example"]
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["https://andere.example/"]


def test_installing_again_changes_nothing(root: Any, sub_ca: Any) -> None:
    answer = set_up(root, sub_ca)
    with sub_ca.nothing_but_audit(entries=0):
        again = install(sub_ca, answer)
    assert again.certificates == ()
    assert what(again.roots) == [("root", 1)]


def test_an_installation_that_stopped_is_taken_up(root: Any, sub_ca: Any, issuing_program: Any) -> None:
    def fail(*_: object) -> bytes:
        raise TokenError("token.removed", "the token is gone")

    _, answer = certify(root, ask(sub_ca))
    with (
        sub_ca.open(keys=issuing_program.WatchedKeys(sub_ca.key_store, fail)) as pki,
        pytest.raises(TokenError),
    ):
        pki.install_sub_ca(answer)
    assert what(install(sub_ca, answer).certificates) == [("sub-ca-tls", 1)]


def test_a_renewed_sub_ca_comes_by_a_link_to_the_new_root(root: Any, sub_ca: Any, packages: Any) -> None:
    set_up(root, sub_ca)
    for workshop in (root, sub_ca):
        workshop.now += YEAR
    with root.open() as pki:
        pki.renew_root()
    made, answer = certify(root, ask(sub_ca, RENEWED), RENEWED)
    installed = install(sub_ca, answer)
    assert what(installed.certificates) == [
        *(("root", 2), ("link", 2), ("crl-signer", None), ("tls-signer", 2)),
        *(("sub-ca", 2), ("sub-ca-tls-root", 2), ("sub-ca-tls", 2)),
    ]
    with sub_ca.open() as pki:
        (outcome,) = pki.issue([Order("package", packages.make())], "Extern.CA")
        assert outcome.certificates[0].issuer_serial == made[0].serial
        assert {one.series.authority.dn_serial for one in pki.crls.issue() if one.error is None} == {1, 2}
    sub_ca.assert_chain_holds()


def test_on_postgresql(workshops: Any, empty_workshops: Any, postgres_url: str) -> None:
    root, sub_ca = workshops(), empty_workshops(postgres_url)
    requests = ask(sub_ca)
    _, of_a_twin = certify(workshops(), requests)
    _, answer = certify(root, requests)
    assert what(install(sub_ca, answer).certificates)[-1] == ("sub-ca-tls", 1)
    refused(sub_ca, of_a_twin, "issuing.subject.taken")


def test_a_sub_ca_can_move_away_from_its_root(root: Any, sub_ca: Any) -> None:
    order = SubCaOrder("Beispiel", renew=True)
    requests = ask(sub_ca, SubCaOrder("Beispiel"), number=2)
    made, answer = certify(root, requests, order)
    assert what(made) == [("sub-ca", 2), ("sub-ca-tls-root", 2)]
    assert what(install(sub_ca, answer).certificates)[-1] == ("sub-ca-tls", 2)


# What the root refuses


Csr = Callable[[str, Any], bytes]


def csr(subject: dict[str, str], key: Any = None) -> bytes:
    key = key or ec.generate_private_key(ec.BrainpoolP384R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(DistinguishedName.of(**subject).to_x509())
    return builder.sign(key, hashes.SHA384()).public_bytes(Encoding.PEM)


def pair(*, tls: Any = None, **subject: str) -> bytes:
    ca = {"CN": "Extern.CA", "O": "SM-Test-PKI-DE", "C": "DE", **subject}
    small = ec.generate_private_key(ec.BrainpoolP256R1())
    return csr(ca) + csr({**ca, "CN": f"{ca['CN']}.TLS"}, tls or small)


def with_broken_signature(requests: bytes) -> bytes:
    first, *rest = re.findall(b"-----BEGIN.+?-----END[^\n]+\n", requests, re.DOTALL)
    der = bytearray(x509.load_pem_x509_csr(first).public_bytes(Encoding.DER))
    der[der.index(b"Extern")] ^= 0x20
    changed: bytes = x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM)
    return b"".join([changed, *rest])


BAD_REQUESTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "another CN": (lambda: pair(CN="Andere.CA"), "CN='Andere.CA'"),
    "another country": (lambda: pair(C="AT"), "C='AT'"),
    "another number": (lambda: pair(serialNumber="2"), "serialNumber='2'"),
    "an OU": (lambda: pair(OU="Abteilung"), "no such part"),
    "another curve": (lambda: pair(tls=ec.generate_private_key(ec.BrainpoolP384R1())), "not on brainpoolP256r1"),
    "a broken signature": (lambda: with_broken_signature(pair()), "not signed by the key"),
    "one request": (lambda: csr({"CN": "Extern.CA"}), "1 requests, not two"),
    "three requests": (lambda: pair() + csr({"CN": "Extern.CA"}), "3 requests, not two"),
    "the TLS key first": (lambda: csr({"CN": "Extern.CA.TLS"}) + csr({"CN": "Extern.CA"}), "Extern.CA.TLS"),
    "RSA": (lambda: pair(tls=rsa.generate_private_key(65537, 2048)), "no elliptic curve"),
    "no request": (lambda: b"hello", "0 requests"),
    "no DER": (lambda: b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n" * 2, "read"),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_requests_that_the_root_refuses(name: str, root: Any) -> None:
    make, message = BAD_REQUESTS[name]
    with root.nothing_but_audit() as added, pytest.raises(IssuingError) as caught:
        certify(root, make())
    assert caught.value.code == "issuing.sub_ca.request"
    assert message in caught.value.message
    assert (added[0]["action"], added[0]["outcome"]) == ("issue-sub-ca", "refused")


def test_a_good_request_of_another_program_is_granted(root: Any) -> None:
    made, _ = certify(root, pair())
    assert what(made) == [("sub-ca", 1), ("sub-ca-tls-root", 1)]


def test_keys_of_another_sub_ca_are_not_certified_again(root: Any, sub_ca: Any) -> None:
    key = ec.generate_private_key(ec.BrainpoolP384R1())
    names = [{"CN": f"Extern.CA{tls}"} for tls in ("", ".TLS")]
    certify(root, csr(names[0], key) + csr(names[1], ec.generate_private_key(ec.BrainpoolP256R1())))
    other = SubCaOrder("Andere")
    again = csr({"CN": "Andere.CA"}, key) + csr({"CN": "Andere.CA.TLS"}, ec.generate_private_key(ec.BrainpoolP256R1()))
    with root.nothing_but_audit(), pytest.raises(IssuingError) as caught:
        certify(root, again, other)
    assert caught.value.code == "issuing.key.reused"


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (SubCaOrder("Beispiel"), "issuing.sub_ca.exists"),
        (SubCaOrder("Neu", renew=True), "issuing.sub_ca.unknown"),
        (SubCaOrder("Neu", email="ä@neu.example"), "issuing.contact"),
        (SubCaOrder("Neu", uri="nirgends"), "issuing.contact"),
        (SubCaOrder("Neu", generation="2035"), "policy.generation.unknown"),
        (SubCaOrder("Neu.CA"), "name.common_name"),
    ],
)
def test_orders_that_are_refused(order: SubCaOrder, code: str, root: Any) -> None:
    with root.nothing_but_audit(entries=2), root.open() as pki:
        for refused in (pki.create_sub_ca, pki.request_sub_ca):
            with pytest.raises(SmpkiError) as caught:
                refused(order)
            assert caught.value.code == code


def test_in_production_the_contact_has_to_be_known(sub_ca: Any) -> None:
    with sub_ca.nothing_but_audit(), sub_ca.open(environment="production") as pki:
        with pytest.raises(IssuingError) as caught:
            pki.request_sub_ca(SubCaOrder("Extern"))
        assert caught.value.code == "issuing.sub_ca.contact"


def test_a_sub_ca_past_its_key_use_issues_nothing(root: Any, sub_ca: Any) -> None:
    set_up(root, sub_ca)
    sub_ca.now = datetime(2028, 11, 23, tzinfo=UTC)
    with sub_ca.open() as pki, pytest.raises(IssuingError) as caught:
        pki.authorities.sub_ca("Extern.CA").check_usable(sub_ca.now)
    assert caught.value.code == "issuing.issuer.key_use_over"


# What the Sub-CA refuses


def refused(sub_ca: Any, answer: bytes, code: str, message: str = "", root_sha256: str | None = None) -> None:
    with sub_ca.nothing_but_audit() as added, pytest.raises(SmpkiError) as caught:
        install(sub_ca, answer, root_sha256)
    assert caught.value.code == code
    assert message in caught.value.message
    assert caught.value.hint
    assert (added[0]["action"], added[0]["outcome"]) == ("sub-ca-install", "refused")


def test_certificates_for_keys_of_somebody_else(root: Any, sub_ca: Any) -> None:
    ask(sub_ca)
    _, answer = certify(root, pair())
    refused(sub_ca, answer, "issuing.key.foreign")


def test_certificates_though_nothing_was_asked_for(root: Any, sub_ca: Any) -> None:
    _, answer = certify(root, pair())
    refused(sub_ca, answer, "issuing.key.foreign")


def without(answer: bytes, common_name: str) -> bytes:
    kept = [
        one
        for one in x509.load_pem_x509_certificates(answer)
        if DistinguishedName.from_x509(one.subject).common_name != common_name
    ]
    return b"".join(one.public_bytes(Encoding.PEM) for one in kept)


@pytest.mark.parametrize(
    ("missing", "rule"),
    [
        ("SM-Test-Root.CA", "chain"),
        ("SM-Test-Root.CA.TLS-S", "chain"),
        ("Extern.CA", "bundle"),
        ("Extern.CA.TLS", "bundle"),
    ],
)
def test_a_bundle_without_a_part(missing: str, rule: str, root: Any, sub_ca: Any) -> None:
    _, answer = certify(root, ask(sub_ca))
    refused(sub_ca, without(answer, missing), f"issuing.install.{rule}")


def changed(answer: bytes, common_name: str) -> bytes:
    """The bundle with one octet of a certificate's subject in another case; names compare as before."""
    certificates = []
    for one in x509.load_pem_x509_certificates(answer):
        der = bytearray(one.public_bytes(Encoding.DER))
        if DistinguishedName.from_x509(one.subject).common_name == common_name:
            der[der.rindex(common_name.encode(), 0, len(one.tbs_certificate_bytes))] ^= 0x20
        certificates.append(x509.load_der_x509_certificate(bytes(der)).public_bytes(Encoding.PEM))
    return b"".join(certificates)


@pytest.mark.parametrize("name", ["SM-Test-Root.CA.CRL-S", "SM-Test-Root.CA.TLS-S", "Extern.CA", "Extern.CA.TLS"])
def test_a_bundle_with_a_broken_signature(name: str, root: Any, sub_ca: Any) -> None:
    _, answer = certify(root, ask(sub_ca))
    refused(sub_ca, changed(answer, name), "issuing.install.chain", "not signed by")


def test_a_bundle_of_another_root(root: Any, sub_ca: Any, empty_workshops: Any) -> None:
    set_up(root, sub_ca)
    other = empty_workshops()
    with other.open() as pki:
        pki.create_root()
        pki.create_sub_ca(SubCaOrder("Extern"))
    _, answer = certify(other, ask(sub_ca, RENEWED), RENEWED)
    refused(sub_ca, answer, "issuing.install.root", "no link certificate")


def test_a_bundle_with_two_roots_and_no_link_between_them(root: Any, sub_ca: Any) -> None:
    with root.open() as pki:
        link = certificate(pki.renew_root()[1])
    _, answer = certify(root, ask(sub_ca))
    kept = [one for one in x509.load_pem_x509_certificates(answer) if one != link]
    refused(sub_ca, b"".join(one.public_bytes(Encoding.PEM) for one in kept), "issuing.install.root", "2 roots")


def test_the_roots_hash_as_its_operator_told_it(root: Any, sub_ca: Any) -> None:
    with root.open() as pki:
        told = pki.authorities.root().certificate.fingerprint(hashes.SHA256())
        new, *_ = pki.renew_root()
    _, answer = certify(root, ask(sub_ca))
    # the newer root is reached from the older one: who compares has to compare the one it begins with
    for wrong in ("00" * 32, certificate(new).fingerprint(hashes.SHA256()).hex()):
        refused(sub_ca, answer, "issuing.install.root", told.hex(), root_sha256=wrong)
    assert what(install(sub_ca, answer, told.hex(":").upper()).roots) == [("root", 1), ("root", 2)]


def test_a_bundle_that_came_too_late(root: Any, sub_ca: Any) -> None:
    _, answer = certify(root, ask(sub_ca))
    sub_ca.now = datetime(2028, 11, 23, tzinfo=UTC)
    refused(sub_ca, answer, "issuing.issuer.key_use_over")


def test_a_bundle_of_another_policy(root: Any, sub_ca: Any, changed_policy: Any) -> None:
    requests = ask(sub_ca)
    with root.open(
        policy=changed_policy({"certificates.sub-ca.validity": "6y", "certificates.root.validity": "9y"})
    ) as pki:
        pki.renew_root()
        made = pki.certify_sub_ca(EXTERN, requests)
        answer = pem_file(bundle(pki.store, made, root.now))
    refused(sub_ca, answer, "issuing.install.lint", "validity.too_long")


def test_a_second_certificate_for_the_same_keys(workshops: Any, sub_ca: Any) -> None:
    """Two who have the root's key have each certified the Sub-CA."""
    requests = ask(sub_ca)
    (_, first), (_, second) = (certify(workshops(), requests) for _ in range(2))
    install(sub_ca, first)
    refused(sub_ca, second, "issuing.subject.taken")


@pytest.mark.parametrize("content", [b"", b"hello", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_no_bundle(content: bytes, sub_ca: Any) -> None:
    refused(sub_ca, content, "issuing.install.bundle")


def test_a_bundle_with_an_end_users_certificate(root: Any, sub_ca: Any, packages: Any) -> None:
    _, answer = certify(root, ask(sub_ca))
    outcome = root.issue(packages.make())
    refused(sub_ca, answer + pem_file(outcome.certificates[:1]), "issuing.install.bundle")


def test_the_home_of_a_sub_ca_has_no_root_of_its_own(root: Any, sub_ca: Any) -> None:
    set_up(root, sub_ca)
    for call, code in (
        (lambda pki: pki.create_root(), "issuing.root.exists"),
        (lambda pki: pki.renew_root(), "issuing.issuer.unknown"),
        (lambda pki: pki.create_sub_ca(SubCaOrder("Zweite")), "issuing.issuer.unknown"),
    ):
        with sub_ca.nothing_but_audit(), sub_ca.open() as pki, pytest.raises(SmpkiError) as caught:
            call(pki)
        assert caught.value.code == code


# At the command line


def test_files_out_and_files_in(office: Any, new_offices: Any, packages: Any, tmp_path: Path) -> None:
    sub_ca = new_offices()
    requests, out, package = tmp_path / "requests.pem", tmp_path / "out", tmp_path / "package.der"
    package.write_bytes(packages.make())

    def run(where: Any, *arguments: object) -> Any:
        answer = where.run(*arguments, "--json")
        assert answer["exit"] == 0, answer["out"] + answer["err"]
        return json.loads(answer["out"])

    order = ["--name", "Extern", "--email", "ca@extern.example", "--uri", "https://ca.extern.example/"]
    run(sub_ca, "sub-ca", "request", *order, "--out", requests)
    certified = run(office, "issue-sub-ca", "--name", "Extern", "--request", requests, "--out", out)
    (told,) = certified["roots"]
    installed = run(sub_ca, "sub-ca", "install", out / "bundle.pem", "--root-sha256", told["sha256"])
    assert installed["roots"] == certified["roots"]
    (outcome,) = run(sub_ca, "issue", package, "--sub-ca", "Extern.CA")["packages"]
    assert outcome["state"] == "issued"
    labels = sub_ca.key_labels()
    assert labels == [
        "Extern.CA 1 sub-ca",
        *(f"Extern.CA.TLS 1 sub-ca-{kind}" for kind in ("tls", "tls-root")),
        "smpki audit",
    ]
    run(office, "issue-sub-ca", "--name", "Beispiel", "--renew", "--out", tmp_path / "own")
    assert len(x509.load_pem_x509_certificates((tmp_path / "own" / "bundle.pem").read_bytes())) == 6
    refusal = sub_ca.run("sub-ca", "request", *order, "--environment", "production", "--out", requests)
    assert refusal["exit"] == 1 and "home.other" in refusal["err"]
