"""From the application to the triple, and what comes after, over REST."""

import io
import zipfile
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12

from smpki.errors import SmpkiError
from smpki.policy.model import CertificateType
from smpki.requests.build import RequestedNames
from smpki.requests.build_signed import build_authorised_package, build_renewal_package
from smpki.requests.keys import Signer
from smpki.requests.revocation import RevocationItem, build_revocation_request
from smpki.service.accounts.actor import Role
from smpki.service.rest.problems import STATUS, status_of

UPLOAD = "application/octet-stream"
FORM = {
    "organisation": "Firma",
    "role": "emt",
    "extension": "MAK",
    "contact": "post@firma.example",
    "partner_id": "9900000000001",
    "callback_url": "https://ws.firma.example/results",
}


def test_from_the_application_to_the_triple(service: Any) -> None:
    nobody, operator = service.nobody, service.staff()
    applied = nobody.post("/registrations", FORM)
    assert (applied.status_code, applied.json()["state"]) == (201, "applied")
    claim, place = applied.json()["claim"], applied.headers["location"].removeprefix("/api/v1")
    waiting = nobody.post("/invitations", {"invitation": claim})
    assert (waiting.status_code, waiting.json()["code"]) == (409, "service.desk.application.waiting")
    before = service.office.workshop.tables()["certificate"]
    assert operator.post(f"{place}/approval").json()["state"] == "approved"
    assert service.office.workshop.tables()["certificate"] == before
    made = nobody.post("/invitations", {"invitation": claim, "label": "script"})
    me = service.nobody
    me.token = made.json()["token"]
    assert me.get("/me").json()["common_name"] == "Firma.EMT.MAK"
    assert [one["id"] for one in me.get("/registrations").json()["items"]] == [applied.json()["id"]]

    package = service.office.packages.make()
    checked = me.post("/checks", package).json()
    assert checked["passed"]
    issued = me.post("/packages", package)
    assert (issued.status_code, issued.json()["state"]) == (201, "issued")
    assert [one["purpose"] for one in issued.json()["certificates"]] == ["tls", "sig", "enc"]
    assert me.post("/packages", package).json() == issued.json()  # the same again is the same
    place = issued.headers["location"].removeprefix("/api/v1")
    archive = zipfile.ZipFile(io.BytesIO(me.get(f"{place}/files").content))
    assert sorted(archive.namelist()) == ["chain.pem", "enc.pem", "sig.pem", "tls.pem"]

    serials = [one["serial"] for one in me.get("/certificates").json()["items"]]
    assert serials == [one["serial"] for one in issued.json()["certificates"]]
    files = {kind: me.get(f"/certificates/{serials[0]}/files/{kind}") for kind in ("pem", "der", "p12", "zip")}
    assert {one.status_code for one in files.values()} == {200}
    own = x509.load_pem_x509_certificate(files["pem"].content)
    assert own == x509.load_der_x509_certificate(files["der"].content)
    bundle = pkcs12.load_pkcs12(files["p12"].content, None)
    assert bundle.key is None
    assert {one.certificate for one in bundle.additional_certs} > {own}
    assert len(bundle.additional_certs) == 3
    chain = x509.load_pem_x509_certificates(nobody.get("/chain").content)
    assert own.issuer == chain[-1].subject
    assert files["zip"].content == me.get(f"{place}/files").content
    assert me.get("/expiry").json()["items"] == []
    soon = me.get("/expiry", params={"until": "2029-01-01T00:00:00Z"}).json()["items"]
    assert {one["serial"] for one in soon} == set(serials)


def test_revocation_reaches_the_crl(service: Any) -> None:
    me, operator = service.participant(), service.staff()
    issued = me.post("/packages", service.office.packages.make()).json()["certificates"]
    done = me.post(f"/certificates/{issued[0]['serial']}/revocation", {"reason": "key_compromise"}).json()
    assert not done["waits"]
    assert [one["serial"] for one in done["certificates"]] == [one["serial"] for one in issued]
    again = me.post(f"/certificates/{issued[0]['serial']}/revocation", {"reason": "key_compromise"})
    assert (again.status_code, again.json()["code"]) == (409, "revocation.revoked")
    standing = me.get(f"/certificates/{issued[1]['serial']}").json()["revocation"]
    assert standing["reason"] == "key_compromise"
    assert me.post("/crls").status_code == 403
    assert operator.post("/crls").status_code == 200
    (name,) = (one["name"] for one in service.nobody.get("/crls").json()["items"] if "Beispiel" in one["name"])
    crl = x509.load_der_x509_crl(service.nobody.get(f"/crls/{name}").content)
    assert {one.serial_number for one in crl} == {int(one["serial"], 16) for one in issued}
    assert service.nobody.get("/crls/nowhere.crl").status_code == 404


