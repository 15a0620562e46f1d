"""Jobs: what is to be done with a gateway, how far it is, and what came of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, RowMapping, insert, select, update

from smpki.errors import GatewayError, SmpkiError
from smpki.policy.device_id import DeviceId
from smpki.service.administrator.store.tables import job

State = Literal["open", "done", "failed"]


@dataclass(frozen=True)
class Job:
    """A job.

    :param kind: names its sequence of steps
    :param arguments: what it was ordered with
    :param step: the one to be taken next; the last one that was taken when it is no longer open
    :param data: what the steps have found so far
    :param attempts: of this step, that failed
    :param deadline: when it fails if it is not done
    :param due_at: when the step is tried again
    :param error: why the step failed last, or why the job has failed: ``code``, ``message``, ``where``, ``hint``
    :param result: what came of it
    """

    number: int
    gateway: DeviceId
    kind: str
    arguments: Mapping[str, Any]
    state: State
    step: str
    data: Mapping[str, Any]
    attempts: int
    created_at: datetime
    deadline: datetime
    due_at: datetime
    error: Mapping[str, str] | None
    result: Mapping[str, Any] | None
    finished_at: datetime | None

    def as_dict(self) -> dict[str, object]:
        """The job as the mapping that ``--json`` prints; what only its steps need is left out."""
        return {
            "job": self.number,
            "gateway": self.gateway.dns,
            "kind": self.kind,
            "state": self.state,
            "step": self.step,
            "attempts": self.attempts,
            "created_at": self.created_at.isoformat(),
            "deadline": self.deadline.isoformat(),
            "finished_at": self.finished_at and self.finished_at.isoformat(),
            "error": self.error,
            "result": self.result,
        }


class Jobs:
    """The jobs, inside a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(
        self,
        gateway: DeviceId,
        kind: str,
        step: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        now: datetime,
        deadline: datetime,
    ) -> Job:
        """Order a job.

        :param step: the first one
        """
        values = {"gateway": gateway.dns, "kind": kind, "arguments": json.dumps(arguments or {}), "step": step}
        times = {"created_at": now, "due_at": now, "deadline": deadline}
        added = insert(job).values(**values, **times, state="open", data="{}", attempts=0).returning(job)
        return _job(self._connection.execute(added).mappings().one())

    def get(self, number: int) -> Job:
        """A job.

        :raises GatewayError: ``gwa.job.unknown``
        """
        found = self._several(job.c.number == number)
        if not found:
            raise GatewayError("gwa.job.unknown", "there is no such job", where=str(number), hint="see smpki gwa show")
        return found[0]

    def open(self) -> Sequence[Job]:
        """All that are not done, in the order in which they were ordered."""
        return self._several(job.c.state == "open")

    def of(self, gateway: DeviceId, *, limit: int = 20) -> Sequence[Job]:
        """The latest of a gateway, the last one in front."""
        query = select(job).where(job.c.gateway == gateway.dns).order_by(job.c.number.desc()).limit(limit)
        return tuple(map(_job, self._connection.execute(query).mappings()))

    def latest(self, gateway: DeviceId, kinds: Sequence[str]) -> Job | None:
        """The last one of some kinds, or None."""
        query = select(job).where(job.c.gateway == gateway.dns, job.c.kind.in_(kinds))
        row = self._connection.execute(query.order_by(job.c.number.desc()).limit(1)).mappings().one_or_none()
        return None if row is None else _job(row)

    def advance(self, number: int, step: str, data: Mapping[str, Any], *, now: datetime) -> Job:
        """A step was taken; this one comes next."""
        return self._change(number, step=step, data=json.dumps(data), attempts=0, due_at=now, error=None)

    def postpone(self, number: int, error: SmpkiError, due_at: datetime, *, step: str, data: Mapping[str, Any]) -> Job:
        """A step failed; this one is tried then."""
        values = {"step": step, "data": json.dumps(data), "error": json.dumps(error.as_dict()), "due_at": due_at}
        return self._change(number, attempts=job.c.attempts + 1, **values)

    def note(self, number: int, result: Mapping[str, Any]) -> Job:
        """A result that is there before the job is done."""
        return self._change(number, result=json.dumps(result))

    def finish(self, number: int, result: Mapping[str, Any] | None, *, now: datetime) -> Job:
        """It is done; a result that was noted before stays where there is none."""
        values = {} if result is None else {"result": json.dumps(result)}
        return self._change(number, state="done", data="{}", error=None, finished_at=now, **values)

    def fail(self, number: int, error: SmpkiError, *, now: datetime) -> Job:
        """It won't be done."""
        return self._change(number, state="failed", error=json.dumps(error.as_dict()), finished_at=now)

    def _change(self, number: int, **values: object) -> Job:
        change = update(job).where(job.c.number == number, job.c.state == "open").values(**values).returning(job)
        row = self._connection.execute(change).mappings().one_or_none()
        if row is None:
            raise GatewayError("gwa.job.over", "the job is over", where=str(number), hint="order another one")
        return _job(row)

    def _several(self, *wanted: ColumnElement[bool]) -> Sequence[Job]:
        rows = self._connection.execute(select(job).where(*wanted).order_by(job.c.number)).mappings()
        return tuple(map(_job, rows))


def _job(row: RowMapping) -> Job:
    values = {**row, "gateway": DeviceId.parse(row["gateway"])}
    for name in ("arguments", "data", "error", "result"):
        values[name] = json.loads(row[name]) if row[name] is not None else None
    return Job(**values)
