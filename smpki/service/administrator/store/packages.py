"""Request packages that were authorised: the very octets, for the CA answers the same with the same certificates."""

from datetime import datetime

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from smpki.policy.device_id import DeviceId
from smpki.service.administrator.store.tables import package


class Packages:
    """The packages, inside a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, digest: str) -> bytes | None:
        """The authorised form of a gateway's package, or None.

        :param digest: of the gateway's package, see :attr:`smpki.requests.submission.Submission.digest`; hexadecimal
        """
        authorised: bytes | None = self._connection.execute(
            select(package.c.authorised).where(package.c.digest == digest)
        ).scalar()
        return authorised

    def put(self, digest: str, gateway: DeviceId, authorised: bytes, *, now: datetime) -> None:
        """Keep it; the first one stays."""
        values = {"digest": digest, "gateway": gateway.dns, "authorised": authorised, "created_at": now}
        self._connection.execute(insert(package).values(**values).on_conflict_do_nothing())
