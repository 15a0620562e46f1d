"""Who signed? Certificates of ours, in force, and for signatures."""

from collections.abc import Callable
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.ca.chain import chain_above
from smpki.ca.store.records import StoredCertificate, serial_text
from smpki.ca.store.store import Store
from smpki.errors import RequestError, StoreError
from smpki.requests.signature import Layer


class Signers:
    """Finds the signer of a request among the holders of our certificates.

    :param clock: the time now, timezone-aware
    """

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock

    def now(self) -> datetime:
        """The time now."""
        return self._clock()

    def find(self, signer: x509.Certificate, layer: Layer) -> StoredCertificate:
        """The stored certificate of a signer; in force now.

        :raises RequestError: ``request.LAYER.signer.unknown``, ``.expired``, ``.revoked``, ``.suspended``,
            ``.issuer_revoked``, ``.purpose``
        """
        try:
            stored = self._store.get(serial_text(signer.serial_number))
        except StoreError as error:
            if error.code != "store.serial.unknown":
                raise
            stored = None
        if stored is None or stored.der != signer.public_bytes(Encoding.DER):
            raise _refused(
                layer, "unknown", "the signer's certificate was not issued here", "send it to its own Sub-CA"
            )
        if stored.purpose != "sig":
            raise _refused(layer, "purpose", "the signer's certificate is no SIG certificate", "sign with the SIG key")
        if not stored.not_before <= self._clock() <= stored.not_after:
            message = (
                f"the signer's certificate is valid from {stored.not_before:%Y-%m-%d} to {stored.not_after:%Y-%m-%d}"
            )
            raise _refused(layer, "expired", message, "ask for a first package out of band")
        above = {one.serial for one in chain_above(self._store, stored)}
        for state in self._store.revocations.among({stored.serial, *above}).values():
            if state.serial in above:
                message = f"a CA above the signer's certificate is revoked since {state.since:%Y-%m-%d}"
                raise _refused(layer, "issuer_revoked", message, "ask for a first package out of band")
            rule = "revoked" if state.suspended_until is None else "suspended"
            message = f"the signer's certificate is {rule} since {state.since:%Y-%m-%d}"
            raise _refused(layer, rule, message, "use a certificate that is in force")
        return stored


def _refused(layer: Layer, rule: str, message: str, hint: str) -> RequestError:
    return RequestError(f"request.{layer}.signer.{rule}", message, where=layer.place, hint=hint)
