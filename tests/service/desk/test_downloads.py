"""Certificates as files that other programs read."""

import io
import zipfile
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

from smpki.ca.chain import chain_above
from smpki.ca.triples import Order
from smpki.service.desk.downloads import Form, download


def test_every_form_holds_the_certificate_and_what_stands_above_it(workshop: Any, packages: Any) -> None:
    with workshop.open() as pki:
        (outcome,) = pki.issue([Order("package", packages.make("Firma.EMT"))], "Beispiel.CA")
        triple = outcome.certificates
        chain = chain_above(pki.store, triple[0])
        files = {form: download(form, triple[1], triple, chain) for form in Form}
        again = download(Form.ZIP, triple[1], triple, chain)
        root = download(Form.CHAIN, chain[0], (chain[0],), chain_above(pki.store, chain[0]))
    own = x509.load_der_x509_certificate(triple[1].der)
    above = [x509.load_der_x509_certificate(one.der) for one in reversed(chain)]
    assert {form: file.name for form, file in files.items()} == {
        Form.PEM: "Firma.EMT-1-sig.pem",
        Form.DER: "Firma.EMT-1-sig.der",
        Form.CHAIN: "Firma.EMT-1-sig.chain.pem",
        Form.P12: "Firma.EMT-1-sig.p12",
        Form.ZIP: "Firma.EMT-1-sig.zip",
    }
    assert x509.load_pem_x509_certificate(files[Form.PEM].content) == own
    assert x509.load_der_x509_certificate(files[Form.DER].content) == own
    assert x509.load_pem_x509_certificates(files[Form.CHAIN].content) == [own, *above]
    store = load_pkcs12(files[Form.P12].content, None)
    assert store.key is None
    assert {one.certificate for one in (store.cert, *store.additional_certs) if one} == {own, *above}
    with zipfile.ZipFile(io.BytesIO(files[Form.ZIP].content)) as archive:
        assert archive.namelist() == ["tls.pem", "sig.pem", "enc.pem", "chain.pem"]
        assert x509.load_pem_x509_certificate(archive.read("sig.pem")) == own
    assert again == files[Form.ZIP]
    assert x509.load_pem_x509_certificates(root.content) == [above[-1]]
