import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from smpki.asn1.oids import BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE
from smpki.errors import RequestError
from smpki.policy.load import default_policy_text, load_policy
from smpki.policy.names import DistinguishedName
from smpki.requests.build_signed import build_authorised_package
from smpki.requests.check import check
from smpki.requests.device_admin import build_device_admin_update
from smpki.requests.explain import explain
from smpki.requests.revocation import RevocationItem, build_revocation_request

POLICY = load_policy(default_policy_text())
KEY = ec.derive_private_key(0x5EED, ec.BrainpoolP256R1())
START = datetime(2026, 2, 2, 8, 30, tzinfo=UTC)
CERTIFICATES = Path(__file__).parents[3] / "shared" / "data" / "certificates"


def certificate(subject, *extensions, issuer="CN=Stadtwerke-Test.CA, O=SM-Test-PKI-DE, C=DE, serialNumber=1"):
    builder = x509.CertificateBuilder(
        issuer_name=DistinguishedName.parse(issuer).to_x509(),
        subject_name=subject if isinstance(subject, x509.Name) else DistinguishedName.parse(subject).to_x509(),
        public_key=KEY.public_key(),
        serial_number=0x1234567890ABCDEF00,
        not_valid_before=START,
        not_valid_after=START + timedelta(days=30),
        extensions=[x509.Extension(value.oid, critical, value) for value, critical in extensions],
    )
    return builder.sign(KEY, hashes.SHA384(), ecdsa_deterministic=True)


def crl(entries=0, *extensions):
    builder = x509.CertificateRevocationListBuilder(
        issuer_name=DistinguishedName.parse("CN=SM-Test-Root.CA.CRL-S, O=SM-Test-PKI-DE, C=DE").to_x509(),
        last_update=START,
        next_update=START + timedelta(days=37),
        extensions=[x509.Extension(value.oid, critical, value) for value, critical in extensions],
        revoked_certificates=[entry(number) for number in range(1, entries + 1)],
    )
    return builder.sign(KEY, hashes.SHA384(), ecdsa_deterministic=True)


def entry(number, *more):
    builder = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(START)
    builder = builder.add_extension(x509.CRLReason(x509.ReasonFlags.certificate_hold), critical=False)
    return builder.build()


def der(signed):
    return signed.public_bytes(Encoding.DER)


def pem(signed):
    return signed.public_bytes(Encoding.PEM)


def values(part, name):
    return next(fact.values for fact in (*part.facts, *part.extensions) if fact.name == name)


def refusal(data):
    with pytest.raises(RequestError) as refused:
        explain(data, POLICY)
    assert refused.value.message.isprintable()
    return refused.value


def usage(*bits):
    every = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign"
    )
    return x509.KeyUsage(**{bit: bit in bits for bit in (*every.split(), "encipher_only", "decipher_only")})


def test_a_certificate_in_words():
    made = certificate(
        "CN=EABC0012345678.SMGW, O=SM-Test-PKI-DE, OU=Messwerk.GWA, C=DE, serialNumber=2",
        (usage("key_encipherment", "key_agreement"), True),
        (x509.BasicConstraints(ca=False, path_length=None), True),
    )
    (part,) = explain(der(made), POLICY).parts
    assert (part.kind, part.role, part.purpose) == ("certificate", "smgw-w", "enc")
    assert "encryption certificate (Verschlüsselungszertifikat) of: Gateway in operation" in part.title
    assert part.title.endswith("test PKI")
    assert values(part, "Subject")[2] == "OU (organisational unit, Organisationseinheit): Messwerk.GWA"
    assert values(part, "Issuer") == ("CN=Stadtwerke-Test.CA, O=SM-Test-PKI-DE, C=DE, serialNumber=1",)
    assert values(part, "Serial number") == ("1234567890abcdef00",)
    assert values(part, "Valid") == ("2026-02-02 08:30:00 UTC to 2026-03-04 08:30:00 UTC: 30 days",)
    assert values(part, "Key") == ("elliptic curve brainpoolP256r1, 256 bits",)
    assert values(part, "Signed with") == ("ECDSA and SHA-384",)
    assert values(part, "SHA-256") == (made.fingerprint(hashes.SHA256()).hex(),)
    assert values(part, "BasicConstraints") == ("no CA: it issues no certificates",)
    assert part.extensions[0].critical is True
    assert "tr-03109-4.a2.subject_key_identifier.missing" in [finding.code for finding in part.findings]


