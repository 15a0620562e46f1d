"""Configuration documents with versions, and small state."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, select
from sqlalchemy.dialects.sqlite import insert

from smpki.errors import GatewayError
from smpki.gateway.store.tables import document, state

_DOCUMENT = select(document).where(document.c.name == bindparam("of"))
_VALUE = select(state.c.value).where(state.c.name == bindparam("of"))
_PUT = insert(state).on_conflict_do_update(index_elements=["name"], set_={"value": insert(state).excluded.value})


@dataclass(frozen=True, slots=True)
class Document:
    """A configuration document, such as a profile.

    :param version: 1 for the first, one more with each change
    :param text: JSON
    """

    name: str
    version: int
    text: str
    changed_at: datetime


class Documents:
    """Configuration documents, inside a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, name: str) -> Document | None:
        """A document, or None."""
        row = self._connection.execute(_DOCUMENT, {"of": name}).one_or_none()
        return None if row is None else Document(*row)

    def names(self, prefix: str = "") -> tuple[str, ...]:
        """The names that begin so, in order."""
        query = select(document.c.name).where(document.c.name.startswith(prefix, autoescape=True))
        return tuple(self._connection.execute(query.order_by(document.c.name)).scalars())

    def put(self, name: str, text: str, *, now: datetime, expected: int | None = None) -> Document:
        """Store or replace a document. The same text once more changes nothing.

        :param expected: replace only this version; 0: only store it anew; None: whatever is there
        :raises GatewayError: ``document.version``: another version is there
        """
        present = self.get(name)
        version = 0 if present is None else present.version
        self._require(name, version, expected)
        if present is not None and present.text == text:
            return present
        values = {"version": version + 1, "text": text, "changed_at": now}
        change = insert(document).values(name=name, **values)
        self._connection.execute(change.on_conflict_do_update(index_elements=["name"], set_=values))
        return Document(name, version + 1, text, now)

    def remove(self, name: str, *, expected: int | None = None) -> bool:
        """Remove a document.

        :returns: whether it was there
        :raises GatewayError: ``document.version``: another version is there
        """
        present = self.get(name)
        self._require(name, 0 if present is None else present.version, expected)
        self._connection.execute(delete(document).where(document.c.name == name))
        return present is not None

    @staticmethod
    def _require(name: str, version: int, expected: int | None) -> None:
        if expected not in (None, version):
            hint = "read it again: somebody changed it since"
            raise GatewayError("document.version", f"version {version} is there, not {expected}", where=name, hint=hint)


class State:
    """Small values by name, inside a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, name: str) -> str | None:
        """A value, or None."""
        value: str | None = self._connection.execute(_VALUE, {"of": name}).scalar()
        return value

    def put(self, name: str, value: str) -> None:
        """Store or replace a value."""
        self._connection.execute(_PUT, {"name": name, "value": value})

    def remove(self, name: str) -> None:
        """Forget a value, if it is there."""
        self._connection.execute(delete(state).where(state.c.name == name))

    def all(self) -> Mapping[str, str]:
        """Every value by name."""
        return {row.name: row.value for row in self._connection.execute(select(state).order_by(state.c.name))}
