"""The delivery record: what it says is signed, and every lie in it is found."""

import json
import re
import shutil
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import BaseModel

from smpki.errors import GatewayError
from smpki.gateway import delivery_record
from smpki.gateway.cms import verify_detached
from smpki.gateway.delivery_check import Trust, check_delivery, check_files
from smpki.gateway.delivery_record import MOST_OCTETS, DeliveryRecord, read_delivery, sign_delivery
from smpki.gateway.json_text import canonical_json

SCHEMA = Path(__file__).parents[3] / "docs" / "delivery-record.schema.json"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, _world_template: Path) -> Any:
    """A factory with a gateway."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", "")
        from factory_program import DeviceId, Plant  # type: ignore[import-not-found]

        folder = tmp_path_factory.mktemp("made")
        plant = Plant(shutil.copytree(_world_template, folder / "world"), folder / "out")
        (report,) = plant.make([DeviceId.parse("EABC0000000001")])
        assert report.error is None
    return plant


@pytest.fixture
def file(made: Any) -> bytes:
    return bytes((made.out / "eabc0000000001" / "delivery.json").read_bytes())


@pytest.fixture
def trust(made: Any) -> Trust:
    roots = x509.load_pem_x509_certificates((made.world / made.maker / "chain.pem").read_bytes())[:1]
    return Trust(tuple(roots), made.now)


@pytest.fixture
def signed(made: Any, file: bytes) -> Callable[..., Any]:
    """``signed(change)``: the record, changed and signed anew by the manufacturer, or by ``signer``."""

    def sign(change: Callable[[DeliveryRecord], DeliveryRecord], signer: Any = None) -> Any:
        signer = signer or made.manufacturer
        record = change(read_delivery(file).record)
        return read_delivery(sign_delivery(record, signer.certificate, signer.key))

    return sign


def codes(delivery: Any, trust: Trust) -> list[tuple[str, str]]:
    return [(finding.code, finding.where) for finding in check_delivery(delivery, trust)]


def part(record: DeliveryRecord, member: str, /, **values: Any) -> DeliveryRecord:
    """The record with other values in one of its parts."""
    return record.model_copy(update={member: getattr(record, member).model_copy(update=values)})


# Reading and writing


def test_the_signature_is_over_the_canonical_json(made: Any, file: bytes) -> None:
    value = json.loads(file)
    assert list(value) == ["record", "signature"]
    content = json.dumps(value["record"], separators=(",", ":"), ensure_ascii=False).encode()
    verify_detached(content, b64decode(value["signature"]), made.manufacturer.certificate)
    assert read_delivery(file).signed == content


@pytest.mark.parametrize("indent", [None, 1, "\t"])
def test_white_space_and_the_order_of_members_do_not_matter(file: bytes, trust: Trust, indent: Any) -> None:
    value = json.loads(file)
    turned = {"signature": value["signature"], "record": value["record"]}
    assert check_delivery(read_delivery(json.dumps(turned, indent=indent).encode()), trust) == ()


def test_the_order_within_the_record_matters(file: bytes, trust: Trust) -> None:
    value = json.loads(file)
    value["record"] = dict(reversed(value["record"].items()))
    assert codes(read_delivery(json.dumps(value).encode()), trust) == [("cms.signature.digest", "signature")]


def test_escapes_are_signed_as_they_are_written(made: Any, file: bytes, trust: Trust) -> None:
    """Not as our own writer would spell them."""
    from smpki.gateway.cms import sign_detached

    record = canonical_json(json.dumps(json.loads(file)["record"]).encode()).replace(b'"gwa"', rb'"\u0067wa"')
    signer = made.manufacturer
    signature = b64encode(sign_detached(record, certificate=signer.certificate, key=signer.key))
    whole = b'{"\\u0072ecord": ' + record + b', "signature": "' + signature + b'"}'
    assert check_delivery(read_delivery(whole), trust) == ()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda file: b"", "delivery.json"),
        (lambda file: b"[]", "delivery.schema"),
        (lambda file: file[:-3], "delivery.json"),
        (lambda file: b"\xff" + file, "delivery.json"),
        (lambda file: file + b" " * MOST_OCTETS, "delivery.size"),
        (lambda file: b"[" * 100_000, "delivery.json"),
        (lambda file: file.replace(b'"version": 1', b'"version": 2'), "delivery.schema"),
        (lambda file: file.replace(b'"version": 1', b'"version": true'), "delivery.schema"),
        (lambda file: file.replace(b'"version": 1', b'"version": 1, "version": 1'), "delivery.json"),
        (lambda file: file.replace(b'"version": 1', b'"version": 1, "more": 1'), "delivery.schema"),
        (lambda file: file.replace(b'"version": 1,', b""), "delivery.schema"),
        (lambda file: file.replace(b"eabc0000000001", b"EABC0000000001", 1), "delivery.schema"),
        (lambda file: file.replace(b"eabc0000000001", b"eabc000000000x", 1), "delivery.schema"),
        (lambda file: file.replace(b"BEGIN CERT", b"BEGIN CART"), "delivery.schema"),
        (lambda file: re.sub(rb'"createdAt": "[^"]*"', b'"createdAt": "2026-11-22T12:00:00"', file), "delivery.schema"),
        (lambda file: re.sub(rb'"signature": "[^"]*"', b'"signature": "!"', file), "delivery.schema"),
        (lambda file: re.sub(rb'"package": "[^"]*"', b'"package": "00"', file), "delivery.schema"),
    ],
)
def test_what_is_no_record_is_refused(file: bytes, change: Callable[[bytes], bytes], code: str) -> None:
    with pytest.raises(GatewayError) as refused:
        read_delivery(change(file), "a file")
    assert (refused.value.code, refused.value.where) == (code, "a file")


# What is found


def test_a_record_that_holds(file: bytes, trust: Trust, made: Any) -> None:
    delivery = read_delivery(file)
    assert check_delivery(delivery, trust) == ()
    assert check_delivery(delivery, replace(trust, manufacturer=made.manufacturer.certificate)) == ()


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value["record"]["module"].update(serial="00"),
        lambda value: value["record"]["gateway"].update(manufacturer="Hersteller.GWH "),
        lambda value: value["record"]["chain"].append(value["record"]["chain"][0]),
    ],
)
def test_a_change_is_found(file: bytes, trust: Trust, change: Callable[[Any], None]) -> None:
    value = json.loads(file)
    change(value)
    assert ("cms.signature.digest", "signature") in codes(read_delivery(json.dumps(value).encode()), trust)


def test_a_signature_that_is_none(file: bytes, trust: Trust, made: Any) -> None:
    value = json.loads(file)
    value["signature"] = b64encode(b"nothing").decode()
    delivery = read_delivery(json.dumps(value).encode())
    assert codes(delivery, trust) == [("delivery.signature.certificate", "signature")]
    expected = replace(trust, manufacturer=made.manufacturer.certificate)
    assert [code for code, _ in codes(delivery, expected)] == ["cms.encoding.truncated"]


def test_a_signature_that_was_changed(file: bytes, trust: Trust) -> None:
    value = json.loads(file)
    signature = bytearray(b64decode(value["signature"]))
    signature[-1] ^= 1
    value["signature"] = b64encode(signature).decode()
    assert codes(read_delivery(json.dumps(value).encode()), trust) == [("cms.signature.invalid", "signature")]


def test_another_manufacturer(file: bytes, trust: Trust, made: Any, signed: Any) -> None:
    other = replace(made, maker="Anderer.GWH").manufacturer
    assert codes(read_delivery(file), replace(trust, manufacturer=other.certificate)) == [
        ("delivery.manufacturer.other", "signature")
    ]
    assert codes(signed(lambda record: record, other), trust) == [("delivery.manufacturer.name", "signature")]


def test_a_signer_who_is_no_manufacturer(trust: Trust, made: Any, signed: Any) -> None:
    administrator = replace(made, maker="Verwalter.GWA").manufacturer
    change = lambda record: part(record, "gateway", manufacturer="Verwalter.GWA")  # noqa: E731
    assert codes(signed(change, administrator), trust) == [("trust.role.name", "signature")]


def test_a_root_that_is_not_trusted(file: bytes, trust: Trust, made: Any) -> None:
    stranger = replace(made, maker="Neu.GWA").manufacturer.certificate
    found = codes(read_delivery(file), replace(trust, roots=(stranger,)))
    assert ("delivery.anchor.unknown", "trustAnchors.0") in found
    assert {where for code, where in found if code.startswith("trust.")} == {
        *("certificates.tls", "certificates.sig", "certificates.enc"),
        *("gwa.tls", "gwa.sig", "gwa.enc", "signature"),
    }


def test_times(file: bytes, trust: Trust) -> None:
    early = codes(read_delivery(file), replace(trust, at=trust.at - timedelta(seconds=1)))
    assert ("delivery.created.future", "createdAt") in early
    late = codes(read_delivery(file), replace(trust, at=trust.at + timedelta(days=3000)))
    assert {where for _, where in late} >= {"certificates.sig", "gwa.sig", "signature"}


def test_certificates_that_are_revoked(file: bytes, trust: Trust, made: Any) -> None:
    with made.pki() as pki:
        serial = f"{made.manufacturer.certificate.serial_number:032x}"
        pki.revocations.revoke([serial], "cessation_of_operation")
        issued = [outcome.record for outcome in pki.crls.issue()]
        lists = [x509.load_der_x509_crl(pki.store.crls.der(record)) for record in issued]
        signers = [x509.load_der_x509_certificate(one.der) for one in pki.store.of_kinds(["crl-signer"])]
    found = codes(read_delivery(file), replace(trust, crls=tuple(lists), untrusted=tuple(signers)))
    assert found == [("trust.certificate.revoked", "signature")]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            lambda record: part(record, "gateway", id=replace(record.gateway.id, number=2)),
            [("delivery.gateway.id", "certificates")],
        ),
        (lambda record: part(record, "gwa", name="Neu.GWA"), [("delivery.gwa.name", "gwa")]),
        (
            lambda record: part(record, "certificates", tls=record.certificates.sig),
            [
                ("trust.use.extended_key_usage", "certificates.tls"),
                ("delivery.triple.key", "certificates"),
            ],
        ),
        (
            lambda record: part(record, "certificates", enc=record.gwa.enc),
            [("trust.role.name", "certificates.enc"), ("delivery.triple.holder", "certificates")],
        ),
        (
            lambda record: record.model_copy(update={"certificates": record.gwa}),
            [
                *(("trust.role.name", f"certificates.{use}") for use in ("tls", "sig", "enc")),
                ("delivery.gateway.id", "certificates"),
            ],
        ),
        (
            lambda record: record.model_copy(update={"trust_anchors": record.chain}),
            [("delivery.anchor.unknown", "trustAnchors.1")],
        ),
    ],
)
def test_a_manufacturer_who_signs_what_does_not_fit(
    trust: Trust, signed: Any, change: Callable[[DeliveryRecord], DeliveryRecord], found: list[tuple[str, str]]
) -> None:
    assert codes(signed(change), trust) == found


def test_no_two_records_of_one_gateway(file: bytes, trust: Trust) -> None:
    first, again, broken = check_files({"first": file, "again": file, "broken": b"{}"}, trust)
    assert (first.findings, str(first)) == ((), "valid: eabc0000000001, first")
    assert [finding.code for finding in again.findings] == ["delivery.gateway.twice"]
    assert "because" in str(again)
    assert [finding.code for finding in broken.findings] == ["delivery.schema"]
    assert (broken.device, broken.as_dict()["valid"]) == (None, False)


# The schema


def models() -> dict[str, type[BaseModel]]:
    found = vars(delivery_record).values()
    return {one.__name__: one for one in found if isinstance(one, type) and issubclass(one, BaseModel)}


def test_the_schema_in_the_docs_is_that_of_the_reader() -> None:
    """Same members, the same of them required, none beside them; in each object."""
    schema = json.loads(SCHEMA.read_text())
    members = {"record", "signature"}
    assert schema["properties"].keys() == set(schema["required"]) == members
    objects = {name[0].upper() + name[1:]: one for name, one in schema["$defs"].items()}
    described = {name: one for name, one in objects.items() if one.get("type") == "object"}
    assert described.keys() == {"DeliveryRecord", "Gateway", "Triple", "Administrator", "Module"}
    for name, one in described.items():
        fields = {field.alias or key: field for key, field in models()[name].model_fields.items()}
        assert one["properties"].keys() == fields.keys(), name
        assert set(one["required"]) == {key for key, field in fields.items() if field.is_required()}, name
        assert one["additionalProperties"] is False


def test_the_schemas_patterns_fit_a_real_record(file: bytes) -> None:
    """Each text of a record fits the pattern that the schema has for it."""
    schema, count = json.loads(SCHEMA.read_text()), 0

    def walk(rule: dict[str, Any], value: Any) -> None:
        nonlocal count
        if "$ref" in rule:
            rule = schema["$defs"][rule["$ref"].rpartition("/")[2]]
        if isinstance(value, dict):
            for name, each in value.items():
                walk(rule["properties"][name], each)
        elif isinstance(value, list):
            for each in value:
                walk(rule["items"], each)
        elif "pattern" in rule:
            count += 1
            assert re.search(rule["pattern"], value), rule
        elif "const" in rule:
            assert value == rule["const"]

    walk(schema, json.loads(file))
    assert count >= 12


def test_certificates_leave_as_they_came(file: bytes) -> None:
    record = read_delivery(file).record
    pem = json.loads(file)["record"]["certificates"]["sig"]
    assert record.certificates.sig.public_bytes(Encoding.PEM).decode() == pem


def test_openssl_verifies_the_signature(file: bytes, tmp_path: Path) -> None:
    value = json.loads(file)
    content, signature = tmp_path / "record", tmp_path / "signature"
    content.write_text(json.dumps(value["record"], separators=(",", ":")))
    signature.write_bytes(b64decode(value["signature"]))
    command = ["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-noverify", "-out", "/dev/null"]
    for text, code in ((content.read_text(), 0), (content.read_text() + " ", 4)):
        content.write_text(text)
        done = subprocess.run([*command, "-in", signature, "-content", content], capture_output=True)
        assert done.returncode == code, done.stderr