def test_every_extension_has_words():
    point = x509.DistributionPoint(
        [x509.UniformResourceIdentifier("http://crl.example/1.crl")],
        None,
        None,
        [x509.DirectoryName(DistinguishedName.parse("CN=SM-Test-Root.CA.CRL-S, O=SM-Test-PKI-DE").to_x509())],
    )
    made = certificate(
        "CN=Netz-Nord.EMT, O=SM-Test-PKI-DE, OU=9900123000004, C=DE, serialNumber=1",
        (x509.AuthorityKeyIdentifier(b"\xab", None, None), False),
        (x509.PrivateKeyUsagePeriod(START, START + timedelta(days=1)), False),
        (
            x509.CertificatePolicies(
                [x509.PolicyInformation(x509.ObjectIdentifier("0.4.0.127.0.7.3.4.1.1.1"), ["https://www.bsi.bund.de"])]
            ),
            False,
        ),
        (x509.SubjectAlternativeName([x509.RFC822Name("a@b.example"), x509.DNSName("b.example")]), False),
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.2"), x509.ObjectIdentifier("1.2.3")]), True),
        (x509.CRLDistributionPoints([point]), False),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True),
    )
    (part,) = explain(pem(made), POLICY).parts
    assert {fact.name: fact.values for fact in part.extensions} == {
        "AuthorityKeyIdentifier": ("the issuer's key is ab",),
        "PrivateKeyUsagePeriod": (
            "the private key is used from 2026-02-02 08:30:00 UTC",
            "the private key is used until 2026-02-03 08:30:00 UTC",
        ),
        "CertificatePolicies": (
            "issued under policy 0.4.0.127.0.7.3.4.1.1.1, the SM-PKI's",
            "its practice statement (CPS) is at https://www.bsi.bund.de",
        ),
        "SubjectAltName": ("e-mail address (E-Mail-Adresse): a@b.example", "host name (Rechnername): b.example"),
        "BasicConstraints": ("a CA that issues to holders who are no CA themselves (path length 0)",),
        "ExtendedKeyUsage": ("the key is for: clientAuth (TLS-Client), 1.2.3",),
        "CRLDistributionPoints": (
            "the CRL (Sperrliste) is at http://crl.example/1.crl",
            "its signer is name (Name): CN=SM-Test-Root.CA.CRL-S, O=SM-Test-PKI-DE (indirect CRL)",
        ),
        "Extension 1.2.3.4": ("none that the SM-PKI has here",),
    }
    assert all(fact.german for fact in part.extensions)


def test_an_extension_of_crls_in_a_certificate():
    value = x509.UnrecognizedExtension(x509.oid.ExtensionOID.ISSUING_DISTRIBUTION_POINT, b"\x30\x00")
    (part,) = explain(der(certificate("CN=x", (value, True))), POLICY).parts
    assert values(part, "Extension 2.5.29.28") == ("none that the SM-PKI has here",)


def test_a_certificate_of_no_role_is_explained_but_not_checked():
    explanation = explain(der(certificate("CN=example, O=Somebody, C=DE")), POLICY)
    (part,) = explanation.parts
    assert (part.role, part.purpose, part.findings) == (None, None, None)
    assert "not checked against the policy" in explanation.text()


def test_a_crl_in_words():
    scope = x509.IssuingDistributionPoint(None, None, False, False, None, True, False)
    (part,) = explain(der(crl(2, (x509.CRLNumber(7), False), (scope, True))), POLICY).parts
    assert part.title == "CRL (Sperrliste), 2 certificates revoked or suspended, test PKI"
    assert part.role == "crl-signer"
    assert values(part, "Issued") == ("of 2026-02-02 08:30:00 UTC, the next one by 2026-03-11 08:30:00 UTC: 37 days",)
    assert values(part, "Entries")[0] == "1 on 2026-02-02 08:30:00 UTC: certificateHold (suspendiert)"
    assert values(part, "CRLNumber") == ("7",)
    assert values(part, "IssuingDistributionPoint") == (
        "it also holds certificates of other issuers than its own (indirect CRL)",
    )


def test_a_crl_is_linted():
    (checked,) = check(der(crl(2, (x509.CRLNumber(7), False))), POLICY)
    codes = [finding.code for finding in checked.findings]
    assert "tr-03109-4.b1.crl_number.missing" not in codes
    assert "tr-03109-4.b1.authority_key_identifier.missing" in codes
    assert not checked.passed


def test_of_a_long_crl_the_first_entries():
    (part,) = explain(der(crl(25)), POLICY).parts
    assert len(values(part, "Entries")) == 21
    assert values(part, "Entries")[-1] == "and 5 more"


def test_a_request_package_in_words(forge):
    package, *requests = explain(forge.package(forge.drafts), POLICY).parts
    assert (
        package.title
        == "Initial request package (Antragspaket), External market participant (Externer Marktteilnehmer)"
    )
    assert values(package, "Proofs of possession") == ("each request is signed by the key it asks for",)
    assert package.findings == ()
    assert [(part.role, part.purpose) for part in requests] == [("emt", "tls"), ("emt", "sig"), ("emt", "enc")]
    codes = [finding.code for finding in requests[1].findings]
    assert codes == ["tr-03109-4.c1.subject_alternative_name.missing"]


