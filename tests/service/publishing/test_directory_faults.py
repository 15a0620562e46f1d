"""Directories that are away, break off, refuse or talk nonsense: a clear word, and nothing is lost."""

import asyncio
import logging
import sqlite3
from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from smpki.asn1 import der
from smpki.errors import SmpkiError, StoreError
from smpki.service.publishing.directory_errors import DirectoryRefused
from smpki.service.publishing.ldap_client import PROFILE, LdapConnection, Place, connection_to
from smpki.service.publishing.publisher import Pace, Session, keep_published
from smpki.tls.endpoint import Endpoint
from smpki.tls.identity import Identity
from smpki.tls.peers import exact_match

SUFFIX = "o=SM-Test-PKI-DE,c=DE"
FIRM = "Firma.EMT.MAK"


def now() -> datetime:
    return datetime.now(UTC)


def endpoint(client: Any, server: Any) -> Endpoint:
    """Our side of TLS to slapd, with ordinary certificates."""
    identity = client and Identity((client.certificate,), client.key)
    return Endpoint(PROFILE, identity, exact_match([server.certificate], now=now), clock=now)


async def compare(publication: Any, place: str, side: Endpoint | None = None, bind: tuple[Any, ...] = ()) -> Any:
    async with connection_to(Place.parse(place), side, 10) as connection:
        await connection.bind(*bind)
        return await publication.publisher.session(connection).compare()


def refusal(coroutine: Any) -> SmpkiError:
    with pytest.raises(SmpkiError) as raised:
        asyncio.run(coroutine)
    assert raised.value.hint
    return raised.value


# who may


def test_slapd_lets_the_publisher_in_by_certificate(publication: Any) -> None:
    slapd = publication.slapd
    report = asyncio.run(compare(publication, slapd.tls_url, endpoint(slapd.client, slapd.server)))
    assert (report.added, report.refused) == (6, [])
    assert not publication.compare()


def test_slapd_lets_no_stranger_in(publication: Any) -> None:
    slapd = publication.slapd
    for client in (slapd.server, None):
        error = refusal(compare(publication, slapd.tls_url, endpoint(client, slapd.server)))
        assert error.code.startswith(("tls.", "publish.directory.lost"))  # slapd may hang up before its alert is read
    error = refusal(compare(publication, slapd.tls_url, endpoint(slapd.client, slapd.client)))
    assert error.code == "tls.peer.unknown"
    assert slapd.everything() == {}


def test_who_may_not_write_hears_so(publication: Any) -> None:
    slapd = publication.slapd
    error = refusal(compare(publication, slapd.tls_url, endpoint(slapd.guest, slapd.server)))
    assert (error.code, error.result) == ("publish.directory.refused", 50)  # type: ignore[attr-defined]
    assert "no write access" in error.message


@pytest.mark.parametrize("bind", [("cn=admin", "wrong"), ("cn=admin,o=SM-Test-PKI-DE,c=DE", "wrong"), ("", "")])
def test_a_wrong_password(publication: Any, bind: tuple[str, str]) -> None:
    error = refusal(compare(publication, publication.slapd.url, None, bind))
    assert error.code == "publish.directory.credentials"
    assert "wrong" not in str(error)


def test_a_directory_that_takes_no_changes(publication: Any) -> None:
    slapd = publication.slapd
    switch = "dn: olcDatabase={1}mdb,cn=config\nchangetype: modify\nreplace: olcReadOnly\nolcReadOnly: "
    slapd.configure(f"{switch}TRUE\n")
    assert refusal(compare(publication, slapd.url)).code == "publish.directory.read_only"
    slapd.configure(f"{switch}FALSE\n")
    assert publication.compare().added == 6


def test_a_directory_of_somebody_else(publication: Any, changed_policy: Any) -> None:
    policy = changed_policy({"environments.test.crl_ldap": "ldap://host/serialNumber={n},cn={cn},o={o},c=AT?x"})
    publication.pki = replace(publication.pki, policy=policy)
    error = refusal(compare(publication, publication.slapd.url))
    assert error.code == "publish.suffix"
    assert "o=SM-Test-PKI-DE,c=AT" in error.message
    assert SUFFIX in error.message


