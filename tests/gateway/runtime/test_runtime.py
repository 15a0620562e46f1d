"""A gateway that runs: from its start to a delivered reading."""

from collections.abc import Callable
from typing import Any

Tell = Callable[..., None]


def test_from_start_to_a_delivered_reading(tell: Tell) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await world.administrator.call()
            status = await talk.status()
            assert (status.time.trusted, status.wan_keys, status.profiles) == (True, "settled", {})
            await world.set_up(talk)
            talk.end()
            first = await world.at_mark(100)
            second = await world.at_mark(200)
            await world.time.advance(60)
            await world.until(lambda: len(world.participant.taken) == 2)
            assert world.participant.taken == [(first, 100), (second, 200)]
        assert world.events()[0] == "gateway.start"
        assert world.events()[-1] == "gateway.stop"

    tell(story)
