"""Who sends: what the TLS certificate says, looked up anew for each message."""

from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.ca.chain import chain_above
from smpki.ca.pki import Pki
from smpki.ca.store.records import serial_text
from smpki.errors import PolicyError, ServiceError, StoreError
from smpki.policy.lint.classify import classify
from smpki.policy.model import CertificateType
from smpki.policy.names import DistinguishedName
from smpki.service.web.store.registry import Registration, Registry


@dataclass(frozen=True, slots=True)
class Sender:
    """Whoever is at the other end.

    :param name: the subject of its TLS certificate
    :param kind: the type of that certificate
    :param registration: ``None``: it has certificates of ours, but is not registered
    """

    name: DistinguishedName
    kind: CertificateType
    registration: Registration | None = None

    @property
    def key(self) -> str:
        """Its identity, see :meth:`DistinguishedName.key`."""
        return self.name.key()

    @property
    def callback_url(self) -> str | None:
        """Where results are sent; ``None``: nowhere."""
        return self.registration.callback_url if self.registration else None


class Senders:
    """Knows senders by their TLS certificates."""

    def __init__(self, pki: Pki) -> None:
        self._pki = pki
        self._registry = pki.store.beside(Registry)
        self._above: dict[str | None, frozenset[str]] = {}

    def find(self, certificate: x509.Certificate) -> Sender:
        """Who holds a TLS certificate that the handshake let in; it may have been taken back since.

        :raises ServiceError: ``service.unauthorised.*``, ``service.not_accepted.revoked``, ``.blocked``
        :raises StoreError: the database failed
        """
        kind = classify(certificate)
        try:
            name = DistinguishedName.from_x509(certificate.subject)
        except (PolicyError, ValueError):
            kind = None
        if kind is None or kind[1] != "tls":
            raise _refused(
                "unauthorised.certificate", "the sender's certificate is no TLS certificate of the PKI", name=""
            )
        self._check_status(certificate, kind[0], name.common_name)
        registration = self._registry.find(name.key(), kind[0].value)
        if registration is not None and registration.blocked:
            raise _refused("not_accepted.blocked", "the sender is registered, but blocked", name=name.common_name)
        return Sender(name, kind[0], registration)

    def _check_status(self, certificate: x509.Certificate, kind: CertificateType, name: str) -> None:
        try:
            stored = self._pki.store.get(serial_text(certificate.serial_number))
        except StoreError as error:
            if error.code != "store.serial.unknown":
                raise
            stored = None
        if stored is None or stored.der != certificate.public_bytes(Encoding.DER):
            if kind is CertificateType.ROOT_TLS:  # of a root that is elsewhere; its chain was checked
                return
            raise _refused("unauthorised.unknown", "the sender's certificate was not issued here", name=name)
        if stored.issuer_serial not in self._above:
            self._above[stored.issuer_serial] = frozenset(one.serial for one in chain_above(self._pki.store, stored))
        states = self._pki.store.revocations.among({stored.serial, *self._above[stored.issuer_serial]})
        if not stored.not_before <= self._pki.clock() <= stored.not_after:
            raise _refused("not_accepted.expired", "the sender's certificate is not valid any more", name=name)
        for state in states.values():
            whose = (
                "the sender's certificate" if state.serial == stored.serial else "a CA above the sender's certificate"
            )
            what = "revoked" if state.suspended_until is None else "suspended"
            raise _refused("not_accepted.revoked", f"{whose} is {what} since {state.since:%Y-%m-%d}", name=name)


def _refused(rule: str, message: str, *, name: str) -> ServiceError:
    hint = "see to certificates and registration with the operator of this CA"
    return ServiceError(f"service.{rule}", message, where=name, hint=hint)
