"""The registry: which gateways there are, and the certificates by which they are known."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import ColumnElement, Connection, RowMapping, insert, select, update

from smpki.errors import GatewayError
from smpki.gateway.api import Status
from smpki.policy.device_id import DeviceId
from smpki.policy.lint.classify import classify
from smpki.policy.model import CertificateType
from smpki.policy.names import DistinguishedName
from smpki.requests.model import Purpose
from smpki.service.administrator.store.tables import certificate, gateway, triple

State = Literal["active", "suspended", "handed-over"]
Standing = Literal["current", "next", "former"]


@dataclass(frozen=True)
class Triple:
    """The certificates that a gateway has, or is about to have.

    :param chain: the CAs above them, from the root down
    """

    tls: x509.Certificate
    sig: x509.Certificate
    enc: x509.Certificate
    chain: tuple[x509.Certificate, ...]

    @property
    def certificates(self) -> tuple[x509.Certificate, x509.Certificate, x509.Certificate]:
        """TLS, SIG, ENC."""
        return self.tls, self.sig, self.enc

    @property
    def not_after(self) -> datetime:
        """When the first of them ends."""
        return min(one.not_valid_after_utc for one in self.certificates)

    @property
    def kind(self) -> CertificateType | None:
        """Guetesiegel or Wirk."""
        what = classify(self.sig)
        return what and what[0]

    @property
    def administrator(self) -> str | None:
        """The OU: in a Wirk certificate the administrator's CN."""
        return DistinguishedName.from_x509(self.sig.subject).get("OU")


@dataclass(frozen=True)
class RegisteredGateway:
    """A gateway as the registry has it.

    :param sender: CN of who delivered it or handed it over
    :param record: that party's signed record
    :param digest: its SHA-256, hexadecimal
    :param wake_up: ``host:port`` for wake-ups; ``None``: unknown
    :param seen_at: when it was last connected on MANAGEMENT
    :param status: what it said of itself then, JSON
    :param next: certificates that it is to have next; they count beside the current ones
    """

    id: DeviceId
    state: State
    sender: str
    record: bytes
    digest: str
    wake_up: str | None
    adopted_at: datetime
    seen_at: datetime | None
    status: str | None
    current: Triple
    next: Triple | None

    @property
    def common_name(self) -> str:
        """The CN of its certificates."""
        return f"{self.id}.SMGW"


@dataclass(frozen=True, slots=True)
class KnownPeer:
    """Whose TLS certificate it is.

    :param chain: the CAs above it, from the root down
    """

    gateway: DeviceId
    state: State
    standing: Standing
    chain: tuple[x509.Certificate, ...]


