"""Key ceremonies: nothing is made but what the reviewed file says, and the protocol says what came of it."""

import hashlib
import json
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from smpki.ca.ceremony import perform
from smpki.ca.ceremony_file import CeremonyFile, read_ceremony
from smpki.ca.ceremony_plan import PlannedStep, Situation, numbers_of, plan
from smpki.ca.home import Settings
from smpki.ca.opening import AUDIT_LABEL
from smpki.ca.protocol import Protocol, signed_protocol
from smpki.ca.sub_cas import SubCaOrder
from smpki.errors import IssuingError
from smpki.policy.load import default_policy_text

EXAMPLE = Path(__file__).parents[2] / "examples" / "ceremony" / "first-root.yaml"
TEXT = EXAMPLE.read_text(encoding="utf-8")
POLICY_SHA256 = hashlib.sha256(default_policy_text().encode()).hexdigest()
RENEWAL = {
    "make": "root-renewal",
    "generation": "2025",
    "keys": [
        {"type": "root", "common_name": "SM-Test-Root.CA", "number": 2, "curve": "brainpoolP512r1", "hash": "sha512"},
        {"type": "crl-signer", "common_name": "SM-Test-Root.CA.CRL-S", "curve": "brainpoolP512r1", "hash": "sha512"},
        *(
            {"type": kind, "common_name": f"SM-Test-Root.CA.{part}", "number": 2, "curve": curve, "hash": hash_name}
            for kind, part, curve, hash_name in (
                ("tls-signer", "TLS-S", "brainpoolP384r1", "sha384"),
                ("root-tls", "TLS", "brainpoolP256r1", "sha256"),
            )
        ),
    ],
}


def sub_ca(organisation: str, number: int, *, make: str = "sub-ca", **more: Any) -> dict[str, Any]:
    names = (("sub-ca", ""), ("sub-ca-tls-root", ".TLS"), ("sub-ca-tls", ".TLS"))
    return {
        "make": make,
        "organisation": organisation,
        "country": "DE",
        "email": "ca@extern.example",
        "uri": "https://ca.extern.example/",
        "generation": "2025",
        "keys": [
            {
                "type": kind,
                "common_name": f"{organisation}.CA{part}",
                "number": number,
                "curve": "brainpoolP256r1" if part else "brainpoolP384r1",
                "hash": "sha256" if part else "sha384",
            }
            for kind, part in names[: 2 if "requests" in more else 3]
        ],
        **more,
    }


def ceremony(*steps: dict[str, Any], **changes: Any) -> CeremonyFile:
    document = {**yaml.safe_load(TEXT), **changes}
    return as_file(document | ({"steps": list(steps)} if steps else {}))


def as_file(document: dict[str, Any]) -> CeremonyFile:
    return read_ceremony(json.dumps(document).encode(), "c.yaml")  # JSON is YAML


def no_files(name: str) -> bytes:
    raise AssertionError(f"nobody named {name}")


def plan_in(workshop: Any, file: CeremonyFile, read: Callable[[str], bytes] = no_files) -> tuple[PlannedStep, ...]:
    with workshop.open() as pki:
        situation = Situation(Settings(environment="test"), pki.policy, POLICY_SHA256, numbers_of(pki.store))
        return plan(file, situation, workshop.now, read)


def hold(workshop: Any, file: CeremonyFile, announce: Any = lambda step: None, read: Any = no_files) -> Protocol:
    with workshop.open() as pki:
        situation = Situation(Settings(environment="test"), pki.policy, POLICY_SHA256, numbers_of(pki.store))
        steps = tuple(perform(plan(file, situation, workshop.now, read), pki, announce))
        return Protocol(file, situation, None, True, steps)


# The file


