"""The participant's commands against a service that runs: ``--send``, ``request send``, ``participant ...``."""

import asyncio
import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.participant.granted import Granted
from smpki.participant.key_files import write_keys
from smpki.participant.sending import store_triple
from smpki_cli.main import main


@contextmanager
def serving(world: Any) -> Iterator[str]:
    """The service in a thread; its URL."""
    started, stop = threading.Event(), asyncio.Event()
    place: dict[str, Any] = {}

    async def serve() -> None:
        async with world.service() as service:
            place.update(loop=asyncio.get_running_loop(), port=service.server.port)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(60)
    try:
        yield f"https://127.0.0.1:{place['port']}/"
    finally:
        place["loop"].call_soon_threadsafe(stop.set)
        thread.join()


class Desk:
    """A participant with files, at the command line."""

    def __init__(self, world: Any, folder: Path, cn: str = "Firma.EMT.MAK", **registered: Any) -> None:
        self.world = world
        self.folder = folder
        self.who = world.register(cn, **registered)
        self.own = folder / "own"
        write_keys(self.own, self.who.keys)
        tls, sig, enc = self.who.certificates
        store_triple(self.own, Granted(tls, sig, enc, self.who.chain))

    def __call__(self, *words: object, ends: int = 0) -> Any:
        printed = self.printed(*words, ends=ends)
        return json.loads(printed) if printed else None

    def printed(self, *words: object, ends: int = 0) -> str:
        environment = {"SMPKI_CLOCK": self.world.workshop.now.isoformat()}
        line = ["--home", str(self.folder / "none"), *map(str, words), "--json"]
        done = CliRunner().invoke(main, line, env=environment, catch_exceptions=False)
        assert done.exit_code == ends, done.output
        return done.stdout

    def refused(self, *words: object) -> str:
        code: str = self(*words, ends=1)["error"]["code"]
        return code

    def triples(self) -> int:
        """How many the CA has issued to it."""
        cn = self.who.certificates[0].subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
        rows = self.world.workshop.tables()["certificate"]
        return len([row for row in rows if row["subject_cn"] == cn]) // 3


@pytest.fixture
def desk(world: Any, tmp_path: Path) -> Desk:
    return Desk(world, tmp_path / "desk")


def serial(folder: Path) -> int:
    return int(x509.load_pem_x509_certificate((folder / "sig.pem").read_bytes()).serial_number)


def test_a_participant_renews_asks_and_revokes(desk: Desk) -> None:
    desk.world.near_the_end()
    new, chain = desk.folder / "new", desk.folder / "chain.pem"
    with serving(desk.world) as url:
        ask = ["--url", url, "--as", desk.own]
        assert desk("participant", "status", *ask)["works"]
        line = ["request", "renew", desk.own, "--out", new, "--send", url]
        sent = desk(*line)
        assert sent["state"] == "stored"
        assert sorted(Path(one).name for one in sent["files"]) == [
            *("chain.pem", "enc.key", "enc.pem", "request.der", "sig.key", "sig.pem", "tls.key", "tls.pem")
        ]
        text = desk.folder / "package.txt"  # the same package in other armour
        text.write_bytes(base64.encodebytes((new / "request.der").read_bytes()))
        again = desk("request", "send", text, *ask, "--out", desk.folder / "copy")
        assert again["state"] == desk(*line)["state"] == "stored"
        assert serial(desk.folder / "copy") == serial(new) != serial(desk.own)
        desk("participant", "chain", *ask, "--out", chain)
        assert chain.read_bytes() == (new / "chain.pem").read_bytes()
        unknown = ["--issuer", "CN=Niemand.CA, O=SM-Test-PKI-DE"]
        assert desk.refused("participant", "chain", *ask, *unknown, "--out", chain).endswith("cert_not_available")

        other = ["--server-certificate", desk.own / "tls.pem"]
        assert desk.refused("participant", "status", *ask, *other) == "tls.peer.unknown"
        assert desk.refused("participant", "status", *ask, "--crls", desk.folder) == "trust.crl.missing"

        out = ["--out", desk.folder / "revocation.der", "--send", url]
        request = ["revocation-request", new, "--reason", "superseded", "--signer", desk.own]
        assert desk(*request, *out)["state"] == "done"
        assert desk.refused("participant", "status", "--url", url, "--as", new) == "tls.alert"
    assert desk.triples() == 2


