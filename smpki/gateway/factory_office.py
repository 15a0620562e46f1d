"""What the manufacturer signs: the authorisation of a gateway's package, and its delivery record."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime

from cryptography import x509

from smpki.errors import GatewayError
from smpki.gateway.certificate_names import common_name
from smpki.gateway.delivery_record import (
    Administrator,
    DeliveryRecord,
    Gateway,
    Module,
    Triple,
    read_delivery,
    sign_delivery,
)
from smpki.gateway.factory_folder import FactoryFolder, finish, read_file, unwritable, write_draft, write_file
from smpki.gateway.provisioning import Issuance
from smpki.policy.device_id import DeviceId
from smpki.policy.model import CertificateType
from smpki.policy.names import same_name
from smpki.requests.build_signed import build_authorised_package
from smpki.requests.keys import Signer
from smpki.trust.holder import check_holder
from smpki.trust.question import Use


class Office:
    """Keeps the papers in the folders of the gateways.

    :param manufacturer: who makes the gateways (GWH)
    :param administrator: who gets them (GWA)
    :param authorities: CAs above the certificates of both, for the records
    :param clock: the time now, timezone-aware
    :raises GatewayError: ``provision.gwh.*`` and ``provision.gwa.*``: ``role``, ``expired``; ``provision.gwh.key``,
        ``provision.gwa.name``
    """

    def __init__(
        self,
        folder: FactoryFolder,
        manufacturer: Signer,
        administrator: Administrator,
        authorities: Sequence[x509.Certificate],
        clock: Callable[[], datetime],
    ) -> None:
        self._folder = folder
        self._manufacturer = manufacturer
        self._administrator = administrator
        self._authorities = authorities
        self._clock = clock
        now = clock()
        _check(manufacturer.certificate, CertificateType.GWH, "sig", now)
        if manufacturer.key.public_key() != manufacturer.certificate.public_key():
            message = "the private key is not that of the manufacturer's SIG certificate"
            raise GatewayError("provision.gwh.key", message, where="GWH", hint="give key and certificate of one triple")
        uses: tuple[Use, ...] = ("tls", "sig", "enc")
        for use in uses:
            certificate: x509.Certificate = getattr(administrator, use)
            _check(certificate, CertificateType.GWA, use, now)
            if not same_name(certificate.subject, administrator.sig.subject):
                message = "the three certificates are not for one administrator"
                raise GatewayError("provision.gwa.name", message, where="GWA", hint="give the triple of one package")

    @property
    def name(self) -> str:
        """The manufacturer's CN."""
        return common_name(self._manufacturer.certificate) or ""

    def delivered(self, device: DeviceId) -> DeliveryRecord | None:
        """The record of a gateway that an earlier run has finished.

        :raises GatewayError: ``provision.delivered``: it was delivered to somebody else; ``delivery.*``,
            ``provision.unreadable``
        """
        file = self._folder.gateway(device).delivery
        data = read_file(file)
        if data is None:
            return None
        record = read_delivery(data, str(file)).record
        if record.gateway.id != device or record.gwa != self._administrator:
            message = f"the folder has the delivery record of {record.gateway.id} for {record.gwa.name}"
            hint = "a delivered gateway is not made again; another administrator takes it over from the first"
            raise GatewayError("provision.delivered", message, where=str(file), hint=hint)
        return record

    def authorise(self, device: DeviceId, package: bytes) -> bytes:
        """Authorise a package, and keep it: what is asked for again has to be the same.

        :return: the authorised package
        :raises RequestError: as :func:`smpki.requests.build_signed.build_authorised_package`
        :raises GatewayError: ``provision.unwritable``
        :raises TokenError: what the manufacturer's token refuses
        """
        authorised = build_authorised_package(package, self._manufacturer)
        write_file(self._folder.gateway(device).package, authorised)
        return authorised

    def refused(self, device: DeviceId) -> None:
        """Forget a package that was refused: nothing was issued for it, and the next run authorises another one.

        :raises GatewayError: ``provision.unwritable``
        """
        file = self._folder.gateway(device).package
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(file, error) from None

    def draft(self, device: DeviceId, package: bytes, issuance: Issuance, module: Module) -> DeliveryRecord:
        """Write a gateway's signed delivery record, which counts after :meth:`finish`.

        :param package: the authorised package
        :param module: what the gateway's token says of itself
        :raises GatewayError: ``provision.unwritable``
        :raises TokenError: what the manufacturer's token refuses
        """
        tls, sig, enc = issuance.certificates
        record = DeliveryRecord(
            version=1,
            gateway=Gateway(id=device, manufacturer=self.name),
            certificates=Triple(tls=tls, sig=sig, enc=enc),
            chain=tuple(dict.fromkeys((*issuance.chain, *self._authorities))),
            trust_anchors=issuance.chain[:1],
            gwa=self._administrator,
            module=module,
            package=hashlib.sha256(package).hexdigest(),
            created_at=self._clock(),
        )
        signed = sign_delivery(record, self._manufacturer.certificate, self._manufacturer.key)
        write_draft(self._folder.gateway(device).delivery, signed)
        return record

    def settle(self) -> None:
        """Have on disk what there is: before the issuer gets packages, before records count, and at the end.

        :raises TokenError: ``token.unsettled``
        """
        self._folder.settle()

    def finish(self, device: DeviceId) -> None:
        """Let a gateway's delivery record count: it is done.

        :raises GatewayError: ``provision.unwritable``
        """
        finish(self._folder.gateway(device).delivery)


def _check(certificate: x509.Certificate, kind: CertificateType, use: Use, now: datetime) -> None:
    party = kind.value.upper()
    hint = f"give the {use.upper()} certificate of a {party} that is in force"
    if reasons := check_holder(certificate, kind, use):
        raise GatewayError(f"provision.{kind}.role", reasons[0].message, where=f"{party} {use}", hint=hint)
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not start <= now <= end:
        message = f"the certificate is valid from {start:%Y-%m-%d} to {end:%Y-%m-%d}"
        raise GatewayError(f"provision.{kind}.expired", message, where=f"{party} {use}", hint=hint)
