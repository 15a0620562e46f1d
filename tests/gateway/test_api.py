"""The bodies of the gateway's interfaces: what they take, what they refuse, and that they come back as they went."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from smpki.gateway.api import (
    Administrator,
    CommunicationProfile,
    Delivery,
    EvaluationProfile,
    MeterProfile,
    PrepareWanKeys,
    WanKeys,
)
from smpki.gateway.api_types import split_address, to_pem
from smpki.gateway.readings import Obis, Reading
from smpki.policy.device_id import DeviceId

METER = DeviceId.parse("1ABC0012345678")
GATEWAY = DeviceId.parse("EABC0000000001")
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def certificate(make_certificate: Callable[..., x509.Certificate]) -> x509.Certificate:
    return make_certificate(ec.generate_private_key(ec.BrainpoolP256R1()).public_key())


def _profile(certificate: x509.Certificate, **changes: Any) -> str:
    pem = to_pem(certificate)
    value = {"name": "supplier", "url": "https://emt.example:8443/d", "tls": pem, "enc": pem, **changes}
    return json.dumps(value)


def test_bodies_come_back_as_they_went(certificate: x509.Certificate) -> None:
    reading = Reading(METER, Obis.parse("1-0:1.8.0"), NOON, 2**64 - 1, -1, 30, 0xA000000020000000)
    bodies = (
        CommunicationProfile.model_validate_json(_profile(certificate)),
        MeterProfile(meter=METER, obis=(Obis.parse("1-0:1.8.0"),), unit=30),
        EvaluationProfile(
            name="load", meter=METER, obis=(Obis.parse("1-0:1.8.0"),), recipients=("supplier",), start=NOON
        ),
        Administrator(
            name="Verwalter.GWA",
            management="gwa.example:1",
            admin_service="[::1]:2",
            time="10.0.0.1:3",
            tls=(certificate,),
            sig=(certificate,),
        ),
        PrepareWanKeys(kind="renewal"),
        WanKeys(package=b"\x30\x00"),
        Delivery(delivery_id="1", gateway=GATEWAY, recipient="supplier", created_at=NOON, readings=(reading,)),
    )
    for body in bodies:
        assert type(body).model_validate_json(body.to_json()) == body


def test_devices_registers_and_moments_are_text_in_json() -> None:
    profile = json.loads(MeterProfile(meter=METER, obis=(Obis.parse("1-0:1.8.0"),)).to_json())
    assert (profile["meter"], profile["obis"]) == ("1abc0012345678", ["1-0:1.8.0*255"])
    assert json.loads(WanKeys(package=b"\xff").to_json()) == {"package": "/w=="}


@pytest.mark.parametrize(
    "changes",
    [
        {"more": 1},
        {"name": "no spaces"},
        {"name": ""},
        {"url": "http://emt.example:80/d"},
        {"url": "https://emt.example/d"},
        {"url": "https://user@emt.example:1/d"},
        {"url": "https://emt.example:70000/d"},
        {"url": "https://emt.example:1/d#part"},
        {"url": "https://emt.example:1"},
        {"url": "https://emt.example:1/list/"},
        {"tls": "no certificate"},
        {"tls": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
        {"enc": None},
        {"suite": "rot13"},
        {"compress": "yes"},
        {"schedule_seconds": 0},
        {"schedule_seconds": "900"},
        {"enabled": 1},
    ],
)
def test_a_communication_profile_is_read_strictly(certificate: x509.Certificate, changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CommunicationProfile.model_validate_json(_profile(certificate, **changes))


def test_two_certificates_are_not_one(certificate: x509.Certificate) -> None:
    with pytest.raises(ValidationError, match="2 certificates"):
        CommunicationProfile.model_validate_json(_profile(certificate, tls=to_pem(certificate) * 2))


@pytest.mark.parametrize(
    "changes",
    [
        {"meter": "1ABC0012345678"},
        {"meter": "nobody"},
        {"obis": []},
        {"obis": ["1.8.0"]},
        {"unit": 256},
        {"registration_period_seconds": 0},
    ],
)
def test_a_meter_profile_is_read_strictly(changes: dict[str, Any]) -> None:
    good = {"meter": "1abc0012345678", "obis": ["1-0:1.8.0"]}
    MeterProfile.model_validate_json(json.dumps(good))
    with pytest.raises(ValidationError):
        MeterProfile.model_validate_json(json.dumps({**good, **changes}))


@pytest.mark.parametrize(
    "changes", [{"start": "2026-11-22T12:00:00"}, {"end": "2026-11-22T12:00:00Z"}, {"taf": "TAF0"}]
)
def test_an_evaluation_profile_has_real_times(changes: dict[str, Any]) -> None:
    good = {
        "name": "load",
        "meter": "1abc0012345678",
        "obis": ["1-0:1.8.0"],
        "recipients": ["supplier"],
        "start": "2026-11-22T13:00:00+01:00",
    }
    assert EvaluationProfile.model_validate_json(json.dumps(good)).start == NOON
    with pytest.raises(ValidationError):
        EvaluationProfile.model_validate_json(json.dumps({**good, **changes}))


def test_octets_are_base64_and_nothing_else() -> None:
    with pytest.raises(ValidationError, match="base64"):
        WanKeys.model_validate_json('{"package": "/w"}')


def test_addresses_are_split() -> None:
    assert split_address("gwa.example:22357") == ("gwa.example", 22357)
    assert split_address("[::1]:0") == ("::1", 0)


@pytest.mark.parametrize("text", ["", "host", "host:", ":1", "::1:2", "host:65536", "host:-1", "ho st:1", "host:٣"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        split_address(text)