class Gateways:
    """The registry, inside a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, id: DeviceId) -> RegisteredGateway | None:
        """A gateway, or None."""
        row = self._connection.execute(select(gateway).where(gateway.c.id == id.dns)).mappings().one_or_none()
        return None if row is None else self._gateway(row)

    def get(self, id: DeviceId) -> RegisteredGateway:
        """A gateway.

        :raises GatewayError: ``gwa.gateway.unknown``
        """
        if (found := self.find(id)) is None:
            hint = "adopt it first: smpki gwa adopt"
            raise GatewayError("gwa.gateway.unknown", "there is no such gateway here", where=id.dns, hint=hint)
        return found

    def by_record(self, digest: str) -> RegisteredGateway | None:
        """The gateway that was adopted by this very record, or None.

        :param digest: SHA-256 of the record, hexadecimal
        """
        row = self._connection.execute(select(gateway).where(gateway.c.digest == digest)).mappings().one_or_none()
        return None if row is None else self._gateway(row)

    def page(self, *, after: str = "", limit: int = 1000) -> tuple[RegisteredGateway, ...]:
        """Gateways in the order of their ids.

        :param after: the last id of the page before
        """
        query = select(gateway).where(gateway.c.id > after).order_by(gateway.c.id).limit(limit)
        return tuple(self._gateway(row) for row in self._connection.execute(query).mappings().all())

    def peer(self, tls: x509.Certificate) -> KnownPeer | None:
        """Whose current or next TLS certificate this very one is, or None."""
        query = (
            select(gateway.c.id, gateway.c.state, triple.c.standing, triple.c.chain, certificate.c.der)
            .join(triple, triple.c.gateway == gateway.c.id)
            .join(certificate, certificate.c.triple == triple.c.number)
            .where(certificate.c.fingerprint == fingerprint(tls), certificate.c.purpose == "tls", _COUNTS)
        )
        row = self._connection.execute(query).one_or_none()
        if row is None or row.der != tls.public_bytes(Encoding.DER):
            return None
        return KnownPeer(DeviceId.parse(row.id), row.state, row.standing, _loaded(row.chain))

    def certified_keys(self, key_ids: Collection[str]) -> frozenset[str]:
        """Which of these keys a certificate of the registry is for, former ones included."""
        query = select(certificate.c.key_id).where(certificate.c.key_id.in_(key_ids))
        return frozenset(self._connection.execute(query).scalars())

    def ending(self, before: datetime) -> tuple[DeviceId, ...]:
        """Active gateways whose current certificates end before a moment, the first in front."""
        ends = triple.c.not_after < before
        query = select(gateway.c.id).join(triple, triple.c.gateway == gateway.c.id)
        query = query.where(triple.c.standing == "current", ends, gateway.c.state == "active")
        return tuple(map(DeviceId.parse, self._connection.execute(query.order_by(triple.c.not_after)).scalars()))

    def put(
        self,
        id: DeviceId,
        certificates: Triple,
        *,
        sender: str,
        record: bytes,
        digest: str,
        wake_up: str | None,
        now: datetime,
    ) -> None:
        """Register a gateway, or one that was handed over and comes back."""
        values = {"state": "active", "sender": sender, "record": record, "digest": digest, "adopted_at": now}
        values |= {"wake_up": wake_up} if wake_up else {}
        if self._connection.execute(update(gateway).where(gateway.c.id == id.dns).values(**values)).rowcount == 0:
            self._connection.execute(insert(gateway).values(id=id.dns, **values))
        self._retire(id, triple.c.standing != "former")
        self._add(id, certificates, "current", now)

    def set_state(self, id: DeviceId, state: State) -> None:
        """Let a gateway in, or not."""
        self._change(id, state=state)

    def set_wake_up(self, id: DeviceId, address: str) -> None:
        """Where wake-ups go."""
        self._change(id, wake_up=address)

    def seen(self, id: DeviceId, status: Status, now: datetime) -> None:
        """It is connected, and has said its status."""
        self._change(id, seen_at=now, status=status.to_json().decode())

    def announce(self, id: DeviceId, certificates: Triple, *, now: datetime) -> None:
        """Certificates that count beside the current ones from now on; instead of others that were announced."""
        self._retire(id, triple.c.standing == "next")
        self._add(id, certificates, "next", now)

    def confirm(self, id: DeviceId) -> None:
        """The next certificates are the current ones, and the former ones count no more."""
        self._retire(id, triple.c.standing == "current")
        is_next = triple.c.gateway == id.dns, triple.c.standing == "next"
        self._connection.execute(update(triple).where(*is_next).values(standing="current"))

    def _change(self, id: DeviceId, **values: object) -> None:
        self._connection.execute(update(gateway).where(gateway.c.id == id.dns).values(**values))

    def _retire(self, id: DeviceId, which: ColumnElement[bool]) -> None:
        change = update(triple).where(triple.c.gateway == id.dns, which)
        self._connection.execute(change.values(standing="former"))

    def _add(self, id: DeviceId, certificates: Triple, standing: Standing, now: datetime) -> None:
        values = {"gateway": id.dns, "standing": standing, "not_after": certificates.not_after, "added_at": now}
        chain = b"".join(one.public_bytes(Encoding.PEM) for one in certificates.chain)
        added = insert(triple).values(chain=chain, **values).returning(triple.c.number)
        number = self._connection.execute(added).scalar_one()
        self._connection.execute(
            insert(certificate),
            [
                {
                    "triple": number,
                    "purpose": purpose.value,
                    "der": one.public_bytes(Encoding.DER),
                    "fingerprint": fingerprint(one),
                    "key_id": key_id(one.public_key()),
                }
                for purpose, one in zip(Purpose, certificates.certificates, strict=True)
            ],
        )

    def _gateway(self, row: RowMapping) -> RegisteredGateway:
        found = self._triples(row["id"])
        return RegisteredGateway(
            **{**row, "id": DeviceId.parse(row["id"])}, current=found["current"], next=found.get("next")
        )

    def _triples(self, id: str) -> dict[Standing, Triple]:
        query = select(triple.c.standing, triple.c.chain, certificate.c.purpose, certificate.c.der)
        query = query.join(certificate, certificate.c.triple == triple.c.number).where(triple.c.gateway == id, _COUNTS)
        chains: dict[Standing, bytes] = {}
        parts: dict[Standing, dict[str, x509.Certificate]] = {}
        for standing, chain, purpose, der in self._connection.execute(query):
            chains[standing] = chain
            parts.setdefault(standing, {})[purpose] = x509.load_der_x509_certificate(der)
        return {standing: Triple(**parts[standing], chain=_loaded(chain)) for standing, chain in chains.items()}


_COUNTS = triple.c.standing != "former"


def fingerprint(one: x509.Certificate) -> str:
    """SHA-256 of a certificate, hexadecimal."""
    return one.fingerprint(SHA256()).hex()


def key_id(key: CertificatePublicKeyTypes) -> str:
    """What keys are known by: SHA-256 of the SubjectPublicKeyInfo, hexadecimal."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _loaded(chain: bytes) -> tuple[x509.Certificate, ...]:
    return tuple(x509.load_pem_x509_certificates(chain)) if chain else ()