def test_an_administrator_hands_over_by_the_web_service(world: Any, tmp_path: Path) -> None:
    desk = Desk(world, tmp_path / "desk", "Verwalter.GWA", OU=None)
    world.administrator("Neu.GWA")
    gateway = desk.folder / "gateway"
    line = ["--cn", "EABC0012345678.SMGW", "--ou", "Verwalter.GWA", "--role", "smgw-w"]
    desk("request", "new", *line, "--out", gateway)
    authorised = gateway / "authorised.der"
    desk("request", "authorise", gateway / "request.der", "--signer", desk.own, "--out", authorised)
    with serving(world) as url:
        assert desk("request", "send", authorised, "--url", url, "--as", desk.own)["state"] == "stored"
        assert serial(gateway)
        handed = ["device-admin", "EABC0012345678.SMGW", "--to", "Neu.GWA", "--signer", desk.own]
        assert desk(*handed, "--out", gateway / "handed.der", "--send", url)["state"] == "done"
        suspension = ["revocation-request", gateway, "--reason", "certificate-hold", "--signer", desk.own]
        late = [*suspension, "--out", gateway / "late.der", "--send", url]
        assert desk.refused(*late) == "web_service.failure_request_not_accepted"


def test_the_watcher_renews_once_over_crashes(desk: Desk) -> None:
    due = desk.folder / "due"
    watch = ["participant", "watch", desk.own, "--prepare", due]
    with serving(desk.world) as url:
        early = desk(*watch, "--send", url)
        assert (early["prepared"], early["renewed"]) == ([], [])
    desk.world.near_the_end()
    prepared = desk(*watch, ends=3)["prepared"]  # it dies before it sends
    (folder,) = due.iterdir()
    package, key = (folder / "request.der").read_bytes(), (folder / "sig.key").read_bytes()
    assert prepared[0]["package"] == str(folder / "request.der")
    down = desk(*watch, "--send", "https://127.0.0.1:9/", "--tries", "1", ends=1)  # nobody is there
    assert down["renewed"][0]["error"]["code"] == "tls.transport.unreachable"
    with serving(desk.world) as url:
        first = desk(*watch, "--send", url)
        assert first["renewed"][0]["state"] == "stored"
        new = serial(folder)
        for file in folder.glob("*.pem"):  # it died before the triple was kept
            file.unlink()
        assert desk(*watch, "--send", url)["renewed"][0]["state"] == "stored"
        last = desk(*watch, "--send", url)
    assert (last["prepared"], last["renewed"]) == ([], [])
    assert {one["state"] for one in last["certificates"] if str(desk.own) in one["file"]} == {"replaced", "valid"}
    assert serial(folder) == new
    assert ((folder / "request.der").read_bytes(), (folder / "sig.key").read_bytes()) == (package, key)
    assert desk.triples() == 2
    assert x509.load_pem_x509_certificate((desk.own / "sig.pem").read_bytes()) == desk.who.certificates[1]


def test_keys_without_their_package_were_never_sent_and_are_made_anew(desk: Desk) -> None:
    desk.world.near_the_end()
    watch = ["participant", "watch", desk.own, "--prepare", desk.folder / "due"]
    own = desk.who.certificates[1]
    draft = desk.folder / "due" / f".Firma.EMT.MAK-{own.serial_number:x}"
    write_keys(draft, desk.world.make_keys())  # it died between keys and package
    desk(*watch, ends=3)
    (folder,) = (desk.folder / "due").iterdir()
    assert folder.name == draft.name[1:]
    assert sorted(file.name for file in folder.iterdir()) == ["enc.key", "request.der", "sig.key", "tls.key"]


