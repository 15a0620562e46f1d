"""Published CRLs: whole files under the right names, and OpenSSL's answer to what stands in them."""

import os
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.ca.crl_publish import publish, publish_certificates
from smpki.ca.crl_series import crl_series
from smpki.ca.published_authorities import published_authorities
from smpki.ca.sub_cas import SubCaOrder
from smpki.ca.triples import Order
from smpki.errors import SmpkiError

SUB_CA, ROOT = "Beispiel.CA", "SM-Test-Root.CA"
FILES = {
    *("SM-Test-Root.CA.1.crl", "SM-Test-Root.CA.1.cer", "SM-Test-Root.CA.CRL-S.1.crl", "SM-Test-Root.CA.CRL-S.1.cer"),
    *("Beispiel.CA.1.crl", "Beispiel.CA.1.cer"),
}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The folder of the web server."""
    return tmp_path / "web" / "crl"


def write(pki: Any, folder: Path) -> list[Any]:
    return publish(pki.store, crl_series(pki.store, pki.policy, pki.environment), folder)


def issue_and_write(pki: Any, folder: Path) -> None:
    assert all(outcome.record for outcome in pki.crls.issue())
    write(pki, folder)


def test_files_are_named_as_certificates_say(workshop: Any, published: Path) -> None:
    with workshop.open() as pki:
        assert write(pki, published) == []
        issue_and_write(pki, published)
        page = pki.store.page().certificates
        certificates = [x509.load_der_x509_certificate(pki.store.get(one.serial).der) for one in page]
    assert {file.name for file in published.iterdir()} == FILES
    named = set()
    for one in certificates:
        for extension in one.extensions:
            if isinstance(extension.value, x509.CRLDistributionPoints):
                ((http, _ldap),) = (point.full_name for point in extension.value)
                named.add(http.value.rpartition("/")[2])
    assert named == {name for name in FILES if name.endswith(".crl")}


def test_the_signers_certificate_lies_beside_each_crl(workshop: Any, published: Path) -> None:
    with workshop.open() as pki:
        issue_and_write(pki, published)
    for file in published.glob("*.crl"):
        crl = x509.load_der_x509_crl(file.read_bytes())
        signer = x509.load_der_x509_certificate(file.with_suffix(".cer").read_bytes())
        assert signer.subject == crl.issuer
        assert crl.is_signature_valid(signer.public_key())  # type: ignore[arg-type]


def test_certificates_of_cas_are_published_whether_they_sign_crls_or_not(workshop: Any, published: Path) -> None:
    with workshop.open() as pki:
        workshop.now += timedelta(days=30)
        root, link, _, tls_signer, _ = pki.renew_root()
        for _ in (1, 2):
            found = published_authorities(pki.store, pki.policy, pki.environment)
            files = publish_certificates(found, published)
    assert not any(one.written for one in files)
    roots = ["SM-Test-Root.CA.1.cer", "SM-Test-Root.CA.2.cer", "SM-Test-Root.CA.2.link.cer"]
    others = ["Beispiel.CA.1.cer", "SM-Test-Root.CA.TLS-S.1.cer", "SM-Test-Root.CA.TLS-S.2.cer"]
    assert sorted(file.name for file in published.iterdir()) == sorted(roots + others)
    for name, stored in (("CA.2", root), ("CA.2.link", link), ("CA.TLS-S.2", tls_signer)):
        assert (published / f"SM-Test-Root.{name}.cer").read_bytes() == stored.der


def test_what_is_there_already_is_not_touched(workshop: Any, published: Path) -> None:
    with workshop.open() as pki:
        issue_and_write(pki, published)
        before = {file.name: file.stat() for file in published.iterdir()}
        again = write(pki, published)
        assert not any(one.crl.written or one.certificate.written for one in again)
        workshop.now += timedelta(days=1)
        pki.crls.issue(names=[SUB_CA])
        once_more = write(pki, published)
    assert [one.crl.file.name for one in once_more if one.crl.written] == ["Beispiel.CA.1.crl"]
    changed = {file.name for file in published.iterdir() if file.stat().st_ino != before[file.name].st_ino}
    assert changed == {"Beispiel.CA.1.crl"}


def test_a_reader_keeps_the_whole_file_it_opened(workshop: Any, published: Path) -> None:
    with workshop.open() as pki:
        issue_and_write(pki, published)
        file = published / "Beispiel.CA.1.crl"
        old = file.read_bytes()
        with file.open("rb") as reader:
            beginning = reader.read(10)
            workshop.now += timedelta(days=1)
            issue_and_write(pki, published)
            assert beginning + reader.read() == old
    assert file.read_bytes() != old


@pytest.mark.parametrize("step", [(os, "fsync"), (Path, "rename")], ids=["fsync", "rename"])
def test_a_disk_that_fails_leaves_the_old_files(
    workshop: Any, published: Path, monkeypatch: pytest.MonkeyPatch, step: tuple[Any, str]
) -> None:
    def fail(*what: object) -> None:
        raise OSError(28, "No space left on device")

    with workshop.open() as pki:
        issue_and_write(pki, published)
        before = {file.name: file.read_bytes() for file in published.iterdir()}
        workshop.now += timedelta(days=1)
        pki.crls.issue()
        with monkeypatch.context() as broken, pytest.raises(SmpkiError) as refusal:
            broken.setattr(*step, fail)
            write(pki, published)
        assert refusal.value.code == "output.unwritable"
        assert {file.name: file.read_bytes() for file in published.iterdir()} == before


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/rl/SM-Root.CA.1.crl", "SM-Root.CA.1.crl"),
        ("/Z%C3%A4hler%20%26%20S%C3%B6hne.CA.1.crl", "Zähler & Söhne.CA.1.crl"),
        ("/A%2FB.CA.1.crl", "A%2FB.CA.1.crl"),
        ("/A%00B.CA.1.crl", "A%00B.CA.1.crl"),
    ],
)
def test_the_file_name_is_the_one_a_web_server_looks_for(workshop: Any, path: str, name: str) -> None:
    with workshop.open() as pki:
        first, *_ = crl_series(pki.store, pki.policy, pki.environment)
    assert replace(first, addresses=(f"http://crl.example{path}", "")).file_name == name


# OpenSSL


class OpenSsl:
    """What OpenSSL says of certificates, with the published files and nothing else."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def shows(self, file: str) -> str:
        done = subprocess.run(
            ["openssl", "crl", "-inform", "DER", "-noout", "-text", "-in", self._folder / file],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def verdict(self, stored: Any, at: datetime, root: str = "SM-Test-Root.CA.1.cer", more: Iterable[Any] = ()) -> str:
        """``OK``, or the depth and the reason of the first error.

        :param more: certificates of CAs that sign no CRL, such as the TLS signer
        """
        crls = b"".join(
            x509.load_der_x509_crl(file.read_bytes()).public_bytes(Encoding.PEM) for file in self._folder.glob("*.crl")
        )
        files = {
            "crls": crls,
            "roots": pem([(self._folder / root).read_bytes()]),
            "others": pem([*self._signers(), *(one.der for one in more)]),
            "certificate": pem([stored.der]),
        }
        for name, content in files.items():
            (self._folder.parent / name).write_bytes(content)
        options = ["-x509_strict", "-extended_crl", "-crl_check_all", "-no-CApath", "-no-CAstore"]
        options += ["-attime", str(int(at.timestamp())), "-CAfile", "roots", "-untrusted", "others", "-CRLfile", "crls"]
        done = subprocess.run(
            ["openssl", "verify", *options, "certificate"], capture_output=True, text=True, cwd=self._folder.parent
        )
        if done.returncode == 0:
            return "OK"
        line = next(line for line in done.stderr.splitlines() if line.startswith("error ") and "depth" in line)
        _error, _number, _at, depth, _depth, _lookup, *reason = line.replace(":", " ").split()
        return f"{depth}: {' '.join(reason)}"

    def _signers(self) -> Iterator[bytes]:
        """All published certificates but roots, in whom one trusts or does not."""
        for file in self._folder.glob("*.cer"):
            one = x509.load_der_x509_certificate(file.read_bytes())
            if one.subject != one.issuer:
                yield file.read_bytes()


def pem(certificates: Iterable[bytes]) -> bytes:
    return b"".join(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in certificates)


@pytest.fixture
def openssl(published: Path) -> OpenSsl:
    return OpenSsl(published)


@dataclass
class Story:
    """A PKI whose CRLs are all issued and published before OpenSSL is asked."""

    workshop: Any
    pki: Any
    folder: Path

    def verdict(self, stored: Any, **how: Any) -> str:
        issue_and_write(self.pki, self.folder)
        return OpenSsl(self.folder).verdict(stored, self.workshop.now, **how)

    def newest(self, kind: str) -> Any:
        return self.pki.store.get(self.pki.store.page(kind=kind).certificates[-1].serial)


@pytest.fixture
def story(workshop: Any, published: Path) -> Iterator[Story]:
    with workshop.open() as pki:
        yield Story(workshop, pki, published)


def test_openssl_agrees_about_a_gateway(workshop: Any, packages: Any, story: Story) -> None:
    tls, sig, _ = workshop.issue(packages.gateway()).certificates
    desk = story.pki.revocations
    assert story.verdict(tls) == "OK"
    desk.suspend([tls.serial])
    assert story.verdict(tls) == "0: certificate revoked"
    assert story.verdict(sig) == "0: certificate revoked"
    desk.resume([tls.serial])
    assert story.verdict(tls) == "OK"
    desk.revoke([sig.serial], "key_compromise")
    assert story.verdict(tls) == "0: certificate revoked"


def test_openssl_agrees_about_a_revoked_sub_ca(workshop: Any, packages: Any, story: Story) -> None:
    tls, *_ = workshop.issue(packages.make()).certificates
    assert story.verdict(tls) == "OK"
    story.pki.revocations.revoke([story.newest("sub-ca").serial], "ca_compromise")
    assert story.verdict(tls) == "1: certificate revoked"


def test_openssl_agrees_about_the_certificates_of_the_tls_signer(story: Story) -> None:
    root_tls, sub_ca_tls, signer = (story.newest(kind) for kind in ("root-tls", "sub-ca-tls-root", "tls-signer"))
    assert [story.verdict(one, more=[signer]) for one in (root_tls, sub_ca_tls)] == ["OK", "OK"]
    story.pki.revocations.revoke([sub_ca_tls.serial], "superseded")
    answers = [story.verdict(one, more=[signer]) for one in (root_tls, sub_ca_tls)]
    assert answers == ["OK", "0: certificate revoked"]
    story.pki.revocations.revoke([signer.serial], "key_compromise")
    assert story.verdict(root_tls, more=[signer]) == "1: certificate revoked"


def test_openssl_finds_a_revoked_sub_ca_on_either_crl_and_believes_no_stale_one(
    workshop: Any, story: Story, published: Path, openssl: OpenSsl
) -> None:
    sub_ca = story.newest("sub-ca")
    assert story.verdict(sub_ca) == "OK"
    before = (published / "SM-Test-Root.CA.CRL-S.1.crl").read_bytes()
    story.pki.revocations.revoke([sub_ca.serial], "ca_compromise")
    assert story.verdict(sub_ca) == "0: certificate revoked"
    (published / "SM-Test-Root.CA.CRL-S.1.crl").write_bytes(before)
    assert openssl.verdict(sub_ca, workshop.now) == "0: certificate revoked"  # by the root's own CRL
    assert openssl.verdict(sub_ca, workshop.now + timedelta(days=40)) == "0: CRL has expired"


def test_openssl_agrees_that_a_revoked_crl_signer_signs_nothing(
    workshop: Any, story: Story, published: Path, openssl: OpenSsl
) -> None:
    root_tls, signer = story.newest("root-tls"), story.newest("tls-signer")
    assert story.verdict(root_tls, more=[signer]) == "OK"
    story.pki.revocations.revoke([story.newest("crl-signer").serial], "key_compromise")
    assert [outcome.error is None for outcome in story.pki.crls.issue(names=[ROOT])] == [True, False]
    write(story.pki, published)
    assert openssl.verdict(root_tls, workshop.now, more=[signer]) == "0: CRL path validation error"


def test_openssl_agrees_across_the_link_to_a_new_root(workshop: Any, packages: Any, story: Story) -> None:
    workshop.now += timedelta(days=30)
    _, link, *_ = story.pki.renew_root()
    story.pki.create_sub_ca(SubCaOrder("Neue"))
    (outcome,) = story.pki.issue([Order("package", packages.make())], "Neue.CA")
    tls = outcome.certificates[0]
    new_root, old_root = {"root": "SM-Test-Root.CA.2.cer"}, {"root": "SM-Test-Root.CA.1.cer", "more": [link]}
    assert [story.verdict(tls, **new_root), story.verdict(tls, **old_root)] == ["OK", "OK"]
    story.pki.revocations.revoke([link.serial], "superseded")
    assert [story.verdict(tls, **new_root), story.verdict(tls, **old_root)] == ["OK", "2: certificate revoked"]
    story.pki.revocations.revoke([story.newest("sub-ca").serial], "superseded")
    assert story.verdict(tls, **new_root) == "1: certificate revoked"


def test_openssl_shows_what_is_in_the_indirect_crl(workshop: Any, story: Story, openssl: OpenSsl) -> None:
    story.pki.revocations.revoke([story.newest("root-tls").serial], "superseded")
    story.verdict(story.newest("sub-ca"))
    shown = " ".join(openssl.shows("SM-Test-Root.CA.CRL-S.1.crl").split())
    for part in (
        "Version 2 (0x1)",
        "X509v3 Issuing Distribution Point: critical Full Name: URI:http://crl.sm-test-pki.example/",
        "Indirect CRL",
        "X509v3 CRL Reason Code: Superseded",
        "X509v3 Certificate Issuer: critical DirName:",
        "SM-Test-Root.CA.TLS-S",
    ):
        assert part in shown
