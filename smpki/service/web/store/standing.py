"""What is revoked or suspended of those who may connect."""

from collections.abc import Collection

from sqlalchemy import Engine, select

from smpki.ca.store.audit import AuditChain
from smpki.ca.store.tables import revocation
from smpki.db.engine import reading

_R = revocation.c


class Standing:
    """A look at revocations by type of certificate.

    :param engine: a database whose schema was checked
    """

    def __init__(self, engine: Engine, _: AuditChain) -> None:
        self._engine = engine

    def revoked(self, kinds: Collection[str]) -> frozenset[str]:
        """Serial numbers of all certificates of some types that are revoked or suspended now."""
        with reading(self._engine) as connection:
            return frozenset(connection.execute(select(_R.serial).where(_R.kind.in_(kinds))).scalars())
