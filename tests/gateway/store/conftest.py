"""Stores of gateways: the tables are made once, then copied, which is much faster."""

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from smpki.gateway.readings import Obis, Reading
from smpki.gateway.store.outbox import Selection
from smpki.gateway.store.store import GatewayStore
from smpki.policy.device_id import DeviceId

METER, OTHER = DeviceId.parse("1EMH0012345678"), DeviceId.parse("1ISK0012345678")
A_PLUS, A_MINUS = Obis.parse("1-0:1.8.0"), Obis.parse("1-0:2.8.0")
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("template") / "gateway.db"
    GatewayStore.create(file).close()
    return file


@pytest.fixture
def database(_template: Path, tmp_path: Path) -> Path:
    """The file of an empty store."""
    return Path(shutil.copy(_template, tmp_path / "gateway.db"))


@pytest.fixture
def store(database: Path) -> Iterator[GatewayStore]:
    """An empty store."""
    store = GatewayStore.open(database)
    yield store
    store.close()


@pytest.fixture
def noon() -> datetime:
    return NOON


@pytest.fixture
def registers() -> list[tuple[DeviceId, Obis]]:
    """Two registers of a meter, and one of another."""
    return [(METER, A_PLUS), (METER, A_MINUS), (OTHER, A_PLUS)]


@pytest.fixture
def selection() -> Selection:
    """The first register."""
    return Selection(frozenset({(METER, A_PLUS)}))


@pytest.fixture
def reading() -> Callable[..., Reading]:
    """``reading(quarter, value=0, ...)``: of the first register, so many quarters of an hour after noon."""

    def make(quarter: int, value: int = 0, **changes: object) -> Reading:
        fields = {"meter": METER, "obis": A_PLUS, "scaler": -1, "unit": 30, "status": 0xA000000020000000} | changes
        return Reading(captured_at=NOON + quarter * timedelta(minutes=15), value=value, **fields)  # type: ignore[arg-type]

    return make
