"""A process that ends in the middle of a change leaves a security module whole."""

import importlib.util
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.errors import TokenError
from smpki.gateway.security_module import SecurityModule, SlotState
from smpki.gateway.slots import Group, Slot
from smpki.gateway.trust_anchors import AnchorRole, TrustAnchor
from smpki.hsm.pin import write_pin

PROGRAM = Path(__file__).with_name("module_program.py")


def _load_program() -> Any:
    spec = importlib.util.spec_from_file_location("module_program", PROGRAM)
    assert spec is not None and spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    return program


program = _load_program()


class Crash(BaseException):
    """The process ends."""


class Scene:
    """A module with a former, a current and a next triple, which can be set up again and again."""

    def __init__(self, vault_home: Any, fill_next: Callable[..., None]) -> None:
        self.home = vault_home
        with self.home.open() as vault, SecurityModule(vault) as module:
            for _ in range(2):
                fill_next(module)
                module.activate()
            fill_next(module)
            self.former = module.credentials(Slot.WAN_ENC)[1].certificate
            self.current = [module.certificate(slot) for slot in Group.WAN.slots]
            self.next = [module.certificate(slot.next) for slot in Group.WAN.slots]
        if self.home.token_home is None:
            memory = self.home.memory.__dict__
            self._kept = {name: memory[name].copy() for name in ("_keys", "_objects")}
        else:
            self._tokens = self.home.token_home.softhsm.tokens
            shutil.copytree(self._tokens, self._tokens.with_name("kept"))

    def restore(self) -> None:
        if self.home.token_home is None:
            self.home.memory.__dict__.update({name: value.copy() for name, value in self._kept.items()})
        else:
            shutil.rmtree(self._tokens)
            shutil.copytree(self._tokens.with_name("kept"), self._tokens)

    def crashes(self, act: Callable[[SecurityModule], object]) -> Iterator[tuple[Any, SecurityModule]]:
        """Interrupt the act before and after each change of the vault; what a new process finds then."""
        for step in count():
            for when in ("before", "after"):
                self.restore()
                with self.home.open() as vault:
                    crashing = program.CrashingVault(vault, step, when, self._crash)
                    module = SecurityModule(crashing)
                    with suppress(Crash):
                        act(module)
                    module.close()  # as the end of its process does
                    if not crashing.crashed:
                        assert step > 0
                        return
                    with SecurityModule(vault) as found:
                        yield vault, found

    @staticmethod
    def _crash() -> None:
        raise Crash


@pytest.fixture
def scene(vault_home: Any, fill_next: Any) -> Scene:
    return Scene(vault_home, fill_next)


def certificates(module: SecurityModule, slots: list[Slot]) -> list[x509.Certificate | None]:
    """What is in slots; each certificate belongs to the key beside it."""
    found = []
    for slot in slots:
        ready = module.state(slot) is SlotState.READY
        certificate = module.certificate(slot) if ready else None
        assert certificate is None or certificate.public_key() == module.key(slot).public_key()
        found.append(certificate)
    return found


CURRENT = list(Group.WAN.slots)
NEXT = [slot.next for slot in CURRENT]


def test_either_the_old_triple_is_current_or_the_new_one(scene: Scene) -> None:
    outcomes = []
    for vault, module in scene.crashes(lambda module: module.activate()):
        found = certificates(module, CURRENT)
        assert found in (scene.current, scene.next)
        outcomes.append(found == scene.next)
        if found == scene.current:
            assert certificates(module, NEXT) == scene.next
            module.activate()
        assert certificates(module, CURRENT) == scene.next
        assert certificates(module, NEXT) == [None, None, None]
        former = [each.certificate for each in module.credentials(Slot.WAN_ENC)]
        assert former == [scene.next[2], scene.current[2], scene.former]
        module.retire()
        assert len(vault.keys()) == 3
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {False, True}


def test_making_a_key_again_leaves_the_old_next_key_or_the_new_one(scene: Scene) -> None:
    outcomes = set()
    for vault, module in scene.crashes(lambda module: module.generate(Slot.WAN_SIG_NEXT)):
        assert certificates(module, CURRENT) == scene.current
        tls, sig, enc = certificates(module, NEXT)
        assert [tls, enc] == [scene.next[0], scene.next[2]]
        assert sig in (scene.next[1], None)
        module.sign(Slot.WAN_SIG_NEXT, b"data")
        outcomes.add(sig)
        module.generate(Slot.WAN_SIG_NEXT)
        assert len(vault.keys()) == 9
        assert len([each for each in vault.objects() if each.label.startswith("smgw wan-sig")]) == 2
    assert outcomes == {scene.next[1], None}


