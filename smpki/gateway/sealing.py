"""Deliveries as they travel: protected for one participant; the same octets each time, as long as nothing changes."""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.errors import GatewayError
from smpki.gateway.api import CommunicationProfile
from smpki.gateway.cms import Protection, protect
from smpki.gateway.cms_seal import Randomness
from smpki.gateway.content_suite import CBC_CMAC, GCM, KdfInfo
from smpki.gateway.media_type import MediaType, cms
from smpki.gateway.security_module import SecurityModule
from smpki.gateway.slots import Slot
from smpki.gateway.store.outbox import Delivery, Sealed

_SUITES = {"gcm": GCM, "cbc-cmac": CBC_CMAC}


class Sealer:
    """Protects deliveries with the gateway's SIG key.

    A message is kept from before it is first sent until it is answered, so that not even a crash makes another one.
    It is made anew only when one of both certificates, or the way of protection, has changed.

    :param module: has the SIG key, and makes what is random
    """

    def __init__(self, module: SecurityModule) -> None:
        self._module = module

    def seal(
        self, deliveries: Iterable[Delivery], profile: CommunicationProfile, now: datetime
    ) -> Iterator[tuple[Delivery, Sealed]]:
        """The protected messages, one after another; they are stored before they are sent.

        :raises GatewayError: ``delivery.certificate.own``, ``delivery.certificate.recipient``: not valid now;
            ``cms.*``, ``module.*``
        :raises TokenError: what the token refuses
        """
        own, key = self._module.certificate(Slot.WAN_SIG), self._module.key(Slot.WAN_SIG)
        _check_dates(own, now, "own", "the gateway's SIG certificate")
        _check_dates(profile.enc, now, "recipient", f"the ENC certificate of {profile.name}")
        circumstances = _circumstances(profile, own)
        for delivery in deliveries:
            if delivery.sealed and delivery.sealed.circumstances == circumstances:
                yield delivery, delivery.sealed
                continue
            message = protect(
                delivery.document,
                sender_certificate=own,
                sender_key=key,
                recipient_certificate=profile.enc,
                protection=Protection(
                    suite=_SUITES[profile.suite], compress=profile.compress, kdf_info=KdfInfo(profile.kdf_info)
                ),
                randomness=Randomness(self._module.random, self._module.agree_once),
            )
            yield delivery, Sealed(circumstances, message)


def content_type(profile: CommunicationProfile) -> MediaType:
    """What a participant's messages are (table 6.1)."""
    return cms("signedData", "authEnvelopedData", *(["compressedData"] if profile.compress else []))


def address_of(profile: CommunicationProfile) -> tuple[str, int, str]:
    """Host, port and path of a participant."""
    parts = urlsplit(profile.url)
    return parts.hostname or "", parts.port or 0, parts.path


def _circumstances(profile: CommunicationProfile, own: x509.Certificate) -> str:
    digest = hashlib.sha256()
    for certificate in (own, profile.enc):
        digest.update(certificate.public_bytes(Encoding.DER))
    digest.update(f"{profile.suite} {profile.compress} {profile.kdf_info}".encode())
    return digest.hexdigest()


def _check_dates(certificate: x509.Certificate, now: datetime, rule: str, what: str) -> None:
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        end = f"{certificate.not_valid_before_utc:%Y-%m-%d} to {certificate.not_valid_after_utc:%Y-%m-%d}"
        hint = "the administrator has to give a new one; the deliveries wait"
        raise GatewayError(f"delivery.certificate.{rule}", f"{what} is valid from {end}, not now", hint=hint)
