"""New keys and a new administrator: tried, and undone when they lead nowhere; the gateway stays reachable."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from cryptography import x509

from smpki.errors import TokenError
from smpki.gateway import api
from smpki.gateway.api_types import to_pem
from smpki.gateway.slots import Slot
from smpki.gateway.wan_keys import WanKeys
from smpki.tls.peers import exact_match

Tell = Callable[..., None]
Make = Callable[..., x509.Certificate]


async def over(talk: Any) -> None:
    talk.end()
    await talk.closed()


def test_new_keys_from_the_package_to_the_end_of_the_former_ones(tell: Tell, certificate_for: Make) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await world.administrator.call()
            former = world.administrator.seen[-1]
            await world.renew(talk, certificate_for)
            assert await talk.post(api.ACTIVATE_WAN_KEYS) == 204
            await talk.closed()

            talk = await world.administrator.call()
            new = world.administrator.seen[-1]
            status = await talk.status()
            assert new != former
            assert status.wan_keys == "confirmed"
            assert status.slots[Slot.WAN_TLS].state == "ready"
            assert status.slots[Slot.WAN_TLS_NEXT].state == "empty"
            assert await talk.get(f"{api.CERTIFICATES}wan-tls") == {"pem": to_pem(new)}
            assert await talk.post(api.ACTIVATE_WAN_KEYS) == 204  # it is so already
            assert await talk.post(api.RETIRE_WAN_KEYS) == 204
            assert (await talk.status()).wan_keys == "settled"
            await over(talk)
            await world.until(lambda: "wan_keys.current" in world.administrator.events())

    tell(story)


def test_a_token_that_fails_when_new_keys_are_to_count_is_asked_again(
    tell: Tell, certificate_for: Make, monkeypatch: Any
) -> None:
    confirm, troubles = WanKeys.confirm, [TokenError("token.gone", "it was pulled out")]

    def confirm_or_fail(keys: WanKeys) -> bool:
        if troubles:
            raise troubles.pop()
        return confirm(keys)

    async def story(world: Any) -> None:
        monkeypatch.setattr(WanKeys, "confirm", confirm_or_fail)
        async with world.running():
            talk = await world.administrator.call()
            await world.renew(talk, certificate_for)
            assert await talk.post(api.ACTIVATE_WAN_KEYS) == 204
            await talk.closed()
            talk = await world.administrator.call()
            assert [(await talk.status()).wan_keys for _ in range(2)] == ["trial", "confirmed"]
            await over(talk)
        events = [event for event in world.events() if event.startswith(("token.", "wan_keys.current", "trial."))]
        assert events == ["token.gone", "wan_keys.current", "trial.over"]

    tell(story)


def test_deliveries_are_signed_with_the_new_key_afterwards(tell: Tell, certificate_for: Make) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await world.administrator.call()
            await world.set_up(talk)
            await world.at_mark(100)
            await world.time.advance(60)
            await world.until(lambda: len(world.participant.taken) == 1)
            await world.renew(talk, certificate_for)
            await talk.post(api.ACTIVATE_WAN_KEYS)
            await talk.closed()
            talk = await world.administrator.call()
            await talk.status()
            await over(talk)
            await world.at_mark(200)
            await world.time.advance(60)
            await world.until(lambda: 200 in (value for _, value in world.participant.taken))

    tell(story)


def test_new_keys_that_the_administrator_refuses_are_given_up(tell: Tell, certificate_for: Make) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await world.administrator.call()
            former = world.administrator.seen[-1]
            world.administrator.accepts = exact_match([former], now=None)
            await world.renew(talk, certificate_for)
            await talk.post(api.ACTIVATE_WAN_KEYS)
            await talk.closed()

            await world.until(lambda: not world.administrator.calls.empty(), passing=True)
            talk = await world.administrator.call()
            assert world.administrator.seen[-1] == former
            status = await talk.status()
            assert status.wan_keys == "settled"
            assert status.slots[Slot.WAN_TLS_NEXT].state == "ready"

            world.administrator.accepts = lambda chain: None
            await talk.post(api.ACTIVATE_WAN_KEYS)
            await talk.closed()
            talk = await world.administrator.call()
            assert (await talk.status()).wan_keys == "confirmed"
            await over(talk)
            await world.until(lambda: "wan_keys.fallback" in world.administrator.events())

    tell(story)


def test_a_restart_amid_a_trial_goes_on_with_it(tell: Tell, certificate_for: Make) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await world.administrator.call()
            former = world.administrator.seen[-1]
            world.administrator.accepts = exact_match([former], now=None)
            await world.renew(talk, certificate_for)
            await talk.post(api.ACTIVATE_WAN_KEYS)
            await talk.closed()
        world.administrator.accepts = lambda chain: None
        async with world.running():
            talk = await world.administrator.call()
            assert world.administrator.seen[-1] != former
            assert (await talk.status()).wan_keys == "confirmed"
            await over(talk)

    tell(story)


def test_wrong_certificates_are_refused(tell: Tell, certificate_for: Make, tmp_path: Any) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await world.administrator.call()
            assert await talk.refusal("POST", api.ACTIVATE_WAN_KEYS) == (409, "wan_keys.unprepared")
            answer = await talk.ask("POST", api.PREPARE_WAN_KEYS, api.PrepareWanKeys(kind="renewal"))
            again = await talk.ask("POST", api.PREPARE_WAN_KEYS, api.PrepareWanKeys(kind="renewal"))
            assert answer.json(api.WanKeys) == again.json(api.WanKeys)

            foreign = world.administrator.triple.tls
            path = f"{api.CERTIFICATES}wan-tls-next"
            body = api.SlotCertificate(pem=foreign)
            assert await talk.refusal("PUT", path, body) == (409, "wan_keys.holder")
            own = (await talk.ask("GET", f"{api.CERTIFICATES}wan-tls")).json(api.SlotCertificate)
            assert await talk.refusal("PUT", path, own) == (409, "module.certificate.key")
            current = f"{api.CERTIFICATES}wan-tls"
            assert await talk.refusal("PUT", current, own) == (409, "module.slot.current")
            assert await talk.refusal("GET", f"{api.CERTIFICATES}wan-tls-next") == (404, "http.missing")
            assert await talk.refusal("GET", f"{api.CERTIFICATES}wan") == (404, "http.missing")
            await over(talk)

    tell(story)


def test_certificates_that_have_ended_are_not_activated(tell: Tell, certificate_for: Make) -> None:
    async def story(world: Any) -> None:
        async with world.running():
            talk = await world.administrator.call()
            await world.renew(talk, certificate_for, not_after=datetime.fromisoformat("2026-01-01T00:00:00Z"))
            assert await talk.refusal("POST", api.ACTIVATE_WAN_KEYS) == (409, "wan_keys.dates")
            assert (await talk.status()).wan_keys == "settled"
            await over(talk)

    tell(story)


def test_a_gateway_is_handed_over_to_another_administrator(tell: Tell, make_triple: Any) -> None:
    async def story(world: Any) -> None:
        other = type(world.administrator)(make_triple("Neu.GWA"), world.time)
        await other.open()
        try:
            async with world.running():
                talk = await world.administrator.call()
                assert (await talk.status()).administrator == "Verwalter.GWA"
                assert await talk.put(api.ADMINISTRATOR, other.body()) == 204
                await talk.closed()
                talk = await other.call()
                assert (await talk.status()).administrator == "Neu.GWA"
                await over(talk)
                await world.until(lambda: "administrator.current" in other.events())
                await world.time.advance(5)
                world.wake()
                world.wake(seconds=1, signer=other.triple)
                await over(await other.call())
                await world.until(lambda: "wakeup.signature" in world.events())
            async with world.running():
                await over(await other.call())
            assert world.administrator.calls.empty()
        finally:
            await other.close()

    tell(story)


def test_an_administrator_who_is_not_there_does_not_become_it(tell: Tell, make_triple: Any) -> None:
    async def story(world: Any) -> None:
        other = type(world.administrator)(make_triple("Neu.GWA"), world.time)
        await other.open()
        body = other.body()
        await other.close()
        async with world.running():
            talk = await world.administrator.call()
            wrong = body.model_copy(update={"tls": body.sig})
            assert await talk.refusal("PUT", api.ADMINISTRATOR, wrong) == (409, "administrator.certificate")
            assert await talk.put(api.ADMINISTRATOR, body) == 204
            await talk.closed()
            await world.until(lambda: not world.administrator.calls.empty(), passing=True)
            talk = await world.administrator.call()
            assert (await talk.status()).administrator == "Verwalter.GWA"
            assert await talk.put(api.ADMINISTRATOR, world.administrator.body()) == 204  # nothing to try
            assert (await talk.status()).administrator == "Verwalter.GWA"
            await over(talk)
            await world.until(lambda: "administrator.fallback" in world.administrator.events())

    tell(story)