def test_what_the_policy_wants_an_operator_for_is_held(service_of: Any, workshop: Any, changed_policy: Any) -> None:
    with workshop.open(policy=changed_policy({"issuing.manual_approval": ["emt"]})) as pki:
        service = service_of(workshop, pki)
        me, operator = service.participant(), service.staff()
        held = me.post("/packages", service.office.packages.make())
        assert (held.status_code, held.json()["state"], held.json()["certificates"]) == (201, "held", [])
        place = held.headers["location"].removeprefix("/api/v1")
        assert me.get(f"{place}/files").status_code == 404
        assert me.post(f"{place}/approval").status_code == 403
        assert len(operator.get("/packages", params={"state": "held"}).json()["items"]) == 1
        assert operator.post(f"{place}/approval").json()["state"] == "issued"
        assert len(me.get(place).json()["certificates"]) == 3
        late = operator.post(f"{place}/refusal", {"remark": "too late"})
        assert (late.status_code, late.json()["code"]) == (409, "service.desk.decided")
        assert len(operator.get("/packages", params={"state": "issued"}).json()["items"]) == 1


def test_who_is_refused_is_told_why(service: Any) -> None:
    operator = service.staff()
    applied = service.nobody.post("/registrations", FORM).json()
    number = applied["id"]
    refused = operator.post(f"/registrations/{number}/refusal", {"remark": "who are you?"}).json()
    assert (refused["state"], refused["remark"]) == ("refused", "who are you?")
    assert operator.post(f"/registrations/{number}/approval").status_code == 409
    told = service.nobody.post("/invitations", {"invitation": applied["claim"]})
    assert (told.status_code, told.json()["code"]) == (409, "service.desk.application.refused")
    assert "who are you?" in told.json()["detail"]


def test_a_bad_package_is_answered_with_all_that_the_lint_finds(service: Any) -> None:
    me = service.participant()
    answer = me.post("/packages", service.office.packages.make(names=RequestedNames()))
    assert answer.status_code == 422
    findings = answer.json()["findings"]
    assert {one["severity"] for one in findings} & {"error"}
    assert {one["subject"] for one in findings} > {findings[0]["subject"]}
    assert me.post("/checks", service.office.packages.make(names=RequestedNames())).json()["findings"] == findings
    assert me.get("/packages").json()["items"] == []


def test_renewal_and_revocation_by_signed_requests(service: Any, new_keys: Any) -> None:
    me, keys = service.participant(), new_keys()
    names = RequestedNames("post@firma.example", "https://firma.example/", ("ws.firma.example",))
    issued = me.post("/packages", service.office.packages.make(keys=keys)).json()["certificates"]
    signer = Signer(keys.sig, _certificate(me, issued[1]["serial"]))
    renewal = build_renewal_package(signer.certificate.subject, new_keys(), names, signer)
    early = me.post("/packages", renewal)
    assert (early.status_code, early.json()["code"]) == (409, "request.renewal.early")
    service.office.wait(days=690)
    me = service.client(service.office.desk.accounts.store.named("Firma.EMT.MAK").actor)
    renewed = me.post("/packages", renewal).json()
    assert (renewed["kind"], [one["number"] for one in renewed["certificates"]]) == ("renewal", [2, 2, 2])

    old = signer.certificate
    wish = build_revocation_request([RevocationItem(old.issuer, old.serial_number, "superseded")], signer)
    done = me.post("/signed-requests", wish).json()
    assert (done["sender"], done["known"], len(done["certificates"])) == ("Firma.EMT.MAK", False, 3)
    assert me.post("/signed-requests", wish).json()["known"]
    other = service.participant("Andere", CertificateType.EMT, None)
    assert other.post("/signed-requests", wish).status_code == 403


def test_an_administrator_gets_and_revokes_its_gateways_certificates(service: Any, new_keys: Any) -> None:
    keys = new_keys()
    maker = service.participant("Hersteller", CertificateType.GWH, None)
    own = maker.post("/packages", service.office.packages.make("Hersteller.GWH", keys=keys, OU="9900000000001"))
    signer = Signer(keys.sig, _certificate(maker, own.json()["certificates"][1]["serial"]))
    gateway = maker.post("/packages", build_authorised_package(service.office.packages.gateway(), signer))
    assert gateway.status_code == 201, gateway.text
    serial = gateway.json()["certificates"][0]["serial"]
    assert maker.get(f"/certificates/{serial}").json()["kind"] == "smgw-g"
    stranger = service.participant()
    assert stranger.get(f"/certificates/{serial}").status_code == 404
    assert stranger.post(f"/certificates/{serial}/revocation", {"reason": "superseded"}).status_code == 404
    held = maker.post(f"/certificates/{serial}/revocation", {"reason": "certificate_hold"})
    assert held.json()["certificates"][0]["revocation"]["suspended_until"] is not None


