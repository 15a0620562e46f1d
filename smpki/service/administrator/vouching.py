"""Whether market participants' certificates hold: chain, role, use, revocation."""

from collections.abc import Callable, Sequence
from datetime import datetime

from cryptography import x509

from smpki.gateway.api import CommunicationProfile
from smpki.policy.model import CertificateType
from smpki.tls.peers import PeerRefused
from smpki.trust.question import Revocation, Use
from smpki.trust.tls_peer import TrustMaterial, trusted

_USES: tuple[Use, ...] = ("tls", "sig", "enc")


class Vouching:
    """Whether participants' certificates hold.

    :param material: what they are checked against
    :param above: CAs that we know besides
    :param now: the clock
    :param revocation: whether revocation lists have to be there
    """

    def __init__(
        self,
        material: Callable[[], TrustMaterial],
        above: Sequence[x509.Certificate],
        now: Callable[[], datetime],
        revocation: Revocation,
    ) -> None:
        self._above = tuple(above)
        self._checks = {
            use: trusted(material, now=now, roles=(CertificateType.EMT,), use=use, revocation=revocation)
            for use in _USES
        }

    def objection(self, profile: CommunicationProfile, above: Sequence[x509.Certificate]) -> PeerRefused | None:
        """What speaks against the certificates of a profile; ``None``: they hold.

        :param above: CAs that the gateway's certificates have brought
        """
        for use, check in self._checks.items():
            certificate: x509.Certificate | None = getattr(profile, use)
            try:
                if certificate is not None:
                    check((certificate, *self._above, *above))
            except PeerRefused as refused:
                return refused
        return None
