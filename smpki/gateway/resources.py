"""What the administrator finds on MANAGEMENT: profiles, certificates, actions, logs, status."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from cryptography.hazmat.primitives.hashes import SHA256

from smpki.errors import GatewayError, PolicyError, RequestError
from smpki.gateway.administration import Administration
from smpki.gateway.api import (
    Administrator,
    CommunicationProfile,
    DeliveryCounts,
    EvaluationProfile,
    LogExport,
    LogRecord,
    MeterProfile,
    PrepareWanKeys,
    ReportNow,
    SelfTest,
    SlotCertificate,
    SlotStatus,
    Status,
    TimeStatus,
)
from smpki.gateway.api import WanKeys as WanKeysBody
from smpki.gateway.http_message import Response
from smpki.gateway.http_refusal import HttpRefusal
from smpki.gateway.journal import Happening, Journal
from smpki.gateway.log_entry import Level, Log, LogEntry
from smpki.gateway.pace import Pace
from smpki.gateway.profiles import Profile, Profiles, id_of
from smpki.gateway.query import Query
from smpki.gateway.rest import Action, Api, Call, Export, Resource, missing
from smpki.gateway.security_module import SecurityModule, SlotState
from smpki.gateway.slots import Slot
from smpki.gateway.store.store import GatewayStore
from smpki.gateway.wan_keys import WanKeys
from smpki.policy.device_id import DeviceId

P = TypeVar("P", CommunicationProfile, MeterProfile, EvaluationProfile)

LOGS: Mapping[str, Log] = {"system": "system", "calibration": "calibration"}
"""The logs that the administrator may read; those of consumers are not among them."""

_GWA, _GATEWAY = "gwa", "gateway"
_PAGE = 1_000
_MOST_ENTRIES = 2_000  # of a log in one answer; whoever wants more asks from the last one's time on
_LOG_PARAMETERS = frozenset(("q.fromtime", "q.totime", "q.type", "q.count", "q.level"))


@dataclass(frozen=True)
class Hooks:
    """What the rest of the gateway does when something was changed here.

    :param profiles: a profile of that kind was changed
    :param switch: there are new keys or a new administrator to be tried
    :param keys: the keys that are current have changed, or their former ones are gone
    :param report: make and send deliveries to those now
    :param self_test: run the self-test
    """

    profiles: Callable[[type[Profile]], None]
    switch: Callable[[], None]
    keys: Callable[[], None]
    report: Callable[[Sequence[str]], None]
    self_test: Callable[[], SelfTest]


@dataclass(frozen=True)
class Holdings:
    """What the resources are made of.

    :param software: name and version
    """

    gateway: DeviceId
    software: str
    started_at: datetime
    module: SecurityModule
    store: GatewayStore
    keys: WanKeys
    administration: Administration
    journal: Journal
    pace: Pace


class Resources:
    """The resources of one gateway; everything is done before it is answered, at one go."""

    def __init__(self, holdings: Holdings, hooks: Hooks) -> None:
        self._has, self._hooks = holdings, hooks

    def api(self) -> Api:
        """For :class:`smpki.gateway.rest.Rest`. Who may ask at all is decided by TLS."""
        return Api(
            role=_GWA,
            resources={
                "CommunicationProfile": self._profiles(CommunicationProfile),
                "MeterProfile": self._profiles(MeterProfile),
                "EvaluationProfile": self._profiles(EvaluationProfile),
                "Certificate": Resource(
                    content=SlotCertificate,
                    ids=_always(slot.value for slot in Slot),
                    read=self._read_certificate,
                    update=self._install,
                ),
                "Administrator": Resource(
                    content=Administrator,
                    ids=_always([_GWA]),
                    read=self._read_administrator,
                    update=self._set_administrator,
                ),
                "Status": Resource(content=Status, ids=_always([_GATEWAY]), read=self._status),
            },
            actions={
                "PrepareWanKeys": Action(content=PrepareWanKeys, do=self._prepare),
                "ActivateWanKeys": Action(content=None, do=self._activate),
                "RetireWanKeys": Action(content=None, do=self._retire),
                "SelfTest": Action(content=None, do=self._self_test),
                "ReportNow": Action(content=ReportNow, do=self._report),
            },
            exports={"Log": Export(ids=_always(LOGS), read=self._log, parameters=_LOG_PARAMETERS)},
        )

    def _profiles(self, kind: type[P]) -> Resource[P]:
        async def ids(_: Call) -> Iterable[str]:
            with self._has.store.view() as view:
                return Profiles(view).ids(kind)

        async def read(_: Call, id: str) -> P:
            with self._has.store.view() as view:
                found = Profiles(view).get(kind, id)
            if found is None:
                raise missing(f"{kind.__name__} {id}")
            return found.profile

        async def update(_: Call, id: str, profile: P) -> None:
            if id_of(profile) != id:
                message = f"the profile in the body is {id_of(profile)}"
                raise HttpRefusal(409, "profile.id", message, where=id, hint="put it where it belongs")
            self._put(profile, anew=False)

        async def create(_: Call, profile: P) -> None:
            self._put(profile, anew=True)

        async def delete(_: Call, id: str) -> None:
            self._remove(kind, id)

        return Resource(content=kind, ids=ids, read=read, update=update, delete=delete, create=create)

    def _put(self, profile: Profile, *, anew: bool) -> None:
        kind, id, now = type(profile), id_of(profile), self._has.pace.shown()
        with _conflicts(), self._has.store.work() as work:
            profiles = Profiles(work)
            if anew and id in profiles.ids(kind):
                raise GatewayError("profile.exists", "it is there already", where=id, hint="PUT replaces it")
            changed = profiles.put(profile, now=now)
            if changed:
                self._has.journal.write_in(work, *_change(kind, id, "set"))
                if kind is CommunicationProfile:
                    work.outbox.reopen(id, now=now)
        if changed:
            self._hooks.profiles(kind)

    def _remove(self, kind: type[Profile], id: str) -> None:
        with _conflicts(), self._has.store.work() as work:
            if not Profiles(work).remove(kind, id):
                raise missing(f"{kind.__name__} {id}")
            self._has.journal.write_in(work, *_change(kind, id, "removed"))
        self._hooks.profiles(kind)

    async def _read_certificate(self, _: Call, id: str) -> SlotCertificate:
        slot = _slot(id)
        if self._has.module.state(slot) is not SlotState.READY:
            raise missing(f"certificate in {id}")
        return SlotCertificate(pem=self._has.module.certificate(slot))

    async def _install(self, _: Call, id: str, body: SlotCertificate) -> None:
        with _conflicts():
            self._has.keys.install(_slot(id), body.pem)
        self._log_now("certificate.installed", f"a certificate for {id} is installed")

    async def _read_administrator(self, _: Call, id: str) -> Administrator:
        if id != _GWA:
            raise missing(f"Administrator {id}")
        return self._has.administration.current

    async def _set_administrator(self, _: Call, id: str, body: Administrator) -> Response | None:
        if id != _GWA:
            raise missing(f"Administrator {id}")
        with _conflicts():
            is_tried = self._has.administration.propose(body, self._has.pace.shown())
        if not is_tried:
            return None
        self._log_now("administrator.trial", f"the administrator {body.name} is to be tried")
        self._hooks.switch()
        return _LAST_ANSWER

    async def _status(self, _: Call, id: str) -> Status:
        if id != _GATEWAY:
            raise missing(f"Status {id}")
        has, standing = self._has, self._has.pace.keeper.standing()
        with has.store.view() as view:
            profiles, counts = Profiles(view).versions(), view.outbox.counts()
            logs = {log: view.logs.last_number(log) for log in LOGS.values()}
        participants = sorted({participant for participant, _ in counts})
        return Status(
            gateway=has.gateway,
            software=has.software,
            started_at=has.started_at,
            time=TimeStatus(
                now=standing.time,
                trusted=standing.trusted,
                set_at=standing.set_at,
                maximum_error=standing.maximum_error if standing.trusted else None,
            ),
            slots={slot: self._slot_status(slot) for slot in Slot},
            wan_keys=has.keys.state,
            administrator=has.administration.current.name,
            profiles=dict(profiles),
            deliveries={
                each: DeliveryCounts(**{state: count for (name, state), count in counts.items() if name == each})
                for each in participants
            },
            logs=logs,
        )

    def _slot_status(self, slot: Slot) -> SlotStatus:
        state = self._has.module.state(slot)
        if state is not SlotState.READY:
            return SlotStatus(state=state.value)
        certificate = self._has.module.certificate(slot)
        return SlotStatus(
            state=state.value,
            subject=certificate.subject.rfc4514_string(),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            fingerprint=certificate.fingerprint(SHA256()).hex(),
        )

    async def _prepare(self, _: Call, body: PrepareWanKeys) -> WanKeysBody:
        with _conflicts():
            package = self._has.keys.prepare(body, self._has.pace.shown())
        self._log_now("wan_keys.prepared", "new WAN keys are prepared")
        return WanKeysBody(package=package)

    async def _activate(self, _: Call, __: None) -> Response | None:
        with _conflicts():
            begins = self._has.keys.activate(self._has.pace.trusted())
        if not begins:
            return None
        self._log_now("wan_keys.trial", "new WAN keys are to be tried")
        self._hooks.switch()
        return _LAST_ANSWER

    async def _retire(self, _: Call, __: None) -> None:
        with _conflicts():
            self._has.keys.retire()
        self._log_now("wan_keys.retired", "the former WAN keys are destroyed")
        self._hooks.keys()

    async def _self_test(self, _: Call, __: None) -> SelfTest:
        return self._hooks.self_test()

    async def _report(self, _: Call, body: ReportNow) -> Response:
        with self._has.store.view() as view:
            names = Profiles(view).ids(CommunicationProfile)
        if body.recipient is not None and body.recipient not in names:
            raise missing(f"CommunicationProfile {body.recipient}")
        self._hooks.report(names if body.recipient is None else (body.recipient,))
        return Response(202)

    async def _log(self, call: Call, id: str) -> LogExport:
        if id not in LOGS:
            raise missing(f"Log {id}")
        query = call.query
        most = min(query.count or _MOST_ENTRIES, _MOST_ENTRIES)
        entries: list[LogRecord] = []
        for entry in self._entries(LOGS[id], query):
            if len(entries) == most:
                break
            entries.append(_record(entry))
        return LogExport(log=LOGS[id], entries=tuple(entries))

    def _entries(self, log: Log, query: Query) -> Iterator[LogEntry]:
        after = 0
        wanted: Level | None = query.level.value if query.level else None
        while True:
            with self._has.store.view() as view:
                page = view.logs.page(
                    log, level=wanted or "I", since=query.from_time, until=query.to_time, after=after, limit=_PAGE
                )
            yield from (entry for entry in page if wanted in (None, entry.level) and query.type in (None, entry.event))
            if len(page) < _PAGE:
                return
            after = page[-1].record_number

    def _log_now(self, event: str, text: str) -> None:
        self._has.journal.write(Happening(event, text))


_LAST_ANSWER = Response(204, fields={"connection": "close"})
"""The connection that comes next is another one."""


@contextmanager
def _conflicts() -> Iterator[None]:
    """What contradicts the gateway's state is answered with 409 (table 6.2)."""
    try:
        yield
    except HttpRefusal:
        raise
    except (GatewayError, RequestError, PolicyError) as error:
        raise HttpRefusal(409, error.code, error.message, where=error.where, hint=error.hint) from None


def _change(kind: type[Profile], id: str, what: str) -> Iterator[Happening]:
    """The log entries of a changed profile; what is measured for whom matters to calibration law."""
    text = f"{kind.__name__} {id} is {what}"
    yield Happening(f"profile.{what}", text)
    if kind is not CommunicationProfile:
        yield Happening(f"profile.{what}", text, log="calibration")


def _record(entry: LogEntry) -> LogRecord:
    return LogRecord(**{name: getattr(entry, name) for name in LogRecord.model_fields})


def _always(ids: Iterable[str]) -> Callable[[Call], Awaitable[Iterable[str]]]:
    known = tuple(ids)

    async def listed(_: Call) -> Iterable[str]:
        return known

    return listed


def _slot(id: str) -> Slot:
    try:
        return Slot(id)
    except ValueError:
        raise missing(f"slot {id}") from None
