"""The root changes its key: old and new live side by side, and a link certificate leads from the one to the other."""

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.ca.chain import roots_and_links
from smpki.ca.output import pem_file
from smpki.ca.sub_cas import SubCaOrder
from smpki.ca.triples import Order
from smpki.errors import SmpkiError, TokenError
from smpki.policy.names import DistinguishedName

YEAR = timedelta(days=365)


def by_kind(stored: Any) -> dict[str, x509.Certificate]:
    return {one.kind: x509.load_der_x509_certificate(one.der) for one in stored}


def extension(certificate: x509.Certificate, kind: Any) -> Any:
    return certificate.extensions.get_extension_for_class(kind).value


def verify(trusted: Any, between: Any, certificate: Any, at: datetime, folder: Path) -> bool:
    """OpenSSL's answer."""
    for name, certificates in (("trusted", trusted), ("between", between), ("certificate", [certificate])):
        (folder / name).write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in certificates))
    command = ["openssl", "verify", "-x509_strict", "-no-CApath", "-no-CAstore", "-attime", str(int(at.timestamp()))]
    untrusted = ["-untrusted", folder / "between"] if between else []
    files = ["-CAfile", folder / "trusted", *untrusted, folder / "certificate"]
    done = subprocess.run([*command, *files], capture_output=True, text=True)
    assert (done.returncode == 0) == done.stdout.endswith("OK\n")
    return done.returncode == 0


def test_old_and_new_root_live_side_by_side(workshop: Any, packages: Any) -> None:
    before = workshop.tables()["certificate"]
    workshop.now += YEAR
    with workshop.open() as pki:
        made = pki.renew_root()
        (old_sub_ca,) = pki.issue([Order("package", packages.make("Alt.EMT"))], "Beispiel.CA")
        new_sub_ca, *_ = pki.create_sub_ca(SubCaOrder("Neu"))
        newest = pki.authorities.root().certificate
    assert [one.kind for one in made] == ["root", "link", "crl-signer", "tls-signer", "root-tls"]
    assert [one.dn_serial for one in made] == [2, 2, None, 2, 2]
    assert workshop.tables()["certificate"][: len(before)] == before
    assert newest == by_kind(made)["root"]
    assert old_sub_ca.state == "issued"
    assert new_sub_ca.issuer_serial == made[0].serial
    workshop.assert_chain_holds()


@pytest.mark.parametrize(
    ("old", "new", "signature", "curve"),
    [
        ("2015", "2025", "sha384", "brainpoolP512r1"),
        ("2025", "2025", "sha512", "brainpoolP512r1"),
        ("2025", "2015", "sha512", "brainpoolP384r1"),
    ],
)
def test_the_link_certificate(empty_workshop: Any, old: str, new: str, signature: str, curve: str) -> None:
    with empty_workshop.open() as pki:
        old_root = by_kind(pki.create_root(old))["root"]
        empty_workshop.now += 2 * YEAR
        certificates = by_kind(pki.renew_root(new))
    link, new_root = certificates["link"], certificates["root"]
    assert str(DistinguishedName.from_x509(link.issuer)) == "CN=SM-Test-Root.CA, O=SM-Test-PKI-DE, C=DE, serialNumber=1"
    assert (
        str(DistinguishedName.from_x509(link.subject)) == "CN=SM-Test-Root.CA, O=SM-Test-PKI-DE, C=DE, serialNumber=2"
    )
    assert (link.issuer, link.subject) == (old_root.subject, new_root.subject)
    assert link.public_key() == new_root.public_key()
    assert isinstance(link.public_key(), ec.EllipticCurvePublicKey) and link.public_key().curve.name == curve
    assert link.signature_hash_algorithm is not None and link.signature_hash_algorithm.name == signature
    own_key = extension(new_root, x509.SubjectKeyIdentifier)
    assert extension(link, x509.SubjectKeyIdentifier) == own_key
    assert (
        extension(link, x509.AuthorityKeyIdentifier).key_identifier
        == extension(old_root, x509.SubjectKeyIdentifier).digest
    )
    assert extension(link, x509.BasicConstraints) == x509.BasicConstraints(ca=True, path_length=None)
    assert link.not_valid_before_utc == empty_workshop.now
    assert link.not_valid_after_utc == old_root.not_valid_after_utc < new_root.not_valid_after_utc
    link.verify_directly_issued_by(old_root)
    new_root.verify_directly_issued_by(new_root)