@pytest.mark.parametrize(
    ("old", "new", "line", "where", "message"),
    [
        ("title:", "titel:", "titel:", "title", "missing"),
        ("place:", "colour: red\nplace:", "colour: red", "colour", "unknown key"),
        ("place:", "place: [here]\n#", "place:", "place", "string"),
        ("environment: test", "environment: best", "environment: best", "environment", "'test'"),
        ("label: smpki", "label: smpki\n  slot: 1", "  slot: 1", "token.slot", "unknown key"),
        ("make: root\n", "make: branch\n", "make: branch", "steps.0", "'root'"),
        ('generation: "2025"', "generation: 2025", "generation: 2025", "steps.0.generation", "string"),
        ("number: 1, curve", 'number: "1", curve', 'number: "1"', "steps.0.keys.0.number", "integer"),
        ("brainpoolP512r1", "brainpoolP512t1", "brainpoolP512t1", "steps.0.keys.0.curve", "table 4"),
        ("email: ca@energy.example\n", "\n", "make: sub-ca\n", "steps.1.email", "missing"),
        ("role: leads", "rolle: leads", "rolle: leads", "witnesses.0.role", "missing"),
        ("policy_sha256: 0123...", "\npolicy_sha256: 012z #", "policy_sha256: 012z", "policy_sha256", "pattern"),
    ],
)
def test_a_file_that_is_wrong_says_where(old: str, new: str, line: str, where: str, message: str) -> None:
    text = TEXT.replace(old, new, 1)
    with pytest.raises(IssuingError) as caught:
        read_ceremony(text.encode(), "c.yaml")
    number = text[: text.index(line)].count("\n") + 1
    assert (caught.value.code, caught.value.where) == ("ceremony.invalid", f"c.yaml:{number}: {where}")
    assert message in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"[]", b"a: 1\na: 2", b"a: &b 1\nc: *b", b"a: !!python/object 1", b"a: ["]
)
def test_no_ceremony(content: bytes) -> None:
    with pytest.raises(IssuingError) as caught:
        read_ceremony(content, "c.yaml")
    assert caught.value.code in ("ceremony.yaml", "ceremony.invalid")


# What is held against policy and PKI


def test_the_example_fits_an_empty_pki(empty_workshop: Any) -> None:
    steps = plan_in(empty_workshop, read_ceremony(TEXT.encode(), "ceremony.yaml"))
    assert [step.title for step in steps] == ["root, generation 2025", "sub-ca Example-Energy.CA, generation 2025"]


DIFFERENCES: dict[str, tuple[Callable[[dict[str, Any]], object], str, str]] = {
    "environment": (lambda file: file.update(environment="production"), "environment", "the PKI's is test"),
    "token": (lambda file: file["token"].update(label="other"), "token.label", "the PKI's is smpki"),
    "module": (lambda file: file["token"].update(module="yubihsm"), "token.module", "the PKI's is SoftHSM"),
    "policy": (lambda file: file.update(policy_sha256="0" * 64), "policy_sha256", "the PKI's is"),
    "generation": (lambda file: file["steps"][0].update(generation="2015"), "steps.0.keys.0.curve", "brainpoolP384r1"),
    "no such generation": (lambda file: file["steps"][0].update(generation="2035"), "steps.0", "no generation"),
    "curve": (lambda file: key(file).update(curve="brainpoolP384r1"), "steps.0.keys.0.curve", "brainpoolP512r1"),
    "hash": (lambda file: key(file).update(hash="sha384"), "steps.0.keys.0.hash", "sha512"),
    "number": (lambda file: key(file).update(number=2), "steps.0.keys.0.number", "would be 1"),
    "name": (lambda file: key(file).update(common_name="SM-Root.CA"), "steps.0.keys.0", "no such key"),
    "a key too many": (lambda file: file["steps"][0]["keys"].append(key(file)), "steps.0.keys.4", "twice"),
    "a key too few": (lambda file: file["steps"][0]["keys"].pop(), "steps.0.keys", "root-tls SM-Test-Root.CA.TLS"),
    "no root": (lambda file: file["steps"].pop(0), "steps.0", "no root"),
    "a second root": (lambda file: file["steps"].append(file["steps"][0]), "steps.2", "there is a SM-Test-Root.CA"),
    "nothing to renew": (lambda file: file["steps"][1].update(make="sub-ca-renewal"), "steps.1", "to be renewed"),
    "organisation": (lambda file: file["steps"][1].update(organisation="Other"), "steps.1.keys.0", "no such key"),
    "bad name": (lambda file: file["steps"][1].update(organisation="X.CA"), "steps.1", "can't stand"),
    "bad contact": (lambda file: file["steps"][1].update(uri="nowhere"), "steps.1", "host"),
}


