"""Who may see what, forms that are not ours, languages, and what strangers write."""

import re
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from smpki.errors import SmpkiError, StoreError, TokenError
from smpki.policy.model import CertificateType
from smpki.service.accounts.actor import Role
from smpki.service.accounts.store.credentials import SessionStore
from smpki.service.desk.packages import Packages
from smpki.service.desk.registrations import Form
from smpki.service.portal.certificates import AT_ONCE
from smpki.service.portal.csrf import form_token, is_ours
from smpki.service.portal.entry import own_path
from smpki.service.portal.explanations import clause_of, meaning_of
from smpki.service.portal.languages import chosen
from smpki.service.portal.visit import LARGEST_FILE

ROOT = Path(__file__).parents[3] / "smpki" / "service"

EVERYBODY = ["/", "/login", "/join", "/register", "/registered", "/hierarchy"]
PARTICIPANT = ["/home", "/packages/new", "/packages", "/calendar", "/tryout", "/tryout/file", "/account"]
STAFF = ["/home", "/applications", "/packages", "/certificates", "/calendar", "/audit", "/accounts", "/account"]


def test_every_page_shows_in_both_languages_to_whom_it_is_for(town: Any) -> None:
    town.account("anna", Role.AUDITOR)
    town.account("paul", Role.PARTICIPANT, "Firma.EMT")
    for language, lang in (("de", 'lang="de"'), ("en", 'lang="en"')):
        for name, paths in (("", EVERYBODY), ("paul", PARTICIPANT), ("anna", STAFF)):
            browser = town.browser(language)
            if name:
                browser.log_in(name)
            for path in paths:
                browser.get(path)
                assert (browser.status, browser.path) == (200, path), browser.text
                assert f"<html {lang}>" in browser.text


def test_each_text_has_its_german() -> None:
    german = read_po((ROOT / "portal" / "locale" / "de.po").open("rb"), locale="de")
    known = {message.id: message.string for message in german if message.id}
    methods = [("portal/**.py", "python"), ("tryout/**.py", "python"), ("portal/templates/**.html", "jinja2")]
    options = {"portal/templates/**.html": {"trim_blocks": "true", "lstrip_blocks": "true"}}
    keywords = {"_": None, "breaks": (2,), "advises": (2,), "holds": (2,)}
    found = {text for _, _, text, _, _ in extract_from_dir(str(ROOT), methods, options, keywords)}
    assert len(found) > 250
    assert sorted(found - known.keys()) == []
    assert sorted(text for text in known.keys() - found if not text.startswith(("error ", "finding "))) == []
    assert all(known.values())
    for text, translated in known.items():
        names = r"%\((\w+)\)s|\{(\w+)\}"
        assert sorted(re.findall(names, str(text))) == sorted(re.findall(names, str(translated))), text


def test_a_language_is_chosen_and_kept(town: Any) -> None:
    browser = town.browser("fr")
    assert browser.get("/").heading == "Testzertifikate für Marktteilnehmer"
    browser.send("/language", language="en", to="/login")
    assert (browser.path, browser.heading) == ("/login", "Log in")
    browser.send("/language", language="xx", to="https://elsewhere.example/")
    assert (browser.path, browser.heading) == ("/", "Test certificates for market participants")


@pytest.mark.parametrize(
    ("cookie", "field", "language"),
    [
        (None, "en-GB,en;q=0.9,de;q=0.8", "en"),
        (None, "fr,de;q=0.5,en;q=0.7", "en"),
        (None, "", "de"),
        (None, "en;q=x, de;q=", "de"),
        (None, "en;q=0", "de"),
        ("en", "de", "en"),
        ("xx", "de", "de"),
    ],
)
def test_the_language_that_a_browser_prefers(cookie: str | None, field: str, language: str) -> None:
    assert chosen(cookie, field) == language


@pytest.mark.parametrize(
    "path",
    [
        *("//elsewhere.example", "/\\elsewhere.example", "/\t\\elsewhere.example", "/\t/elsewhere.example"),
        *("https://elsewhere.example", "//[", "home", ""),
    ],
)
def test_nobody_is_sent_elsewhere_after_logging_in(path: str) -> None:
    assert own_path(path) == "/"
    assert own_path("/packages?state=held") == "/packages?state=held"


def test_who_is_not_logged_in_is_asked_to_and_comes_back(town: Any) -> None:
    town.account("paul", Role.PARTICIPANT, "Firma.EMT")
    browser = town.browser().get("/calendar")
    assert browser.path == "/login"
    browser.send("/login", name="paul", password="wrong password", to="/calendar")
    assert browser.status == 401 and "name or password is wrong" in browser.text
    browser.send("/login", name="paul", password="correct horse battery staple", to="/calendar")
    assert browser.path == "/calendar"
    browser.send("/logout")
    assert browser.path == "/" and browser.get("/calendar").path == "/login"