def test_a_schema_that_lacks_a_class(publication: Any, new_slapd: Any, packages: Any) -> None:
    publication.slapd = new_slapd(without=("pkiCA",))
    triple = publication.workshop.issue(packages.make()).certificates
    report = publication.compare()
    # what needs the class is refused, one by one; holders' entries don't
    assert {error.code for error in report.refused} == {"publish.directory.schema"}
    assert len(report.refused) == 4
    assert all("pkiCA" in error.hint for error in report.refused)
    assert publication.held(FIRM) == {one.der for one in triple}


# what breaks


def test_nobody_there(publication: Any, tmp_path: Path) -> None:
    slapd = publication.slapd
    slapd.stop()
    for url, side in (
        (slapd.url, None),
        (slapd.tls_url, endpoint(slapd.client, slapd.server)),
        ("ldaps://nobody.invalid", endpoint(slapd.client, slapd.server)),
    ):
        error = refusal(compare(publication, url, side))
        assert error.code == "publish.directory.unreachable"
        assert error.where


def test_a_directory_that_dies_in_between(publication: Any, packages: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        publication.workshop.issue(packages.gateway(number))
    add, calls = LdapConnection.add, 0

    async def die(self: LdapConnection, *arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 12:
            publication.slapd.kill()
        await add(self, *arguments)

    with monkeypatch.context() as dying:
        dying.setattr(LdapConnection, "add", die)
        assert refusal(compare(publication, publication.slapd.url)).code == "publish.directory.lost"
    publication.slapd.start()
    there = len(publication.slapd.everything())
    assert 0 < there < 15
    publication.compare()
    assert len(publication.slapd.everything()) == 15
    assert not publication.compare()


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


def says(*octets: bytes) -> Answer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for some in octets:
            await reader.read(1)
            writer.write(some)
            await writer.drain()
        await reader.read()

    return answer


async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.close()


NOTICE = der.encode(
    der.SEQUENCE,
    der.encode_integer(0),
    der.encode(0x78, b"\x0a\x01\x34\x04\x00", der.encode(4, b"good bye!"), der.encode(0x8A, b"1.3.6.1.4.1.1466.20036")),
)
"""The notice of disconnection (RFC 4511 4.4.1)."""


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (silence, "no answer within 0.3 seconds"),
        (hangs_up, "the other side closed it"),
        (says(b"HTTP/1.1 400 Bad Request\r\n"), "no message of LDAP"),
        (says(b"\x30\x80\x02\x01\x01"), "a length that LDAP does not know"),
        (says(b"\x30\x84\x7f\xff\xff\xff\x02\x01\x01"), "more than"),
        (says(b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00"), "a directory sends no bind"),
        (says(NOTICE), "good bye!"),
    ],
)
def test_who_is_no_directory(answer: Answer, why: str, tmp_path: Path) -> None:
    async def go() -> None:
        server = await asyncio.start_unix_server(answer, str(tmp_path / "s"))
        place = Place.parse(f"ldapi://{quote(str(tmp_path / 's'), safe='')}")
        try:
            async with asyncio.timeout(10), connection_to(place, None, 0.3) as connection:
                await connection.bind()
        finally:
            server.close()

    error = refusal(go())
    assert error.code == "publish.directory.lost"
    assert why in error.message


def test_answers_in_pieces_and_in_another_order(tmp_path: Path) -> None:
    """And with lengths as Active Directory writes them."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"cn=two")
        entry = b"\x64\x0a\x04\x06cn=two\x30\x00"
        for number, operation in (
            (2, entry),
            (2, b"\x65\x07\x0a\x01\x00\x04\x00\x04\x00"),
            (1, b"\x65\x07\x0a\x01\x20\x04\x00\x04\x00"),
        ):
            content = bytes((2, 1, number)) + operation
            for octet in b"\x30\x84" + len(content).to_bytes(4) + content:
                writer.write(bytes((octet,)))
                await writer.drain()
                await asyncio.sleep(0)
        await reader.read()

    async def go() -> None:
        async with await asyncio.start_unix_server(answer, str(tmp_path / "s")):
            place = Place.parse(f"ldapi://{quote(str(tmp_path / 's'), safe='')}")
            async with connection_to(place, None, 5) as connection:
                one, two = await asyncio.gather(connection.read("cn=one"), connection.read("cn=two"))
        assert one is None
        assert two is not None and two.name == "cn=two"

    asyncio.run(go())


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("ldaps://host", "host port 636"),
        ("ldaps://[::1]:1636/", "::1 port 1636"),
        ("ldapi://%2Frun%2Fslapd%2Fldapi", "/run/slapd/ldapi"),
        ("ldap://host", None),
        ("ldapi:///", None),
        ("ldaps://", None),
        ("ldaps://user:secret@host", None),
        ("ldaps://host:99999", None),
        ("ldaps://host/o=x", None),
        ("https://host", None),
        ("ldaps://[", None),
    ],
)
def test_addresses_of_directories(url: str, place: str | None) -> None:
    if place is not None:
        assert str(Place.parse(url)) == place
        return
    with pytest.raises(SmpkiError) as raised:
        Place.parse(url)
    assert raised.value.code == "publish.url"


def test_results_have_a_code_and_a_hint() -> None:
    for result in range(1, 130):
        error = DirectoryRefused(result, "said \x1b[31mso", "here")
        assert error.code.startswith("publish.directory.")
        assert error.hint
        assert "\x1b" not in str(error)


# on and on


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


def test_a_store_that_fails_for_a_while_is_only_late(
    publication: Any, packages: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is moved away and comes back; what was issued meanwhile is published then."""
    file = Path(publication.workshop.database.removeprefix("sqlite:///"))
    triple = publication.workshop.issue(packages.make()).certificates

    async def go() -> None:
        stop = asyncio.Event()
        pace = Pace(timedelta(milliseconds=20), timedelta(hours=1))
        publication.workshop.issue(packages.gateway())
        file.rename(file.with_suffix(".away"))
        work = asyncio.create_task(keep_published(publication.connect, publication.publisher, pace, stop))
        await until(lambda: "store." in caplog.text)
        assert publication.held(FIRM) == set()
        file.with_suffix(".away").rename(file)
        await until(lambda: publication.held(FIRM))
        stop.set()
        await work

    with caplog.at_level(logging.INFO, "smpki.publishing"):
        asyncio.run(go())
    assert publication.held(FIRM) == {one.der for one in triple}
    assert "publishing goes on after a pause: seconds=1.0" in caplog.text


def test_a_locked_database_is_named(workshop: Any) -> None:
    file = workshop.database.removeprefix("sqlite:///")
    with sqlite3.connect(file, isolation_level=None) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError) as raised, workshop.open(database=f"{workshop.database}?timeout=0.1"):
            pass
        other.execute("ROLLBACK")
    assert raised.value.code == "store.busy"


def test_one_refused_entry_is_told_once_and_stops_nothing(
    publication: Any, packages: Any, caplog: pytest.LogCaptureFixture
) -> None:
    publication.compare()
    name = f"serialNumber=1,cn=Beispiel.CA,{SUFFIX}"
    junk = b64encode(publication.pki.store.crls.der(_newest(publication, "root"))).decode()
    change = "changetype: modify\nreplace: certificateRevocationList;binary\ncertificateRevocationList;binary::"
    publication.slapd.write(f"dn: {name}\n{change} {junk}\n")

    async def go() -> None:
        stop = asyncio.Event()
        pace = Pace(timedelta(milliseconds=20), timedelta(hours=1))
        work = asyncio.create_task(keep_published(publication.connect, publication.publisher, pace, stop))
        await until(lambda: "publish.crl.foreign" in caplog.text)
        await asyncio.to_thread(publication.workshop.issue, packages.make())
        await until(lambda: publication.held(FIRM))
        stop.set()
        await work

    asyncio.run(go())
    assert caplog.text.count("publish.crl.foreign") == 1


def _newest(publication: Any, kind: str) -> Any:
    from smpki.ca.store.crls import CrlScope

    root = publication.pki.store.authorities(kind="root")[0]
    return publication.pki.store.crls.newest(CrlScope(root.serial, kind))


def test_a_session_writes_only_what_it_was_asked_for(publication: Any, packages: Any) -> None:
    """Follow without news asks the directory nothing."""

    async def nothing(_: Session) -> None:
        publication.slapd.kill()

    *_, report = publication.run(Session.compare, nothing, Session.follow)
    assert not report