def test_the_audit_says_who_did_it_and_names_nobody(service: Any) -> None:
    me, auditor = service.participant(), service.staff(Role.AUDITOR, "erika.mustermann")
    me.post("/packages", service.office.packages.make())
    form = FORM | {"organisation": "Max Mustermann", "contact": "max@mustermann.example"}
    number = service.nobody.post("/registrations", form).json()["id"]
    operator = service.staff(name="otto.mustermann")
    assert operator.post(f"/registrations/{number}/refusal", {"remark": "Herr Mustermann"}).status_code == 200
    assert operator.post("/crls").status_code == 200
    assert me.get("/audit").status_code == 403
    entries = auditor.get("/audit", params={"limit": 200}).json()["items"]
    assert [one["seq"] for one in entries] == sorted((one["seq"] for one in entries), reverse=True)
    (register,) = (one for one in entries if one["action"] == "register")
    assert register["detail"]["by"] == "account 1 (operator)"
    made = [one["subject"] for one in entries if one["action"] == "account-new" and one["outcome"] == "done"]
    assert len(made) == len(service.office.workshop.tables()["account"])
    (order,) = (one for one in entries if one["action"] == "order-crl")
    assert order["detail"]["by"].endswith("(operator)")
    told = auditor.get("/audit", params={"limit": 200}).text
    assert "mustermann" not in told.lower()
    assert "post@firma.example" not in told
    assert auditor.get("/audit/verification").json()["holds"]
    pages, before = [], None
    while True:
        page = auditor.get("/audit", params={"limit": 7} | ({"before": before} if before else {})).json()
        pages += page["items"]
        if (before := page["next"]) is None:
            break
    assert [one["seq"] for one in pages] == [one["seq"] for one in entries]


@pytest.mark.parametrize("role", [Role.AUDITOR])
def test_an_auditor_sees_everything_and_changes_nothing(role: Role, service: Any) -> None:
    me, auditor = service.participant(), service.staff(role)
    issued = me.post("/packages", service.office.packages.make()).json()
    serial = issued["certificates"][0]["serial"]
    for path in ("/registrations/1", f"/packages/{issued['id']}", f"/certificates/{serial}", "/expiry", "/packages"):
        assert auditor.get(path).status_code == 200
    before = service.office.workshop.tables()
    acts = [
        ("/packages", service.office.packages.make()),
        (f"/packages/{issued['id']}/approval", None),
        (f"/packages/{issued['id']}/refusal", {"remark": "no"}),
        ("/registrations/1/approval", None),
        ("/registrations/1/refusal", {"remark": "no"}),
        (f"/certificates/{serial}/revocation", {"reason": "superseded"}),
        ("/signed-requests", b"\x30\x00"),
        ("/crls", None),
    ]
    assert {auditor.post(path, value).status_code for path, value in acts} == {403}
    assert service.office.workshop.tables() == before


def test_lists_keys_and_tokens_on_postgresql(postgres_workshop: Any, service_of: Any) -> None:
    with postgres_workshop.open() as pki:
        service = service_of(postgres_workshop, pki)
        me, auditor = service.participant(), service.staff(Role.AUDITOR)
        package, key = service.office.packages.make(), {"idempotency-key": "k", "content-type": UPLOAD}
        first, again = (me.ask("POST", "/packages", content=package, headers=key) for _ in range(2))
        assert (first.status_code, first.json()) == (201, again.json())
        other = service.office.packages.make()
        assert me.ask("POST", "/packages", content=other, headers=key).status_code == 409
        serials = {one["serial"] for one in first.json()["certificates"]}
        until, seen, after = "2029-01-01T00:00:00+01:00", [], {}
        while after is not None:
            page = auditor.get("/expiry", params={"until": until, "limit": 1} | after).json()
            seen += page["items"]
            after = {"after": page["next"]} if page["next"] else None
        ends = [one["not_after"] for one in seen]
        assert ends == sorted(ends)
        assert serials < {one["serial"] for one in seen}
        assert auditor.get("/audit/verification").json()["holds"]
        made = me.post("/tokens", {"label": "x"}).json()
        assert [one["label"] for one in me.get("/tokens").json()["items"]] == ["test", "x"]
        assert me.ask("DELETE", f"/tokens/{made['id']}").status_code == 204
        accounts = service.office.desk.accounts
        account = accounts.store.named("Firma.EMT.MAK")
        secret = accounts.open_session(account)
        service.office.wait(minutes=20)
        assert accounts.session(secret) == account.actor
        service.office.wait(minutes=20)
        assert accounts.session(secret) == account.actor


def test_statuses_of_the_table_are_documented() -> None:
    documented = {401, 403, 404, 405, 406, 408, 409, 413, 415, 422, 429, 503}
    assert {status_of(SmpkiError(code, "")) for code in STATUS} == documented
    assert status_of(SmpkiError("never.heard.of", "")) == 503


def _certificate(client: Any, serial: str) -> x509.Certificate:
    return x509.load_der_x509_certificate(client.get(f"/certificates/{serial}/files/der").content)
