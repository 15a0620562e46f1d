"""What a directory shows: exactly what the store has, after whatever happened in the PKI or to the directory."""

import asyncio
import subprocess
from base64 import b64encode
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.asn1.algorithms import SIGNATURE_IDENTIFIERS
from smpki.asn1.crl import Entry, encode_tbs
from smpki.asn1.signed import assemble, encode_extension
from smpki.ca.crl_series import crl_series
from smpki.ca.store.crls import Crls
from smpki.ca.sub_cas import SubCaOrder
from smpki.service.publishing import ldap_client
from smpki.service.publishing.publisher import Pace, Session, keep_published

SUFFIX = "o=SM-Test-PKI-DE,c=DE"
FIRM, GATEWAY = "Firma.EMT.MAK", "EABC0000000001.SMGW"
CONTAINERS = {"", "cn=SM-Test-Root.CA,", "cn=SM-Test-Root.CA.CRL-S,", "cn=SM-Test-Root.CA.TLS-S,", "cn=Beispiel.CA,"}
AUTHORITIES = {f"serialNumber=1,{container}" for container in CONTAINERS if container}
TLS_HOLDERS = {"cn=SM-Test-Root.CA.TLS,", "cn=Beispiel.CA.TLS,"}


def counts(report: Any) -> tuple[int, int, int, int]:
    return report.added, report.changed, report.removed, len(report.refused)


def ders(*issued: Any) -> set[bytes]:
    return {one.der for one in issued}


def newest_crls(publication: Any) -> dict[str, bytes]:
    """The CRL in force by the LDAP address of its series."""
    pki = publication.pki
    found = crl_series(pki.store, pki.policy, pki.environment)
    return {series.addresses[1]: pki.store.crls.der(series.newest) for series in found}


def newest(publication: Any, name: str) -> Any:
    """The record of the CRL in force of one issuer."""
    pki = publication.pki
    found = crl_series(pki.store, pki.policy, pki.environment)
    return next(series.newest for series in found if series.name.common_name == name)


def test_an_empty_directory_is_filled(publication: Any, packages: Any) -> None:
    triple = publication.workshop.issue(packages.make()).certificates
    # four CAs, the TLS certificates of root and Sub-CA, one holder; entries above them come by themselves
    assert counts(publication.compare()) == (7, 0, 0, 0)
    found = publication.slapd.everything()
    holders = {*TLS_HOLDERS, f"cn={FIRM},"}
    assert set(found) == {f"{name}{SUFFIX}" for name in CONTAINERS | AUTHORITIES | holders}
    sub_ca = found[f"serialNumber=1,cn=Beispiel.CA,{SUFFIX}"]
    assert {value.decode() for value in sub_ca.pop("objectClass")} == {"device", "pkiCA"}
    assert sub_ca == {
        "cn": [b"Beispiel.CA"],
        "o": [b"SM-Test-PKI-DE"],
        "serialNumber": [b"1"],
        "cACertificate;binary": [publication.pki.store.authorities(kind="sub-ca")[0].der],
        "certificateRevocationList;binary": [publication.pki.store.crls.der(newest(publication, "Beispiel.CA"))],
    }
    firm = found[f"cn={FIRM},{SUFFIX}"]
    assert {value.decode() for value in firm.pop("objectClass")} == {"device", "pkiUser"}
    assert set(firm.pop("userCertificate;binary")) == ders(*triple)
    assert firm == {"cn": [FIRM.encode()], "o": [b"SM-Test-PKI-DE"]}
    signer = found[f"serialNumber=1,cn=SM-Test-Root.CA.CRL-S,{SUFFIX}"]
    assert signer["userCertificate;binary"] == [publication.pki.store.authorities(kind="crl-signer")[0].der]


def test_a_directory_that_lacks_nothing_is_not_written_to(publication: Any, packages: Any) -> None:
    publication.workshop.issue(packages.make())
    publication.compare()
    before = publication.slapd.search(SUFFIX, "+", scope="sub")
    reports = publication.run(Session.compare, Session.follow, Session.compare)
    assert [counts(report) for report in reports] == [(0, 0, 0, 0)] * 3
    assert publication.slapd.search(SUFFIX, "+", scope="sub") == before  # entryCSN, modifyTimestamp