def key(file: Any) -> Any:
    return file["steps"][0]["keys"][0]


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_file_that_says_something_else_makes_nothing(name: str, empty_workshop: Any) -> None:
    change, path, message = DIFFERENCES[name]
    document = yaml.safe_load(TEXT)
    change(document)
    file = as_file(document)
    before = empty_workshop.tables(), empty_workshop.key_labels
    with pytest.raises(IssuingError) as caught:
        plan_in(empty_workshop, file)
    assert caught.value.code == "ceremony.differs"
    assert caught.value.where == f"c.yaml:1: {path}"
    assert message in caught.value.message
    assert (empty_workshop.tables(), empty_workshop.key_labels) == before


def test_the_other_complaints_are_counted(empty_workshop: Any) -> None:
    file = ceremony(environment="production", token={"label": "other"})
    with pytest.raises(IssuingError) as caught:
        plan_in(empty_workshop, file)
    assert caught.value.message == "the PKI's is test, the file says production (1 more complaints)"


# What comes of it


def test_a_renewal_and_a_sub_ca_below_the_new_root(workshop: Any) -> None:
    workshop.now += timedelta(days=365)
    announced: list[str] = []
    file = ceremony(RENEWAL, sub_ca("Beispiel", 2, make="sub-ca-renewal"), sub_ca("Neu", 1))
    protocol = hold(workshop, file, lambda step: announced.append(step.title))
    assert protocol.is_complete
    assert announced == [record.step.title for record in protocol.steps]
    root, link, *_ = protocol.steps[0].certificates
    assert (root.kind, link.kind) == ("root", "link")
    assert {record.certificates[0].issuer_serial for record in protocol.steps[1:]} == {root.serial}
    workshop.assert_chain_holds()


def test_requests_of_a_sub_ca_that_keeps_its_keys(workshop: Any, empty_workshop: Any) -> None:
    with empty_workshop.open() as pki:
        requests = pki.request_sub_ca(SubCaOrder("Extern"))
    named = {"file": "extern.pem", "sha256": hashlib.sha256(requests).hexdigest()}
    file = ceremony(sub_ca("Extern", 1, requests=named))
    protocol = hold(workshop, file, read={"extern.pem": requests}.__getitem__)
    assert [(one.kind, one.token_key_id) for one in protocol.certificates] == [
        ("sub-ca", None),
        ("sub-ca-tls-root", None),
    ]
    other = ceremony(sub_ca("Extern", 2, make="sub-ca-renewal", requests=named))
    with workshop.nothing_but_audit(entries=0), pytest.raises(IssuingError) as caught:
        plan_in(workshop, other, {"extern.pem": requests + b"\n"}.__getitem__)
    assert (caught.value.code, caught.value.where) == ("ceremony.differs", "c.yaml:1: steps.0.requests.sha256")


def test_a_step_that_is_refused_ends_it(workshop: Any) -> None:
    def announce(step: PlannedStep) -> None:
        if step.place == 2:
            raise IssuingError("ceremony.stopped", "somebody said no")

    protocol = hold(workshop, ceremony(sub_ca("Eins", 1), sub_ca("Zwei", 1), sub_ca("Drei", 1)), announce)
    assert not protocol.is_complete
    assert [record.error.code if record.error else "" for record in protocol.steps] == ["", "ceremony.stopped"]
    assert [one.subject_cn for one in protocol.certificates] == ["Eins.CA", "Eins.CA.TLS", "Eins.CA.TLS"]
    text = signed_protocol(protocol, workshop.key_store.key(label=AUDIT_LABEL))["protocol.txt"].decode()
    assert "STOPPED at step 2 of 3" in text
    assert "REFUSED: somebody said no [ceremony.stopped]" in text


# The protocol


