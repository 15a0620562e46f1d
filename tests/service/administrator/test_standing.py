"""Gateways that are suspended, and resumed."""

from collections.abc import Callable
from typing import Any

import pytest

from smpki.errors import RevocationError, TokenError

Tell = Callable[..., None]


def reasons(world: Any, *certificates: Any) -> set[str]:
    """How certificates stand with the CA."""
    with world.office.opened(world.now()) as pki:
        serials = [f"{one.serial_number:x}" for one in certificates]
        return {one.reason for one in pki.store.revocations.among(serials).values()}


def test_a_suspended_gateway_is_shut_out_and_comes_back_when_it_is_resumed(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(gateway={"times": {"management_every_seconds": 60}}) as (desk, gateway):
            await desk.do(gateway, "personalise")
            await desk.do(gateway, "wake")
            job = await desk.do(gateway, "suspend")
            assert job.result["state"] == desk.gateway(gateway).state == "suspended"
            assert reasons(world, *gateway.current()) == {"certificate_hold"}
            seen_at = desk.gateway(gateway).seen_at
            await world.until(lambda: "gwa.peer.suspended" in desk.events(gateway))
            await world.time.advance(120)
            assert desk.gateway(gateway).seen_at == seen_at
            await desk.do(gateway, "resume")
            assert reasons(world, *gateway.current()) == set()
            await desk.do(gateway, "wake")
            assert desk.gateway(gateway).seen_at > seen_at

    tell(story)


def test_open_connections_end_with_a_suspension(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(times={"linger_seconds": 3600}) as (desk, gateway):
            await desk.do(gateway, "personalise")
            await desk.do(gateway, "wake")
            at_work = [server for server in desk.server._servers if server.connections]
            assert at_work
            await desk.do(gateway, "suspend")
            await world.until(lambda: not any(server.connections for server in at_work))

    tell(story)


def test_a_suspension_waits_for_no_job_that_hangs_which_fails_then(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False) as (desk, gateway):
            async with gateway.running():
                await desk.do(gateway, "personalise")
            hanging = desk.order(gateway, "status")
            await desk.do(gateway, "suspend")
            job = await desk.done(hanging)
            assert job.error["code"] == "gwa.gateway.state"

    tell(story)


def test_a_seal_is_its_manufacturers_affair(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False) as (desk, gateway):
            job = await desk.done(desk.order(gateway, "suspend"))
            assert job.error["code"] == "gwa.suspend.seal"
            assert desk.gateway(gateway).state == "active"

    tell(story)


def test_next_certificates_are_suspended_too(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False, times={"job_seconds": 600}) as (desk, gateway):
            job = desk.order(gateway, "personalise")
            async with gateway.running():
                await world.until(lambda: desk.job(job).step in ("install", "activate", "switch", "retire"))
            await desk.late(job)
            known = desk.gateway(gateway)
            upcoming = known.next or known.current
            await desk.do(gateway, "suspend")
            assert reasons(world, *upcoming.certificates) == {"certificate_hold"}

    tell(story)


def test_what_was_done_before_is_done(tell: Tell, opened: Any) -> None:
    """Somebody else has suspended it, and resumes it too."""

    async def story(world: Any) -> None:
        async with opened(start=False) as (desk, gateway):
            async with gateway.running():
                await desk.do(gateway, "personalise")
            serial = f"{gateway.current()[0].serial_number:x}"
            with world.office.opened(world.now()) as pki:
                pki.revocations.suspend([serial])
            await desk.do(gateway, "suspend")
            with world.office.opened(world.now()) as pki:
                pki.revocations.resume([serial])
            await desk.do(gateway, "resume")
            assert desk.gateway(gateway).state == "active"

    tell(story)


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_a_ca_that_fails_is_asked_again_with_the_same_request(
    done: bool, tell: Tell, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False) as (desk, gateway):
            async with gateway.running():
                await desk.do(gateway, "personalise")
            process = type(desk.ca).process

            async def failing(self: Any, request: bytes) -> None:
                monkeypatch.undo()
                if done:
                    await process(self, request)
                else:
                    self.requests.append(request)
                raise TokenError("token.missing", "the token is gone")

            monkeypatch.setattr(type(desk.ca), "process", failing)
            await desk.do(gateway, "suspend")
            assert len(desk.ca.requests) == 2
            assert len(set(desk.ca.requests)) == 1
            assert reasons(world, *gateway.current()) == {"certificate_hold"}

    tell(story)


def test_what_the_ca_refuses_leaves_the_gateway_as_it_is(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False) as (desk, gateway):
            async with gateway.running():
                await desk.do(gateway, "personalise")
            desk.ca.troubles = [RevocationError("revocation.revoked", "it is revoked, for good")]
            job = await desk.done(desk.order(gateway, "suspend"))
            assert (job.state, job.error["code"]) == ("failed", "revocation.revoked")
            assert desk.gateway(gateway).state == "active"

    tell(story)
