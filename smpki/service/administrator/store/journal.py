"""What gateways have told, and what has happened here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects.sqlite import insert

from smpki.gateway.api import Notification
from smpki.gateway.log_entry import Level
from smpki.policy.device_id import DeviceId
from smpki.service.administrator.store.tables import event, notification


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened here.

    :param gateway: whom it is about; ``None``: nobody registered
    :param event: short stable name, such as an error's code
    """

    at: datetime
    gateway: str | None
    event: str
    level: Level
    text: str

    def as_dict(self) -> dict[str, object]:
        """The event as the mapping that ``--json`` prints."""
        told = {"at": self.at.isoformat(), "event": self.event, "level": self.level, "text": self.text}
        return {"gateway": self.gateway, **told}


class Journal:
    """Notifications and events, inside a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def notified(self, gateway: DeviceId, told: Notification, *, now: datetime, keep: int) -> bool:
        """Store a notification, unless it is there.

        :param keep: so many of the latest of this gateway stay
        :returns: whether it is new
        """
        values = {name: getattr(told, name) for name in ("number", "at", "event", "level", "text")}
        added = insert(notification).values(gateway=gateway.dns, received_at=now, **values)
        if self._connection.execute(added.on_conflict_do_nothing()).rowcount == 0:
            return False
        own = select(notification.c.row).where(notification.c.gateway == gateway.dns)
        oldest_kept = own.order_by(notification.c.row.desc()).offset(keep - 1).limit(1).scalar_subquery()
        old = notification.c.row < func.coalesce(oldest_kept, 0)
        self._connection.execute(delete(notification).where(notification.c.gateway == gateway.dns, old))
        return True

    def notifications(self, gateway: DeviceId, *, limit: int = 100) -> Sequence[Notification]:
        """The latest of a gateway, the last one in front."""
        columns = [notification.c[name] for name in ("number", "event", "level", "text", "at")]
        query = select(*columns).where(notification.c.gateway == gateway.dns)
        rows = self._connection.execute(query.order_by(notification.c.row.desc()).limit(limit)).mappings()
        return tuple(Notification(**row) for row in rows)

    def happened(
        self, name: str, text: str, *, now: datetime, gateway: DeviceId | None = None, level: Level = "I"
    ) -> None:
        """Note an event."""
        values = {"event": name, "text": text, "at": now, "level": level, "gateway": gateway and gateway.dns}
        self._connection.execute(insert(event).values(**values))

    def events(self, gateway: DeviceId | None = None, *, limit: int = 100) -> Sequence[Event]:
        """The latest, of all or of one gateway; the last one in front."""
        columns = [event.c[name] for name in Event.__dataclass_fields__]
        query = select(*columns).order_by(event.c.number.desc()).limit(limit)
        if gateway is not None:
            query = query.where(event.c.gateway == gateway.dns)
        return tuple(Event(*row) for row in self._connection.execute(query))
