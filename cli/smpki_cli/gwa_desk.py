"""What the commands of an administrator share: its configuration, its database, orders."""

import functools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smpki.errors import SmpkiError
from smpki_cli.common import Output, host_and_port

if TYPE_CHECKING:
    from smpki.policy.device_id import DeviceId
    from smpki.service.administrator.adoption import Adoption
    from smpki.service.administrator.configuration import Configuration
    from smpki.service.administrator.orders import Orders
    from smpki.service.administrator.own import OwnCertificates
    from smpki.service.administrator.store.gateways import RegisteredGateway
    from smpki.service.administrator.store.jobs import Job
    from smpki.service.administrator.store.store import AdministratorStore

_PAUSE = 0.05
"""Seconds between looks at a job."""


class Desk:
    """An administrator's registry and orders."""

    def __init__(self, configuration: "Configuration", own: "OwnCertificates", store: "AdministratorStore") -> None:
        self.configuration, self.own, self.store = configuration, own, store

    @staticmethod
    def id_of(text: str) -> "DeviceId":
        """A gateway's device id.

        :raises PolicyError: it is none
        """
        from smpki.policy.device_id import DeviceId

        return DeviceId.parse(text)

    @property
    def orders(self) -> "Orders":
        """Where jobs are ordered."""
        from smpki.service.administrator.orders import Orders

        within = timedelta(seconds=self.configuration.times.job_seconds)
        return Orders(self.store, self.own.name, clock=_now, within=within)

    def adoption(self) -> "Adoption":
        """Where gateways are adopted.

        :raises SmpkiError: what the files of the configuration refuse
        """
        from smpki.service.administrator.adoption import Adoption
        from smpki.service.trust_material import trust_material

        trust = self.configuration.trust
        material = trust_material(trust.anchors, trust.authorities, trust.crl_folder, _now)
        return Adoption(self.store, self.own, self.configuration.accept_from, material, _now)

    def set_wake_up(self, gateway: "DeviceId", address: str) -> None:
        """Where wake-ups go.

        :param address: ``HOST[:PORT]``; ``{id}`` in it stands for the gateway's id
        """
        from smpki.gateway.wakeup_listener import DEFAULT_PORT

        host, port = host_and_port(address.replace("{id}", gateway.dns), DEFAULT_PORT)
        with self.store.work() as work:
            work.gateways.set_wake_up(gateway, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")

    def look_at(self, job: "Job") -> "Job":
        """The job as it is now."""
        with self.store.view() as view:
            return view.jobs.get(job.number)

    def wait_for(self, job: "Job", changed: "Callable[[Job], None]" = lambda job: None) -> "Job":
        """Wait until a job is over.

        :param changed: called again and again meanwhile
        :raises SmpkiError: it has failed, and why
        """
        from smpki.service.administrator.claim import is_at_work

        if not is_at_work(self.configuration.database):
            click.echo("nobody is at work: the order waits for smpki gwa serve", err=True)
        try:
            while (job := self.look_at(job)).state == "open":
                changed(job)
                time.sleep(_PAUSE)
        except KeyboardInterrupt:
            click.echo(f"job {job.number} goes on; see smpki gwa show {job.gateway.dns}", err=True)
            raise
        changed(job)
        if job.state == "failed" and job.error is not None:
            error = job.error
            raise SmpkiError(error["code"], error["message"], where=error["where"], hint=error["hint"])
        return job


def with_desk(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --config; the command gets ``desk`` (:class:`Desk`)."""

    @functools.wraps(function)
    def run(config: Path | None, **parameters: Any) -> None:
        with _opened(config or Path(os.environ.get("SMPKI_GWA_CONFIG") or "gwa.yaml")) as desk:
            function(desk=desk, **parameters)

    option = click.option(
        "--config",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The administrator's configuration (SMPKI_GWA_CONFIG). Default: gwa.yaml.",
    )
    return option(run)


@contextmanager
def _opened(config: Path) -> Iterator[Desk]:
    from smpki.service.administrator.configuration import load_configuration
    from smpki.service.administrator.own import read_own_certificates
    from smpki.service.administrator.store.store import AdministratorStore

    configuration = load_configuration(config)
    own = read_own_certificates(configuration.own)
    file = configuration.database
    store = AdministratorStore.open(file) if file.exists() else AdministratorStore.create(file)
    try:
        yield Desk(configuration, own, store)
    finally:
        store.close()


def show_job(output: Output, job: "Job", text: str = "") -> None:
    """Print a job; ``text`` for people where it is done."""
    told = f"job {job.number} ({job.kind}) is {'done' if job.state == 'done' else 'ordered'}"
    output.show(job.as_dict(), "\n".join(filter(None, (told, text))))


def gateway_values(gateway: "RegisteredGateway") -> Mapping[str, object]:
    """A gateway as JSON values."""
    import json

    from smpki.service.administrator.store.gateways import Triple, fingerprint

    def values(triple: Triple) -> dict[str, object]:
        return {
            "kind": triple.kind.value if triple.kind else None,
            "administrator": triple.administrator,
            "serials": [f"{one.serial_number:x}" for one in triple.certificates],
            "fingerprints": [fingerprint(one) for one in triple.certificates],
            "not_after": triple.not_after.isoformat(),
        }

    return {
        "id": gateway.id.dns,
        "state": gateway.state,
        "from": gateway.sender,
        "adopted_at": gateway.adopted_at.isoformat(),
        "seen_at": gateway.seen_at and gateway.seen_at.isoformat(),
        "wake_up": gateway.wake_up,
        "certificates": values(gateway.current),
        "next": values(gateway.next) if gateway.next else None,
        "status": json.loads(gateway.status) if gateway.status else None,
    }


def gateway_rows(gateways: "Iterable[RegisteredGateway]") -> list[tuple[str, ...]]:
    """Gateways as rows of a table."""
    return [
        (
            one.id.dns,
            one.state,
            one.current.kind.value if one.current.kind else "",
            f"{one.current.not_after:%Y-%m-%d}",
            f"{one.seen_at:%Y-%m-%d %H:%M:%S}" if one.seen_at else "never",
        )
        for one in gateways
    ]


def _now() -> datetime:
    return datetime.now(UTC)
