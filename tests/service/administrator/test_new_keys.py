"""From the quality seal to certificates of operation, and on to the next ones; whatever happens in between."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from smpki.db.engine import open_engine, writing
from smpki.errors import IssuingError, SmpkiError, TokenError
from smpki.gateway import api
from smpki.requests.build import RequestedNames, build_initial_package
from smpki.requests.build_signed import build_renewal_package
from smpki.requests.keys import Signer
from smpki.requests.submission import read_submission
from smpki.service.administrator.door import Door
from smpki.service.administrator.management import Management
from smpki.service.administrator.store.jobs import Jobs
from smpki.tls.peers import Alert, PeerRefused

Tell = Callable[..., None]
STEPS = ("prepare", "issue", "install", "activate", "switch", "retire")
DAY = 86_400


class Killed(BaseException):
    """The process dies."""


@pytest.fixture
def die_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, bool], None]:
    """``die_at(step, noted)``: die, once, when a step was taken, before or after that is noted."""

    def arrange(step: str, noted: bool) -> None:
        def dying(note: Any) -> Any:
            def act(self: Jobs, number: int, *values: Any, **named: Any) -> Any:
                if self.get(number).step != step:
                    return note(self, number, *values, **named)
                monkeypatch.undo()
                if noted:
                    note(self, number, *values, **named)
                    self._connection.commit()
                raise Killed

            return act

        for name in ("advance", "finish"):
            monkeypatch.setattr(Jobs, name, dying(getattr(Jobs, name)))

    return arrange


def test_a_gateway_gets_certificates_of_operation(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened() as (desk, gateway):
            before = gateway.current()
            job = await desk.do(gateway, "personalise")
            known = desk.gateway(gateway)
            assert known.next is None
            assert known.current.administrator == world.US
            assert known.current.certificates == gateway.current() != before
            assert job.result["not_after"] == known.current.not_after.isoformat()
            with desk.store.view() as view:
                assert view.gateways.peer(before[0]) is None  # the seal counts no more
            status = await desk.do(gateway, "status")
            assert (status.result["wan_keys"], status.result["time"]["trusted"]) == ("settled", True)

    tell(story)


def test_and_the_next_ones_by_its_own_signature(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(times={"job_seconds": 3600, "renew_before_days": 1}) as (desk, gateway):
            await desk.do(gateway, "personalise")
            first = gateway.current()
            too_early = await desk.done(desk.order(gateway, "renew"))
            assert too_early.error["code"] == "request.renewal.early"
            assert gateway.current() == first
        world.time.now += (desk.gateway(gateway).current.not_after - world.now()).total_seconds() - 80 * DAY
        async with desk.serving(), gateway.running():
            await desk.do(gateway, "renew")
            assert gateway.current() != first
            assert read_submission(desk.ca.packages[-1]).renewal.signer == first[1]
            assert desk.gateway(gateway).current.certificates == gateway.current()

    tell(story)


@pytest.mark.parametrize(
    ("step", "noted"),
    [*((step, False) for step in STEPS), *((step, True) for step in ("prepare", "issue", "activate"))],
)
def test_a_kill_at_any_step_is_made_good_after_a_restart(step: str, noted: bool, tell: Tell, die_at: Any) -> None:
    async def story(world: Any) -> None:
        desk = world.desk()
        async with desk.serving():
            gateway = world.gateway(desk)
            desk.adopt(gateway.record)
        async with gateway.running():
            job = desk.order(gateway, "personalise")
            die_at(step, noted)
            with pytest.raises(BaseExceptionGroup) as caught:
                async with desk.serving() as serving:
                    await serving.end()
            assert caught.group_contains(Killed)
            async with desk.serving():
                assert (await desk.done(job)).state == "done"
            assert desk.gateway(gateway).current.certificates == gateway.current()
            assert len(set(desk.ca.packages)) == 1  # the CA has seen one package, perhaps twice

    tell(story)


@pytest.mark.parametrize("step", ["issue", "install", "switch"])
def test_a_gateway_that_is_switched_off_at_any_step(step: str, tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False) as (desk, gateway):
            job = desk.order(gateway, "personalise")
            async with gateway.running():
                await world.until(lambda: desk.job(job).step == step or desk.job(job).state == "done")
            async with gateway.running():
                assert (await desk.done(job)).state == "done"
            assert desk.gateway(gateway).current.certificates == gateway.current()

    tell(story)


@pytest.fixture
def not_with_new_keys(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Connections with new certificates are refused until the list is emptied; so often is in it."""
    left: list[Any] = []
    admit = Door._admit

    def some(self: Door, peer: Any) -> None:
        if peer is not None and peer.standing == "next" and left:
            left.pop()
            raise PeerRefused("test", "not yet", alert=Alert.CERTIFICATE_UNKNOWN)
        admit(self, peer)

    monkeypatch.setattr(Door, "_admit", some)
    return left


