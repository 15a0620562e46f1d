"""The way to the market participant's database."""

from pathlib import Path

from smpki.db.engine import Schema
from smpki.db.room_store import RoomStore
from smpki.service.market_participant.store.deliveries import Deliveries

SCHEMA = Schema(
    version="0001",
    steps=Path(__file__).parent / "versions",
    version_table="market_participant_version",
    hint="`smpki emt serve` makes it",
)


class DeliveryStore(RoomStore[Deliveries]):
    """A market participant's database."""

    schema = SCHEMA
    transaction = Deliveries
