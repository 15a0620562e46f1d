"""The portal over PostgreSQL: two operators who decide at once, and texts that the database does not take."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest


@pytest.fixture
def town(world_of: Callable[[Any], Any], postgres_workshop: Any, town_of: Any, changed_policy: Any) -> Iterator[Any]:
    world = world_of(postgres_workshop)
    with postgres_workshop.open(policy=changed_policy({"issuing.manual_approval": ["emt"]})) as pki:
        made = town_of(world, pki)
        yield made
        for client in made.clients:
            client.close()


def both(operators: list[Any], path: str, **fields: str) -> list[Any]:
    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(lambda one: one.send(path, **fields), operators))


def test_of_two_who_decide_at_once_one_is_second(town: Any) -> None:
    paul = town.participant("Firma.EMT").get("/packages/new")
    paul.send("/packages/new", files={"package": town.world.packages.make("Firma.EMT")}, submit="1")
    assert "An operator has to approve of it" in paul.text

    operators = [town.operator(name).get("/packages/1") for name in ("olga", "oskar")]
    both(operators, "/packages/1", approve="1")
    assert sorted(one.status for one in operators) == [200, 409]
    assert len(set(re.findall(r"/certificates/([0-9a-f]+)", paul.get("/home").text))) == 3

    (tls,) = (one.certificate for one in town.desk.certificates.authorities() if one.certificate.kind == "sub-ca-tls")
    path = f"/certificates/{tls.serial}"
    for one in operators:
        one.get(f"{path}/revoke")
    both(operators, f"{path}/revoke", reason="superseded")
    assert sorted(one.status for one in operators) == [200, 200]
    assert sorted(one.response.url.query for one in operators) == [b"done=1", b"waits=1"]
    assert "Taken back on" in paul.get(path).text


def test_a_text_that_the_database_does_not_take_is_no_fault_of_the_database(town: Any) -> None:
    olga, paul = town.operator(), town.participant("Firma.EMT")
    for path in ("/certificates/%00", "/certificates?cn=%00", "/calendar?after=%00"):
        assert olga.get(path).status == 400
    assert paul.get("/account").send("/account/tokens", label="a\0b", days="3").status == 400
    for path in ("/certificates/zz", "/certificates?after=zz", "/audit?before=999999999999999"):
        assert olga.get(path).status in (200, 404)
