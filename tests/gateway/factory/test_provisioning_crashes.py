"""kill -9 at every step: one key in a slot, one triple for a gateway, and the next run takes up what is there."""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509

from smpki.gateway.delivery_record import read_delivery
from smpki.gateway.security_module import SecurityModule, SlotState
from smpki.gateway.slots import Group
from smpki.hsm.pin import read_pin
from smpki.hsm.softhsm import SoftHsm
from smpki.hsm.token import Token
from smpki.hsm.token_vault import TokenVault


def assert_made_once(plant: Any, device: Any) -> None:
    """Three keys with three certificates, those of the one triple that the Sub-CA issued and the record tells of."""
    folder = plant.out / device.dns
    with plant.pki() as pki:
        found = pki.store.page(cn=f"{device}.SMGW", limit=10).certificates
        issued = {x509.load_der_x509_certificate(pki.store.get(one.serial).der) for one in found}
        assert pki.store.open_intents() == ()
    record = read_delivery((folder / "delivery.json").read_bytes()).record
    assert len(issued) == 3
    assert {record.certificates.tls, record.certificates.sig, record.certificates.enc} == issued
    softhsm = SoftHsm(folder / "token")
    softhsm.activate(os.environ)
    pin = read_pin(file=folder / "pin", value=None, prompt=None)
    with Token.open(None, device.dns, pin, lock=softhsm.lock) as token, SecurityModule(TokenVault(token)) as module:
        assert len(token.keys()) == 3
        assert {module.certificate(slot) for slot in Group.WAN.slots} == issued
        assert {module.state(slot.next) for slot in Group.WAN.slots} == {SlotState.EMPTY}
        assert len(module.anchors()) == 4
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def rounds(killer: Any, plant: Any, device: Callable[[], Any], every: int) -> None:
    """Kill at each ``every``-th step, and let another run finish; each time in a new folder."""
    world = str(plant.world)
    whole = killer.run(world=world, out=str(plant.out), device=device().dns)
    assert (whole["status"], whole["state"]) == (0, "provisioned")
    for step in range(1, whole["steps"] + 1, every):
        one, place = device(), replace(plant, out=plant.out.with_name(f"killed at {step}"))
        job = {"world": world, "out": str(place.out), "device": one.dns}
        assert killer.run(**job, die=step)["status"] == -9
        again = killer.run(**job)
        assert (again["status"], again["error"]) == (0, None)
        assert_made_once(place, one)


def test_a_run_that_was_killed_is_taken_up(killer: Any, plant: Any, device: Any) -> None:
    rounds(killer, plant, device, 7)


@pytest.mark.slow
def test_killed_at_every_step(killer: Any, plant: Any, device: Any) -> None:
    rounds(killer, plant, device, 1)