def dissected(uri: str) -> dict[str, str]:
    """An LDAP URI taken apart by OpenLDAP."""
    done = subprocess.run(["ldapurl", "-H", uri], capture_output=True, text=True, check=True)
    return dict(line.split(": ", 1) for line in done.stdout.splitlines())


@pytest.mark.parametrize("organisation", ["Beispiel", "Müller & Söhne, Strom+Gas", ' "A" <B>;'])
def test_the_address_in_every_certificate_leads_to_the_crl(publication: Any, packages: Any, organisation: str) -> None:
    if organisation != "Beispiel":
        publication.pki.create_sub_ca(SubCaOrder(organisation.strip()))
        publication.pki.crls.issue()
    publication.workshop.issue(packages.make())
    publication.compare()
    page = publication.pki.store.page(limit=100).certificates
    certificates = [x509.load_der_x509_certificate(publication.pki.store.get(one.serial).der) for one in page]
    asked = set()
    for certificate in certificates:
        for extension in certificate.extensions:
            if isinstance(extension.value, x509.CRLDistributionPoints):
                ((_, ldap),) = (point.full_name for point in extension.value)
                asked.add(ldap.value)
    assert len(asked) >= 2
    for uri in asked:
        here = urlunsplit(urlsplit(uri)._replace(netloc=f"127.0.0.1:{publication.slapd.plain_port}"))
        parts = dissected(here)
        options = [parts.get("filter", "(objectClass=*)"), parts["selector"]]
        found = publication.slapd.search(
            parts["dn"], *options, url=f"ldap://127.0.0.1:{parts['port']}", scope=parts.get("scope", "base")
        )
        ((crl,),) = (entry["certificateRevocationList;binary"] for entry in found.values())
        assert crl == newest_crls(publication)[uri]


def test_a_new_crl_takes_the_place_of_the_old_one(publication: Any) -> None:
    def issue(_: Session) -> Any:
        publication.workshop.now += timedelta(days=1)
        return asyncio.sleep(0, publication.pki.crls.issue(names=["Beispiel.CA"]))

    *_, report = publication.run(Session.compare, issue, Session.follow)
    assert counts(report) == (0, 1, 0, 0)
    entry = publication.slapd.search(f"serialNumber=1,cn=Beispiel.CA,{SUFFIX}", "certificateRevocationList")
    ((crl,),) = (found["certificateRevocationList;binary"] for found in entry.values())
    assert x509.load_der_x509_crl(crl).extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 2


def test_no_crl_gives_way_to_an_older_one(publication: Any, workshops: Any) -> None:
    """The store is an old copy: what it issues goes on from a lower number."""
    publication.workshop.now += timedelta(days=1)
    publication.pki.crls.issue()
    publication.compare()
    name = f"serialNumber=1,cn=Beispiel.CA,{SUFFIX}"
    before = publication.slapd.search(name)
    old = workshops()
    with old.open() as pki:
        pki.crls.issue(names=["Beispiel.CA"])
        publication.pki = pki
        report = publication.compare()
    assert [error.code for error in report.refused] == ["publish.crl.newer"]
    assert "CRL 2" in report.refused[0].message
    assert publication.slapd.search(name) == before


def test_what_is_no_crl_of_the_ca_is_not_overwritten(publication: Any) -> None:
    publication.compare()
    name = f"serialNumber=1,cn=Beispiel.CA,{SUFFIX}"
    root = publication.slapd.search(f"serialNumber=1,cn=SM-Test-Root.CA,{SUFFIX}")
    ((foreign,),) = (entry["certificateRevocationList;binary"] for entry in root.values())
    change = "changetype: modify\nreplace: certificateRevocationList;binary\ncertificateRevocationList;binary::"
    publication.slapd.write(f"dn: {name}\n{change} {b64encode(foreign).decode()}\n")
    report = publication.compare()
    assert [error.code for error in report.refused] == ["publish.crl.foreign"]
    assert counts(report) == (0, 0, 0, 1)


