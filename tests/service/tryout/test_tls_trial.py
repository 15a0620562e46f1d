"""A participant tries its TLS client: what was negotiated, and which rule failed."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from smpki.errors import ServiceError, TlsError
from smpki.policy.model import CertificateType
from smpki.service.tryout.finding import Verdict
from smpki.service.tryout.tls_trial import Attempt, Trial, Trials
from smpki.service.web.own import own_identity
from smpki.service.web.peers import CLIENTS_OF_SUB_CA, Peers
from smpki.tls import http_client
from smpki.tls.endpoint import Endpoint
from smpki.tls.layer import Timing
from smpki.tls.profile import WAN_CLIENT, WAN_SERVER, Version


@asynccontextmanager
async def trials_of(world: Any, **options: Any) -> AsyncIterator[Trials]:
    with world.workshop.open() as pki:
        own = own_identity(pki, world.CA, CertificateType.SUB_CA_TLS)
        check = Peers(pki).check(*CLIENTS_OF_SUB_CA)
        made = Trials(
            lambda check: Endpoint(WAN_SERVER, own, check, clock=pki.clock),
            check,
            pki.clock,
            timing=Timing(drain=0.05),
            **options,
        )
        try:
            yield made
        finally:
            made.close()


async def attempt(world: Any, trial: Trial, identity: Any, profile: Any = WAN_CLIENT) -> Attempt:
    before = len(trial.attempts)
    endpoint = Endpoint(profile, identity, lambda _: None, clock=lambda: world.workshop.now)
    with suppress(TlsError, httpx.HTTPError):
        async with http_client.client(endpoint, "127.0.0.1", trial.port) as client:
            await client.get("/")
    return await noted(trial, before)


async def noted(trial: Trial, before: int = 0) -> Attempt:
    async with asyncio.timeout(20):
        while len(trial.attempts) == before:
            await asyncio.sleep(0.01)
    return trial.attempts[0]


@pytest.mark.parametrize("version", Version)
def test_a_client_that_keeps_the_rules(world: Any, version: Version) -> None:
    emt = world.register()

    async def story() -> None:
        async with trials_of(world) as trials:
            trial = await trials.begin(7)
            one = await attempt(world, trial, emt.identity, replace(WAN_CLIENT, versions=frozenset({version})))
            assert one.agreed is not None and one.refusal is None
            assert one.agreed.version == version.value.replace("v", " ")
            assert one.certificate == emt.certificates[0]
            assert not [str(each) for each in one.findings if each.verdict is Verdict.BREAKS]
            assert {each.verdict for each in one.findings} == (
                {Verdict.HOLDS, Verdict.ADVICE} if version is Version.TLS12 else {Verdict.HOLDS}
            )

    world.run(story())


def test_a_client_of_another_pki_is_told_why(world: Any, other_pki: Any) -> None:
    stranger = other_pki().register()

    async def story() -> None:
        async with trials_of(world) as trials:
            trial = await trials.begin(7)
            one = await attempt(world, trial, stranger.identity)
            assert one.agreed is None and one.refusal is not None
            assert (one.refusal.code, one.refusal.alert, one.refusal.by_client) == (
                "trust.path.key_identifier",
                "unknown_ca",
                False,
            )
            assert one.certificate == stranger.certificates[0]

    world.run(story())


def test_a_stock_client_is_told_which_rules_it_breaks(world: Any) -> None:
    async def story() -> None:
        async with trials_of(world) as trials:
            trial = await trials.begin(7)
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with suppress(OSError):
                await asyncio.open_connection("127.0.0.1", trial.port, ssl=context, server_hostname="ca.example")
            one = await noted(trial)
            assert one.refusal is not None and one.agreed is None
            assert one.server_name == "ca.example"
            texts = [str(each) for each in one.findings if each.verdict is Verdict.BREAKS]
            assert any("Groups that may not be used are offered: 0x001d" in text for text in texts), texts
            assert any(text.startswith("TLS 1.3: groups that must be offered are missing: brainpool") for text in texts)
            assert any(text.startswith("Cipher suites that may not be used are offered:") for text in texts)

    world.run(story())


def test_what_is_no_tls_is_an_attempt_too(world: Any) -> None:
    async def story() -> None:
        async with trials_of(world) as trials:
            trial = await trials.begin(7)
            _, writer = await asyncio.open_connection("127.0.0.1", trial.port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            one = await noted(trial)
            writer.close()
            assert one.findings == () and one.refusal is not None and one.refusal.code == "tls.failed"

    world.run(story())


def test_a_trial_belongs_to_one_account_and_ends(world: Any) -> None:
    async def story() -> None:
        async with trials_of(world, most=2, span=timedelta(seconds=0.3)) as trials:
            first = await trials.begin(1)
            again = await trials.begin(1)
            assert first.port is None and again.port is not None
            assert trials.find(1) is again and trials.find(2) is None
            await trials.begin(2)
            with pytest.raises(ServiceError) as refusal:
                await trials.begin(3)
            assert refusal.value.code == "service.tryout.busy"
            async with asyncio.timeout(20):
                while again.port is not None:
                    await asyncio.sleep(0.02)
            await trials.begin(3)

    world.run(story())


def test_ports_can_be_given(world: Any) -> None:
    async def story() -> None:
        async with trials_of(world) as trials:
            taken = (await trials.begin(1)).port
            async with trials_of(world, ports=(taken,)) as others:
                with pytest.raises(ServiceError) as refusal:
                    await others.begin(1)
                assert refusal.value.code == "service.tryout.busy"

    world.run(story())


def test_connections_of_a_trial_are_few_and_end_with_it(world: Any) -> None:
    async def story() -> None:
        async with trials_of(world) as trials:
            trial = await trials.begin(7)
            opened = [await asyncio.open_connection("127.0.0.1", trial.port) for _ in range(30)]
            async with asyncio.timeout(20):
                while sum(reader.at_eof() for reader, _ in opened) < 10:
                    await asyncio.sleep(0.01)
                assert len(trial.connections) == 20
                trials.end(7)
                for reader, writer in opened:
                    with suppress(ConnectionError):
                        assert await reader.read() == b""
                    writer.close()
            assert not trial.connections

    world.run(story())


def test_two_that_ask_at_once_for_an_account_get_one_port(world: Any) -> None:
    async def story() -> None:
        async with trials_of(world) as trials:
            both = await asyncio.gather(trials.begin(7), trials.begin(7))
            assert [one.port is None for one in both] == [True, False]
            assert trials.find(7) is both[1]

    world.run(story())