def test_the_protocol_says_what_came_of_it_and_is_signed(workshop: Any) -> None:
    workshop.now += timedelta(days=365)
    protocol = hold(workshop, ceremony(RENEWAL))
    audit_key = workshop.key_store.key(label=AUDIT_LABEL)
    files = signed_protocol(protocol, audit_key)
    assert sorted(files) == [
        *("audit-key.pem", "protocol.html", "protocol.html.sig", "protocol.txt", "protocol.txt.sig"),
    ]
    public_key = load_pem_public_key(files["audit-key.pem"])
    assert public_key == audit_key.public_key() and isinstance(public_key, ec.EllipticCurvePublicKey)
    for name in ("protocol.txt", "protocol.html"):
        public_key.verify(files[f"{name}.sig"], files[name], ec.ECDSA(hashes.SHA256()))
        text = files[name].decode()
        for one in protocol.certificates:
            assert one.serial in text and hashlib.sha256(one.der).hexdigest() in text
            assert (one.token_key_id or "no") in text and one.key_hash in text
        for said in (protocol.file.sha256, POLICY_SHA256, "Erika Mustermann", "Max Mustermann", "room 1.07"):
            assert said in text
        assert "2027-11-22 12:00:00" in text and "SMPKI_CLOCK" in text and "all 1 steps are done" in text


def test_what_the_file_says_can_not_become_markup_or_move_a_terminal(workshop: Any) -> None:
    title = "<script>alert(1)</script>\x1b[2J"
    files = signed_protocol(
        hold(workshop, ceremony(sub_ca("Neu", 1), title=title)), ec.generate_private_key(ec.SECP256R1())
    )
    html, text = files["protocol.html"].decode(), files["protocol.txt"].decode()
    assert "<script>" not in html and "&lt;script&gt;" in html
    assert "\x1b" not in html + text


# At the command line


def test_the_example_at_the_command_line(new_offices: Any, tmp_path: Path) -> None:
    office, out = new_offices(), tmp_path / "out"
    checked = office.run("ceremony", "check", EXAMPLE, "--json")
    assert checked["exit"] == 0, checked["out"]
    assert not office.folder.exists()

    other = tmp_path / "other.yaml"
    other.write_text(TEXT.replace("hash: sha512", "hash: sha384", 1))
    refused = office.run("ceremony", "run", "--yes", other, "--out", out, "--json")
    assert (refused["exit"], json.loads(refused["out"])["error"]["code"]) == (1, "ceremony.differs")
    assert not office.folder.exists() and not out.exists()

    done = office.run("ceremony", "run", "--yes", EXAMPLE, "--out", out, "--json")
    assert done["exit"] == 0, done["out"] + done["err"]
    answer = json.loads(done["out"])
    assert answer["complete"]
    assert answer["sha256"] == {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in out.iterdir()}
    assert (out / "ceremony.yaml").read_bytes() == EXAMPLE.read_bytes()
    made = x509.load_pem_x509_certificates((out / "certificates.pem").read_bytes())
    assert [f"{one.serial_number:x}" for one in made] == [one["serial"] for one in answer["certificates"]]
    assert len(office.key_labels()) == 7 + 1
    for line in ("protocol.txt", "protocol.html"):
        command = (out / line).read_text().partition("openssl dgst")[2].partition("\n")[0].removesuffix("</pre>")
        verified = subprocess.run(["openssl", "dgst", *command.split()], cwd=out, capture_output=True, text=True)
        assert verified.stdout == "Verified OK\n", verified.stderr

    again = office.run("ceremony", "run", "--yes", EXAMPLE, "--out", tmp_path / "again", "--json")
    assert json.loads(again["out"])["error"]["code"] == "ceremony.differs"
    assert not (tmp_path / "again").exists()
    *_, held, refusal = office.tables()["audit"]
    assert (held["action"], held["outcome"], refusal["action"], refusal["outcome"]) == (
        "ceremony",
        "done",
        "ceremony",
        "refused",
    )
    assert answer["sha256"]["protocol.txt"] in held["detail"]


def test_an_earlier_protocol_is_not_overwritten(new_offices: Any, tmp_path: Path) -> None:
    office = new_offices()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "protocol.txt").write_text("of another ceremony")
    refused = office.run("ceremony", "run", "--yes", EXAMPLE, "--out", tmp_path / "out", "--json")
    assert json.loads(refused["out"])["error"]["code"] == "ceremony.folder"
    assert not office.folder.exists()