def test_a_broken_proof_is_explained(forge):
    broken = replace(forge.sig, proof=forge.enc.popo())
    package, *_ = explain(forge.with_sig(broken), POLICY).parts
    (words,) = values(package, "Proofs of possession")
    assert words.startswith("broken: request 1 (sig)")
    assert [str(finding) for finding in package.findings] == [
        f"error rfc-4211.4_1.proof_of_possession.invalid: {words.removeprefix('broken: ')}"
    ]


def test_every_pem_block_of_a_file():
    gateway = certificate("CN=EABC0012345678.SMGW, O=SM-Test-PKI-DE, OU=Maker, C=DE, serialNumber=0")
    data = b"some text\n" + pem(gateway) + b"more\n" + pem(crl()) + pem(gateway)
    assert [part.kind for part in explain(data, POLICY).parts] == ["certificate", "crl", "certificate"]


def test_base64_text(forge):
    text = base64.encodebytes(forge.package(forge.drafts))
    assert [part.kind for part in explain(text, POLICY).parts] == ["request-package", *["request"] * 3]


def test_the_explanation_as_json_and_text(forge):
    explanation = explain(forge.package(forge.drafts), POLICY)
    parts = json.loads(json.dumps(explanation.as_dict()))["parts"]
    assert parts[2]["role"] == "emt"
    assert parts[2]["findings"][0]["severity"] == "error"
    text = explanation.text()
    for part in explanation.parts:
        assert part.title in text
        for fact in (*part.facts, *part.extensions):
            assert f"{fact.name} ({fact.german})" in text
            assert all(value in text for value in fact.values)


hostile = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(hostile)
def test_names_of_strangers_cannot_touch_the_terminal(text):
    oids = (x509.oid.NameOID.LOCALITY_NAME, x509.ObjectIdentifier("1.2.3"))
    name = x509.Name([x509.NameAttribute(oid, text, _validate=False) for oid in oids])
    policy = x509.PolicyInformation(x509.ObjectIdentifier("1.2.3"), [x509.UserNotice(None, text)])
    made = certificate(name, (x509.CertificatePolicies([policy]), False))
    explanation = explain(der(made), POLICY)
    assert all(line.isprintable() for line in explanation.text().split("\n"))
    assert json.dumps(explanation.as_dict(), ensure_ascii=False).isprintable()


def test_escapes_are_shown():
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.LOCALITY_NAME, "\x1b[2J\u202eevil\n")])
    assert r"L (city, Ort): \x1b[2J\u202eevil\x0a" in explain(der(certificate(name)), POLICY).text()


def test_a_very_long_name_is_cut():
    name = x509.Name([x509.NameAttribute(x509.ObjectIdentifier("1.2.3"), "x" * 100_000)])
    assert len(explain(der(certificate(name)), POLICY).text()) < 5_000


def test_fields_that_cannot_be_read_say_so():
    made = certificate("CN=Netz.EMT, O=SM-Test-PKI-DE", (usage("crl_sign"), True), (x509.CRLNumber(1), False))
    broken = der(made).replace(bytes.fromhex("0603551d140403020101"), bytes.fromhex("0603551d0f0403020101"))
    (part,) = explain(broken, POLICY).parts
    assert values(part, "Extensions")[0].startswith("can't be read: Duplicate")
    assert values(part, "Key") == ("elliptic curve brainpoolP256r1, 256 bits",)
    assert part.findings is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"\x00" * 40,
        b"\x30",
        b"\x30\x80",
        b"\x30\x82\xff\xff\x02",
        b"\x30\x84",
        b"-----BEGIN CERTIFICATE-----\nMA==\n",
        b"-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
        b"-----BEGIN " + b"X" * 200,
        b"\x30\x80" * 50_000,
    ],
    ids=lambda data: repr(data[:30]),
)
def test_unknown_input(data):
    error = refusal(data)
    assert error.code == "inspect.unknown"
    assert error.hint


def test_the_place_of_an_unknown_block():
    data = pem(certificate("CN=x")) + b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
    assert refusal(data).where == "block 2 (CERTIFICATE)"


def test_a_private_key_is_not_looked_at():
    key = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    error = refusal(pem(certificate("CN=x")) + key)
    assert (error.code, error.where) == ("inspect.unknown", "block 2 (PRIVATE KEY)")


def test_a_broken_package_is_refused_as_the_reader_refuses_it(forge):
    error = refusal(forge.package(forge.drafts[:2]))
    assert error.code == "request.count"


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@settings(max_examples=400, deadline=None)
@given(st.data())
def test_mutated_input_is_explained_or_refused(data):
    made = der(data.draw(st.sampled_from([certificate("CN=a.EMT", (usage("crl_sign"), True)), crl(2)])))
    place = data.draw(st.integers(0, len(made) - 1))
    mutated = made[:place] + data.draw(st.binary(min_size=1, max_size=2)) + made[place + 1 :]
    try:
        text = explain(mutated, POLICY).text()
    except RequestError:
        return
    assert all(line.isprintable() for line in text.split("\n"))


