"""Profiles: stored with versions, never in contradiction with each other."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.errors import GatewayError
from smpki.gateway.api import CommunicationProfile, EvaluationProfile, MeterProfile
from smpki.gateway.profiles import Profile, Profiles
from smpki.gateway.readings import Obis
from smpki.gateway.slots import Slot
from smpki.gateway.store.store import GatewayStore
from smpki.policy.device_id import DeviceId

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
METER = DeviceId.parse("1ABC0012345678")
A_PLUS, A_MINUS = Obis.parse("1-0:1.8.0"), Obis.parse("1-0:2.8.0")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GatewayStore]:
    store = GatewayStore.create(tmp_path / "gateway.db")
    yield store
    store.close()


@pytest.fixture(scope="module")
def participant(certificate_for: Callable[..., x509.Certificate]) -> dict[str, x509.Certificate]:
    key = ec.generate_private_key(ec.BrainpoolP256R1()).public_key()
    return {slot.purpose.value: certificate_for(slot, key, "Lieferant.EMT") for slot in list(Slot)[:3]}


@pytest.fixture(scope="module")
def communication(participant: dict[str, x509.Certificate]) -> Callable[..., CommunicationProfile]:
    def make(**changes: Any) -> CommunicationProfile:
        return CommunicationProfile(
            **{
                "name": "supplier",
                "url": "https://emt.example:8443/deliveries",
                "tls": participant["tls"],
                "enc": participant["enc"],
                **changes,
            }
        )

    return make


def meter(**changes: Any) -> MeterProfile:
    return MeterProfile(**{"meter": METER, "obis": (A_PLUS, A_MINUS), **changes})


def evaluation(**changes: Any) -> EvaluationProfile:
    values = {"name": "load", "meter": METER, "obis": (A_PLUS,), "recipients": ("supplier",), "start": NOON}
    return EvaluationProfile(**{**values, **changes})


def put(store: GatewayStore, *profiles: Profile) -> list[bool]:
    with store.work() as work:
        return [Profiles(work).put(profile, now=NOON) for profile in profiles]


def refused(store: GatewayStore, profile: Profile) -> str:
    with pytest.raises(GatewayError) as refusal:
        put(store, profile)
    return refusal.value.code


def test_profiles_come_back_with_versions_that_rise(
    store: GatewayStore, communication: Callable[..., CommunicationProfile]
) -> None:
    assert put(store, communication(), meter(), evaluation()) == [True, True, True]
    assert put(store, communication(), meter(unit=30)) == [False, True]
    with store.view() as view:
        profiles = Profiles(view)
        stored = profiles.get(MeterProfile, METER.dns)
        assert stored is not None and (stored.profile, stored.version) == (meter(unit=30), 2)
        assert profiles.ids(EvaluationProfile) == ("load",)
        assert profiles.get(CommunicationProfile, "SUPPLIER") is None
        assert profiles.versions() == {
            "CommunicationProfile/supplier": 1,
            f"MeterProfile/{METER.dns}": 2,
            "EvaluationProfile/load": 1,
        }


def test_an_unknown_recipient_meter_or_register_is_refused(
    store: GatewayStore, communication: Callable[..., CommunicationProfile]
) -> None:
    assert refused(store, evaluation()) == "profile.recipient"
    put(store, communication())
    assert refused(store, evaluation()) == "profile.meter"
    put(store, meter(obis=(A_MINUS,)))
    assert refused(store, evaluation()) == "profile.register"
    put(store, meter())
    assert refused(store, evaluation(recipients=("supplier", "nobody"))) == "profile.recipient"
    assert put(store, evaluation()) == [True]
    assert refused(store, meter(obis=(A_MINUS,))) == "profile.register"


def test_what_is_needed_is_not_removed(store: GatewayStore, communication: Callable[..., CommunicationProfile]) -> None:
    put(store, communication(), meter(), evaluation())
    for kind, id in ((CommunicationProfile, "supplier"), (MeterProfile, METER.dns)):
        with pytest.raises(GatewayError) as refusal, store.work() as work:
            Profiles(work).remove(kind, id)
        assert refusal.value.code == "profile.used"
    with store.work() as work:
        removed = [
            Profiles(work).remove(kind, id)
            for kind, id in ((EvaluationProfile, "load"), (CommunicationProfile, "supplier"), (MeterProfile, METER.dns))
        ]
        assert removed == [True, True, True]
        assert Profiles(work).remove(MeterProfile, METER.dns) is False


@pytest.mark.parametrize(("period", "taf", "code"), [(60, "TAF7", "profile.period"), (900, "TAF14", "profile.period")])
def test_a_tariff_use_case_wants_its_periods(
    store: GatewayStore, communication: Callable[..., CommunicationProfile], period: int, taf: str, code: str
) -> None:
    put(store, communication(), meter(registration_period_seconds=period))
    assert refused(store, evaluation(taf=taf)) == code
    other = {"TAF7": "TAF14", "TAF14": "TAF7"}[taf]
    assert put(store, evaluation(taf=other)) == [True]
    assert refused(store, meter(registration_period_seconds={60: 900, 900: 60}[period])) == code


@pytest.mark.parametrize("wrong", [{"tls": "enc"}, {"tls": "sig"}, {"enc": "tls"}, {"sig": "tls"}, {"sig": "enc"}])
def test_certificates_are_for_what_they_are_given_for(
    store: GatewayStore,
    communication: Callable[..., CommunicationProfile],
    participant: dict[str, x509.Certificate],
    wrong: dict[str, str],
) -> None:
    profile = communication(**{member: participant[purpose] for member, purpose in wrong.items()})
    assert refused(store, profile) == "profile.certificate"