def test_openssl_comes_from_the_old_root_to_the_new_and_not_back(workshop: Any, packages: Any, tmp_path: Path) -> None:
    with workshop.open() as pki:
        old_root, old_sub_ca = (
            issuer.certificate for issuer in (pki.authorities.root(), pki.authorities.sub_ca("Beispiel.CA"))
        )
        workshop.now += YEAR
        certificates = by_kind(pki.renew_root())
        new_sub_ca = by_kind(pki.create_sub_ca(SubCaOrder("Neu")))["sub-ca"]
        (outcome,) = pki.issue([Order("package", packages.make())], "Neu.CA")
    (tls, *_) = (x509.load_der_x509_certificate(one.der) for one in outcome.certificates)
    new_root, link = certificates["root"], certificates["link"]
    for certificate, between in ((new_sub_ca, []), (tls, [new_sub_ca])):
        assert verify([new_root], between, certificate, workshop.now, tmp_path)
        assert verify([old_root], [link, *between], certificate, workshop.now, tmp_path)
        assert not verify([old_root], [new_root, *between], certificate, workshop.now, tmp_path)
    assert verify([old_root], [], old_sub_ca, workshop.now, tmp_path)
    assert not verify([new_root], [link], old_sub_ca, workshop.now, tmp_path)


def test_a_chain_has_all_valid_roots_and_links_the_oldest_first(workshop: Any) -> None:
    with workshop.open() as pki:
        for _ in range(2):
            workshop.now += 2 * YEAR
            pki.renew_root()
        found = roots_and_links(pki.store, workshop.now)
        assert [(one.kind, one.dn_serial) for one in found] == [
            ("root", 1),
            *(("link", 2), ("root", 2)),
            *(("link", 3), ("root", 3)),
        ]
        assert len(x509.load_pem_x509_certificates(pem_file(found))) == 5
        after_the_first = datetime(2034, 11, 23, tzinfo=UTC)
        assert [(one.kind, one.dn_serial) for one in roots_and_links(pki.store, after_the_first)] == [
            *(("root", 2), ("link", 3), ("root", 3)),
        ]


def refused(workshop: Any, code: str, *arguments: Any, **settings: Any) -> None:
    with workshop.nothing_but_audit() as added, workshop.open(**settings) as pki:
        with pytest.raises(SmpkiError) as caught:
            pki.renew_root(*arguments)
        assert caught.value.code == code
        assert caught.value.hint
    assert (added[0]["action"], added[0]["outcome"], added[0]["detail"]["code"]) == ("root-renew", "refused", code)


def test_a_root_past_its_key_use_makes_no_link(workshop: Any) -> None:
    workshop.now = datetime(2029, 11, 22, 12, 0, 1, tzinfo=UTC)
    refused(workshop, "issuing.issuer.key_use_over")


def test_there_is_no_root_to_renew(empty_workshop: Any) -> None:
    refused(empty_workshop, "issuing.issuer.unknown")


def test_a_production_root_has_a_key_of_an_open_window(empty_workshop: Any) -> None:
    with empty_workshop.open(environment="production") as pki:
        pki.create_root()
    empty_workshop.now += YEAR
    refused(empty_workshop, "policy.generation.closed", "2015", environment="production")
    empty_workshop.now = datetime(2031, 1, 1, tzinfo=UTC)
    refused(empty_workshop, "issuing.issuer.key_use_over", environment="production")


def test_a_generation_that_the_policy_does_not_know(workshop: Any) -> None:
    refused(workshop, "policy.generation.unknown", "2035")


def test_a_refused_signature_leaves_the_old_root_and_no_key(workshop: Any, issuing_program: Any) -> None:
    def fail(*_: object) -> bytes:
        raise TokenError("token.removed", "the token is gone")

    keys = issuing_program.WatchedKeys(workshop.key_store, fail)
    before = workshop.key_labels
    with workshop.open(keys=keys) as pki, pytest.raises(TokenError):
        pki.renew_root()
    assert workshop.key_labels == before
    with workshop.open() as pki:
        assert pki.authorities.root().name.serial_number == 1
        assert pki.renew_root()[0].dn_serial == 2
    workshop.assert_chain_holds()


def test_at_the_command_line(office: Any, tmp_path: Path) -> None:
    answer = office.run("root", "renew", "--generation", "2025", "--out", tmp_path / "out", "--json")
    assert answer["exit"] == 0, answer["err"]
    made = {one["kind"]: one["serial"] for one in json.loads(answer["out"])["certificates"]}
    root, link = (
        x509.load_pem_x509_certificate((tmp_path / "out" / name).read_bytes()) for name in ("root.pem", "link.pem")
    )
    assert (f"{root.serial_number:x}", f"{link.serial_number:x}") == (made["root"], made["link"])
    old, *chain = x509.load_pem_x509_certificates((tmp_path / "out" / "chain.pem").read_bytes())
    assert chain == [link, root]
    link.verify_directly_issued_by(old)
    assert sum(label.startswith("SM-Test-Root.CA") for label in office.key_labels()) == 8


def test_a_folder_that_can_not_be_made_is_told_before_the_root_changes(office: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    before = office.tables()
    answer = office.run("root", "renew", "--out", tmp_path / "file" / "out")
    assert answer["exit"] == 1 and "output.unwritable" in answer["err"]
    assert office.tables() == before
