"""The administrator's servers and jobs, put together and running."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta

from smpki.errors import StoreError
from smpki.events import LogEvent, Personal
from smpki.gateway import api
from smpki.gateway.api_types import split_address
from smpki.gateway.certificate_names import common_name
from smpki.gateway.http_rules import Limits, Service
from smpki.gateway.ntp_stream import Complaint, NtpServerProtocol
from smpki.gateway.time_keeper import Standing
from smpki.policy.device_id import DeviceId
from smpki.policy.model import CertificateType
from smpki.service.administrator.authority import Authority
from smpki.service.administrator.chronicle import Chronicle
from smpki.service.administrator.configuration import Configuration, Places
from smpki.service.administrator.door import Door
from smpki.service.administrator.notified import Reception
from smpki.service.administrator.orders import Orders
from smpki.service.administrator.own import Own
from smpki.service.administrator.pace import Pace
from smpki.service.administrator.plan import Office
from smpki.service.administrator.runner import Runner
from smpki.service.administrator.sessions import Session, Sessions
from smpki.service.administrator.store.store import AdministratorStore
from smpki.service.administrator.vouching import Vouching
from smpki.service.administrator.waking import Send, Waker, send_packet
from smpki.service.administrator.watch import ParticipantWatch, RenewalWatch, keep_looking
from smpki.service.trust_material import trust_material
from smpki.tls.endpoint import Endpoint
from smpki.tls.http_client import accept_clients
from smpki.tls.http_server import finish, http_protocol
from smpki.tls.profile import WAN_SERVER
from smpki.tls.session import steady
from smpki.tls.transport import Server, serve
from smpki.trust.question import Revocation
from smpki.trust.tls_peer import trusted

log = logging.getLogger("smpki.gwa")

_GATEWAYS = (CertificateType.SMGW_G, CertificateType.SMGW_W)
_BODY = 64 * 1024
"""Octets of a notification."""
_IDLE = 120.0
"""Seconds that a connection for notifications is kept without one."""
_OWN_CLOCK = b"LOCL"
"""A computer's own clock as reference (RFC 5905 figure 12)."""


@dataclass(frozen=True)
class Running:
    """An administrator at work.

    :param places: where gateways connect to, with the real ports
    :param look: to be called when there are new orders; without that they are seen a little later
    """

    places: Places
    look: Callable[[], None]


