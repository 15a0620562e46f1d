"""From the registration to the triple, its revocation, and who sees what, page by page."""

import io
import re
import zipfile
from html import unescape
from typing import Any

from cryptography import x509


def test_from_registration_to_revocation(town: Any) -> None:
    world = town.world
    applicant = town.browser()
    assert applicant.get("/").heading == "Test certificates for market participants"
    applicant.get("/register").send(
        "/register",
        organisation="Firma",
        role="emt",
        extension="MAK",
        contact="post@firma.example",
        partner_id="9900000000001",
    )
    claim = re.search(r'id="claim">(.*?)<', applicant.text)
    assert claim is not None and "waits for the operators" in applicant.text
    secret = unescape(claim[1])

    operator = town.operator()
    assert operator.heading == "What is to be done" and "Firma.EMT.MAK" in operator.text
    operator.get("/applications/1").send("/applications/1", approve="1")
    assert "approved" in operator.text

    applicant.get("/registered").send("/registered", claim=secret)
    assert "You are approved" in applicant.text
    applicant.get(f"/join?invitation={secret}").send(
        "/join", invitation=secret, password="a sentence to log in", again="a sentence to log in"
    )
    assert applicant.path == "/home" and "You have no certificates yet" in applicant.text

    keys = world.make_keys()
    package = world.packages.make("Firma.EMT.MAK", keys=keys)
    applicant.get("/packages/new").send("/packages/new", files={"package": package}, check="1")
    assert applicant.status == 200 and "No finding: every rule holds." in applicant.text
    assert "There is none." in applicant.get("/packages").text
    applicant.get("/packages/new")
    applicant.send("/packages/new", files={"package": package}, submit="1")
    assert applicant.path == "/packages/1" and "The certificates are issued." in applicant.text

    file = re.search(r'href="(/certificates/([0-9a-f]+)/file\?form=zip)"', applicant.text)
    assert file is not None
    with zipfile.ZipFile(io.BytesIO(applicant.client.get(file[1]).content)) as archive:
        tls = x509.load_pem_x509_certificate(archive.read("tls.pem"))
    assert tls.public_key() == keys.tls.public_key()

    page = applicant.get(f"/certificates/{file[2]}")
    assert "digitalSignature" in page.text and "Beispiel.CA" in page.text, page.text
    applicant.get(f"/certificates/{file[2]}/revoke").send(f"/certificates/{file[2]}/revoke", reason="superseded")
    assert "It is on the next revocation list." in applicant.text and "revoked" in applicant.text

    operator.get("/hierarchy").send("/crls")
    names = re.findall(r'href="(/crls/[^"]+)"', operator.text)
    crls = [x509.load_der_x509_crl(operator.client.get(name).content) for name in names]
    assert any(crl.get_revoked_certificate_by_serial_number(tls.serial_number) for crl in crls)

    auditor = town.auditor()
    assert "revoke" in auditor.get("/audit").text
    auditor.send("/audit/verify")
    assert "It holds, from its first entry to its last." in auditor.text
