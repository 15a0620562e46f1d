"""What gateways tell on ADMIN-SERVICE: each thing once, none too many, whatever they send."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from smpki.gateway import api
from smpki.gateway.http_client_rules import Caller
from smpki.gateway.media_type import JSON, MediaType
from smpki.gateway.slots import Slot
from smpki.tls.endpoint import Endpoint
from smpki.tls.http_asker import asker
from smpki.tls.peers import exact_match
from smpki.tls.profile import WAN_CLIENT

Tell = Callable[..., None]
AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def told(number: int = 1, **changes: Any) -> api.Notification:
    values = {"number": number, "event": "self_test.failed", "level": "W", "text": "the clock is wrong", "at": AT}
    return api.Notification(**{**values, **changes})


@asynccontextmanager
async def connected(world: Any, desk: Any, gateway: Any) -> AsyncIterator[Caller]:
    """The gateway's HTTP client."""
    with gateway.module() as module:
        identity = module.tls_identity(Slot.WAN_TLS)
    endpoint = Endpoint(WAN_CLIENT, identity, exact_match([desk.own.certificates.tls], now=world.now), clock=world.now)
    host, port = desk.ports["admin_service"].split(":")
    async with asker(endpoint, host, int(port)) as http:
        yield Caller(http)


def stored(desk: Any, gateway: Any) -> list[int]:
    """The numbers of the notifications that there are, the first in front."""
    with desk.store.view() as view:
        return [one.number for one in reversed(view.journal.notifications(gateway.id, limit=10_000))]


def test_each_notification_is_kept_once(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False) as (desk, gateway), connected(world, desk, gateway) as caller:
            statuses = [
                (await caller.post(api.NOTIFY, one.to_json(), JSON)).status for one in (told(1), told(2), told(1))
            ]
            assert statuses == [201, 201, 204]
            assert stored(desk, gateway) == [1, 2]
            again = told(1, at=AT.replace(hour=13))  # a gateway that has lost its memory counts anew
            assert (await caller.post(api.NOTIFY, again.to_json(), JSON)).status == 201
            with desk.store.view() as view:
                assert view.journal.notifications(gateway.id)[0] == again

    tell(story)


def test_a_gateway_that_runs_tells_what_has_happened(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened() as (desk, gateway):
            await world.until(lambda: stored(desk, gateway))
            with desk.store.view() as view:
                events = [one.event for one in view.journal.notifications(gateway.id)]
            assert "gateway.start" in events

    tell(story)


def test_a_flood_is_put_off_and_the_rest_taken_later(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False, limits={"notifications": 5}) as (desk, gateway):
            other = world.gateway(desk)
            desk.adopt(other.record)
            async with connected(world, desk, gateway) as caller, connected(world, desk, other) as calm:
                answers = [await caller.post(api.NOTIFY, told(number).to_json(), JSON) for number in range(1, 9)]
                assert [one.status for one in answers] == [201] * 5 + [503] * 3
                assert answers[-1].json(api.Problem).code == "gwa.notify.flood"
                assert desk.events(gateway).count("gwa.notify.flood") == 1
                assert (await calm.post(api.NOTIFY, told().to_json(), JSON)).status == 201
                await world.time.advance(60)
                assert (await caller.post(api.NOTIFY, told(6).to_json(), JSON)).status == 201
            assert stored(desk, gateway) == [1, 2, 3, 4, 5, 6]

    tell(story)


def test_only_the_latest_are_kept(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False, limits={"notifications_kept": 3}) as (desk, gateway):
            other = world.gateway(desk)
            desk.adopt(other.record)
            async with connected(world, desk, other) as caller:
                await caller.post(api.NOTIFY, told().to_json(), JSON)
            async with connected(world, desk, gateway) as caller:
                for number in range(1, 6):
                    await caller.post(api.NOTIFY, told(number).to_json(), JSON)
            assert stored(desk, gateway) == [3, 4, 5]
            assert stored(desk, other) == [1]

    tell(story)


@pytest.mark.parametrize(
    ("path", "body", "kind", "status"),
    [
        ("/elsewhere", told().to_json(), JSON, 404),
        (api.NOTIFY, b"{", JSON, 422),
        (api.NOTIFY, b'{"number": 1}', JSON, 422),
        (api.NOTIFY, told().to_json(), MediaType("text/plain"), 415),
        (api.NOTIFY, told(text="x" * 100_000).to_json(), JSON, 413),
    ],
)
def test_what_is_no_notification(path: str, body: bytes, kind: MediaType, status: int, tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False) as (desk, gateway), connected(world, desk, gateway) as caller:
            assert (await caller.ask("POST", path, body, kind)).status == status
            assert stored(desk, gateway) == []

    tell(story)


def test_other_methods_are_not_for_this(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False) as (desk, gateway), connected(world, desk, gateway) as caller:
            assert (await caller.ask("GET", api.NOTIFY)).status == 405

    tell(story)


def test_what_a_terminal_would_act_upon_is_made_harmless(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False) as (desk, gateway), connected(world, desk, gateway) as caller:
            evil = told(text="\x1b[2J" + "x" * 10_000, event="a\u202eb")
            assert (await caller.post(api.NOTIFY, evil.to_json(), JSON)).status == 201
            with desk.store.view() as view:
                (kept,) = view.journal.notifications(gateway.id)
            assert (kept.text.isprintable(), kept.event.isprintable(), len(kept.text)) == (True, True, 2000)

    tell(story)


def test_who_is_not_let_in_any_more_hears_so_over_a_connection_that_is_still_there(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False) as (desk, gateway), connected(world, desk, gateway) as caller:
            assert (await caller.post(api.NOTIFY, told().to_json(), JSON)).status == 201
            with desk.store.work() as work:
                work.gateways.set_state(gateway.id, "suspended")
            answer = await caller.post(api.NOTIFY, told(2).to_json(), JSON)
            assert (answer.status, answer.json(api.Problem).code) == (403, "gwa.notify.sender")
            assert stored(desk, gateway) == [1]

    tell(story)


def test_a_database_that_fails_loses_nothing(tell: Tell, opened: Any) -> None:
    async def story(world: Any) -> None:
        async with opened(start=False) as (desk, gateway), connected(world, desk, gateway) as caller:
            await caller.post(api.NOTIFY, told().to_json(), JSON)
            file = desk.folder / "gwa.db"
            away = file.rename(file.with_suffix(".away"))
            answer = await caller.post(api.NOTIFY, told(2).to_json(), JSON)
            away.rename(file)
            assert (answer.status, answer.json(api.Problem).code) == (503, "store.missing")
            assert (await caller.post(api.NOTIFY, told(2).to_json(), JSON)).status == 201

    tell(story)