def test_keys_that_do_not_connect_are_tried_again_and_the_gateway_is_never_lost(
    tell: Tell, opened: Any, not_with_new_keys: list[Any]
) -> None:
    async def story(world: Any) -> None:
        async with opened(gateway={"times": {"retry_seconds": 1, "trial_attempts": 1}}) as (desk, gateway):
            not_with_new_keys.extend(range(3))
            await desk.do(gateway, "personalise")
            assert not_with_new_keys == []
            assert "gwa.switch.back" in desk.events(gateway)
            assert gateway.current() == desk.gateway(gateway).current.certificates

    tell(story)


def test_a_gateway_that_comes_with_its_new_keys_when_nobody_waits_for_it_any_more(
    tell: Tell, opened: Any, not_with_new_keys: list[Any]
) -> None:
    async def story(world: Any) -> None:
        retry = {"retry_seconds": 1, "longest_retry_seconds": 10, "trial_attempts": 100_000}
        async with opened(gateway={"times": retry}, times={"job_seconds": 600}) as (desk, gateway):
            not_with_new_keys.extend(range(100_000))
            job = desk.order(gateway, "personalise")
            await world.until(lambda: len(not_with_new_keys) < 100_000)
            assert (await desk.late(job)).error["code"] == "gwa.job.late"
            upcoming = desk.gateway(gateway).next
            not_with_new_keys.clear()
            await world.until(lambda: desk.gateway(gateway).next is None)
            assert desk.gateway(gateway).current.certificates == upcoming.certificates == gateway.current()

    tell(story)


def test_what_an_earlier_job_has_begun_goes_on(tell: Tell, opened: Any) -> None:
    """Keys that have certificates, which the gateway does not have yet."""

    async def story(world: Any) -> None:
        async with opened(start=False, times={"job_seconds": 600}) as (desk, gateway):
            first = desk.order(gateway, "personalise")
            async with gateway.running():
                await world.until(lambda: desk.job(first).step == "install")
            await desk.late(first)
            async with gateway.running():
                await desk.do(gateway, "personalise")
            assert len(desk.ca.packages) == 2
            assert desk.ca.packages[0] == desk.ca.packages[1]

    tell(story)


def test_keys_with_certificates_of_which_nobody_knows_any_more_are_given_up(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False, times={"job_seconds": 600}) as (desk, gateway):
            first = desk.order(gateway, "personalise")
            async with gateway.running():
                await world.until(lambda: desk.job(first).step == "install")
            await desk.late(first)
            lost = desk.gateway(gateway).next
            with writing(open_engine(f"sqlite:///{desk.folder / 'gwa.db'}")) as connection:
                connection.execute(text("DELETE FROM package"))
            async with gateway.running():
                await desk.do(gateway, "personalise")
            assert desk.ca.packages[0] != desk.ca.packages[-1]
            with world.office.opened(world.now()) as pki:  # the lost ones had stood in the way
                serials = [f"{one.serial_number:x}" for one in lost.certificates]
                assert {one.reason for one in pki.store.revocations.among(serials).values()} == {"superseded"}

    tell(story)


