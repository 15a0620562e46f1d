"""The portal in a real browser: its stories by mouse and keyboard, passkeys, and that axe finds nothing to complain of.

With SMPKI_SCREENSHOTS=FOLDER the pages are kept as pictures, for the docs.
"""

import asyncio
import io
import os
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from smpki.errors import TlsError
from smpki.service.accounts.actor import Role
from smpki.service.people import Address, people_server
from smpki.service.portal.rooms import whole_portal
from smpki.service.portal.site import Site
from smpki.service.web.server import prepare
from smpki.tls import http_client
from smpki.tls.endpoint import Endpoint
from smpki.tls.profile import WAN_CLIENT

CHROMIUM = "/usr/bin/chromium"
PASSWORD = "correct horse battery staple"
SECONDS = 60_000
"""Milliseconds that a page may take beside other work."""


@contextmanager
def serving(town: Any) -> Iterator[str]:
    """The portal on a port of its own, in a thread; its address."""
    started: Any = threading.Event()
    box: dict[str, Any] = {}

    async def run() -> None:
        box["end"] = asyncio.Event()
        box["loop"] = asyncio.get_running_loop()
        trials = prepare(town.desk.pki, town.world.settings).trials()
        pages = whole_portal(Site(town.desk, None, trials))
        async with people_server(town.desk, Address("127.0.0.1", 0), pages) as port:
            box["port"] = port
            started.set()
            await box["end"].wait()
        trials.close()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert started.wait(60)
    try:
        yield f"http://localhost:{box['port']}"
    finally:
        box["loop"].call_soon_threadsafe(box["end"].set)
        thread.join()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


class Visitor:
    """A person with a browser window; ``seen`` looks at each page as axe does."""

    def __init__(self, context: BrowserContext, origin: str) -> None:
        context.set_default_timeout(SECONDS)
        self.context = context
        self.page: Page = context.new_page()
        self.origin = origin

    def go(self, path: str) -> "Visitor":
        self.page.goto(self.origin + path)
        return self

    def seen(self, name: str) -> "Visitor":
        found = Axe().run(self.page)
        assert found.violations_count == 0, f"{name}: {found.generate_report()}"
        if folder := os.environ.get("SMPKI_SCREENSHOTS"):
            self.page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)
        return self

    def fill(self, **values: str) -> "Visitor":
        for name, value in values.items():
            field = self.page.locator(f"[name={name}]").first
            if field.evaluate("one => one.tagName") == "SELECT":
                field.select_option(value)
            else:
                field.fill(value)
        return self

    def press(self, name: str) -> "Visitor":
        self.page.get_by_role("button", name=name, exact=True).click()
        return self

    def follow(self, name: str) -> "Visitor":
        self.page.get_by_role("link", name=name, exact=True).first.click()
        return self

    def shows(self, text: str) -> "Visitor":
        expect(self.page.get_by_text(text).first).to_be_visible(timeout=SECONDS)
        return self

    def log_in(self, name: str) -> "Visitor":
        return self.go("/login").fill(name=name, password=PASSWORD).press("Log in")


@pytest.fixture
def visitors(town: Any, chromium: Any) -> Iterator[Callable[..., Visitor]]:
    """Call it for a visitor with a browser of its own."""
    with serving(town) as origin:
        contexts: list[BrowserContext] = []

        def arrive(language: str = "en-GB") -> Visitor:
            contexts.append(chromium.new_context(locale=language, viewport={"width": 1200, "height": 800}))
            return Visitor(contexts[-1], origin)

        yield arrive
        for context in contexts:
            context.close()


def test_from_registration_to_the_triple_to_the_revocation_list(
    town: Any, visitors: Callable[..., Visitor], tmp_path: Path
) -> None:
    world = town.world
    town.account("olga", Role.OPERATOR)
    town.account("anna", Role.AUDITOR)

    rita = visitors("de-DE").go("/").seen("start").follow("Registrieren").seen("registration")
    rita.fill(
        organisation="Firma", role="emt", extension="MAK", partner_id="9900000000001", contact="post@firma.example"
    )
    rita.press("Registrieren").shows("wartet auf die Operatoren").seen("registered")
    claim = rita.page.locator("#claim").inner_text()

    olga = visitors().log_in("olga").shows("What is to be done").seen("operator")
    olga.follow("Firma.EMT.MAK").seen("decision").press("Approve").shows("approved")

    rita.go("/registered").fill(claim=claim).press("Anzeigen").shows("Sie sind genehmigt").press("Passwort setzen")
    rita.fill(password=PASSWORD, again=PASSWORD).seen("invitation").press("Passwort setzen und anmelden")
    rita.shows("Sie haben noch keine Zertifikate")

    keys = world.make_keys()
    good, bad = tmp_path / "request.der", tmp_path / "bad.der"
    good.write_bytes(world.packages.make("Firma.EMT.MAK", keys=keys))
    bad.write_bytes(world.packages.make("Firma.EMT.MAK", OU="12"))
    rita.follow("Beantragen").page.set_input_files("[name=package]", bad)
    rita.press("Prüfen und einreichen").shows("Was gefunden wurde").shows("Fehler").seen("findings")
    rita.page.set_input_files("[name=package]", good)
    rita.press("Prüfen und einreichen").shows("Die Zertifikate sind ausgestellt.").seen("package")
    with rita.page.expect_download() as download:
        rita.follow("Alle als ZIP")
    with zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes())) as archive:
        tls = x509.load_pem_x509_certificate(archive.read("tls.pem"))
    assert tls.public_key() == keys.tls.public_key()

    rita.follow("Meine Zertifikate").shows("Tripel 1").seen("certificates")
    rita.follow("TLS: Verbindungen").shows("Erweiterungen").seen("certificate")
    rita.follow("Kalender").seen("calendar")
    rita.go("/home").follow("Zurücknehmen").seen("revocation")
    rita.page.get_by_label("durch ein anderes Zertifikat ersetzt").check()
    rita.press("Zurücknehmen").shows("Es steht auf der nächsten Sperrliste.")

    olga.follow("PKI").press("Issue new revocation lists now").seen("hierarchy")
    with olga.page.expect_download() as download:
        olga.page.locator("a[href^='/crls/']").last.click()
    crl = x509.load_der_x509_crl(Path(download.value.path()).read_bytes())
    assert crl.get_revoked_certificate_by_serial_number(tls.serial_number) is not None

    anna = visitors().log_in("anna").follow("Audit").seen("audit")
    anna.press("Verify the whole chain").shows("It holds, from its first entry to its last.").seen("verified")
    anna.follow("Registrations").follow("1").shows("approved")
    assert anna.page.get_by_role("button", name="Approve").count() == 0
    anna.follow("Certificates").shows("Firma.EMT.MAK").seen("all-certificates")
    anna.follow("Accounts").seen("accounts")
    assert anna.page.get_by_role("button", name="Invite").count() == 0


