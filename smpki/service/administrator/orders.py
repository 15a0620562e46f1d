"""Order jobs: what could never be done is refused here, before anybody waits for it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from smpki.errors import GatewayError
from smpki.gateway.api import Administrator
from smpki.gateway.http_message import parse_json
from smpki.gateway.profiles import id_of
from smpki.policy.device_id import DeviceId
from smpki.policy.model import CertificateType
from smpki.service.administrator.catalogue import KEY_JOBS, PLANS
from smpki.service.administrator.settings import PROFILES
from smpki.service.administrator.store.gateways import RegisteredGateway
from smpki.service.administrator.store.jobs import Job
from smpki.service.administrator.store.store import AdministratorStore, Transaction


class Orders:
    """Takes orders.

    :param name: CN of the administrator
    :param clock: the time now, timezone-aware
    :param within: a job that is not done by then has failed
    """

    def __init__(
        self, store: AdministratorStore, name: str, *, clock: Callable[[], datetime], within: timedelta
    ) -> None:
        self._store, self._name, self._clock, self._within = store, name, clock, within

    def order(self, gateway: DeviceId, kind: str, arguments: Mapping[str, Any] | None = None) -> Job:
        """Order a job.

        :param kind: of :data:`smpki.service.administrator.catalogue.PLANS`
        :raises GatewayError: ``gwa.gateway.unknown``, ``gwa.gateway.state``, ``gwa.job.open``,
            ``gwa.personalise.done``, ``gwa.renew.kind``
        """
        with self._store.work() as work:
            self._check(work, work.gateways.get(gateway), kind)
            return self._add(work, gateway, kind, arguments)

    def _add(self, work: Transaction, gateway: DeviceId, kind: str, arguments: Mapping[str, Any] | None = None) -> Job:
        now = self._clock()
        return work.jobs.add(gateway, kind, PLANS[kind].first, arguments, now=now, deadline=now + self._within)

    def settle(self, work: Transaction, gateway: DeviceId) -> None:
        """Order the end of a change of keys, unless somebody is at it."""
        if not any(job.state == "open" and job.kind in KEY_JOBS for job in work.jobs.of(gateway)):
            self._add(work, gateway, "settle")

    def participants(self, work: Transaction, gateway: DeviceId) -> bool:
        """Order that a gateway is told how participants stand, if it is ours and that is not ordered yet.

        :returns: whether it was ordered
        """
        latest = work.jobs.latest(gateway, ("participants",))
        is_due = work.gateways.get(gateway).state == "active" and (latest is None or latest.state != "open")
        if is_due:
            self._add(work, gateway, "participants")
        return is_due

    def profiles(self, gateway: DeviceId, folder: str, bodies: Sequence[tuple[str, bytes]]) -> Job:
        """Order that profiles are set.

        :param folder: one of :data:`smpki.service.administrator.settings.PROFILES`
        :param bodies: names of files, and the JSON in them
        :raises GatewayError: as :meth:`order`; ``json.syntax``, ``json.content``
        """
        profiles = []
        for where, body in bodies:
            try:
                profile = parse_json(body, PROFILES[folder])
            except GatewayError as error:
                place = f"{where}: {error.where}" if error.where else where
                raise GatewayError(error.code, error.message, where=place, hint=error.hint) from None
            profiles.append({"folder": folder, "path": folder + id_of(profile), "body": profile.to_json().decode()})
        return self.order(gateway, "set", {"profiles": profiles})

    def hand_over(self, gateway: DeviceId, to: Administrator) -> Job:
        """Order that a gateway gets another administrator.

        :raises GatewayError: as :meth:`order`; ``gwa.hand_over.self``
        """
        if to.name == self._name:
            hint = "name the one who is to get it"
            raise GatewayError("gwa.hand_over.self", "the gateway is with this administrator", where="to", hint=hint)
        return self.order(gateway, "hand-over", {"to": to.to_json().decode()})

    def _check(self, work: Transaction, gateway: RegisteredGateway, kind: str) -> None:
        wanted = "suspended" if kind == "resume" else "active"
        if gateway.state != wanted:
            hint = "see smpki gwa show"
            raise _refused("gateway.state", f"the gateway is {gateway.state}, not {wanted}", gateway, hint)
        alike = KEY_JOBS if kind in KEY_JOBS else (kind,) if kind in ("suspend", "resume", "hand-over") else ()
        for job in work.jobs.of(gateway.id, limit=100):
            if job.state == "open" and job.kind in alike:
                raise _refused("job.open", f"the job {job.number} ({job.kind}) is not done yet", gateway, "wait for it")
        is_ours = gateway.current.kind is CertificateType.SMGW_W and gateway.current.administrator == self._name
        if kind == "personalise" and is_ours and gateway.current.not_after > self._clock():
            hint = "renew them: smpki gwa renew"
            raise _refused("personalise.done", "the gateway has our certificates of operation", gateway, hint)
        if kind == "renew" and not is_ours:
            hint = "personalise it: smpki gwa personalise"
            raise _refused("renew.kind", "the gateway has no certificates of operation of ours", gateway, hint)


def _refused(rule: str, message: str, gateway: RegisteredGateway, hint: str) -> GatewayError:
    return GatewayError(f"gwa.{rule}", message, where=gateway.id.dns, hint=hint)