def test_who_logs_in_by_guessing_has_to_wait(town: Any) -> None:
    town.account("paul", Role.PARTICIPANT, "Firma.EMT")
    browser = town.browser()
    for _ in range(5):
        browser.log_in("paul", "wrong password")
    assert browser.log_in("paul").status == 429
    town.world.workshop.now += timedelta(minutes=2)
    assert browser.log_in("paul").path != "/login"


def test_a_session_ends(town: Any) -> None:
    browser = town.participant()
    assert browser.get("/home").path == "/home"
    town.world.workshop.now += timedelta(hours=1)
    assert browser.get("/home").path == "/login"


def test_a_role_gets_its_own_pages_only(town: Any) -> None:
    participant, operator, auditor = town.participant(), town.operator(), town.auditor()
    for path in ("/applications", "/certificates", "/audit", "/accounts"):
        assert participant.get(path).status == 403
    assert operator.get("/packages/new").status == 403
    for path, fields in (
        ("/accounts", {"name": "x", "role": "operator"}),
        ("/accounts/block", {"account": "1", "block": "1"}),
        ("/crls", {}),
        ("/applications/1", {"approve": "1"}),
        ("/packages/1", {"approve": "1"}),
    ):
        for browser in (participant, auditor):
            assert browser.get("/account").send(path, **fields).status in (403, 404), path


def test_other_participants_things_are_as_if_they_were_not_there(town: Any) -> None:
    paul, rita = town.participant("Firma.EMT", "paul"), town.participant("Andere.EMT", "rita")
    package = town.world.packages.make("Firma.EMT")
    paul.get("/packages/new").send("/packages/new", files={"package": package}, submit="1")
    serial = re.search(r"/certificates/([0-9a-f]+)", paul.text)
    assert serial is not None
    for path in (
        "/packages/1",
        f"/certificates/{serial[1]}",
        f"/certificates/{serial[1]}/file?form=zip",
        f"/certificates/{serial[1]}/revoke",
    ):
        for stranger in (rita, town.browser()):
            there, not_there = stranger.get(path), None
            status, text = there.status, there.text
            if "login" in there.path:
                continue
            not_there = stranger.get(
                path.replace("/1", "/77") if "packages" in path else path.replace(serial[1], "ab" * 10)
            )
            assert status == not_there.status == 404
            assert "there is no such thing here" in text and "Firma" not in text
    rita.get("/account").send(f"/certificates/{serial[1]}/revoke", reason="superseded")
    assert rita.status == 404
    rita.get("/packages/new").send("/packages/new", files={"package": package}, submit="1")
    assert rita.status == 403 and "service.unauthorised" in rita.text


def test_forms_that_are_not_ours_do_nothing(town: Any) -> None:
    browser = town.participant()
    other = town.browser().get("/login")
    stolen = re.search(r'name="csrf" value="([^"]+)"', other.text)
    assert stolen is not None
    for data in ({}, {"csrf": ""}, {"csrf": stolen[1]}, {"csrf": "ä.ö.ü"}):
        answer = browser.client.post("/account/tokens", data={"label": "x", "days": "3", **data})
        assert answer.status_code == 403 and "service.portal.form" in answer.text
    browser.get("/account")
    mine = re.search(r'name="csrf" value="([^"]+)"', browser.text)
    assert mine is not None
    for headers in ({"origin": "https://elsewhere.example"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}):
        data = {"csrf": mine[1], "label": "x", "days": "3"}
        assert browser.client.post("/account/tokens", data=data, headers=headers).status_code == 403
    assert "<td>x</td>" not in browser.get("/account").text


def test_a_form_gets_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    token = form_token("cookie")
    assert is_ours("cookie", token, {}, "https://portal.example")
    assert not is_ours("other", token, {}, "https://portal.example")
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: 4e9)
    assert not is_ours("cookie", token, {}, "https://portal.example")


MARKUP = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}"


def test_markup_is_shown_and_never_done(town: Any) -> None:
    applicant = town.browser().get("/register")
    applicant.send("/register", organisation=MARKUP, role="emt", contact="a@b.example")
    for browser in (applicant, town.operator().get("/applications")):
        assert "<script>alert" not in browser.text and "<img src=x" not in browser.text
    assert MARKUP in unescape(applicant.text)
    operator = town.operator("oskar").get("/accounts")
    operator.send("/accounts", name=MARKUP, role="auditor", participant=MARKUP)
    assert operator.status == 422 and "<script>alert" not in operator.text
    participant = town.participant().get("/account")
    participant.send("/account/tokens", label=MARKUP, days="3")
    assert (
        participant.status == 200
        and "<script>alert" not in participant.text
        and MARKUP[:40] in unescape(participant.text)
    )
    login = participant.get("/login?to=" + MARKUP).text
    assert "<script>alert" not in login and "<img src=x" not in login


