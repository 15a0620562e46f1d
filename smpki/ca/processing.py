"""Signed requests that take certificates back or hand gateways over (TR-03129-4: CertificateRevocationRequest,
UpdateDeviceAdmin)."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from smpki.ca.audited import audited
from smpki.ca.revocation import RevocationDesk, TakenBack
from smpki.ca.signers import Signers
from smpki.ca.store.records import AuditEntry, GrantedRequest, StoredCertificate, serial_text
from smpki.ca.store.store import Store
from smpki.errors import RequestError
from smpki.policy.model import CertificateType, EnvironmentName, Policy
from smpki.policy.names import DistinguishedName, same_name
from smpki.policy.reasons import AnyReason
from smpki.requests.any_request import read_request
from smpki.requests.device_admin import DeviceAdminUpdate
from smpki.requests.revocation import RevocationItem, RevocationRequest
from smpki.requests.signature import Layer
from smpki.requests.submission import read_submission


@dataclass(frozen=True)
class Processed:
    """What came of a signed request.

    :param sender: CN of who signed it
    :param known: the same request was acted upon before; nothing was done again
    :param taken_back: certificates that were revoked, suspended or resumed
    :param handed_over: CNs of the gateways that got another administrator
    :param new_admin: CN of that administrator
    """

    sender: str
    known: bool = False
    taken_back: tuple[TakenBack, ...] = ()
    handed_over: tuple[str, ...] = ()
    new_admin: str = ""


class ProcessingDesk:
    """Where signed revocation requests and UpdateDeviceAdmin are acted upon."""

    def __init__(
        self,
        policy: Policy,
        environment: EnvironmentName,
        *,
        store: Store,
        revocations: RevocationDesk,
        clock: Callable[[], datetime],
    ) -> None:
        self._policy = policy
        self._environment = environment
        self._store = store
        self._revocations = revocations
        self._signers = Signers(store, clock)

    def process(self, data: bytes, name: str) -> Processed:
        """Verify a request, see that its sender is entitled, and do what it asks; all of it or nothing.

        :param data: raw BER or DER, PEM, or base64 text
        :param name: what the audit calls it: a file
        :raises RequestError: what its reader and its signature refuse; ``request.entitlement``;
            ``request.revocation.issuer``, ``.reasons``; ``request.device_admin.*``; ``request.kind``
        :raises RevocationError: as :class:`smpki.ca.revocation.RevocationDesk`
        :raises StoreError: ``store.serial.unknown``, or the database failed
        """
        with audited(self._store, "process", name):
            request = read_request(data)
            if not isinstance(request, RevocationRequest | DeviceAdminUpdate):
                raise RequestError(
                    "request.kind", "this is a request package", where="package", hint="give it to smpki issue"
                )
            request.signature.verify()
            digest = request.signature.digest.hex()
            if self._store.package(digest) is not None:
                name_of_sender = DistinguishedName.from_x509(request.signature.signer.subject).common_name
                return Processed(name_of_sender, known=True)
            sender = self._signers.find(request.signature.signer, Layer.SENDER)
            acted_upon = self._remembered(request, sender, digest, data)
            if isinstance(request, DeviceAdminUpdate):
                return self._hand_over(request, sender, acted_upon)
            serials = [self._entitled(item, sender, index) for index, item in enumerate(request.items)]
            reason = _one_reason(request)
        by = sender.subject_cn
        return Processed(by, taken_back=self._revocations.change(serials, reason, requested_by=by, request=acted_upon))

    def _remembered(
        self, request: RevocationRequest | DeviceAdminUpdate, sender: StoredCertificate, digest: str, data: bytes
    ) -> GrantedRequest:
        return GrantedRequest(
            digest=digest,
            received_at=self._signers.now(),
            kind="device-admin" if isinstance(request, DeviceAdminUpdate) else "revocation",
            subject_cn=sender.subject_cn,
            role=sender.kind,
            sub_ca="",
            dn_serial=None,
            der=data,
        )

    def _entitled(self, item: RevocationItem, sender: StoredCertificate, index: int) -> str:
        """The serial of a certificate that the sender may take back."""
        place = f"revocation {index}"
        found = self._store.get(serial_text(item.serial_number))
        if not same_name(x509.load_der_x509_certificate(found.der).issuer, item.issuer):
            message = "the certificate with this serial number has another issuer"
            raise RequestError(
                "request.revocation.issuer", message, where=place, hint="name issuer and serial as issued"
            )
        kind = CertificateType(found.kind)
        rule = self._policy.revocation.entitled.get(kind)
        tests = {"holder": self._is_holder, "gwh": self._is_manufacturer, "gwa": self._is_in_charge}
        if rule is None or not any(tests[who](sender, found) for who in rule.value):
            raise RequestError(
                "request.entitlement",
                f"{sender.subject_cn} may not take back a certificate of {found.subject_cn} ({kind})",
                where=place,
                hint=f"the entitled may ask: see smpki policy show {kind}; the operator can do it: smpki revoke",
            )
        return found.serial

    def _is_holder(self, sender: StoredCertificate, found: StoredCertificate) -> bool:
        return (sender.subject_key, sender.kind) == (found.subject_key, found.kind)

    def _is_manufacturer(self, sender: StoredCertificate, found: StoredCertificate) -> bool:
        """Whether it was the sender who authorised the package that the certificate was issued for."""
        package = self._store.package(found.request_digest) if found.request_digest else None
        authorisation = read_submission(package).authorisation if package else None
        if sender.kind != CertificateType.GWH or authorisation is None:
            return False
        return DistinguishedName.from_x509(authorisation.signer.subject).key() == sender.subject_key

    def _is_in_charge(self, sender: StoredCertificate, found: StoredCertificate) -> bool:
        in_charge = self._store.administrator(found.subject_key)
        return sender.kind == CertificateType.GWA and sender.subject_cn == in_charge

    def _hand_over(self, update: DeviceAdminUpdate, sender: StoredCertificate, acted_upon: GrantedRequest) -> Processed:
        organization = self._policy.environments[self._environment].organization.value
        new_admin = DistinguishedName.of(CN=update.new_admin, O=organization).key()
        if self._store.latest(CertificateType.GWA.value, new_admin, "sig") is None:
            raise _bad_handover("new_admin", f"there is no administrator {update.new_admin} here", "newAdmin")
        gateways = [DistinguishedName.of(CN=gateway, O=organization).key() for gateway in update.gateways]
        for index, (gateway, key) in enumerate(zip(update.gateways, gateways, strict=True)):
            in_charge = self._store.administrator(key)
            if sender.kind != CertificateType.GWA or in_charge != sender.subject_cn:
                message = f"{gateway} is not in the charge of {sender.subject_cn}"
                raise _bad_handover("administrator", message, f"devices {index}")
        entry = AuditEntry(
            action="device-admin",
            outcome="done",
            subject=sender.subject_cn,
            detail={"gateways": list(update.gateways), "new_admin": update.new_admin},
        )
        self._store.hand_over(gateways, update.new_admin, acted_upon, entry)
        return Processed(sender.subject_cn, handed_over=update.gateways, new_admin=update.new_admin)


def _one_reason(request: RevocationRequest) -> AnyReason:
    reasons = {item.reason for item in request.items}
    if len(reasons) > 1:
        message = f"the request has {len(reasons)} different reasons"
        hint = "send a request for each reason: what one request asks for is done together or not at all"
        raise RequestError("request.revocation.reasons", message, where="crlEntryDetails", hint=hint)
    return reasons.pop()


def _bad_handover(rule: str, message: str, where: str) -> RequestError:
    hint = "the administrator in charge hands its gateways over, to one with certificates of this PKI"
    return RequestError(f"request.device_admin.{rule}", message, where=where, hint=hint)
