"""What strangers, the careless and the hostile send: the right status, a problem detail, nothing that isn't theirs."""

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from sqlalchemy import insert

from smpki.db.engine import writing
from smpki.policy.model import CertificateType
from smpki.requests.build import RequestedNames
from smpki.service.accounts.actor import Role
from smpki.service.desk.store.tables import application as application_table
from smpki.service.desk.store.tables import submission
from smpki.service.web.registering import RegistrationDesk

FORM = {"organisation": "Andere", "role": "emt", "contact": "post@andere.example"}


@pytest.fixture
def pair(service: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Two participants, and what the first one got."""
    first = service.participant()
    second = service.participant("Andere", CertificateType.EMT, None)
    return first, second, first.post("/packages", service.office.packages.make()).json()


def test_what_is_not_theirs_is_answered_like_what_is_not_there(pair: Any) -> None:
    first, second, issued = pair
    serial = issued["certificates"][0]["serial"]
    theirs = [
        ("GET", "/registrations/1"),
        ("GET", f"/packages/{issued['id']}"),
        ("GET", f"/packages/{issued['id']}/files"),
        ("GET", f"/certificates/{serial}"),
        *(("GET", f"/certificates/{serial}/files/{kind}") for kind in ("pem", "der", "p12", "zip")),
        ("POST", f"/certificates/{serial}/revocation"),
        ("DELETE", "/tokens/1"),
    ]
    for method, path in theirs:
        wish = {"json": {"reason": "superseded"}} if method == "POST" else {}
        nowhere = path.replace(serial, "00ff").replace("/registrations/1", "/registrations/999")
        nowhere = nowhere.replace(f"/packages/{issued['id']}", "/packages/999").replace("/tokens/1", "/tokens/999")
        answers = [second.ask(method, one, **wish) for one in (path, nowhere)]
        assert [one.status_code for one in answers] == [404, 404], path
        left = [{name: value for name, value in one.json().items() if name != "where"} for one in answers]
        assert left[0] == left[1]
    for path in ("/certificates", "/packages", "/expiry?until=2030-01-01T00:00:00Z"):
        assert second.get(path).json()["items"] == []
    assert [one["id"] for one in second.get("/registrations").json()["items"]] == [2]
    # a page can't be begun behind what is somebody else's, either
    assert second.get("/certificates", params={"after": serial}).status_code == 404
    assert second.get("/expiry", params={"after": serial}).status_code == 404
    named = {"common_name": "Firma.EMT.MAK"}
    assert second.get("/certificates", params=named).json()["items"] == []
    assert len(first.get("/certificates", params=named).json()["items"]) == 3


def test_who_applies_under_a_participants_name_is_not_shown_to_it(service: Any) -> None:
    me = service.participant("Andere", CertificateType.EMT, None)
    other = service.nobody.post("/registrations", FORM).json()
    assert other["common_name"] == me.get("/me").json()["common_name"]
    assert [one["id"] for one in me.get("/registrations").json()["items"]] == [1]
    assert me.get("/registrations", params={"state": "applied"}).json()["items"] == []
    assert me.get(f"/registrations/{other['id']}").status_code == 404


def test_a_list_goes_on_behind_what_was_revoked_in_between(service: Any) -> None:
    me = service.participant()
    me.post("/packages", service.office.packages.make())
    wanted = {"until": "2030-01-01T00:00:00Z"}
    first, second, third = (one["serial"] for one in me.get("/expiry", params=wanted).json()["items"])
    page = me.get("/expiry", params=wanted | {"limit": "2"}).json()
    assert ([one["serial"] for one in page["items"]], page["next"]) == ([first, second], second)
    service.office.pki.revocations.change([second], "superseded", triple=False)
    behind = me.get("/expiry", params=wanted | {"after": second}).json()["items"]
    assert [one["serial"] for one in behind] == [third]


def test_a_package_of_somebody_else_is_refused(service: Any, pair: Any) -> None:
    _, second, _ = pair
    answer = second.post("/packages", service.office.packages.make())
    assert (answer.status_code, answer.json()["code"]) == (403, "service.unauthorised.subject")
    other_id = service.office.packages.make("Andere.EMT", OU="9900000000002")
    answer = second.post("/packages", other_id)
    assert (answer.status_code, answer.json()["code"]) == (422, "service.registration.other")
    gateway = second.post("/packages", service.office.packages.gateway())
    assert (gateway.status_code, gateway.json()["code"]) == (403, "service.unauthorised.role")


def test_tokens_that_do_not_hold(service: Any) -> None:
    office = service.office
    accounts, operator = office.desk.accounts, office.staff()
    kept, doomed = service.client(operator), service.client(operator)
    (_, token) = accounts.tokens.of(operator.account)
    assert kept.ask("DELETE", f"/tokens/{token.id}").status_code == 204
    blocked = service.staff(name="blocked")
    accounts.store.block(accounts.store.named("blocked").id, True)
    invented = service.nobody
    invented.token = "smpki_token_" + "x" * 43
    for client in (service.nobody, doomed, blocked, invented):
        answer = client.get("/me")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    for given in ("Basic Y2hlZjpnZWhlaW0=", "Bearer", "Bearer ", "bearer  \t", kept.token, "Bearer \xff"):
        headers = {"authorization": given.encode("latin-1")}
        assert service.nobody.get("/me", headers=headers).status_code == 401
    assert kept.get("/me").status_code == 200
    office.wait(days=366)
    assert kept.get("/me").status_code == 401


def test_who_guesses_tokens_has_to_wait_and_nobody_else(service: Any) -> None:
    client, guesser = service.staff(), service.nobody
    guesser.token = "smpki_token_guess"
    assert {guesser.get("/me").status_code for _ in range(30)} == {401}
    slow = guesser.get("/me")
    assert (slow.status_code, slow.headers["retry-after"]) == (429, "30")
    assert client.get("/me").status_code == 200  # from the same address
    service.office.wait(seconds=61)
    assert guesser.get("/me").status_code == 401


def test_who_applies_too_often_has_to_wait(service: Any) -> None:
    assert {service.nobody.post("/registrations", FORM).status_code for _ in range(30)} == {201}
    assert service.nobody.post("/registrations", FORM).status_code == 429
    other = service.nobody
    other.address = "192.0.2.2"
    assert other.post("/registrations", FORM).status_code == 201


def test_invitations_hold_once_and_not_for_ever(service: Any) -> None:
    accounts, nobody = service.office.desk.accounts, service.nobody
    first = accounts.invite("first", Role.AUDITOR, by="the test")
    assert nobody.post("/invitations", {"invitation": first}).status_code == 201
    late = accounts.invite("late", Role.AUDITOR, by="the test")
    replaced = accounts.invite("replaced", Role.AUDITOR, by="the test")
    accounts.invite("replaced", Role.AUDITOR, by="the test")
    service.office.wait(days=15)
    answers = [nobody.post("/invitations", {"invitation": one}) for one in (first, late, replaced, "smpki_" + "x" * 40)]
    assert {one.status_code for one in answers} == {403}
    assert len({one.text for one in answers}) == 1


LARGE = 100_000_000


class Endless(httpx.AsyncByteStream):
    """A body that says how long it is, or does not; and how much of it was taken."""

    def __init__(self) -> None:
        self.taken = 0

    async def __aiter__(self) -> Any:
        piece = bytes(1 << 16)
        while self.taken < LARGE:
            self.taken += len(piece)
            yield piece


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("path", ["/packages", "/checks", "/signed-requests", "/registrations", "/tokens"])
def test_uploads_of_100_mb(path: str, declared: bool, service: Any) -> None:
    client, body = service.participant(), Endless()
    kind = "application/json" if path in ("/registrations", "/tokens") else "application/octet-stream"
    headers = {"content-type": kind} | ({"content-length": str(LARGE)} if declared else {})
    answer = client.ask("POST", path, content=body, headers=headers)
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")
    # httpx hands a whole body to an application in memory as it asks for it, piece by piece
    assert body.taken <= (1 << 16 if declared else 2 << 20)


def test_a_body_that_does_not_come(service: Any) -> None:
    class Silent(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            yield b"\x30"
            await asyncio.sleep(60)

    client = service.participant()
    setting = service.application.state.setting
    service.application.state.setting = replace(setting, seconds=0.05)
    answer = client.ask("POST", "/packages", content=Silent(), headers={"content-type": "application/octet-stream"})
    assert (answer.status_code, answer.headers["connection"]) == (408, "close")


def hostile() -> Iterator[bytes]:
    yield b""
    yield b"\x00"
    yield b"\x30\x80" * 20_000  # deeply nested, without an end
    yield b"\x30\x84\xff\xff\xff\xff" + bytes(100)  # a length that nobody has
    yield b"\x30\x89" + b"\xff" * 9
    yield bytes(range(256)) * 400
    yield b"-----BEGIN CMS-----\n" + b"A" * 200_000 + b"\n-----END CMS-----\n"
    yield b"-----BEGIN CERTIFICATE-----\n" * 10_000
    yield b"-----BEGIN PRIVATE KEY-----\nMC4CAQAw\n-----END PRIVATE KEY-----\n"
    yield "ß".encode() * 1000
    yield b"PK\x03\x04" + bytes(1000)


def test_hostile_files(service: Any) -> None:
    client = service.participant()
    package = service.office.packages.make()
    files = [*hostile(), package[:-1], package[: len(package) // 2], package + b"\x00", b"\xa0" + package[1:]]
    for file in files:
        for path in ("/checks", "/packages", "/signed-requests"):
            answer = client.post(path, file)
            assert answer.status_code == 422, (file[:20], answer.text)
            assert answer.json()["hint"]
    broken = bytearray(package)
    broken[len(package) // 2] ^= 1
    assert client.post("/packages", bytes(broken)).status_code in (409, 422)
    assert client.post("/signed-requests", package).status_code == 422


def test_the_wrong_kind(service: Any) -> None:
    client, package = service.participant(), service.office.packages.make()
    for kind in ("text/plain", "application/json", "multipart/form-data; boundary=x", ""):
        answer = client.ask("POST", "/packages", content=package, headers={"content-type": kind})
        assert (answer.status_code, answer.json()["code"]) == (415, "service.rest.media_type")
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/octet-stream"):
        answer = client.ask("POST", "/tokens", content=b'{"label": "x"}', headers={"content-type": kind})
        assert answer.status_code == 415
    kind = "Application/JSON; charset=utf-8"
    assert client.ask("POST", "/tokens", content=b'{"label": "x"}', headers={"content-type": kind}).status_code == 201
    for body in (b"", b"{", b"[]", b"null", b'"x"', b"\xff", b'{"label": "x", "more": 1}', b'{"label": "\\ud800"}'):
        answer = client.ask("POST", "/tokens", content=body, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 422), body
    deep = b'{"label": ' + b"[" * 7000 + b"]" * 7000 + b"}"
    assert client.ask("POST", "/tokens", content=deep, headers={"content-type": kind}).status_code in (400, 422)


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        (None, 200),
        ("", 200),
        ("*/*", 200),
        ("application/*;q=0.1, text/html", 200),
        ("text/html, application/json;q=0.9", 200),
        ("text/html", 406),
        ("application/json;q=0", 406),
        ("application/problem+json", 406),
        ("nonsense", 406),
        (";;;,,,", 406),
    ],
)
def test_requests_with_and_without_accept(accept: str | None, status: int, service: Any) -> None:
    transport = {"accept": accept} if accept is not None else {}
    assert service.staff().ask("GET", "/me", headers=transport).status_code == status


def test_a_file_is_not_given_to_who_wants_json(pair: Any) -> None:
    first, _, issued = pair
    path = f"/packages/{issued['id']}/files"
    assert first.ask("GET", path, headers={"accept": "application/json"}).status_code == 406
    assert first.ask("GET", path, headers={"accept": "application/zip"}).status_code == 200


def test_methods_and_paths_that_are_not_there(service: Any) -> None:
    client = service.staff()
    for method in ("PUT", "PATCH", "DELETE", "TRACE", "OPTIONS", "PROPFIND"):
        answer = client.ask(method, "/registrations")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
    for path in ("", "/", "/nowhere", "/packages/", "/packages/1/2/3", "//packages", "/../admin", "/packages/%00"):
        assert client.get(path).status_code in (404, 422), path
    for number in ("0", "-1", "1e3", "9" * 30, "x", "%F0", "１"):
        assert client.get(f"/packages/{number}").status_code == 422, number
    assert client.get("/packages", params={"surprise": "1"}).status_code == 422
    for limit in ("0", "201", "-5", "many"):
        assert client.get("/packages", params={"limit": limit}).status_code == 422


MARKUP = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}",
    "'; DROP TABLE account; --",
    "Firma\u202egnp.exe",
    "%00%0d%0aSet-Cookie: a=b",
    "𝔉𝔦𝔯𝔪𝔞",
]


@pytest.mark.parametrize("text", MARKUP)
def test_markup_in_text_is_text_or_refused(text: str, service: Any) -> None:
    operator = service.staff()
    applied = service.nobody.post("/registrations", FORM | {"organisation": text})
    if applied.status_code == 201:
        number = applied.json()["id"]
        assert operator.get(f"/registrations/{number}").json()["organisation"] == text
        assert operator.post(f"/registrations/{number}/refusal", {"remark": text}).json()["remark"] == text
    else:
        assert applied.status_code == 422
    answer = operator.get(f"/registrations/{applied.json().get('id', 1)}")
    assert answer.headers["content-type"] in ("application/json", "application/problem+json")
    assert operator.post("/tokens", {"label": text}).json()["label"] == text
    for field in ("contact", "partner_id", "extension", "callback_url"):
        assert service.nobody.post("/registrations", FORM | {field: text}).status_code == 422


@pytest.mark.parametrize("bad", ["a\x00b", "a\nb", "\x1b[31m", "\x7f", "", "x" * 10_000])
def test_text_that_no_list_should_hold(bad: str, service: Any) -> None:
    operator = service.staff()
    assert service.nobody.post("/registrations", FORM | {"organisation": bad}).status_code == 422
    assert operator.post("/tokens", {"label": bad}).status_code == 422
    assert operator.get("/certificates", params={"common_name": bad}).status_code == 422


def test_keys_do_nothing_twice(service: Any) -> None:
    nobody, me = service.nobody, service.participant()
    key = {"idempotency-key": "0f9d7d1c"}
    first = nobody.post("/registrations", FORM, headers=key)
    again = nobody.post("/registrations", FORM, headers=key)
    assert (first.status_code, again.status_code, again.json()["code"]) == (201, 409, "service.rest.idempotency.told")
    assert len(service.office.workshop.tables()["application"]) == 2  # the participant's, and this one
    assert first.json()["claim"] not in json.dumps(service.office.workshop.tables()["idempotency"], default=str)
    kind = {"content-type": "application/octet-stream"}
    package = service.office.packages.make()
    one = me.ask("POST", "/packages", content=package, headers=key | kind)
    same = me.ask("POST", "/packages", content=package, headers=key | kind)
    assert (one.status_code, same.status_code) == (201, 201)
    assert (one.json(), one.headers["location"]) == (same.json(), same.headers["location"])
    other = me.ask("POST", "/packages", content=service.office.packages.make(), headers=key | kind)
    assert (other.status_code, other.json()["code"]) == (409, "service.rest.idempotency.other")
    serial = one.json()["certificates"][0]["serial"]
    revoke = (f"/certificates/{serial}/revocation", {"reason": "superseded"})
    assert me.post(*revoke, headers={"idempotency-key": "r"}).status_code == 200
    assert me.post(*revoke, headers={"idempotency-key": "r"}).status_code == 200
    assert me.post(*revoke).status_code == 409
    for bad in ("", "x" * 256, "\xe4", "a b"):
        assert me.post(*revoke, headers={"idempotency-key": bad.encode("latin-1")}).status_code == 422
    # what failed may be sent again under its key, and a day later a key is free
    wrong = {"idempotency-key": "w"}
    assert me.post(f"/certificates/{serial}/revocation", {"reason": "superseded"}, headers=wrong).status_code == 409
    assert me.post(f"/certificates/{serial}/revocation", {"reason": "unspecified"}, headers=wrong).status_code == 409
    service.office.wait(hours=25)
    assert me.ask("POST", "/packages", content=package, headers=key | kind).status_code == 201


def test_lists_of_ten_thousand_rows_come_in_pages(service: Any) -> None:
    operator = service.staff()
    now = service.office.pki.clock()
    own = {"subject_key": "CN=x,O=y", "common_name": "x", "decided_at": now, "remark": ""}
    more = {"organisation": "x", "role": "emt", "contact": "a@b.example", "applied_at": now, "state": "applied"}
    applications = [{**own, **more, "partner_id": None, "callback_url": None, "claim": str(n)} for n in range(10_000)]
    kind = {"kind": "initial", "certificate_type": "emt", "holder": "x", "authority": "y", "package": b""}
    packages = [{**own, **kind, "digest": str(n), "state": "held", "received_at": now} for n in range(10_000)]

    def fill(engine: Any, _: Any) -> None:
        with writing(engine) as connection:
            connection.execute(insert(application_table), applications)
            connection.execute(insert(submission), packages)

    service.office.pki.store.beside(fill)
    for path in ("/registrations", "/packages"):
        seen, after = 0, "0"
        for _ in range(3):
            page = operator.get(path, params={"limit": 200, "after": after}).json()
            seen, after = seen + len(page["items"]), page["next"]
        assert (seen, after) == (600, "600")
        assert len(operator.get(path).json()["items"]) == 50
        last = operator.get(path, params={"after": 9_990, "limit": 200}).json()
        assert (len(last["items"]), last["next"]) == (10, None)
    full = service.nobody.post("/registrations", FORM)
    assert (full.status_code, full.json()["code"]) == (429, "service.desk.application.many")


def test_two_operators_decide_at_once(service: Any) -> None:
    operators = [service.staff(name=name) for name in ("one", "two")]
    number = service.nobody.post("/registrations", FORM).json()["id"]
    barrier, statuses = threading.Barrier(2), []

    def decide(client: Any, act: str, body: Any) -> None:
        barrier.wait()
        statuses.append(client.post(f"/registrations/{number}/{act}", body).status_code)

    wishes = [(operators[0], "approval", None), (operators[1], "refusal", {"remark": "no"})]
    threads = [threading.Thread(target=decide, args=wish) for wish in wishes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 409]
    state = operators[0].get(f"/registrations/{number}").json()["state"]
    registered = [row["subject_cn"] for row in service.office.workshop.tables()["registration"]]
    assert registered == (["Andere.EMT"] if state == "approved" else [])


def test_what_takes_two_operators(service: Any) -> None:
    first, second = (service.staff(name=name) for name in ("one", "two"))
    number = service.nobody.post("/registrations", FORM | {"role": "gwa"}).json()["id"]
    place = f"/registrations/{number}/approval"
    assert first.post(place).json()["state"] == "applied"
    again = first.post(place)
    assert (again.status_code, again.json()["code"]) == (409, "service.desk.second_operator")
    assert second.post(place).json()["state"] == "approved"
    sub_ca = next(one for one in first.get("/authorities").json()["items"] if one["kind"] == "sub-ca")
    place = f"/certificates/{sub_ca['serial']}/revocation"
    assert first.post(place, {"reason": "ca_compromise"}).json() == {"waits": True, "certificates": []}
    assert second.post(place, {"reason": "superseded"}).json()["waits"]  # says another thing
    service.office.wait(days=8)
    first, second = (service.client(service.office.desk.accounts.store.named(name).actor) for name in ("one", "two"))
    assert second.post(place, {"reason": "ca_compromise"}).json()["waits"]  # the first one's word is too old
    done = first.post(place, {"reason": "ca_compromise"}).json()
    assert [one["revocation"]["reason"] for one in done["certificates"]] == ["ca_compromise"]


def test_a_blocked_participant_gets_nothing(service: Any) -> None:
    me = service.participant()
    RegistrationDesk(service.office.pki).change("Firma.EMT.MAK", blocked=True)
    answer = me.post("/packages", service.office.packages.make())
    assert (answer.status_code, answer.json()["code"]) == (403, "service.not_accepted.blocked")


def test_an_operator_may_not_register_somebody_twice(service: Any) -> None:
    operator = service.staff()
    numbers = [service.nobody.post("/registrations", FORM).json()["id"] for _ in range(2)]
    answers = [operator.post(f"/registrations/{number}/approval") for number in numbers]
    assert [one.status_code for one in answers] == [200, 409]
    assert answers[1].json()["code"] == "service.desk.application.taken"


def test_while_the_database_is_away_nothing_is_told_of_it(service: Any) -> None:
    client = service.participant()
    package = service.office.packages.make(names=RequestedNames())
    file = service.office.workshop.home.folder / "smpki.db"
    file.rename(file.with_suffix(".away"))
    for path in ("/me", "/certificates", "/crls"):
        answer = client.get(path)
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
        assert "smpki.db" not in answer.text
    assert client.post("/packages", package).status_code == 503
    file.with_suffix(".away").rename(file)
    assert client.get("/me").status_code == 200