def test_uploads_that_are_too_large_or_nothing(town: Any) -> None:
    browser = town.participant()
    for path, name in (("/packages/new", "package"), ("/tryout/file", "file")):
        assert browser.get(path).send(path, files={name: bytes(LARGEST_FILE + 1)}).status == 413
        for content in (b"hello", b"\x30\x82\xff\xff", b"\x30\x80" * 5000, b"<xml/>", bytes(1000)):
            browser.get(path).send(path, files={name: content})
            assert browser.status == 422
            assert "inspect.unknown" in browser.text or "request." in browser.text
        assert browser.get(path).send(path, **{name: "text"}).status == 422


def test_invitations_hold_once(town: Any) -> None:
    accounts = town.desk.accounts
    invitation = accounts.invite("rita", Role.AUDITOR, by="test")
    browser = town.browser().get(f"/join?invitation={invitation}")
    browser.send("/join", invitation=invitation, password="short", again="short")
    assert browser.status == 422
    browser.send("/join", invitation=invitation, password="a sentence to log in", again="another one to log in")
    assert "the two passwords differ" in browser.text
    browser.send("/join", invitation=invitation, password="a sentence to log in", again="a sentence to log in")
    assert browser.path == "/home"
    again = town.browser().get("/join")
    again.send("/join", invitation=invitation, password="a sentence to log in", again="a sentence to log in")
    assert again.status == 403 and "this invitation does not hold" in again.text
    late = accounts.invite("rolf", Role.AUDITOR, by="test")
    town.world.workshop.now += timedelta(days=15)
    again.send("/join", invitation=late, password="a sentence to log in", again="a sentence to log in")
    assert "this invitation does not hold" in again.text
    _, claim = town.desk.registrations.apply(Form("Neue", CertificateType.EMT, "post@neue.example"))
    again.send("/join", invitation=claim, password="a sentence to log in", again="a sentence to log in")
    assert again.status == 409 and "an operator has to approve" in again.text


def test_tokens_are_shown_once_and_ended(town: Any) -> None:
    browser = town.participant().get("/account")
    browser.send("/account/tokens", label="nightly", days="30")
    token = re.search(r'id="token">(.*?)<', browser.text)
    assert token is not None and town.desk.accounts.token(unescape(token[1])) is not None
    assert token[1] not in browser.get("/account").text
    number = re.search(r'name="token" value="(\d+)"', browser.text)
    assert number is not None
    browser.send("/account/tokens/end", token=number[1])
    assert town.desk.accounts.token(unescape(token[1])) is None
    assert browser.get("/account").send("/account/tokens", label="x", days="4000").status == 422


def test_changing_the_password_takes_the_old_one_and_ends_other_visits(town: Any) -> None:
    browser = town.participant()
    other = town.browser().log_in("paul")
    browser.get("/account").send("/account/password", old="wrong password", new="a new sentence to log in")
    assert browser.status == 401
    browser.send("/account/password", old="correct horse battery staple", new="a new sentence to log in")
    assert browser.status == 200 and "The password is changed" in browser.text
    assert other.get("/home").path == "/login"


def test_two_operators_decide_on_an_administrator(town: Any) -> None:
    applicant = town.browser().get("/register")
    applicant.send("/register", organisation="Verwalter", role="gwa", contact="a@b.example")
    first, second = town.operator("olga"), town.operator("oskar")
    first.get("/applications/1").send("/applications/1", approve="1")
    assert "waits for the operators" in first.text and "This role takes two operators" in first.text
    first.send("/applications/1", approve="1")
    assert first.status == 409 and "it takes a second operator" in first.text
    second.get("/applications/1").send("/applications/1", approve="1")
    assert "approved" in second.text
    late = first.get("/applications").get("/account").send("/applications/1", approve="1")
    assert late.status == 409


def test_long_lists_have_further_pages(town: Any) -> None:
    for number in range(AT_ONCE + 3):
        town.account(f"a{number:03}", Role.AUDITOR)
    operator = town.operator("zoe").get("/accounts")
    further = re.search(r'href="(/accounts\?after=\d+)"', operator.text)
    assert further is not None and "a010" in operator.text
    operator.get(further[1])
    assert operator.status == 200 and "a010" not in operator.text and "zoe" in operator.text
    assert operator.get("/audit").text.count("<tr>") == AT_ONCE + 1


