"""The database: the steps make what the statements work on; what is noted stays, once."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect

from smpki.errors import GatewayError, SmpkiError, StoreError
from smpki.service.administrator.store.store import AdministratorStore
from smpki.service.administrator.store.tables import metadata


def _text(index: Any) -> dict[str, str]:
    return {name: str(value) for name, value in index.get("dialect_options", {}).items()}


def columns(file: Path) -> dict[str, Any]:
    found = inspect(create_engine(f"sqlite:///{file}"))
    tables = [name for name in found.get_table_names() if not name.endswith("_version")]
    return {
        name: (
            [{**column, "type": str(column["type"])} for column in found.get_columns(name)],
            found.get_pk_constraint(name)["constrained_columns"],
            sorted(str({**index, "dialect_options": _text(index)}) for index in found.get_indexes(name)),
            sorted(found.get_unique_constraints(name), key=str),
            sorted(found.get_check_constraints(name), key=str),
            sorted((str(key["constrained_columns"]), key["referred_table"]) for key in found.get_foreign_keys(name)),
        )
        for name in tables
    }


def test_the_steps_make_the_tables(tmp_path: Path) -> None:
    AdministratorStore.create(tmp_path / "steps.db").close()
    metadata.create_all(create_engine(f"sqlite:///{tmp_path / 'tables.db'}"))
    assert columns(tmp_path / "steps.db") == columns(tmp_path / "tables.db")


def test_a_database_that_is_not_there_is_not_made_by_the_way(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        AdministratorStore.open(tmp_path / "gwa.db")
    assert (caught.value.code, "gwa" in caught.value.hint) == ("store.missing", True)
    assert list(tmp_path.iterdir()) == []


def test_a_job_that_is_over_stays_as_it_is(world: Any) -> None:
    desk = world.desk()
    desk.ports = dict.fromkeys(("management", "admin_service", "time"), "127.0.0.1:1")
    gateway = world.gateway(desk)
    desk.adopt(gateway.record)
    job = desk.order(gateway, "wake")
    error = SmpkiError("test", "no")
    with desk.store.work() as work:
        done = work.jobs.finish(job.number, {"a": 1}, now=world.now())
    assert (done.state, done.result, done.finished_at) == ("done", {"a": 1}, world.now())
    for change in (
        lambda work: work.jobs.fail(job.number, error, now=world.now()),
        lambda work: work.jobs.advance(job.number, "next", {}, now=world.now()),
        lambda work: work.jobs.postpone(job.number, error, world.now(), step="next", data={}),
    ):
        with pytest.raises(GatewayError) as caught, desk.store.work() as work:
            change(work)
        assert caught.value.code == "gwa.job.over"
    assert desk.job(job) == done
    with pytest.raises(GatewayError) as caught, desk.store.view() as view:
        view.jobs.get(99)
    assert caught.value.code == "gwa.job.unknown"
