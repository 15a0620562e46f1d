"""The files of a gateway: what a first start makes, and what it never makes anew."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from smpki.errors import GatewayError, StoreError
from smpki.gateway.configuration import Configuration
from smpki.gateway.opening import at_work, open_module, open_store
from smpki.gateway.store.store import SCHEMA


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    place = dict.fromkeys(("management", "admin_service", "time"), "127.0.0.1:9")
    return Configuration.model_validate(
        {
            "id": "eabc0000000001",
            "software_keys": str(tmp_path / "keys"),
            "data": str(tmp_path / "data"),
            "wake_up": {"listen": "127.0.0.1:0"},
            "administrator": {"name": "Verwalter.GWA", **place, "certificates": ["gwa.pem"]},
        }
    )


def _no_folder(data: Path) -> None: ...


def _empty_folder(data: Path) -> None:
    data.mkdir()


def _interrupted(data: Path) -> None:
    data.mkdir()
    (data / "gateway.db").touch()


@pytest.mark.parametrize("before", [_no_folder, _empty_folder, _interrupted])
def test_a_first_start_makes_the_database(configuration: Configuration, before: Callable[[Path], None]) -> None:
    before(configuration.data)
    open_store(configuration).close()
    assert configuration.data.stat().st_mode & 0o777 in (0o700, 0o755)
    store = open_store(configuration)
    with store.view() as view:
        assert view.readings.latest() == {}
    store.close()


def test_a_database_that_is_gone_is_not_made_anew(configuration: Configuration) -> None:
    open_store(configuration).close()
    (configuration.data / "wakeup.json").write_text("{}")
    (configuration.data / "gateway.db").unlink()
    with pytest.raises(StoreError) as refused:
        open_store(configuration)
    assert refused.value.code == "store.missing"


def test_a_folder_that_can_not_be_made_is_refused(configuration: Configuration) -> None:
    configuration.data.write_text("a file")
    with pytest.raises(GatewayError) as refused:
        open_store(configuration)
    assert refused.value.code == "configuration.data"


def test_the_database_of_an_older_program_is_brought_up_to_date(configuration: Configuration) -> None:
    open_store(configuration).close()
    with closing(sqlite3.connect(configuration.data / "gateway.db")) as database:
        database.execute("DROP INDEX ix_delivered_reading")
        database.execute("UPDATE gateway_version SET version_num = '0002'")
        database.commit()
    open_store(configuration).close()
    with closing(sqlite3.connect(configuration.data / "gateway.db")) as database:
        assert database.execute("SELECT version_num FROM gateway_version").fetchall() == [(SCHEMA.version,)]
        assert database.execute("SELECT 1 FROM sqlite_master WHERE name = 'ix_delivered_reading'").fetchone()


def test_one_process_at_a_time_is_a_gateway(configuration: Configuration) -> None:
    with at_work(configuration):
        open_store(configuration).close()  # whose folder holds the lock, and nothing else
        with pytest.raises(GatewayError) as refused, at_work(configuration):
            pass
        assert refused.value.code == "gateway.at_work"
        assert refused.value.where == str(configuration.data)
    with at_work(configuration):
        open_store(configuration).close()


@pytest.mark.parametrize("in_the_way", ["data", "data/lock"])
def test_a_folder_that_can_not_be_held_is_refused(
    configuration: Configuration, tmp_path: Path, in_the_way: str
) -> None:
    if in_the_way == "data":
        configuration.data.touch()
    else:
        (tmp_path / in_the_way).mkdir(parents=True)
    with pytest.raises(GatewayError) as refused, at_work(configuration):
        pass
    assert refused.value.code == "configuration.data"


def test_keys_in_a_file_are_taken_only_where_they_are_configured(configuration: Configuration, tmp_path: Path) -> None:
    with open_module(configuration, None) as module:
        assert len(module.random(8)) == 8
    token = {"folder": "token", "label": "eabc0000000001", "pin_file": "pin"}
    values = {**configuration.model_dump(mode="json"), "software_keys": None, "token": token}
    with pytest.raises(GatewayError) as refused, open_module(Configuration.model_validate(values), None):
        pass
    assert refused.value.code == "configuration.token"