@pytest.mark.skipif(not CERTIFICATES.is_dir(), reason=f"the sample certificates are not at {CERTIFICATES}")
def test_a_real_sub_ca():
    (part,) = explain((CERTIFICATES / "test-sub-ca.pem").read_bytes(), POLICY).parts
    assert (part.role, part.purpose) == ("sub-ca", "ca")
    assert values(part, "Valid") == ("2022-12-29 10:08:21 UTC to 2027-12-29 23:59:59 UTC: 5 years",)
    assert values(part, "CRLDistributionPoints")[2].startswith("its signer is name (Name): CN=SM-Test-Root.CA.CRL-S")


def test_a_real_request_package(sample):
    package, tls, sig, enc = explain(sample, POLICY).parts
    assert values(package, "Subject")[0] == "CN (common name, Name): Company-Test.EMT.MAK"
    assert [[finding.severity for finding in part.findings] for part in (tls, sig, enc)] == [["warning"], [], []]


def test_a_real_renewal(renewal_sample):
    package, *requests = explain(renewal_sample, POLICY).parts
    assert package.title.startswith("Renewal request package (Folgeantrag), External market participant")
    signed = values(package, "Signed with the previous key")
    assert signed[0].startswith("CN=Company-Test.EMT.MAK, O=SM-Test-PKI-DE")
    assert signed[1].startswith("certificate 1f9c35fc12c486c5f2176b8d1e108951 of CN=MTG-Metering-Test-DE.CA")
    assert signed[2] == "valid 2024-01-22 14:45:57 UTC to 2026-01-22 23:59:59 UTC"
    assert signed[3] == "the signature holds: ECDSA and SHA-256"
    assert signed[4].startswith("enclosed as well: CN=MTG-Metering-Test-DE.CA")
    assert package.findings == ()
    assert len(requests) == 3


def test_an_authorised_package_in_words(forge, authority):
    administrator = authority.signer("CN=Messwerk.GWA, O=SM-Test-PKI-DE, C=DE, serialNumber=1", 12)
    data = build_authorised_package(forge.package(forge.drafts), administrator)
    package, *_ = explain(data, POLICY).parts
    assert package.title.startswith("Authorised request package (autorisiertes Antragspaket)")
    assert values(package, "Authorised by")[0] == "CN=Messwerk.GWA, O=SM-Test-PKI-DE, C=DE, serialNumber=1"


def test_a_broken_signature_is_explained(renewal_draft):
    draft = renewal_draft.but(signature=KEY.sign(b"", ec.ECDSA(hashes.SHA256())))
    package, *_ = explain(draft.inside(BSI_CERT_REQ_MSGS_WITH_OUTER_SIGNATURE), POLICY).parts
    (finding,) = package.findings
    assert finding.code == "rfc-5652.5_6.signature.invalid"
    assert values(package, "Signed with the previous key")[3] == f"broken: {finding.message}"


def test_a_revocation_request_in_words(previous):
    issuer = previous.certificate.issuer
    reasons = ["key_compromise", "ca_compromise", "certificate_hold", "remove_from_crl", "aa_compromise"]
    items = [RevocationItem(issuer, 0xA0 + number, reason) for number, reason in enumerate(reasons)]
    (part,) = explain(build_revocation_request(items, previous), POLICY).parts
    assert (part.kind, part.findings) == ("revocation-request", ())
    assert part.title == "Revocation request (Sperrantrag) for 5 certificates"
    words = values(part, "Certificates")
    assert words[0].startswith("a0 of CN=Beispiel.CA, O=SM-Test-PKI-DE, C=DE, serialNumber=1: keyCompromise (")
    assert [each.rpartition(": ")[2].partition(" ")[0] for each in words[1:]] == [
        *("cACompromise", "certificateHold", "removeFromCRL", "aACompromise")
    ]
    assert values(part, "Signed by")[0].startswith("CN=Beispiel.EMT.MAK")
    assert "Sperrantrag" in explain(build_revocation_request(items, previous), POLICY).text()


def test_a_change_of_administrator_in_words(previous):
    gateways = [f"EABC00{number:08}.SMGW" for number in range(30)]
    (part,) = explain(build_device_admin_update(gateways, "Neu.GWA", previous), POLICY).parts
    assert (part.kind, part.findings) == ("device-admin", ())
    assert values(part, "New administrator") == ("Neu.GWA",)
    assert values(part, "Gateways") == (*gateways[:20], "and 10 more")