def test_by_keyboard_alone(town: Any, visitors: Callable[..., Visitor]) -> None:
    town.account("paul", Role.PARTICIPANT, "Firma.EMT")
    paul = visitors().go("/login")
    keyboard = paul.page.keyboard

    def focus(what: str) -> None:
        for _ in range(30):
            keyboard.press("Tab")
            if paul.page.evaluate("document.activeElement.matches(`" + what + "`)"):
                return
        raise AssertionError(f"{what} can't be reached by Tab")

    focus("a.skip")
    keyboard.press("Enter")
    focus("input[name=name]")
    keyboard.type("paul")
    focus("input[name=password]")
    keyboard.type(PASSWORD)
    keyboard.press("Enter")
    paul.shows("Certificates of Firma.EMT")
    focus("nav a[href='/tryout']")
    keyboard.press("Enter")
    paul.shows("My TLS client")


def test_a_passkey_lets_somebody_in(town: Any, visitors: Callable[..., Visitor]) -> None:
    town.account("paul", Role.PARTICIPANT, "Firma.EMT")
    paul = visitors().log_in("paul")
    devtools = paul.context.new_cdp_session(paul.page)
    devtools.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
    devtools.send(
        "WebAuthn.addVirtualAuthenticator",
        {"options": {**options, "isUserVerified": True, "automaticPresenceSimulation": True}},
    )
    paul.follow("Access").page.get_by_label("Name of the passkey").fill("laptop")
    paul.press("Add a passkey").shows("laptop,").seen("access")
    paul.press("Log out").shows("Test certificates for market participants")
    paul.go("/login").press("Log in with a passkey").shows("Certificates of Firma.EMT")
    paul.follow("Access").page.get_by_role("button", name="Remove passkey laptop").click()
    expect(paul.page.get_by_text("laptop,")).to_have_count(0)
    paul.press("Log out").go("/login").press("Log in with a passkey")
    paul.shows("this passkey is not one that holds here")


def test_a_tls_client_and_a_message_are_tried(town: Any, visitors: Callable[..., Visitor], tmp_path: Path) -> None:
    world = town.world
    participant = world.register("Firma.EMT")
    town.account("paul", Role.PARTICIPANT, "Firma.EMT")
    paul = visitors("de-DE").go("/login").fill(name="paul", password=PASSWORD).press("Anmelden")
    paul.follow("Selbsttests").seen("self-tests").follow("Mein TLS-Client").press("Für fünf Minuten einen Port öffnen")
    host, _, port = paul.page.locator("#address").inner_text().partition(":")

    async def connect(identity: Any) -> None:
        endpoint = Endpoint(WAN_CLIENT, identity, lambda _: None, clock=lambda: world.workshop.now)
        with suppress(TlsError, httpx.HTTPError):
            async with http_client.client(endpoint, host, int(port)) as client:
                await client.get("/")

    thread = threading.Thread(target=lambda: asyncio.run(connect(participant.identity)))  # Playwright has a loop here
    thread.start()
    thread.join()
    with suppress(httpx.HTTPError):
        httpx.get(f"https://{host}:{port}/", verify=False)
    paul.follow("Ansehen, was gekommen ist").shows("Der Handshake ist gelungen: TLS 1.3")
    paul.shows("Der Handshake ist gescheitert:").shows("Kurven fehlen, die angeboten werden müssen").seen("tls-client")

    file = tmp_path / "tls.der"
    file.write_bytes(participant.certificates[0].public_bytes(Encoding.DER))
    paul.go("/tryout/file").page.set_input_files("[name=file]", file)
    paul.press("Ansehen").shows("Erweiterungen").seen("file")
