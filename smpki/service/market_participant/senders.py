"""Who may deliver: gateways by their certificates, and what each may deliver."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from itertools import chain
from pathlib import Path

from cryptography import x509

from smpki.asn1.signed_data import Signed
from smpki.errors import PolicyError
from smpki.gateway.cms_peers import key_identifier
from smpki.gateway.configuration import load_certificates
from smpki.gateway.http_refusal import HttpRefusal
from smpki.policy.device_id import DeviceId
from smpki.policy.lint.classify import classify
from smpki.policy.model import CertificateType
from smpki.policy.names import CommonName, DistinguishedName
from smpki.service.market_participant.configuration import SendersConfiguration
from smpki.service.trust_material import trust_material
from smpki.service.watched import Watched, in_folder
from smpki.tls.peers import Alert, PeerCheck, PeerRefused, exact_match
from smpki.trust.tls_peer import trusted

_Chain = tuple[x509.Certificate, ...]
_IN_OPERATION = (CertificateType.SMGW_W,)


@dataclass(frozen=True)
class KnownCertificates:
    """Certificates of gateways from files.

    :param by_key: those for signatures, by key identifier
    """

    tls: frozenset[x509.Certificate] = frozenset()
    sig: frozenset[x509.Certificate] = frozenset()
    by_key: Mapping[bytes, x509.Certificate] = field(default_factory=dict)

    @classmethod
    def load(cls, files: Sequence[Path]) -> "KnownCertificates":
        """Read files; what is no gateway's TLS or SIG certificate, such as a chain, is passed over.

        :raises GatewayError: ``configuration.certificate``
        :raises TrustError: a file holds no certificate
        """
        found: dict[str, set[x509.Certificate]] = {"tls": set(), "sig": set(), "enc": set()}
        for certificate in chain.from_iterable(map(load_certificates, files)):
            kind, purpose = classify(certificate) or (None, "")
            if kind is not None and kind.is_gateway:
                found[purpose].add(certificate)
        by_key = {key_identifier(certificate): certificate for certificate in found["sig"]}
        return cls(frozenset(found["tls"]), frozenset(found["sig"]), by_key)


class Senders:
    """Who may deliver what. Threads may share it.

    :param now: the clock
    :raises GatewayError: ``configuration.certificate``
    :raises TrustError: a file holds no certificate or revocation list
    :ivar check: for TLS
    :ivar authorities: names of the roots that lead gateways in
    """

    def __init__(self, configuration: SendersConfiguration, now: Callable[[], datetime]) -> None:
        self._administrators = configuration.administrators
        self._gateways = configuration.gateways
        folder = configuration.certificates
        self._known = Watched(in_folder(folder, ".pem"), KnownCertificates.load, now) if folder else KnownCertificates
        self.check: PeerCheck
        self.authorities: tuple[x509.Name, ...] = ()
        if trust := configuration.trust:
            material = trust_material(trust.anchors, trust.authorities, trust.crl_folder, now)
            self.authorities = tuple(root.subject for root in material().roots)
            self.check = trusted(material, now=now, roles=_IN_OPERATION)
            self._check_signer = trusted(material, now=now, roles=_IN_OPERATION, use="sig")
        else:
            self.check = lambda peer: exact_match(self._known().tls, now=now)(peer)
            self._check_signer = lambda signer: exact_match(self._known().sig, now=now)(signer)

    def gateway(self, peer: _Chain) -> DeviceId:
        """The gateway at the other end, which may deliver at this moment: connections last for days.

        :raises HttpRefusal: 403 ``delivery.sender.*``; 503 where we can't tell
        """
        try:
            self.check(peer)
        except PeerRefused as refused:
            raise _refused("sender", "connection", refused) from None
        gateway = gateway_of(peer[0])
        if gateway is None or (self._gateways is not None and gateway not in self._gateways):
            raise _forbidden("sender.unknown", "this gateway does not deliver here", "let it in by its device id")
        if self._administrators and administrator_of(peer[0]) not in self._administrators:
            message = "gateways of this administrator don't deliver here"
            raise _forbidden("sender.administrator", message, "let in its administrator by CN")
        return gateway

    def signer(self, gateway: DeviceId, above: _Chain, signed: Signed) -> x509.Certificate:
        """The certificate of who signed a message; it is the gateway's, and it holds.

        :param above: what the gateway sent in TLS above its own certificate
        :raises HttpRefusal: 403 ``delivery.signer.*``; 422 ``delivery.signer.unreadable``; 503 where we can't tell
        """
        certificate = self._certificate(signed)
        if certificate is None:
            message = "the certificate that the message was signed with is neither enclosed nor known"
            raise _forbidden("signer.unknown", message, "enclose it, or put it into the folder of certificates")
        if gateway_of(certificate) != gateway:
            message = "the message was signed by another than the gateway that brings it"
            raise _forbidden("signer.other", message, "a gateway delivers what it has signed itself")
        try:
            self._check_signer((certificate, *above))
        except PeerRefused as refused:
            raise _refused("signer", "signature", refused) from None
        return certificate

    def require_meters(self, gateway: DeviceId, meters: Iterable[DeviceId]) -> None:
        """See that a gateway may deliver for these meters.

        :raises HttpRefusal: 403 ``delivery.meter``
        """
        allowed = self._gateways[gateway].meters if self._gateways else None
        if allowed is not None and not set(meters) <= set(allowed):
            message = "there are readings of a meter that this gateway does not deliver for"
            raise _forbidden("meter", message, "let the meter in at its gateway")

    def _certificate(self, signed: Signed) -> x509.Certificate | None:
        if not signed.certificates:
            return self._known().by_key.get(signed.signer.key_id)
        try:
            return x509.load_der_x509_certificate(signed.certificates[0])
        except ValueError:
            message = "the enclosed certificate can't be read"
            hint = "enclose the one that the CA has issued"
            raise HttpRefusal(422, "delivery.signer.unreadable", message, where="signature", hint=hint) from None


@lru_cache(4096)  # asked for twice with each delivery
def gateway_of(certificate: x509.Certificate) -> DeviceId | None:
    """The gateway that a certificate is for, by its CN; ``None`` when it is no gateway's."""
    try:
        return CommonName.parse(DistinguishedName.from_x509(certificate.subject).common_name).device_id
    except (PolicyError, ValueError):  # pyca reads names late
        return None


def administrator_of(certificate: x509.Certificate) -> str | None:
    """The CN of the administrator of a gateway in operation, which its certificate has as OU."""
    try:
        return DistinguishedName.from_x509(certificate.subject).get("OU")
    except (PolicyError, ValueError):
        return None


def _refused(whose: str, where: str, refused: PeerRefused) -> HttpRefusal:
    """Why a certificate doesn't count. That we can't tell, for want of a list, is not the gateway's fault."""
    status = 503 if refused.alert is Alert.CERTIFICATE_UNKNOWN else 403
    return HttpRefusal(status, f"delivery.{whose}.refused", refused.message, where=where, hint=refused.hint)


def _forbidden(rule: str, message: str, hint: str) -> HttpRefusal:
    return HttpRefusal(403, f"delivery.{rule}", message, hint=hint)
