"""Certificates as files that other programs read."""

import io
import re
import zipfile
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12


@pytest.fixture
def pages(town: Any) -> tuple[Any, list[str]]:
    """A participant's browser, and the serial numbers of its triple: TLS, SIG, ENC."""
    browser = town.participant("Firma.EMT")
    browser.get("/packages/new")
    browser.send("/packages/new", files={"package": town.world.packages.make("Firma.EMT")}, submit="1")
    return browser, list(dict.fromkeys(re.findall(r"/certificates/([0-9a-f]+)", browser.text)))


def test_every_form_holds_the_certificate_and_what_stands_above_it(pages: Any, town: Any) -> None:
    browser, (_, sig, _) = pages

    def file(form: str, serial: str = sig) -> bytes:
        answer = browser.client.get(f"/certificates/{serial}/file?form={form}")
        assert answer.status_code == 200 and "attachment" in answer.headers["content-disposition"]
        return bytes(answer.content)

    own = x509.load_der_x509_certificate(file("der"))
    assert own.serial_number == int(sig, 16)
    assert x509.load_pem_x509_certificate(file("pem")) == own
    first, *above = x509.load_pem_x509_certificates(file("chain"))
    assert first == own and len(above) == 2
    for child, parent in zip((own, *above), (*above, above[-1]), strict=True):
        child.verify_directly_issued_by(parent)
    store = load_pkcs12(file("p12"), None)
    assert store.key is None
    assert {one.certificate for one in (store.cert, *store.additional_certs) if one} == {own, *above}
    with zipfile.ZipFile(io.BytesIO(file("zip"))) as archive:
        assert sorted(archive.namelist()) == ["chain.pem", "enc.pem", "sig.pem", "tls.pem"]
        assert x509.load_pem_x509_certificate(archive.read("sig.pem")) == own
    root = f"{above[-1].serial_number:x}"
    for form in ("pem", "chain"):
        assert x509.load_pem_x509_certificates(file(form, root)) == [above[-1]]
    assert town.browser().client.get(f"/certificates/{root}/file?form=der").status_code == 200


def test_other_forms_are_not_there(pages: Any) -> None:
    browser, (tls, *_) = pages
    for form in ("", "exe", "../../etc/passwd"):
        assert browser.get(f"/certificates/{tls}/file?form={form}").status == 404
