"""Requests that are answered later: held for an operator, kept in the queue, sent to who asked, once."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from smpki.service.web.operations import Patience
from smpki.service.web.runner import Pace, refusal_of
from smpki.service.web.store.queue import NewRequest, RequestQueue, State
from smpki.soap.messages import Answer, RequestCertificate, ReturnCode, SendCertificates
from smpki.soap.read import read_request
from smpki.soap.write import write_answer
from smpki.tls.endpoint import Endpoint
from smpki.tls.http_server import peer_chain, serve_http
from smpki.tls.profile import WAN_SERVER

HELD = {"issuing.manual_approval": ["emt"]}
NEVER = Patience(waiting=0)


class Receiver:
    """A participant's service, which takes results.

    :param codes: how it answers them, one after another; the last one goes on
    """

    def __init__(self, world: Any, *codes: ReturnCode) -> None:
        self._world = world
        self._codes = list(codes or [ReturnCode.OK_RECEIVED_CORRECTLY])
        self.results: list[SendCertificates] = []
        self.senders: list[str] = []
        self.news = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        request = read_request(body)
        assert isinstance(request, SendCertificates)
        self.results.append(request)
        self.senders.append(peer_chain(scope)[0].subject.rfc4514_string())
        code = self._codes.pop(0) if len(self._codes) > 1 else self._codes[0]
        answer = write_answer(request.operation, Answer(code))
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]}
        )
        await send({"type": "http.response.body", "body": answer})
        self.news.set()

    @asynccontextmanager
    async def serving(self, identity: Any, port: int) -> Any:
        endpoint = Endpoint(WAN_SERVER, identity, lambda _: None, clock=lambda: self._world.workshop.now)
        async with await serve_http(self, endpoint, "127.0.0.1", port) as server:
            yield server

    async def wait(self, number: int) -> None:
        while len(self.results) < number:
            self.news.clear()
            await self.news.wait()


def free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def queue(world: Any) -> list[Any]:
    with world.workshop.open() as pki:
        return list(pki.store.beside(RequestQueue).list(all=True))


def decide(world: Any, decision: Any) -> None:
    with world.workshop.open() as pki:
        decision(pki.store.beside(RequestQueue))


async def settled(world: Any, state: State) -> Any:
    while (one := (await asyncio.to_thread(queue, world))[0]).state is not state:
        await asyncio.sleep(0.02)
    return one


def test_a_held_request_is_approved_of_and_its_result_sent_by_the_same_message_id(
    world: Any, changed_policy: Any
) -> None:
    port = free_port()
    emt = world.register(url=f"https://127.0.0.1:{port}/results")
    world.near_the_end()
    world.options["policy"] = changed_policy(HELD)
    package = emt.renewal()

    async def story() -> None:
        receiver = Receiver(world)
        async with world.service() as service, receiver.serving(emt.identity, port):
            now = await service.ask(emt, RequestCertificate(package))
            assert now.code is ReturnCode.FAILURE_SYNCHRONOUS_PROCESSING_NOT_POSSIBLE
            for _ in range(2):  # sent again it is kept once
                assert (await service.ask(emt, RequestCertificate(package, "id 1"))).code is ReturnCode.OK_SYNTAX
            reused = await service.ask(emt, RequestCertificate(emt.renewal(), "id 1"))
            assert reused.code is ReturnCode.FAILURE_REQUEST_NOT_ACCEPTED
            (one,) = await asyncio.to_thread(queue, world)
            assert (one.state, receiver.results) == (State.HELD, [])
            await asyncio.to_thread(decide, world, lambda desk: desk.approve(one.id))
            await settled(world, State.DELIVERED)
            (result,) = receiver.results
            assert (result.status, result.message_id) == (ReturnCode.OK_CERT_AVAILABLE, "id 1")
            assert len(result.certificates) == 3
            assert "CN=Beispiel.CA.TLS" in receiver.senders[0]
            again = await service.ask(emt, RequestCertificate(package, "id 1"))
            assert again.certificates == result.certificates
            assert (await service.ask(emt, RequestCertificate(package))).certificates == result.certificates
        assert len(receiver.results) == 1

    world.run(story())
    assert world.audit().count(("queue-approve", "done")) == 1
    assert world.audit().count(("issue", "done")) == 2
    world.workshop.assert_chain_holds()


def test_an_operator_refuses(world: Any, changed_policy: Any) -> None:
    port = free_port()
    emt = world.register(url=f"https://127.0.0.1:{port}/")
    world.near_the_end()
    world.options["policy"] = changed_policy(HELD)

    async def story() -> None:
        receiver = Receiver(world)
        async with world.service() as service, receiver.serving(emt.identity, port):
            assert (await service.ask(emt, RequestCertificate(emt.renewal(), "7"))).code is ReturnCode.OK_SYNTAX
            (one,) = await asyncio.to_thread(queue, world)
            result = refusal_of(one, ReturnCode.FAILURE_REQUEST_NOT_ACCEPTED, "no")
            await asyncio.to_thread(decide, world, lambda desk: desk.refuse(one.id, result))
            await settled(world, State.DELIVERED)
        assert receiver.results == [SendCertificates(ReturnCode.FAILURE_REQUEST_NOT_ACCEPTED, "7", "no")]

    world.run(story())


def test_a_full_counter_answers_later_and_a_refusal_goes_the_same_way(world: Any) -> None:
    port = free_port()
    emt = world.register(url=f"https://127.0.0.1:{port}/")
    world.change(patience=NEVER)  # every package meets a full counter
    early = emt.renewal()

    async def story() -> None:
        receiver = Receiver(world)
        async with world.service() as service, receiver.serving(emt.identity, port):
            assert (await service.ask(emt, RequestCertificate(early, "1"))).code is ReturnCode.OK_SYNTAX
            await receiver.wait(1)
            assert receiver.results[0].status is ReturnCode.FAILURE_REQUEST_NOT_ACCEPTED
            assert "is renewed in its last" in receiver.results[0].message

    world.run(story())


def test_a_large_package_is_answered_later_where_that_is_possible(world: Any) -> None:
    emt = world.register(url=f"https://127.0.0.1:{free_port()}/")
    world.near_the_end()
    package = emt.renewal()
    world.change(patience=Patience(octets=len(package) - 1))

    async def story() -> None:
        async with world.service() as service:
            assert (await service.ask(emt, RequestCertificate(package, "1"))).code is ReturnCode.OK_SYNTAX
            assert (await service.ask(emt, RequestCertificate(package))).code is ReturnCode.OK_CERT_AVAILABLE

    world.run(story())


def test_a_dead_host_is_tried_again_with_longer_pauses_also_after_a_restart(world: Any) -> None:
    port = free_port()
    emt = world.register(url=f"https://127.0.0.1:{port}/")
    world.near_the_end()
    world.change(patience=NEVER)

    async def attempts(number: int) -> Any:
        while (one := (await asyncio.to_thread(queue, world))[0]).attempts < number:
            await asyncio.sleep(0.02)
        return one

    async def story() -> None:
        async with world.service() as service:
            assert (await service.ask(emt, RequestCertificate(emt.renewal(), "1"))).code is ReturnCode.OK_SYNTAX
            pauses = []
            for number in (1, 2, 3):
                one = await attempts(number)
                assert one.state is State.ANSWERED
                assert "can't connect" in one.remark
                pauses.append(one.due_at - world.workshop.now)
                if number < 3:
                    world.workshop.now = one.due_at
        assert pauses == [timedelta(seconds=10), timedelta(seconds=20), timedelta(seconds=40)]
        receiver = Receiver(world, ReturnCode.FAILURE_INTERNAL_ERROR, ReturnCode.OK_RECEIVED_CORRECTLY)
        world.workshop.now = one.due_at  # not before: a service that ends would try once more
        async with receiver.serving(emt.identity, port), world.service():
            world.workshop.now = (await attempts(4)).due_at
            await settled(world, State.DELIVERED)
        assert receiver.results[0] == receiver.results[1]

    world.run(story())


def test_results_go_to_nobody_else(world: Any) -> None:
    port = free_port()
    emt, other = world.register(url=f"https://127.0.0.1:{port}/"), world.register("Andere.EMT")
    world.near_the_end()
    world.change(patience=NEVER, pace=Pace(look=0.05, tries=1))

    async def story() -> None:
        receiver = Receiver(world)
        async with world.service() as service, receiver.serving(other.identity, port):
            await service.ask(emt, RequestCertificate(emt.renewal(), "1"))
            one = await settled(world, State.GIVEN_UP)
            assert "tls.peer.holder" in one.remark
            assert receiver.results == []
            await asyncio.to_thread(decide, world, lambda desk: desk.again(one.id))
            await settled(world, State.GIVEN_UP)

    world.run(story())


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_takers_never_meet_and_who_dies_is_followed(database: str, request: Any) -> None:
    workshop = request.getfixturevalue("workshop" if database == "sqlite" else "postgres_workshop")
    new = NewRequest(
        authority="X.CA", subject_key="CN=A", role="emt", subject_cn="A", message_id="", digest="00", request=b""
    )
    lease = timedelta(minutes=1)
    with workshop.open() as pki, workshop.open() as other:
        mine, theirs = pki.store.beside(RequestQueue), other.store.beside(RequestQueue)
        for number in range(4):
            mine.put(replace(new, message_id=str(number)), held=False)
        taken = [desk.take("X.CA", lease) for desk in (mine, theirs) * 2]
        assert sorted(one.message_id for one in taken) == ["0", "1", "2", "3"]
        assert theirs.take("X.CA", lease) is None
        assert theirs.take("Y.CA", lease) is None
        workshop.now += timedelta(minutes=2)  # whoever took them is dead
        again = theirs.take("X.CA", lease)
        assert again.message_id == "0"
        mine.answer(taken[0], b"too late")
        assert theirs.get(again.id).result is None
        theirs.answer(again, b"result")
        assert theirs.get(again.id).result == b"result"
        assert mine.lengths("X.CA") == {"waiting": 3, "answered": 1}


def test_many_threads_take_each_request_once(postgres_workshop: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    new = NewRequest(
        authority="X.CA", subject_key="CN=A", role="emt", subject_cn="A", message_id="", digest="00", request=b""
    )
    with postgres_workshop.open() as pki:
        desk = pki.store.beside(RequestQueue)
        for number in range(40):
            desk.put(replace(new, message_id=str(number)), held=False)

        def work(_: int) -> list[str]:
            found = []
            while one := desk.take("X.CA", timedelta(minutes=1)):
                found.append(one.message_id)
                desk.delivered(one)
            return found

        with ThreadPoolExecutor(4) as workers:
            found = [one for those in workers.map(work, range(4)) for one in those]
    assert sorted(found, key=int) == [str(number) for number in range(40)]