def test_installing_leaves_a_certificate_or_none(scene: Scene, certificate_for: Any) -> None:
    public_key = ec.generate_private_key(ec.BrainpoolP256R1()).public_key()

    def act(module: SecurityModule) -> None:
        nonlocal public_key
        public_key = module.generate(Slot.HAN_TLS_NEXT)
        module.install(Slot.HAN_TLS_NEXT, certificate_for(Slot.HAN_TLS, public_key))

    outcomes = set()
    for _, module in scene.crashes(act):
        state = module.state(Slot.HAN_TLS_NEXT)
        outcomes.add(state)
        if state is SlotState.KEY:
            public_key = module.key(Slot.HAN_TLS_NEXT).public_key()
            module.install(Slot.HAN_TLS_NEXT, certificate_for(Slot.HAN_TLS, public_key))
        elif state is SlotState.EMPTY:
            module.generate(Slot.HAN_TLS_NEXT)
        assert certificates(module, [*CURRENT, *NEXT]) == [*scene.current, *scene.next]
    assert outcomes == set(SlotState)


def test_with_its_certificates_a_triple_is_current_or_not(scene: Scene, certificate_for: Any) -> None:
    given: dict[Slot, x509.Certificate] = {}

    def act(module: SecurityModule) -> None:
        for slot in NEXT:
            given[slot] = certificate_for(slot, module.generate(slot))
        module.activate(Group.WAN, given)

    outcomes = set()
    for vault, module in scene.crashes(act):
        found = certificates(module, CURRENT)
        assert found in (scene.current, list(given.values()))
        outcomes.add(found == scene.current)
        module.generate_missing()
        assert SlotState.EMPTY not in {module.state(slot) for slot in NEXT}
        assert len(vault.keys()) == (9 if found == scene.current else 12)
    assert outcomes == {True, False}


def test_retiring_takes_nothing_but_former_keys(scene: Scene) -> None:
    keys = set()
    for vault, module in scene.crashes(lambda module: module.retire()):
        assert certificates(module, [*CURRENT, *NEXT]) == [*scene.current, *scene.next]
        keys.add(len(vault.keys()))
        module.retire()
        assert len(module.credentials(Slot.WAN_ENC)) == 1
        assert len(vault.keys()) == 6
        assert len([each for each in vault.objects() if each.label != "smgw current"]) == 6
    assert keys == {9, 8, 7, 6}


def test_an_anchor_is_trusted_or_not(scene: Scene, certificate_for: Any) -> None:
    key = ec.generate_private_key(ec.BrainpoolP256R1())
    anchor = TrustAnchor(AnchorRole.GWA_SIG, certificate_for(Slot.WAN_SIG, key.public_key()))
    found = [module.anchors() for _, module in scene.crashes(lambda module: module.add_anchor(anchor))]
    assert set(found) == {(), (anchor,)}


# Processes that are killed


@pytest.fixture
def start(scene: Scene, tmp_path: Path) -> Callable[..., "subprocess.Popen[str]"]:
    """Start ``module_program.py`` on the scene's token; it has the module when this returns."""
    token_home = scene.home.token_home
    write_pin(tmp_path / "pin", token_home.pin)

    def start(job: str, *arguments: object) -> "subprocess.Popen[str]":
        command = [sys.executable, PROGRAM, job, token_home.label, token_home.softhsm.lock, tmp_path / "pin"]
        process = subprocess.Popen([*command, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    return start


only_token = pytest.mark.parametrize("vault_home", ["token"], indirect=True)


@only_token
@pytest.mark.parametrize(("step", "when"), [(0, "after"), (1, "before"), (1, "after")])
def test_a_killed_process_leaves_one_triple_current(scene: Scene, start: Any, step: int, when: str) -> None:
    process = start("activate", step, when)
    assert process.wait(120) == -9
    with scene.home.open() as vault, SecurityModule(vault) as module:
        changed = (step, when) == (1, "after")
        assert certificates(module, CURRENT) == (scene.next if changed else scene.current)
        assert certificates(module, NEXT) == ([None, None, None] if changed else scene.next)


@only_token
def test_a_module_is_one_processs_at_a_time(scene: Scene, start: Any) -> None:
    process = start("hold")
    with scene.home.open() as vault:
        with pytest.raises(TokenError) as refused:
            SecurityModule(vault)
        assert refused.value.code == "token.claimed"
        process.kill()
        process.wait(120)
        with SecurityModule(vault) as module:
            module.activate()


@pytest.mark.slow
@only_token
def test_killed_at_any_moment(scene: Scene, start: Any) -> None:
    moments = random.Random(4)
    for _ in range(25):
        process = start("renew")
        time.sleep(moments.uniform(0, 0.4))
        process.kill()
        process.wait(120)
        with scene.home.open() as vault, SecurityModule(vault) as module:
            current = certificates(module, CURRENT)
            assert None not in current
            module.sign(Slot.WAN_SIG, b"data")
            module.retire()
            assert certificates(module, CURRENT) == current
            assert len(vault.keys()) == 3 + sum(module.state(slot) is not SlotState.EMPTY for slot in NEXT)
