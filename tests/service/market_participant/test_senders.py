"""Who may deliver: by chain and revocation list or by the very certificate, and only what is theirs."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.errors import GatewayError, TlsError, TrustError
from smpki.tls.peers import Alert

World = Any
Codes = Callable[..., list[tuple[int, str]]]
TAKEN = (204, "")


def write(folder: Path, *holders: Any, name: str = "gateway") -> None:
    folder.mkdir(exist_ok=True)
    data = b"".join(one.certificate.public_bytes(Encoding.PEM) for one in holders)
    (folder / f"{name}.pem").write_bytes(data)


async def refused(world: World, server: Any, gateway: Any) -> Alert:
    """The alert that a gateway gets which is not let in."""
    async with world.client(server, gateway) as client:
        with pytest.raises(TlsError) as error:
            await world.deliver(client, gateway)
    return Alert(error.value.alert)  # type: ignore[attr-defined]


def test_a_quality_seal_is_not_for_delivering(world: World) -> None:
    seal = world.gateway(administrator="Hersteller GmbH", number=0)

    async def main() -> None:
        async with world.serving() as server:
            assert await refused(world, server, seal) is Alert.UNSUPPORTED_CERTIFICATE

    world.run(main())


def test_a_market_participant_is_no_gateway(world: World) -> None:
    emt = world.gateway()
    object.__setattr__(emt, "tls", world.pki.new.emt["tls"])

    async def main() -> None:
        async with world.serving() as server:
            assert await refused(world, server, emt) is Alert.UNSUPPORTED_CERTIFICATE

    world.run(main())


def test_a_message_that_another_gateway_signed_is_refused(world: World, codes: Codes, said: Any) -> None:
    gateway, other = world.gateway(), world.gateway("EABC0012345679")

    async def main() -> list[httpx.Response]:
        async with world.serving() as server, world.client(server, gateway) as client:
            forwarded = world.delivery(other)
            return [
                await world.deliver(client, gateway, signer=other),
                await world.deliver(client, gateway, forwarded, signer=other),
                await world.deliver(client, gateway, forwarded),
                await world.deliver(client, gateway),
            ]

    refusals = [(403, "delivery.signer.other"), (403, "delivery.signer.other"), (403, "delivery.gateway")]
    assert codes(world.run(main())) == [*refusals, TAKEN]
    assert len(said()) == 3
    assert len(world.lines()) == 3


SIGNERS: dict[str, Callable[[World], Any]] = {
    "revoked": lambda world: world.gateway(),
    "of another root": lambda world: with_sig(world, issuer=world.pki.old.sub_ca, crl=world.pki.old.of_sub_ca),
    "self-signed": lambda world: with_sig(world, issuer=None, crl=None),
    "expired": lambda world: with_sig(world, end=world.now() - timedelta(seconds=1)),
}


def with_sig(world: World, **options: Any) -> Any:
    gateway = world.gateway()
    issued = {"issuer": world.pki.new.sub_ca, "usage": "sig", "crl": world.pki.new.of_sub_ca} | options
    object.__setattr__(gateway, "sig", world.pki.issue(gateway.tls.name, **issued))
    return gateway


@pytest.mark.parametrize("case", SIGNERS)
def test_a_signer_whose_certificate_does_not_hold(case: str, world: World, codes: Codes) -> None:
    gateway = SIGNERS[case](world)
    if case == "revoked":
        world.write_crls(world.pki.Entry(gateway.sig.certificate))

    async def main() -> list[httpx.Response]:
        async with world.serving() as server, world.client(server, gateway) as client:
            return [await world.deliver(client, gateway)]

    assert codes(world.run(main())) == [(403, "delivery.signer.refused")]
    assert world.lines() == []


def test_a_signature_that_is_wrong(world: World, codes: Codes) -> None:
    gateway = world.gateway()
    body = bytearray(world.protect(world.delivery(gateway).to_json(), gateway))
    body[-1] ^= 1

    async def main() -> list[httpx.Response]:
        async with world.serving() as server, world.client(server, gateway) as client:
            kind = 'application/cms+json; encapsulatingContent="signedData , authEnvelopedData"'
            return [await client.post("/readings", content=bytes(body), headers={"content-type": kind})]

    ((status, code),) = codes(world.run(main()))
    assert (status, code.rpartition(".")[0]) == (422, "cms.signature")


def test_who_is_suspended_meanwhile_is_refused_on_the_connection_and_behind_it(world: World, codes: Codes) -> None:
    gateway, other = world.gateway(), world.gateway("EABC0012345679")

    async def main() -> None:
        async with (
            world.serving() as server,
            world.client(server, gateway) as client,
            world.client(server, other) as others,
        ):
            answers = [await world.deliver(client, gateway), await world.deliver(others, other)]
            world.suspend(gateway.tls, other.sig)
            answers += [await world.deliver(client, gateway), await world.deliver(others, other)]
            assert await refused(world, server, gateway) is Alert.CERTIFICATE_REVOKED
            world.write_crls(number=3)  # resumed
            world.offset += timedelta(seconds=2)
            answers += [await world.deliver(client, gateway), await world.deliver(others, other)]
            suspended = [(403, "delivery.sender.refused"), (403, "delivery.signer.refused")]
            assert codes(answers) == [TAKEN, TAKEN, *suspended, TAKEN, TAKEN]

    world.run(main())


def test_without_a_current_revocation_list_it_is_not_the_gateway_s_fault(world: World, codes: Codes) -> None:
    gateway = world.gateway()
    world.write_crls(end=world.now() + timedelta(minutes=10))

    async def main() -> None:
        async with world.serving() as server, world.client(server, gateway) as client:
            assert codes([await world.deliver(client, gateway)]) == [TAKEN]
            world.offset += timedelta(minutes=11)
            assert codes([await world.deliver(client, gateway)]) == [(503, "delivery.sender.refused")]
            assert await refused(world, server, gateway) is Alert.CERTIFICATE_UNKNOWN
            world.write_crls(number=2)
            world.offset += timedelta(seconds=2)
            assert codes([await world.deliver(client, gateway)]) == [TAKEN]

    world.run(main())


def test_a_list_that_can_t_be_read_changes_nothing_but_the_log(world: World, codes: Codes, said: Any) -> None:
    gateway = world.gateway()

    async def main() -> None:
        async with world.serving() as server, world.client(server, gateway) as client:
            (world.folder / "crl" / "2.crl").write_bytes(b"half a li")
            world.offset += timedelta(seconds=2)
            assert codes([await world.deliver(client, gateway) for _ in range(2)]) == [TAKEN, TAKEN]
            (line,) = said()
            assert "2.crl" in line
            world.suspend(gateway.tls)
            assert await refused(world, server, gateway) is Alert.CERTIFICATE_REVOKED

    world.run(main())


def test_only_gateways_and_meters_that_were_let_in(world: World, codes: Codes, said: Any) -> None:
    gateway, free, foreign = (world.gateway(f"EABC001234567{number}") for number in (8, 9, 7))
    let_in = {gateway.id.dns: {"meters": [world.METER.dns]}, free.id.dns: {}}
    other = world.readings(2, meter=type(world.METER).parse("1EMH0099999999"))

    async def main() -> None:
        async with world.serving(senders={"gateways": let_in}) as server:
            for one, expected in (
                (gateway, [TAKEN, (403, "delivery.meter")]),
                (free, [TAKEN, TAKEN]),
                (foreign, [(403, "delivery.sender.unknown")] * 2),
            ):
                async with world.client(server, one) as client:
                    answers = [
                        await world.deliver(client, one),
                        await world.deliver(client, one, world.delivery(one, readings=world.readings(1) + other)),
                    ]
                assert codes(answers) == expected
        assert len(said()) == 3

    world.run(main())


def test_only_gateways_of_certain_administrators(world: World, codes: Codes) -> None:
    gateway, other = world.gateway(), world.gateway("EABC0012345679", administrator="Andere.GWA")

    async def main() -> None:
        async with world.serving(senders={"administrators": ["Admin.GWA"]}) as server:
            for one, expected in ((gateway, TAKEN), (other, (403, "delivery.sender.administrator"))):
                async with world.client(server, one) as client:
                    assert codes([await world.deliver(client, one)]) == [expected]

    world.run(main())


def test_only_known_certificates(world: World, codes: Codes) -> None:
    gateway, stranger = world.gateway(), world.gateway("EABC0012345679")
    renewed = world.gateway(number=2)
    folder = world.folder / "gateways"
    write(folder, gateway.tls, gateway.sig, world.pki.new.sub_ca, world.pki.new.emt["sig"])

    async def main() -> None:
        exact = {"trust": None, "certificates": "gateways"}
        async with world.serving(senders=exact) as server, world.client(server, gateway) as client:
            for enclose in (True, False):
                assert codes([await world.deliver(client, gateway, enclose=enclose)]) == [TAKEN]
            assert codes([await world.deliver(client, gateway, signer=renewed)]) == [(403, "delivery.signer.refused")]
            assert await refused(world, server, stranger) is Alert.BAD_CERTIFICATE
            assert await refused(world, server, renewed) is Alert.BAD_CERTIFICATE
            write(folder, renewed.tls, renewed.sig, name="renewed")
            world.offset += timedelta(seconds=2)
            async with world.client(server, renewed) as new:
                assert codes([await world.deliver(new, renewed)]) == [TAKEN]
            (folder / "gateway.pem").unlink()
            world.offset += timedelta(seconds=2)
            assert codes([await world.deliver(client, gateway)]) == [(403, "delivery.sender.refused")]

    world.run(main())


def test_a_certificate_that_is_not_enclosed_has_to_be_known(world: World, codes: Codes) -> None:
    gateway = world.gateway()
    folder = world.folder / "gateways"
    write(folder)

    async def main() -> None:
        async with (
            world.serving(senders={"certificates": "gateways"}) as server,
            world.client(server, gateway) as client,
        ):
            answers = [await world.deliver(client, gateway, enclose=False)]
            write(folder, gateway.sig)
            world.offset += timedelta(seconds=2)
            answers += [await world.deliver(client, gateway, enclose=False)]
            assert codes(answers) == [(403, "delivery.signer.unknown"), TAKEN]

    (folder / "gateway.pem").unlink()
    world.run(main())


def test_a_gateway_may_bring_the_sub_ca_s_certificate(world: World, codes: Codes) -> None:
    gateway, new = world.gateway(), world.pki.new
    signers = [one.certificate.public_bytes(Encoding.PEM) for one in (new.crl_signer, new.tls_signer)]
    (world.folder / "above.pem").write_bytes(b"".join(signers))

    async def main() -> None:
        async with world.serving() as server:
            async with world.client(server, gateway, new.sub_ca) as client:
                assert codes([await world.deliver(client, gateway)]) == [TAKEN]
            assert await refused(world, server, gateway) is Alert.UNKNOWN_CA

    world.run(main())


def test_a_renewed_gateway_is_let_in_by_its_chain(world: World, codes: Codes) -> None:
    before, after = world.gateway(), world.gateway(number=2)

    async def main() -> None:
        async with world.serving() as server:
            for one in (before, after, before):
                async with world.client(server, one) as client:
                    assert codes([await world.deliver(client, one)]) == [TAKEN]

    world.run(main())


def test_after_the_participant_s_renewal_the_former_key_opens_as_long_as_it_is_listed(
    world: World, codes: Codes
) -> None:
    gateway = world.gateway()
    new = world.participant(7)
    world.write_triple("renewed", new["tls"], new["enc"])

    async def main(triples: list[str], tls: Any) -> list[tuple[int, str]]:
        async with world.serving(triples=triples) as server, world.client(server, gateway, trusts=tls) as client:
            return codes([await world.deliver(client, gateway, enc=enc) for enc in (world.enc, new["enc"])])

    other = (422, "cms.recipient")
    assert world.run(main(["triple"], world.tls)) == [TAKEN, other]
    assert world.run(main(["renewed", "triple"], new["tls"])) == [TAKEN, TAKEN]
    assert world.run(main(["renewed"], new["tls"])) == [other, TAKEN]


@pytest.mark.parametrize(
    ("file", "error", "code"),
    [
        ("root.pem", TrustError, "trust.file.unreadable"),
        ("crl/0.crl", TrustError, "trust.file.unreadable"),
        ("triple/tls.pem", TrustError, "trust.file.unreadable"),
    ],
)
def test_what_is_unreadable_at_the_start_ends_it(file: str, error: type[Exception], code: str, world: World) -> None:
    (world.folder / file).write_text("nothing")

    async def main() -> None:
        async with world.serving():
            pass

    with pytest.raises(error) as refusal:
        world.run(main())
    assert refusal.value.code == code  # type: ignore[attr-defined]


@pytest.mark.parametrize("missing", ["root.pem", "triple/enc.pem"])
def test_what_is_missing_at_the_start_ends_it(missing: str, world: World) -> None:
    (world.folder / missing).unlink()

    async def main() -> None:
        async with world.serving():
            pass

    with pytest.raises(GatewayError) as refusal:
        world.run(main())
    assert refusal.value.code == "configuration.certificate"
    assert missing in refusal.value.where
