"""CRLs and certificates over HTTP: the newest, whole, cheap for who asks again, and there when the store is not."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from cryptography import x509
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smpki.ca.crl_publish import publish, publish_certificates
from smpki.ca.crl_series import crl_series
from smpki.ca.published_authorities import published_authorities
from smpki.ca.store.crls import Crls
from smpki.ca.sub_cas import SubCaOrder
from smpki.errors import SmpkiError
from smpki.service.plain_http import http_server
from smpki.service.publishing.documents import Documents
from smpki.service.publishing.http_application import application

CRL = "/Beispiel.CA.1.crl"


@dataclass
class Site:
    """A PKI that is published over HTTP.

    :ivar seconds: the clock of pauses
    """

    workshop: Any
    pki: Any
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.documents = Documents(self.pki.store, self.pki.policy, self.pki.environment, lambda: self.seconds)
        self.application = application(self.documents, lambda: self.workshop.now)

    def ask(self, path: str, method: str = "GET", **headers: str) -> httpx.Response:
        async def go() -> httpx.Response:
            transport = httpx.ASGITransport(self.application)
            async with httpx.AsyncClient(transport=transport, base_url="http://crl.example") as client:
                named = {name.replace("_", "-"): value for name, value in headers.items()}
                return await client.request(method, path, headers=named)

        return asyncio.run(go())

    def issue(self, **after: float) -> None:
        self.workshop.now += timedelta(**after)
        assert all(outcome.record for outcome in self.pki.crls.issue(names=["Beispiel.CA"]))


@pytest.fixture
def site(workshop: Any) -> Iterator[Site]:
    with workshop.open() as pki:
        assert all(outcome.record for outcome in pki.crls.issue())
        yield Site(workshop, pki)


def number(response: httpx.Response) -> int:
    crl = x509.load_der_x509_crl(response.content)
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def test_the_same_is_served_as_is_written_for_other_servers(site: Site, tmp_path: Path) -> None:
    store, policy, environment = site.pki.store, site.pki.policy, site.pki.environment
    site.workshop.now += timedelta(days=30)
    site.pki.renew_root()
    site.pki.create_sub_ca(SubCaOrder("Müller & Söhne, Strom+Gas"))
    site.pki.crls.issue()
    publish(store, crl_series(store, policy, environment), tmp_path / "web")
    publish_certificates(published_authorities(store, policy, environment), tmp_path / "web")
    files = sorted((tmp_path / "web").iterdir())
    assert len(files) == 15
    types = {".crl": "application/pkix-crl", ".cer": "application/pkix-cert"}
    for file in files:
        response = site.ask(f"/{quote(file.name)}")
        assert (response.status_code, response.content) == (200, file.read_bytes()), file.name
        assert response.headers["content-type"] == types[file.suffix]


def test_the_address_in_every_certificate_is_served(site: Site, packages: Any) -> None:
    site.workshop.issue(packages.make())
    asked = set()
    for one in site.pki.store.page().certificates:
        certificate = x509.load_der_x509_certificate(site.pki.store.get(one.serial).der)
        for extension in certificate.extensions:
            if isinstance(extension.value, x509.CRLDistributionPoints):
                asked |= {point.full_name[0].value for point in extension.value if point.full_name}
    assert len(asked) == 3
    for address in asked:
        assert site.ask(urlsplit(address).path).status_code == 200


def test_what_a_cache_is_told(site: Site) -> None:
    now = site.workshop.now
    fields = site.ask(CRL).headers
    assert fields["cache-control"] == "public, max-age=3600"
    assert parsedate_to_datetime(fields["last-modified"]) == now
    assert parsedate_to_datetime(fields["date"]) == now
    assert fields["etag"][0] == fields["etag"][-1] == '"'
    assert int(fields["content-length"]) == len(site.ask(CRL).content)
    site.workshop.now = now + timedelta(days=10, minutes=-30)  # the policy lets it live for ten days
    assert site.ask(CRL).headers["cache-control"] == "public, max-age=1800"
    site.workshop.now = now + timedelta(days=11)
    assert site.ask(CRL).headers["cache-control"] == "no-cache"


def test_who_asks_again_gets_the_newest_crl_or_nothing(site: Site) -> None:
    first = site.ask(CRL)
    tag, date = first.headers["etag"], first.headers["last-modified"]
    for fields in (
        {"if_none_match": tag},
        {"if_none_match": f'"other", W/{tag}'},
        {"if_none_match": "*"},
        {"if_modified_since": date},
        {"if_none_match": tag, "if_modified_since": "Thu, 01 Jan 1970 00:00:00 GMT"},
    ):
        again = site.ask(CRL, **fields)
        assert (again.status_code, again.content) == (304, b""), fields
        assert again.headers["etag"] == tag
    site.issue(days=1)
    for fields in (
        {"if_none_match": tag},
        {"if_modified_since": date},
        {"if_none_match": '"x"', "if_modified_since": date},
    ):
        assert number(site.ask(CRL, **fields)) == 2
    assert site.ask(CRL).headers["etag"] != tag


def test_two_crls_of_one_second_are_told_apart_by_their_times(site: Site) -> None:
    date = site.ask(CRL).headers["last-modified"]
    site.issue()
    again = site.ask(CRL, if_modified_since=date)
    assert number(again) == 2
    # never later than the answer itself (RFC 9110 8.8.2.1)
    assert parsedate_to_datetime(again.headers["last-modified"]) <= parsedate_to_datetime(again.headers["date"])


def test_head_is_get_without_the_content(site: Site) -> None:
    got, head = site.ask(CRL), site.ask(CRL, "HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers == got.headers
    assert site.ask(CRL, "HEAD", if_none_match=got.headers["etag"]).status_code == 304


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_other_methods(site: Site, method: str) -> None:
    response = site.ask(CRL, method)
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/", "/Beispiel.CA.2.crl", "/Beispiel.CA.1.crl/", "//x", "/%00", "/%ff"])
def test_what_there_is_not(site: Site, path: str) -> None:
    response = site.ask(path)
    assert (response.status_code, response.content) == (404, b"")


def test_a_crl_that_was_never_issued(workshop: Any) -> None:
    with workshop.open() as pki:
        site = Site(workshop, pki)
        assert site.ask(CRL).status_code == 404
        assert site.ask("/SM-Test-Root.CA.CRL-S.1.cer").status_code == 404
        assert site.ask("/SM-Test-Root.CA.1.cer").status_code == 200
        pki.crls.issue()
        assert site.ask(CRL).status_code == 200
        assert site.ask("/SM-Test-Root.CA.CRL-S.1.cer").status_code == 200


def test_a_new_ca_is_found(site: Site) -> None:
    assert site.ask("/Neue.CA.1.cer").status_code == 404
    site.pki.create_sub_ca(SubCaOrder("Neue"))
    site.seconds += 0.9
    assert site.ask("/Neue.CA.1.cer").status_code == 404  # wrong paths cost nothing more for a second
    site.seconds += 0.2
    assert site.ask("/Neue.CA.1.cer").status_code == 200


def test_the_octets_are_read_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    reads, der = [], Crls.der

    def counted(self: Crls, record: Any) -> bytes:
        reads.append(record.number)
        return der(self, record)

    monkeypatch.setattr(Crls, "der", counted)
    for _ in range(3):
        site.ask(CRL)
    site.issue(days=1)
    for _ in range(3):
        site.ask(CRL)
    assert reads == [1, 2]


def test_many_threads_see_the_newest_and_never_an_older_one(site: Site) -> None:
    """Each asks again and again while CRLs are issued; what is issued before a question is the least of the answer."""
    issued, problems = [1], []
    stop = threading.Event()

    def look() -> None:
        seen = 1
        while not stop.is_set():
            least = issued[-1]
            document = site.documents.find(CRL)
            assert document is not None
            found = int(document.version)
            crl = x509.load_der_x509_crl(document.content)
            inside = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
            if not (found == inside and found >= max(least, seen)):
                problems.append((least, seen, found, inside))
            seen = found

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for wanted in range(2, 8):
            site.issue(days=1)
            issued.append(wanted)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert problems == []


def test_what_was_read_is_served_while_the_database_is_away(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    file = Path(site.workshop.database.removeprefix("sqlite:///"))
    site.ask(CRL)
    file.rename(file.with_suffix(".away"))
    assert site.ask(CRL).status_code == 200
    assert "is published as it was" in caplog.text
    never_read = site.ask("/SM-Test-Root.CA.1.crl")
    assert (never_read.status_code, never_read.headers["retry-after"]) == (503, "10")
    file.with_suffix(".away").rename(file)
    assert site.ask("/SM-Test-Root.CA.1.crl").status_code == 200


def test_below_another_path(site: Site) -> None:
    scope = {"type": "http", "method": "GET", "path": f"/crls{CRL}", "root_path": "/crls", "headers": []}
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    asyncio.run(site.application(scope, receive, send))
    assert sent[0]["status"] == 200


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.text(max_size=20),
    fields=st.lists(
        st.tuples(st.sampled_from([b"if-none-match", b"if-modified-since", b"range"]), st.binary(max_size=40)),
        max_size=3,
    ),
)
def test_whatever_is_asked_gets_an_answer(site: Site, path: str, fields: list[tuple[bytes, bytes]]) -> None:
    for asked in (path, CRL):
        sent: list[Any] = []

        async def send(message: Any, to: list[Any] = sent) -> None:
            to.append(message)

        scope = {"type": "http", "method": "GET", "path": asked, "headers": fields}
        asyncio.run(site.application(scope, None, send))  # type: ignore[arg-type]
        assert sent[0]["status"] in (200, 304, 404)
        assert "more_body" not in sent[-1]


# over sockets


@asynccontextmanager
async def served(site: Site, **options: Any) -> AsyncIterator[int]:
    async with http_server(site.application, "127.0.0.1", 0, **options) as port:
        yield port


def test_over_a_socket_with_a_large_crl(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow client holds up nobody, and gets all of it."""
    large = bytes(range(256)) * 40_000
    monkeypatch.setattr(Crls, "der", lambda self, record: large)

    async def go() -> None:
        async with served(site) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {CRL} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            await asyncio.sleep(0.2)
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
                response = await client.get("/SM-Test-Root.CA.1.cer")
                assert response.status_code == 200
                assert response.headers["date"]
                assert (await client.get(CRL)).content == large
            answer = await reader.read(-1)
            assert answer.endswith(large)
            writer.close()

    asyncio.run(go())


def test_one_too_many_is_cut_off_and_the_last_answer_is_finished(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    large = bytes(20_000_000)
    monkeypatch.setattr(Crls, "der", lambda self, record: large)

    async def go() -> None:
        async with served(site, most=1) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {CRL} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            begin = await reader.readuntil(b"\r\n\r\n")
            assert begin.startswith(b"HTTP/1.1 200")
            other, one_too_many = await asyncio.open_connection("127.0.0.1", port)
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await other.readexactly(1)
            one_too_many.close()
            rest = asyncio.create_task(reader.read(-1))
        assert len(await rest) == len(large)
        writer.close()

    asyncio.run(go())


def test_a_port_that_is_taken(site: Site) -> None:
    async def go() -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            async with http_server(site.application, "127.0.0.1", other.getsockname()[1]):
                pass

    with pytest.raises(SmpkiError) as raised:
        asyncio.run(go())
    assert raised.value.code == "http.listen"
    assert "in use" in raised.value.message
