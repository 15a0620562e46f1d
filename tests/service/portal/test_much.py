"""Too much of everything: bodies of 100 MB, ten thousand rows in every list, markup in every field."""

import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from smpki.service.portal.certificates import AT_ONCE
from smpki.service.portal.visit import LARGEST_BODY

ROWS = 10_000
MARKUP = '<b onmouseover="alert(1)">&amp;</b>'


@pytest.mark.parametrize("path", ["/packages/new", "/tryout/file", "/register", "/login"])
@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "application/x-www-form-urlencoded"])
def test_a_body_of_100_mb_is_stopped_at_its_beginning(town: Any, path: str, kind: str) -> None:
    browser = town.participant()
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        yield (
            b'--x\r\ncontent-disposition: form-data; name="package"; filename="f"\r\n\r\n' if "multi" in kind else b"a="
        )
        for _ in range(1600):
            sent += 65536
            yield bytes(65536) if "multi" in kind else b"a" * 65536

    answer = browser.client.post(path, content=body(), headers={"content-type": kind})
    assert answer.status_code == 413
    assert sent <= LARGEST_BODY + 2 * 65536
    assert browser.get("/home").status == 200


def copies(database: Path, table: str, own: dict[str, str], where: str = "") -> None:
    """Make many rows of one."""
    with closing(sqlite3.connect(database)) as connection, connection:
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        values = ", ".join(own.get(name, f"one.{name}") for name in columns)
        connection.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) "
            f"WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {ROWS}) "
            f"SELECT {values} FROM (SELECT * FROM {table} {where} LIMIT 1) one, number"
        )


def test_ten_thousand_rows_in_every_list(town: Any) -> None:
    database = town.world.workshop.home.folder / "smpki.db"
    visitor = town.browser().get("/register")
    visitor.send("/register", organisation="Erste", role="emt", contact="a@b.example")
    participant, operator = town.participant("Firma.EMT"), town.operator()
    participant.get("/packages/new")
    participant.send("/packages/new", files={"package": town.world.packages.make("Firma.EMT")}, submit="1")
    participant.get("/account").send("/account/tokens", label="one", days="30")

    copies(database, "application", {"id": "NULL", "claim": "printf('%064x', n)"})
    copies(database, "submission", {"id": "NULL", "digest": "printf('%064x', n)"})
    copies(database, "account", {"id": "NULL", "name": "'many' || n"})
    copies(database, "account_token", {"id": "NULL", "digest": "printf('%064x', n)"})
    own = {"id": "NULL", "serial": "printf('%032x', n)", "request_digest": "NULL"}
    copies(database, "certificate", own, "WHERE subject_cn = 'Firma.EMT' AND purpose = 'tls'")
    copies(database, "audit", {"seq": "one.seq + 1000 + n"}, "ORDER BY seq DESC")

    for browser, path in (
        *((operator, path) for path in ("/applications", "/packages", "/accounts", "/certificates", "/audit", "/home")),
        *((participant, path) for path in ("/packages", "/home", "/account", "/calendar")),
    ):
        browser.get(path)
        assert browser.status == 200, path
        rows = len(re.findall(r"<tr>|<li>", browser.text))
        assert rows < 3 * AT_ONCE, f"{path}: {rows} rows"
        if further := re.search(r'href="(/\w+\?(?:after|before)=[^"]+)"', browser.text):
            assert browser.get(unescape(further[1])).status == 200
    assert len(participant.get("/home").text) < 200_000
    assert f"{ROWS:032x}" in participant.text, "the newest certificate is on the first page"


def test_markup_in_every_text_field_is_shown_as_it_is(town: Any) -> None:
    visitor = town.browser()
    for name in ("organisation", "extension", "partner_id", "contact", "callback_url", "role"):
        fields = {"organisation": "Firma", "role": "emt", "contact": "a@b.example", name: MARKUP}
        visitor.get("/register").send("/register", **fields)
        assert "<b onmouseover" not in visitor.text, name
    visitor.get("/registered").send("/registered", claim=MARKUP)
    assert "<b onmouseover" not in visitor.text
    visitor.get("/join").send("/join", invitation=MARKUP, password=MARKUP, again=MARKUP)
    assert "<b onmouseover" not in visitor.text and MARKUP in unescape(visitor.text)
    visitor.get("/login").send("/login", name=MARKUP, password=MARKUP, to=MARKUP)
    assert "<b onmouseover" not in visitor.text

    applicant = town.browser().get("/register")
    applicant.send("/register", organisation="Zweite", role="emt", contact="a@b.example")
    claim = re.search(r'id="claim">(.*?)<', applicant.text)
    number = town.operator("oskar").get("/applications")
    last = re.findall(r"/applications/(\d+)", number.text)[-1]
    number.get(f"/applications/{last}").send(f"/applications/{last}", refuse="1", remark=MARKUP)
    assert claim is not None
    applicant.get("/registered").send("/registered", claim=unescape(claim[1]))
    for browser in (number, applicant):
        assert "<b onmouseover" not in browser.text and MARKUP in unescape(browser.text)

    participant = town.participant("Firma.EMT", "petra")
    participant.get("/packages?state=" + MARKUP)
    assert "<b onmouseover" not in participant.text
    for path in (f"/certificates/{MARKUP}", f"/packages/{MARKUP}", f"/crls/{MARKUP}", f"/{MARKUP}"):
        assert "<b onmouseover" not in participant.get(path).text and participant.status == 404
    number.get(f"/certificates?cn={MARKUP}&kind={MARKUP}")
    assert number.status == 200 and "<b onmouseover" not in number.text


def test_requests_that_accept_nothing_or_anything(town: Any) -> None:
    browser = town.browser()
    for headers in (
        {"accept": ""},
        {"accept": "image/png"},
        {"accept": "*/*;q=0"},
        {"accept-language": b"\xff"},
    ):
        answer = browser.client.get("/hierarchy", headers=headers)
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")