@pytest.mark.parametrize("trouble", [TokenError("token.missing", "-"), SmpkiError("process.died", "-"), OSError()])
def test_a_ca_that_can_not_work_is_asked_again(trouble: Exception, tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened() as (desk, gateway):
            desk.ca.troubles = [trouble] * 3
            await desk.do(gateway, "personalise")
            expected = getattr(trouble, "code", "gwa.internal")
            assert desk.events(gateway).count(expected) == 1

    tell(story)


def test_what_the_ca_refuses_fails_with_its_reason(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened() as (desk, gateway):
            desk.ca.troubles = [IssuingError("issuing.issuer.expired", "the Sub-CA has ended")]
            job = await desk.done(desk.order(gateway, "personalise"))
            assert (job.state, job.step, job.error["message"]) == ("failed", "issue", "the Sub-CA has ended")

    tell(story)


def test_without_a_ca_there_are_no_certificates(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        desk = world.desk()
        desk.ca = None
        async with desk.serving():
            gateway = world.gateway(desk)
            desk.adopt(gateway.record)
            async with gateway.running():
                job = await desk.done(desk.order(gateway, "personalise"))
                assert job.error["code"] == "gwa.issuer.missing"

    tell(story)


class Packages:
    """What a gateway should not give."""

    def __init__(self, world: Any, gateway: Any) -> None:
        self._keys = world.new_keys()
        self._name = f"{gateway.id}.SMGW"
        self._gateway = gateway

    def _initial(self, keys: Any = None, **changes: str) -> bytes:
        return build_initial_package(self._subject(**changes), keys or self._keys, RequestedNames())

    def _subject(self, **changes: str) -> Any:
        from smpki.policy.names import DistinguishedName

        values = {"CN": self._name, "O": "SM-Test-PKI-DE", "OU": "Verwalter.GWA", "C": "DE", "serialNumber": "1"}
        return DistinguishedName.of(**{**values, **changes}).to_x509()

    def of_another_gateway(self) -> bytes:
        return self._initial(CN="EABC9900000099.SMGW")

    def of_no_gateway(self) -> bytes:
        return self._initial(CN="Verwalter.GWA")

    def for_another_administrator(self) -> bytes:
        return self._initial(OU="Neu.GWA")

    def with_keys_in_use(self) -> bytes:
        with self._gateway.module() as module:
            from smpki.gateway.slots import Group
            from smpki.requests.keys import KeyTriple

            return self._initial(KeyTriple(*(module.key(slot) for slot in Group.WAN.slots)))

    def renewal_instead(self) -> bytes:
        with self._gateway.module() as module:
            from smpki.gateway.slots import Slot

            signer = Signer(module.key(Slot.WAN_SIG), module.certificate(Slot.WAN_SIG))
            return build_renewal_package(self._subject(), self._keys, RequestedNames(), signer)

    def that_is_none(self) -> bytes:
        return b"no package"

    def with_a_broken_proof(self) -> bytes:
        package = bytearray(self._initial())
        package[-1] ^= 1
        return bytes(package)


@pytest.mark.parametrize(
    ("which", "code"),
    {
        "of_another_gateway": "gwa.package.subject",
        "of_no_gateway": "gwa.package.subject",
        "for_another_administrator": "gwa.package.administrator",
        "with_keys_in_use": "gwa.package.keys",
        "renewal_instead": "gwa.package.kind",
        "that_is_none": "request.armour.base64",
        "with_a_broken_proof": "request.proof_of_possession.invalid",
    }.items(),
)
def test_what_no_gateway_should_ask_for_is_not_authorised(
    which: str, code: str, tell: Tell, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False) as (desk, gateway):
            package = getattr(Packages(world, gateway), which)()

            async def prepare(self: Management, wanted: api.PrepareWanKeys) -> bytes:
                return package

            monkeypatch.setattr(Management, "prepare", prepare)
            async with gateway.running():
                job = await desk.done(desk.order(gateway, "personalise"))
            assert (job.state, job.error["code"]) == ("failed", code)
            assert desk.ca.packages == []

    tell(story)