def test_a_renewal_that_is_answered_later(world: Any, changed_policy: Any, tmp_path: Path) -> None:
    desk = Desk(world, tmp_path / "desk", url="https://127.0.0.1:9/results")
    world.near_the_end()
    world.options["policy"] = changed_policy({"issuing.manual_approval": ["emt"]})
    watch = ["participant", "watch", desk.own, "--prepare", desk.folder / "due"]
    pending = ["--pending", desk.folder / "pending"]
    with serving(world) as url:
        refused = desk(*watch, "--send", url, ends=1)["renewed"][0]["error"]
        assert refused["code"] == "web_service.failure_synchronous_processing_not_possible"
        for _ in range(2):
            assert desk(*watch, "--send", url, *pending, ends=3)["renewed"][0]["state"] == "pending"
    (request,) = desk("participant", "pending", desk.folder / "pending")["requests"]
    assert (request["status"], request["url"]) == (None, url)
    assert request["folder"] == desk(*watch, ends=3)["prepared"][0]["package"].rpartition("/")[0]
    assert desk("participant", "receive", "--as", desk.own, *pending, "--listen", "127.0.0.1:0", "--for", 0)["ready"]


def test_who_is_not_told_whom_to_trust(desk: Desk, other_pki: Any) -> None:
    chain = desk.own / "chain.pem"
    roots, wrong = desk.folder / "roots.pem", desk.folder / "wrong.pem"
    wrong.write_bytes(other_pki().register().chain[0].public_bytes(Encoding.PEM))
    chain.rename(roots)
    with serving(desk.world) as url:
        ask = ["participant", "status", "--url", url, "--as", desk.own]
        assert desk.refused(*ask) == "web_service.trust"
        assert desk.refused(*ask, "--trust", wrong).startswith("trust.path.")
        assert desk(*ask, "--trust", roots)["works"]
    assert desk.refused("participant", "status", "--url", "http://ca.example", "--as", desk.own, "--trust", roots) == (
        "web_service.url"
    )


def test_a_manufacturer_has_gateways_certified(world: Any, tmp_path: Path) -> None:
    desk = Desk(world, tmp_path / "desk", "Hersteller.GWH", OU=None)
    administrator = Desk(world, tmp_path / "administrator", "Verwalter.GWA", OU=None)
    parties = ["--gwh", desk.own, "--gwa", administrator.own, "--manufacturer", "ABC", "--out", desk.folder / "out"]
    places = ["--management", "gwa.example:1", "--admin", "gwa.example:2", "--time", "gwa.example:3"]
    with serving(world) as url:
        line = ["gateway", "provision", *parties, *places, "--url", url]
        assert counts(desk.printed(*line, "--count", 2)) == {"provisioned": 2, "known": 0, "failed": 0}
        (desk.folder / "out" / "eabc0000000002" / "delivery.json").unlink()  # as if it had been killed before
        assert counts(desk.printed(*line, "--count", 3)) == {"provisioned": 2, "known": 1, "failed": 0}
        other = ["--manufacturer", "ABD", "--out", desk.folder / "other", "--gwh", administrator.own]
        assert desk.refused(*line, *other, "--count", 1) == "provision.gwh.role"
    records = sorted((desk.folder / "out").glob("*/delivery.json"))
    root = desk.folder / "out" / "eabc0000000001" / "root.pem"
    assert desk("gateway", "check-delivery", *records, "--trust", root)["valid"]
    rows = world.workshop.tables()["certificate"]
    assert len([row for row in rows if row["subject_cn"].endswith(".SMGW")]) == 9
    line[-1] = "https://127.0.0.1:1/"
    assert desk.refused(*line, "--count", 4) == "tls.transport.unreachable"


def counts(printed: str) -> dict[str, int]:
    """What the factory says in the end."""
    last = json.loads(printed.splitlines()[-1])
    return {name: last[name] for name in ("provisioned", "known", "failed")}