class AdministratorServer:
    """An administrator.

    :param store: its database
    :param authority: ``None``: jobs that need the CA fail
    :param send: sends wake-ups
    :raises SmpkiError: what certificates, files and TLS refuse: ``configuration.*``, ``trust.*``, ``tls.*``
    """

    def __init__(
        self,
        configuration: Configuration,
        own: Own,
        store: AdministratorStore,
        authority: Authority | None,
        pace: Pace,
        *,
        send: Send = send_packet,
    ) -> None:
        self._configuration, self._own, self._store = configuration, own, store
        self._authority, self._pace, self._send = authority, pace, send
        times, limits, trust = configuration.times, configuration.limits, configuration.trust
        self._chronicle = chronicle = Chronicle(store, pace.now)
        material = trust_material(trust.anchors, trust.authorities, trust.crl_folder, pace.now)
        revocation = Revocation.IGNORED if trust.crl_folder is None else Revocation.REQUIRED
        vouched = trusted(material, now=pace.now, roles=_GATEWAYS, revocation=revocation)
        self._door = Door(store, vouched, chronicle, monotonic=pace.monotonic, handshakes=limits.handshakes)
        self._vouching = Vouching(material, own.identity.certificates[1:], pace.now, revocation)
        roots = [root.subject for root in material().roots]
        clock = steady(pace.now, pace.monotonic)
        self._endpoint = Endpoint(WAN_SERVER, own.identity, self._door.check, clock=clock, trusted_authorities=roots)
        self._sessions = Sessions(
            store,
            self._door,
            chronicle,
            pace=pace,
            answer_seconds=times.answer_seconds,
            linger_seconds=times.linger_seconds,
        )
        self._reception = Reception(
            store, chronicle, pace=pace, rate=limits.notifications, keep=limits.notifications_kept
        )
        self._orders = Orders(store, own.certificates.name, clock=pace.now, within=timedelta(seconds=times.job_seconds))
        self._servers: list[Server] = []

    async def run(self, stop: asyncio.Event, ready: Callable[[Running], None] = lambda _: None) -> None:
        """Serve gateways and do jobs until told to stop; what is not done then is taken up the next time.

        :param ready: called when all ports are open
        :raises TlsError: ``tls.transport.listen``
        """
        async with AsyncExitStack() as stack:
            places = await self._open(stack)
            runner = self._runner(places)
            self._sessions.arrived = lambda session: self._arrived(session, runner)
            self._chronicle.write("gwa.start", f"{self._own.certificates.name} starts")
            async with asyncio.TaskGroup() as group:
                every = float(self._configuration.times.look_seconds)
                tasks = [group.create_task(runner.run())]
                looks = self._looks(runner.look)
                tasks += [group.create_task(keep_looking(one, self._chronicle, self._pace, every)) for one in looks]
                ready(Running(places, runner.look))
                await stop.wait()
                for task in tasks:
                    task.cancel()
        self._chronicle.write("gwa.stop", f"{self._own.certificates.name} stops")

    async def _open(self, stack: AsyncExitStack) -> Places:
        """Listen; the servers end with the stack."""
        listen, most = self._configuration.listen, self._configuration.limits.connections
        answer = float(self._configuration.times.answer_seconds)
        notifications = http_protocol(Service(self._reception, Limits(body=_BODY, answer=answer)), idle=_IDLE)
        management = await accept_clients(
            self._sessions.accept, self._endpoint, *split_address(listen.management), most=most
        )
        stack.push_async_callback(management.close)
        admin_service = await serve(notifications, self._endpoint, *split_address(listen.admin_service), most=most)
        stack.push_async_callback(finish, admin_service, answer)
        time = await serve(self._time_protocol, self._endpoint, *split_address(listen.time), most=most)
        stack.push_async_callback(time.close)
        self._servers = [management, admin_service, time]
        return Places(
            management=_with_port(listen.management, management.port),
            admin_service=_with_port(listen.admin_service, admin_service.port),
            time=_with_port(listen.time, time.port),
        )

    def _runner(self, places: Places) -> Runner:
        times = self._configuration.times
        public = self._configuration.public
        office = Office(
            administrator=api.Administrator(
                name=self._own.certificates.name,
                tls=(self._own.certificates.tls,),
                sig=(self._own.certificates.sig,),
                **(public or places).model_dump(),
            ),
            signer=self._own.signer,
            store=self._store,
            pace=self._pace,
            vouching=self._vouching,
            hand_over_seconds=times.hand_over_seconds,
            issuer=self._authority,
        )
        waker = Waker(
            self._store,
            self._chronicle,
            self._own.signer.key,
            pace=self._pace,
            first=times.wake_seconds,
            longest=times.longest_wake_seconds,
            send=self._send,
        )
        runner = Runner(
            office,
            self._sessions,
            waker,
            self._chronicle,
            retry=times.retry_seconds,
            longest_retry=times.longest_retry_seconds,
        )
        runner.left = self._show_out
        return runner

    def _looks(self, ordered: Callable[[], None]) -> tuple[Callable[[], None], ...]:
        """What is done every now and then."""
        times, own = self._configuration.times, self._own.certificates
        renewals = RenewalWatch(
            self._store,
            self._orders,
            self._chronicle,
            own_ends=min(own.tls.not_valid_after_utc, own.sig.not_valid_after_utc),
            pace=self._pace,
            before=timedelta(days=times.renew_before_days),
            again=timedelta(seconds=times.renew_again_seconds),
            most=self._configuration.limits.renewals,
            ordered=ordered,
        )
        participants = ParticipantWatch(
            self._store, self._orders, self._chronicle, vouching=self._vouching, ordered=ordered
        )
        return renewals.look, participants.look

    def _arrived(self, session: Session, runner: Runner) -> None:
        """A gateway has connected; one that has changed its keys though nobody waits for it is taken up again."""
        runner.arrived(session.gateway)
        try:
            with self._store.work() as work:
                upcoming = work.gateways.get(session.gateway).next
                if upcoming is not None and upcoming.tls == session.certificate:
                    self._orders.settle(work, session.gateway)
        except StoreError as error:
            self._chronicle.trouble("arrival", error, "that it has connected can't be noted", session.gateway)
        runner.look()

    def _show_out(self, gateway: DeviceId) -> None:
        """Close the connections of a gateway that is not to be let in any more."""
        for server in self._servers:
            for transport in server.connections:
                certificate = transport.get_extra_info("peer_certificate")
                if certificate is not None and common_name(certificate) == f"{gateway}.SMGW":
                    transport.close()

    def _time_protocol(self) -> NtpServerProtocol:
        return NtpServerProtocol(self._standing, log=_complain, monotonic=self._pace.monotonic)

    def _standing(self) -> Standing:
        clock, now = self._configuration.clock, self._pace.now()
        return Standing(
            now,
            trusted=True,
            stratum=clock.stratum,
            reference_id=_OWN_CLOCK,
            set_at=now,  # read once: an answer whose reference is after its time is dropped
            root_dispersion=clock.maximum_error_seconds,
        )


def _complain(complaint: Complaint) -> None:
    event = LogEvent("time.ended", "a gateway's connection for the time was ended", why=Personal(str(complaint)))
    log.info(event)


def _with_port(address: str, port: int) -> str:
    """The address, with the port that was chosen where it has none."""
    return f"{address.rpartition(':')[0]}:{port}"