def test_a_crl_of_many_megabytes(publication: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """slapd takes no more than four of them at a time, unless it is told to, as our configuration does."""
    small = x509.load_der_x509_crl(publication.pki.store.crls.der(newest(publication, "Beispiel.CA")))
    since = small.last_update_utc
    entries = (Entry(number, since, b"") for number in range(2**120, 2**120 + 150_000))
    extensions = b"".join(encode_extension(one.value) for one in small.extensions)
    moments = since, since + timedelta(days=10)
    tbs = encode_tbs(SIGNATURE_IDENTIFIERS["sha384"], small.issuer, *moments, entries, extensions)
    large = assemble(tbs, "sha384", small.signature)
    assert len(large) > 4_194_304
    der = Crls.der

    def replaced(self: Crls, record: Any) -> bytes:
        return large if record.kind == "sub-ca" else der(self, record)

    monkeypatch.setattr(Crls, "der", replaced)
    assert counts(publication.compare()) == (6, 0, 0, 0)
    entry = publication.slapd.search(f"serialNumber=1,cn=Beispiel.CA,{SUFFIX}", "certificateRevocationList")
    assert [found["certificateRevocationList;binary"] for found in entry.values()] == [[large]]
    assert not publication.compare()


def test_both_roots_and_the_link_between_them(publication: Any) -> None:
    publication.compare()
    publication.workshop.now += timedelta(days=30)
    root, link, crl_signer, tls_signer, _ = publication.pki.renew_root()
    assert all(outcome.record for outcome in publication.pki.crls.issue())
    publication.compare()
    found = publication.slapd.everything()
    assert set(found[f"serialNumber=2,cn=SM-Test-Root.CA,{SUFFIX}"]["cACertificate;binary"]) == ders(root, link)
    assert found[f"serialNumber=2,cn=SM-Test-Root.CA.TLS-S,{SUFFIX}"]["cACertificate;binary"] == [tls_signer.der]
    assert found[f"serialNumber=2,cn=SM-Test-Root.CA.CRL-S,{SUFFIX}"]["userCertificate;binary"] == [crl_signer.der]
    assert found[f"serialNumber=1,cn=SM-Test-Root.CA,{SUFFIX}"]["cACertificate;binary"]


def test_an_address_without_generation_has_the_crls_of_all(publication: Any, changed_policy: Any) -> None:
    """As that of the real root: its generations share an entry, and CRLs of each are there."""
    address = "ldap://ldap.example/CN={cn},O={o},C={c}?CertificateRevocationList"
    publication.workshop.now += timedelta(days=30)
    publication.pki.renew_root()
    publication.pki.crls.issue()
    policy = changed_policy({"environments.test.crl_ldap": address})
    publication.pki = replace(publication.pki, policy=policy)
    assert not publication.compare().refused
    entry = publication.slapd.everything()[f"cn=SM-Test-Root.CA,{SUFFIX}"]
    assert len(entry["certificateRevocationList;binary"]) == 2
    assert not publication.compare()
    publication.workshop.now += timedelta(days=1)
    publication.pki.crls.issue()
    assert counts(publication.compare()) == (0, 3, 0, 0)


# holders


def test_what_is_issued_later_comes_by_itself(publication: Any, packages: Any) -> None:
    issued = []

    async def issue(_: Session) -> None:
        issued.extend(publication.workshop.issue(packages.make()).certificates)

    *_, report, again = publication.run(Session.compare, issue, Session.follow, Session.follow)
    assert counts(report) == (1, 0, 0, 0)
    assert counts(again) == (0, 0, 0, 0)
    assert publication.held(FIRM) == ders(*issued)


def test_what_is_revoked_goes_and_what_is_resumed_comes_back(publication: Any, packages: Any) -> None:
    triple = publication.workshop.issue(packages.gateway()).certificates
    other = publication.workshop.issue(packages.gateway(2)).certificates
    desk = publication.pki.revocations

    def act(what: Any, *arguments: Any) -> Any:
        async def go(_: Session) -> Any:
            what(*arguments)

        return go

    def look(_: Session) -> Any:
        return asyncio.sleep(0, (publication.held(GATEWAY), publication.held("EABC0000000002.SMGW")))

    one, two = [triple[0].serial], [other[0].serial]
    steps = [Session.compare, look]
    # the last suspension's row in the database is the first to be used again
    for what in (
        act(desk.suspend, one),
        act(lambda: (desk.resume(one), desk.suspend(two))),
        act(desk.resume, two),
        act(desk.suspend, two),
        act(desk.revoke, two, "superseded"),
    ):
        steps += [what, Session.follow, look]
    found = publication.run(*steps)
    assert found[1::3][0] == (ders(*triple), ders(*other))
    assert found[4::3] == [
        (set(), ders(*other)),
        (ders(*triple), set()),
        (ders(*triple), ders(*other)),
        (ders(*triple), set()),
        (ders(*triple), set()),
    ]
    assert f"cn=EABC0000000002.SMGW,{SUFFIX}" not in publication.slapd.everything()
    assert not publication.compare()


def test_what_is_revoked_may_stay(publication: Any, packages: Any) -> None:
    publication.options["revoked"] = True
    triple = publication.workshop.issue(packages.make()).certificates
    publication.pki.revocations.revoke([triple[0].serial], "superseded")
    publication.compare()
    assert publication.held(FIRM) == ders(*triple)
    publication.options["revoked"] = False
    assert counts(publication.compare()) == (0, 0, 1, 0)


def test_only_holders_of_some_types(publication: Any, packages: Any) -> None:
    from smpki.policy.model import CertificateType

    publication.options["kinds"] = [CertificateType.EMT]
    publication.workshop.issue(packages.make())
    publication.workshop.issue(packages.gateway())
    publication.compare()
    found = set(publication.slapd.everything())
    assert f"cn={FIRM},{SUFFIX}" in found
    assert not found & {f"cn={GATEWAY},{SUFFIX}", *(f"{name}{SUFFIX}" for name in TLS_HOLDERS)}


def test_what_has_ended_goes_and_its_entry_with_it(publication: Any, packages: Any) -> None:
    publication.workshop.issue(packages.make())
    publication.compare()
    publication.workshop.now += timedelta(days=5 * 366)
    report = publication.compare()
    assert counts(report) == (0, 0, 3, 0)  # the firm's, the root's and the Sub-CA's TLS certificates
    assert set(publication.slapd.everything()) == {f"{name}{SUFFIX}" for name in CONTAINERS | AUTHORITIES}


def test_both_generations_stand_side_by_side(publication: Any, packages: Any) -> None:
    first = publication.workshop.issue(packages.make()).certificates
    publication.compare()
    publication.workshop.now += timedelta(days=700)
    publication.pki.create_sub_ca(SubCaOrder("Beispiel", renew=True))
    second = publication.workshop.issue(packages.make(serialNumber="2"), again=True).certificates
    assert counts(publication.compare())[1] == 2  # the firm, and the Sub-CA's TLS certificates
    assert publication.held(FIRM) == ders(*first, *second)
    publication.workshop.now += timedelta(days=60)
    publication.compare()
    assert publication.held(FIRM) == ders(*second)


def test_what_others_wrote_stays(publication: Any, packages: Any) -> None:
    triple = publication.workshop.issue(packages.make()).certificates
    publication.workshop.issue(packages.gateway())
    publication.compare()
    foreign = publication.slapd.server.certificate.public_bytes(Encoding.DER)
    change = "changetype: modify\nadd: userCertificate;binary\nuserCertificate;binary::"
    publication.slapd.write(f"dn: cn={FIRM},{SUFFIX}\n{change} {b64encode(foreign).decode()}\n")
    publication.slapd.write(f"dn: cn={GATEWAY},{SUFFIX}\nchangetype: modify\nadd: description\ndescription: Keller\n")
    publication.slapd.write(f"dn: cn=Anlage,{SUFFIX}\nchangetype: add\nobjectClass: device\ncn: Anlage\n")
    assert not publication.compare()
    assert publication.held(FIRM) == {foreign, *ders(*triple)}
    publication.workshop.now += timedelta(days=5 * 366)
    assert counts(publication.compare()) == (0, 2, 2, 0)
    assert publication.held(FIRM) == {foreign}
    assert publication.slapd.everything()[f"cn={GATEWAY},{SUFFIX}"]["description"] == [b"Keller"]
    assert f"cn=Anlage,{SUFFIX}" in publication.slapd.everything()


def test_an_entry_that_never_had_a_certificate_of_ours_stays(publication: Any, packages: Any) -> None:
    async def issue_and_revoke(_: Session) -> None:
        publication.slapd.write(f"dn: cn={FIRM},{SUFFIX}\nchangetype: add\nobjectClass: device\ncn: {FIRM}\n")
        triple = publication.workshop.issue(packages.make()).certificates
        publication.pki.revocations.revoke([triple[0].serial], "superseded")

    *_, report = publication.run(Session.compare, issue_and_revoke, Session.follow)
    assert not report
    assert f"cn={FIRM},{SUFFIX}" in publication.slapd.everything()


def test_what_others_took_away_or_changed_is_put_right(publication: Any, packages: Any) -> None:
    triple = publication.workshop.issue(packages.make()).certificates
    publication.compare()
    for change in (
        f"dn: cn={FIRM},{SUFFIX}\nchangetype: modify\ndelete: userCertificate;binary\n-\n"
        "delete: objectClass\nobjectClass: pkiUser\n",
        f"dn: serialNumber=1,cn=Beispiel.CA,{SUFFIX}\nchangetype: delete\n",
        f"dn: serialNumber=1,cn=SM-Test-Root.CA,{SUFFIX}\nchangetype: modify\ndelete: cACertificate;binary\n",
    ):
        publication.slapd.write(change)
    assert counts(publication.compare()) == (1, 2, 0, 0)
    assert publication.held(FIRM) == ders(*triple)
    assert not publication.compare()


def test_a_name_that_only_looks_different_is_the_same_holder(publication: Any, packages: Any) -> None:
    """A directory compares names as RFC 5280 does; somebody made the entry before, in capital letters."""
    triple = publication.workshop.issue(packages.make()).certificates
    publication.slapd.write(f"dn: {SUFFIX}\nchangetype: add\nobjectClass: organization\no: SM-Test-PKI-DE\n")
    name = f"cn={FIRM.upper()},{SUFFIX}"
    publication.slapd.write(f"dn: {name}\nchangetype: add\nobjectClass: device\ncn: {FIRM.upper()}\n")
    publication.compare()
    found = publication.slapd.everything()
    assert set(found[name]["userCertificate;binary"]) == ders(*triple)
    assert not publication.compare()


def test_more_holders_than_a_page_of_an_answer_has(
    publication: Any, packages: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ldap_client, "_PAGE", 3)
    publication.slapd.configure(
        "dn: olcDatabase={-1}frontend,cn=config\nchangetype: modify\nadd: olcSizeLimit\nolcSizeLimit: 5\n"
    )
    for number in range(10):
        publication.workshop.issue(packages.gateway(number))
    assert counts(publication.compare()) == (16, 0, 0, 0)
    assert not publication.compare()


def test_two_publishers_do_not_hinder_each_other(publication: Any, packages: Any) -> None:
    for number in range(20):
        publication.workshop.issue(packages.gateway(number))

    async def one() -> Any:
        async with publication.connect() as connection:
            return await publication.publisher.session(connection).compare()

    async def both() -> Any:
        return await asyncio.gather(one(), one())

    reports = asyncio.run(both())
    assert [report.refused for report in reports] == [[], []]
    assert sum(report.added for report in reports) == 26
    publication.workshop.now += timedelta(days=5 * 366)
    assert [report.refused for report in asyncio.run(both())] == [[], []]
    assert not publication.compare()


# outages


def test_what_the_directory_missed_is_caught_up(publication: Any, packages: Any) -> None:
    old = publication.workshop.issue(packages.make()).certificates
    publication.compare()
    publication.slapd.kill()
    publication.pki.revocations.revoke([old[0].serial], "superseded")
    new = publication.workshop.issue(packages.gateway()).certificates
    publication.pki.crls.issue()
    publication.slapd.start()
    assert counts(publication.compare()) == (1, 3, 1, 0)
    assert publication.held(GATEWAY) == ders(*new)
    assert not publication.compare()


def test_publishing_goes_on_by_itself_when_the_directory_is_back(publication: Any, packages: Any) -> None:
    slapd, reports = publication.slapd, []

    async def go() -> None:
        stop = asyncio.Event()
        pace = Pace(timedelta(milliseconds=50), timedelta(hours=1))
        work = asyncio.create_task(
            keep_published(publication.connect, publication.publisher, pace, stop, reports.append)
        )
        async with asyncio.timeout(30):
            while not reports:
                await asyncio.sleep(0.02)
            slapd.kill()
            await asyncio.to_thread(publication.workshop.issue, packages.make())
            await asyncio.sleep(0.3)
            slapd.start()
            while not publication.held(FIRM):
                await asyncio.sleep(0.05)
            await asyncio.to_thread(publication.workshop.issue, packages.gateway())
            while not publication.held(GATEWAY):
                await asyncio.sleep(0.05)
        stop.set()
        await work

    asyncio.run(go())
    assert [counts(report) for report in reports] == [(6, 0, 0, 0), (1, 0, 0, 0), (1, 0, 0, 0)]
