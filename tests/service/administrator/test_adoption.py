"""Which records gateways are adopted by, and which not."""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from smpki.errors import SmpkiError
from smpki.gateway.delivery_record import Triple as Certificates
from smpki.service.administrator.hand_over_record import HandOverRecord, sign_hand_over

Tell = Callable[..., None]


def refused(desk: Any, record: bytes) -> str:
    """The code of the refusal, which is noted; nothing is changed by it."""
    with desk.store.view() as view:
        before = view.gateways.page()
    with pytest.raises(SmpkiError) as caught:
        desk.adopt(record)
    assert caught.value.hint
    assert caught.value.where.startswith("delivery.json")
    with desk.store.view() as view:
        assert view.gateways.page() == before
        (noted,) = view.journal.events(limit=1)
    assert (noted.event, noted.level) == (caught.value.code, "W")
    assert "'delivery.json' is refused" in noted.text
    return caught.value.code


@pytest.fixture
def desk(world: Any) -> Any:
    desk = world.desk()
    desk.ports = dict.fromkeys(("management", "admin_service", "time"), "127.0.0.1:1")
    return desk


def test_the_same_record_again_changes_the_address_at_most(world: Any, desk: Any) -> None:
    gateway = world.gateway(desk)
    assert desk.adopt(gateway.record).state == "adopted"
    before = desk.gateway(gateway)
    assert desk.adopt(gateway.record).state == "known"
    assert desk.gateway(gateway) == before
    desk.adopt(gateway.record, "gateway.example:1")
    assert desk.gateway(gateway).wake_up == "gateway.example:1"
    assert desk.events(gateway) == ["gwa.adopt"]


def test_a_record_that_was_changed(world: Any, desk: Any) -> None:
    gateway = world.gateway(desk)
    document = json.loads(gateway.record)
    document["record"]["createdAt"] = "2026-11-22T11:00:00Z"
    assert refused(desk, json.dumps(document).encode()) == "cms.signature.digest"
    signature = bytearray(b64decode(json.loads(gateway.record)["signature"]))
    signature[-1] ^= 1
    document = json.loads(gateway.record) | {"signature": b64encode(signature).decode()}
    assert refused(desk, json.dumps(document).encode()).startswith("cms.")
    assert refused(desk, b"{}").startswith("delivery.")
    assert refused(desk, b"\xff" * 1000).startswith("delivery.")


def test_a_gateway_for_another_administrator(world: Any, desk: Any) -> None:
    theirs = world.desk(world.OTHER)
    gateway = world.gateway(theirs)
    assert refused(desk, gateway.record) == "gwa.adopt.addressee"
    assert theirs.adopt(gateway.record).state == "adopted"


def test_a_manufacturer_who_may_not_deliver_here(world: Any) -> None:
    desk = world.desk(accept_from=["Anderer.GWH"])
    gateway = world.gateway(desk)
    assert refused(desk, gateway.record) == "gwa.adopt.sender"


def test_another_record_of_a_gateway_that_is_ours(world: Any, desk: Any) -> None:
    gateway = world.gateway(desk)
    first = gateway.record
    desk.adopt(first)
    world.office.provision(gateway.id, world.folder / "again", world.US, world.now())
    second = (world.folder / "again" / "delivery.json").read_bytes()
    assert second != first
    assert refused(desk, second) == "gwa.adopt.known"


def test_a_record_of_the_future_or_of_certificates_that_have_ended(world: Any, desk: Any) -> None:
    gateway = world.gateway(desk)
    world.time.now -= 3600
    assert refused(desk, gateway.record).startswith(("delivery.created", "trust.certificate.not_yet"))
    world.time.now += 10 * 365 * 86_400
    assert refused(desk, gateway.record) == "trust.certificate.expired"


def test_a_certificate_of_ours_that_the_gateway_does_not_know_is_warned_of(world: Any, desk: Any) -> None:
    gateway = world.gateway(desk)
    world.office.enrol(world.US, again=True)
    desk.own = world.office.own(world.US)
    assert "won't accept" in desk.adopt(gateway.record).warning


class Handed:
    """What another administrator hands over, and what is wrong with it."""

    def __init__(self, world: Any, gateway: Any) -> None:
        self._world, self._gateway = world, gateway

    def _record(self, by: str | None = None, **changes: Any) -> bytes:
        office, gateway = self._world.office, self._gateway
        tls, sig, enc = gateway.current()
        known = json.loads(gateway.record)["record"]
        values = {
            "version": 1,
            "gateway": gateway.id,
            "former": self._world.OTHER,
            "signer": office.certificate(self._world.OTHER, "sig"),
            "administrator": self._world.US,
            "certificates": Certificates(tls=tls, sig=sig, enc=enc),
            "chain": tuple(map(self._world.certificate, known["chain"])),
            "created_at": self._world.now(),
        }
        return sign_hand_over(HandOverRecord(**{**values, **changes}), office.signer(by or self._world.OTHER))

    def as_it_is(self) -> bytes:
        return self._record()

    def for_somebody_else(self) -> bytes:
        return self._record(administrator="Dritter.GWA")

    def of_somebody_unknown(self) -> bytes:
        return self._record(former="Dritter.GWA")

    def signed_by_another(self) -> bytes:
        return self._record(self._world.MAKER)

    def signed_by_a_manufacturer(self) -> bytes:
        maker = self._world.MAKER
        return self._record(maker, former=maker, signer=self._world.office.certificate(maker, "sig"))

    def of_another_gateway(self) -> bytes:
        return self._record(gateway=self._world.gateway(self._gateway.administrator).id)

    def with_certificates_swapped(self) -> bytes:
        tls, sig, enc = self._gateway.current()
        return self._record(certificates=Certificates(tls=sig, sig=tls, enc=enc))

    def with_a_participants_certificates(self) -> bytes:
        uses = ("tls", "sig", "enc")
        theirs = {use: self._world.office.certificate(self._world.OTHER, use) for use in uses}
        return self._record(certificates=Certificates(**theirs))

    def of_the_future(self) -> bytes:
        return self._record(created_at=self._world.now() + timedelta(minutes=1))

    def changed(self) -> bytes:
        return self._record().replace(self._world.US.encode(), b"Verwalter.GWB")

    def cut(self) -> bytes:
        return self._record()[:-100]

    def endless(self) -> bytes:
        return self._record() + b" " * 300_000


@pytest.mark.parametrize(
    ("which", "code"),
    {
        "for_somebody_else": "gwa.adopt.addressee",
        "of_somebody_unknown": "gwa.adopt.holder",
        "signed_by_another": "cms.sender",
        "signed_by_a_manufacturer": "trust.role.name",
        "of_another_gateway": "gwa.adopt.holder",
        "with_certificates_swapped": "trust.use.extended_key_usage",
        "with_a_participants_certificates": "trust.role.name",
        "of_the_future": "gwa.adopt.future",
        "changed": "cms.signature.digest",
        "cut": "gwa.hand_over.record",
        "endless": "gwa.hand_over.record",
    }.items(),
)
def test_records_of_other_administrators(which: str, code: str, world: Any, desk: Any) -> None:
    handed = Handed(world, world.gateway(desk))
    assert refused(desk, getattr(handed, which)()) == code
    assert desk.adopt(handed.as_it_is()).sender == world.OTHER