def test_what_is_not_there_is_said_in_a_page(town: Any) -> None:
    browser = town.participant()
    for path, status in (
        ("/nothing", 404),
        ("/packages/x", 404),
        ("/packages/9999999999999999999", 404),
        ("/certificates/ab", 404),
        ("/crls/x.crl", 404),
        ("/static/none.css", 404),
    ):
        assert browser.get(path).status == status, path
        assert "</html>" in browser.text or path.startswith("/static")
    assert browser.client.post("/home").status_code == 405
    assert browser.client.get("/language").status_code == 405


def test_pages_say_what_browsers_may_do_with_them(town: Any) -> None:
    headers = town.participant().get("/home").response.headers
    assert (
        "default-src 'none'" in headers["content-security-policy"]
        and "unsafe" not in headers["content-security-policy"]
    )
    assert headers["cache-control"] == "no-store" and headers["x-content-type-options"] == "nosniff"
    browser = town.browser().get("/login")
    browser.send("/login", name="paul", password="correct horse battery staple")
    cookie = browser.response.history[0].headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=lax" in cookie


@pytest.mark.parametrize(
    ("code", "clause"),
    [
        ("tr-03109-4.a2.key_usage.bits", "BSI TR-03109-4 A.2"),
        ("rfc-5280.4_1_2_2.serial.not_positive", "RFC 5280 4.1.2.2"),
        ("sm-pki-cp.a.organizational_unit.pattern", "Certificate Policy der Smart Metering PKI A"),
        ("tr-03116-3.table_6.curve", "BSI TR-03116-3"),
        ("x-520.attribute.encoding", "ITU-T X.520"),
        ("lint.unknown_type", "smpki"),
    ],
)
def test_a_finding_says_where_its_rule_stands(code: str, clause: str) -> None:
    assert clause_of(code) == clause
    assert meaning_of(code)


def test_an_operator_makes_no_second_operator(town: Any) -> None:
    operator = town.operator().get("/accounts")
    assert 'value="operator"' not in operator.text
    operator.send("/accounts", name="me-too", role="operator")
    assert operator.status == 403 and "service.portal.operator" in operator.text
    assert town.desk.accounts.store.find("me-too") is None


def test_a_page_that_is_not_there_knows_who_is_logged_in(town: Any) -> None:
    browser = town.participant().get("/nothing")
    assert browser.status == 404 and "Log out" in browser.text
    assert browser.send("/language", language="de", to="/home").heading == "Zertifikate von Firma.EMT.MAK"


@pytest.mark.parametrize("what", ["database", "token"])
def test_a_database_or_token_that_is_away_is_said_in_words(town: Any, monkeypatch: Any, what: str) -> None:
    participant = town.participant("Firma.EMT").get("/packages/new")
    secret = "postgresql://user@host"
    error: SmpkiError = StoreError("store.unreachable", "the database cannot be reached", where=secret)
    room: tuple[Any, str] = (SessionStore, "find")
    if what == "token":
        error, room = TokenError("token.missing", "the token is not there", where=secret), (Packages, "submit")

    def fails(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(*room, fails)
    participant.send("/packages/new", files={"package": town.world.packages.make("Firma.EMT")}, submit="1")
    assert participant.status == 503 and error.code in participant.text
    assert "the service failed" in participant.text and secret not in participant.text
    if what == "database":
        german = town.browser("de").get("/login")
        german.client._client.cookies.update(participant.client._client.cookies)
        assert "Die Datenbank ist im Moment nicht verfügbar." in german.get("/home").text


def test_reasons_are_offered_that_the_policy_takes(town: Any) -> None:
    paul, olga = town.participant("Firma.EMT"), town.operator()
    paul.get("/packages/new").send(
        "/packages/new", files={"package": town.world.packages.make("Firma.EMT")}, submit="1"
    )
    (serial, *_) = re.findall(r"/certificates/([0-9a-f]+)", paul.text)
    sub_ca = next(one.certificate for one in town.desk.certificates.authorities() if one.certificate.kind == "sub-ca")

    def reasons(browser: Any, of: str) -> set[str]:
        return set(re.findall(r'name="reason" value="(\w+)"', browser.get(f"/certificates/{of}/revoke").text))

    usual = {"unspecified", "key_compromise", "affiliation_changed", "superseded", "cessation_of_operation"}
    assert reasons(paul, serial) == usual  # no suspension: the policy has it for gateways alone
    assert reasons(olga, serial) == usual | {"privilege_withdrawn"}
    assert reasons(olga, sub_ca.serial) == usual | {"privilege_withdrawn", "ca_compromise"}
