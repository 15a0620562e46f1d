"""Adopt gateways: by the delivery record of their manufacturer, or the record of the administrator they had before."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Literal

from cryptography import x509

from smpki.errors import GatewayError, TrustError
from smpki.gateway.cms import verify_detached
from smpki.gateway.delivery_check import Trust, check_delivery
from smpki.gateway.delivery_record import Triple as RecordTriple
from smpki.gateway.delivery_record import read_delivery
from smpki.policy.device_id import DeviceId
from smpki.policy.model import CertificateType
from smpki.policy.names import DistinguishedName
from smpki.policy.text import quoted, visible
from smpki.service.administrator.hand_over_record import is_hand_over, read_hand_over
from smpki.service.administrator.own import OwnCertificates
from smpki.service.administrator.store.gateways import RegisteredGateway, Triple
from smpki.service.administrator.store.store import AdministratorStore
from smpki.trust.question import Question, Revocation, Use
from smpki.trust.tls_peer import TrustMaterial
from smpki.trust.validate import validate

_GATEWAYS = (CertificateType.SMGW_G, CertificateType.SMGW_W)
_USES: tuple[Use, ...] = ("tls", "sig", "enc")


@dataclass(frozen=True)
class Adopted:
    """A gateway that is ours.

    :param state: ``adopted`` now, or ``known``: by the same record before
    :param warning: what may keep it from connecting; empty when nothing does
    """

    gateway: DeviceId
    state: Literal["adopted", "known"]
    sender: str
    warning: str = ""

    def as_dict(self) -> dict[str, str]:
        """The gateway as the mapping that ``--json`` prints."""
        return {"gateway": self.gateway.dns, "state": self.state, "sender": self.sender, "warning": self.warning}


@dataclass(frozen=True)
class _Arrival:
    """What a record says, which holds.

    :param sender: CN of who signed it
    :param made_at: when
    :param administrator: CN of whom it is for
    :param known_tls: our TLS certificate that the gateway accepts; ``None``: the record does not say
    """

    gateway: DeviceId
    sender: str
    made_at: datetime
    administrator: str
    certificates: Triple
    known_tls: x509.Certificate | None


class Adoption:
    """Adopts gateways.

    :param own: who we are
    :param accept_from: CNs of manufacturers and administrators whose records count
    :param material: what certificates are checked against
    :param clock: the time now, timezone-aware
    """

    def __init__(
        self,
        store: AdministratorStore,
        own: OwnCertificates,
        accept_from: Collection[str],
        material: Callable[[], TrustMaterial],
        clock: Callable[[], datetime],
    ) -> None:
        self._store, self._own, self._accept_from = store, own, accept_from
        self._material, self._clock = material, clock

    def adopt(self, data: bytes, where: str, wake_up: str | None = None) -> Adopted:
        """Register a gateway; by the same record again, its address for wake-ups may change, and nothing else.

        What is refused is noted.

        :param data: the record
        :param where: its file's name, for the refusal
        :param wake_up: ``host:port``
        :raises GatewayError: what the record's reader and check find; ``gwa.adopt.sender``, ``.addressee``, ``.known``,
            ``.old``; ``gwa.hand_over.*``
        :raises TrustError: there is no root
        """
        try:
            return self._adopt(data, where, wake_up)
        except (GatewayError, TrustError) as error:
            text = f"the record {quoted(where)} is refused: {visible(error.message)}"
            with self._store.work() as work:
                work.journal.happened(error.code, text, now=self._clock(), level="W")
            raise

    def _adopt(self, data: bytes, where: str, wake_up: str | None) -> Adopted:
        digest = sha256(data).hexdigest()
        with self._store.work() as work:
            if (known := work.gateways.by_record(digest)) is not None:
                if wake_up:
                    work.gateways.set_wake_up(known.id, wake_up)
                return Adopted(known.id, "known", known.sender)
        arrival = self._taken_over(data, where) if is_hand_over(data) else self._delivered(data, where)
        if arrival.sender not in self._accept_from:
            message, hint = f"{arrival.sender} may not deliver gateways here", "let them: accept_from"
            raise _refused("sender", message, where, hint)
        if arrival.administrator != self._own.name:
            message = f"the gateway is for {arrival.administrator}, and this is {self._own.name}"
            raise _refused("addressee", message, where, "send the record to whom it is for")
        self._register(arrival, data, digest, where, wake_up)
        warning = ""
        if arrival.known_tls not in (None, self._own.tls):
            warning = "the gateway was given another TLS certificate of ours, and won't accept this one"
        return Adopted(arrival.gateway, "adopted", arrival.sender, warning)

    def _register(self, arrival: _Arrival, data: bytes, digest: str, where: str, wake_up: str | None) -> None:
        now = self._clock()
        with self._store.work() as work:
            if (known := work.gateways.find(arrival.gateway)) is not None:
                self._check_return(known, arrival, where)
                work.participants.forget(arrival.gateway)
            work.gateways.put(
                arrival.gateway,
                arrival.certificates,
                sender=arrival.sender,
                record=data,
                digest=digest,
                wake_up=wake_up,
                now=now,
            )
            work.journal.happened("gwa.adopt", f"adopted from {arrival.sender}", now=now, gateway=arrival.gateway)

    def _check_return(self, known: RegisteredGateway, arrival: _Arrival, where: str) -> None:
        """A gateway that was handed over may come back, by a record that was made since."""
        if known.state != "handed-over":
            message = f"the gateway {arrival.gateway.dns} was adopted by another record, of {known.sender}"
            raise _refused("known", message, where, "see smpki gwa show; nothing is changed")
        if arrival.made_at <= known.adopted_at:
            message = f"the record is older than the one that {arrival.gateway.dns} was adopted by before"
            raise _refused("old", message, where, "ask for a new one")

    def _delivered(self, data: bytes, where: str) -> _Arrival:
        """What a manufacturer's record says."""
        delivery = read_delivery(data, where)
        present = self._material()
        trust = Trust(present.roots, self._clock(), untrusted=present.authorities, crls=present.crls)
        for finding in check_delivery(delivery, trust):
            raise GatewayError(finding.code, finding.message, where=f"{where}: {finding.where}", hint=_ASK_AGAIN)
        record = delivery.record
        return _Arrival(
            gateway=record.gateway.id,
            sender=record.gateway.manufacturer,
            made_at=record.created_at,
            administrator=record.gwa.name,
            certificates=_triple(record.certificates, record.chain),
            known_tls=record.gwa.tls,
        )

    def _taken_over(self, data: bytes, where: str) -> _Arrival:
        """What the former administrator's record says."""
        hand_over = read_hand_over(data, where)
        record = hand_over.record
        try:
            verify_detached(hand_over.signed, hand_over.signature, record.signer)
        except GatewayError as error:
            raise GatewayError(error.code, error.message, where=f"{where}: signature", hint=_ASK_AGAIN) from None
        triple = _triple(record.certificates, record.chain)
        self._check(record.signer, "sig", (CertificateType.GWA,), record.former, record.chain, f"{where}: signer")
        holder = f"{record.gateway}.SMGW"
        for use, certificate in zip(_USES, triple.certificates, strict=True):
            self._check(certificate, use, _GATEWAYS, holder, record.chain, f"{where}: certificates.{use}")
        if record.created_at > self._clock():
            raise _refused("future", "the record was made in the future", where, "compare the clocks")
        return _Arrival(record.gateway, record.former, record.created_at, record.administrator, triple, None)

    def _check(
        self,
        certificate: x509.Certificate,
        use: Use,
        kinds: tuple[CertificateType, ...],
        holder: str,
        chain: tuple[x509.Certificate, ...],
        where: str,
    ) -> None:
        """See that a certificate holds and whose it is."""
        present = self._material()
        found = []
        for kind in kinds:
            question = Question(
                certificate=certificate,
                roots=present.roots,
                at=self._clock(),
                untrusted=(*chain, *present.authorities),
                crls=present.crls,
                role=kind,
                use=use,
                revocation=Revocation.IF_KNOWN,
            )
            found.append(validate(question).reasons)
        if all(found):
            first = min(found, key=len)[0]
            raise GatewayError(first.code, first.message, where=where, hint=_ASK_AGAIN)
        if DistinguishedName.from_x509(certificate.subject).get("CN") != holder:
            raise _refused("holder", f"the certificate is not for {holder}", where, _ASK_AGAIN)


_ASK_AGAIN = "ask the sender for the record once more"


def _triple(certificates: RecordTriple, chain: tuple[x509.Certificate, ...]) -> Triple:
    return Triple(certificates.tls, certificates.sig, certificates.enc, chain)


def _refused(rule: str, message: str, where: str, hint: str) -> GatewayError:
    return GatewayError(f"gwa.adopt.{rule}", message, where=where, hint=hint)
