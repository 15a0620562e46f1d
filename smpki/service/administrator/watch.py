"""What is looked at again and again: certificates that end, and those of market participants."""

from collections.abc import Callable
from datetime import datetime, timedelta

from smpki.errors import GatewayError, StoreError
from smpki.policy.device_id import DeviceId
from smpki.service.administrator.catalogue import KEY_JOBS
from smpki.service.administrator.chronicle import Chronicle
from smpki.service.administrator.orders import Orders
from smpki.service.administrator.pace import Pace
from smpki.service.administrator.participants import stands_otherwise
from smpki.service.administrator.store.participants import Participant
from smpki.service.administrator.store.store import AdministratorStore
from smpki.service.administrator.vouching import Vouching


async def keep_looking(look: Callable[[], None], chronicle: Chronicle, pace: Pace, seconds: float) -> None:
    """Look again and again until cancelled.

    :param seconds: between two looks
    """
    while True:
        try:
            look()
        except StoreError as error:
            chronicle.trouble("watch", error, "certificates can't be watched")
        await pace.sleep(seconds)


class RenewalWatch:
    """Renews gateways' certificates before they end.

    :param own_ends: when our own certificates end
    :param before: a renewal is ordered so long before the end
    :param again: so long after one that failed
    :param most: at a time
    :param ordered: called when there is a new order
    """

    def __init__(
        self,
        store: AdministratorStore,
        orders: Orders,
        chronicle: Chronicle,
        *,
        own_ends: datetime,
        pace: Pace,
        before: timedelta,
        again: timedelta,
        most: int,
        ordered: Callable[[], None],
    ) -> None:
        self._store, self._orders, self._chronicle = store, orders, chronicle
        self._own_ends, self._pace, self._before, self._again = own_ends, pace, before, again
        self._most, self._ordered = most, ordered

    def look(self) -> None:
        """Order what is due.

        :raises StoreError: the database failed
        """
        now = self._pace.now()
        if self._own_ends < now + self._before:
            message = f"they end on {self._own_ends:%Y-%m-%d}"
            error = GatewayError("gwa.own.ends", message, hint="renew them, and introduce yourself to the gateways")
            self._chronicle.trouble("own", error, "our own certificates have to be renewed")
        with self._store.view() as view:
            ending = view.gateways.ending(now + self._before)
            room = self._most - sum(job.kind in KEY_JOBS for job in view.jobs.open())
        for gateway in ending:
            if room <= 0:
                break
            room -= self._renew(gateway, now)

    def _renew(self, gateway: DeviceId, now: datetime) -> bool:
        """Order it, unless that makes no sense.

        :returns: whether it was ordered
        """
        with self._store.view() as view:
            latest = view.jobs.latest(gateway, KEY_JOBS)
        if latest and (latest.finished_at is None or latest.finished_at + self._again > now):
            return False
        try:
            job = self._orders.order(gateway, "renew")
        except GatewayError as error:
            self._chronicle.trouble(("renew", gateway), error, "its certificates end, and can't be renewed", gateway)
            return False
        self._chronicle.write("gwa.renew", f"its certificates end soon: job {job.number}", gateway)
        self._ordered()
        return True


class ParticipantWatch:
    """Has gateways wait with deliveries to whose certificates were revoked or suspended, until they hold again.

    :param ordered: called when there is a new order
    """

    def __init__(
        self,
        store: AdministratorStore,
        orders: Orders,
        chronicle: Chronicle,
        *,
        vouching: Vouching,
        ordered: Callable[[], None],
    ) -> None:
        self._store, self._orders, self._chronicle = store, orders, chronicle
        self._vouching, self._ordered = vouching, ordered

    def look(self) -> None:
        """Order what is due.

        :raises StoreError: the database failed
        """
        with self._store.view() as view:
            samples = [(one, view.gateways.get(one.gateway).current.chain) for one in view.participants.samples()]
        for one, chain in samples:
            name, about = one.profile.name, ("participant", one.profile.tls)
            objection = self._vouching.objection(one.profile, chain)
            if objection is None:
                self._chronicle.fine(about, "gwa.participant", f"the certificates of {name} hold again")
            else:
                self._chronicle.trouble(about, objection, f"the certificates of {name} don't hold")
            if stands_otherwise(one, objection):
                self._order(one)

    def _order(self, sample: Participant) -> None:
        with self._store.work() as work:
            ordered = [self._orders.participants(work, gateway) for gateway in work.participants.alike(sample)]
        if any(ordered):
            self._ordered()
