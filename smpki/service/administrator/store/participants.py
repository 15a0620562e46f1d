"""Market participants: the communication profiles by which gateways deliver to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert

from smpki.gateway.api import CommunicationProfile
from smpki.policy.device_id import DeviceId
from smpki.service.administrator.store.tables import participant


@dataclass(frozen=True)
class Participant:
    """How a gateway delivers to somebody.

    :param profile: as it was ordered
    :param stopped: the gateway was told to wait with deliveries, since their certificates don't hold
    """

    gateway: DeviceId
    profile: CommunicationProfile
    stopped: bool


class Participants:
    """The participants of gateways, inside a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of(self, gateway: DeviceId) -> Sequence[Participant]:
        """Those that a gateway delivers to, by name."""
        query = select(participant).where(participant.c.gateway == gateway.dns).order_by(participant.c.name)
        return [
            Participant(gateway, CommunicationProfile.model_validate_json(row.profile), row.stopped)
            for row in self._connection.execute(query)
        ]

    def samples(self) -> Sequence[Participant]:
        """One for each set of certificates, and for those that were stopped one more."""
        columns = participant.c.certificates, participant.c.stopped
        query = select(func.min(participant.c.gateway).label("gateway"), participant.c.profile, participant.c.stopped)
        return [
            Participant(DeviceId.parse(row.gateway), CommunicationProfile.model_validate_json(row.profile), row.stopped)
            for row in self._connection.execute(query.group_by(*columns))
        ]

    def alike(self, sample: Participant) -> Sequence[DeviceId]:
        """The gateways that deliver by the same certificates, and were told the same."""
        query = select(participant.c.gateway).distinct().order_by(participant.c.gateway)
        like = participant.c.certificates == _digest(sample.profile), participant.c.stopped == sample.stopped
        return [DeviceId.parse(gateway) for gateway in self._connection.execute(query.where(*like)).scalars()]

    def put(self, gateway: DeviceId, profile: CommunicationProfile) -> None:
        """A gateway has this profile now. One that is switched off needs no watching."""
        key = {"gateway": gateway.dns, "name": profile.name}
        if not profile.enabled:
            self._connection.execute(delete(participant).filter_by(**key))
            return
        values = {"profile": profile.to_json().decode(), "certificates": _digest(profile), "stopped": False}
        added = insert(participant).values(**key, **values)
        self._connection.execute(added.on_conflict_do_update(index_elements=list(key), set_=values))

    def set_stopped(self, gateway: DeviceId, name: str, stopped: bool) -> None:
        """A gateway was told to wait with deliveries, or to go on."""
        which = participant.c.gateway == gateway.dns, participant.c.name == name
        self._connection.execute(update(participant).where(*which).values(stopped=stopped))

    def forget(self, gateway: DeviceId) -> None:
        """Somebody else has set the gateway's profiles since."""
        self._connection.execute(delete(participant).where(participant.c.gateway == gateway.dns))


def _digest(profile: CommunicationProfile) -> str:
    """What tells one set of certificates from another."""
    given = (profile.tls, profile.sig, profile.enc)
    return sha256(b"".join(one.public_bytes(Encoding.DER) for one in given if one)).hexdigest()
