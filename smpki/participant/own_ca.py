"""The CA of a participant: who may speak for it in TLS, and which certificates are its."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from smpki.policy.model import CertificateType
from smpki.policy.names import DistinguishedName
from smpki.tls.endpoint import Endpoint
from smpki.tls.identity import Identity
from smpki.tls.peers import PeerCheck, exact_match
from smpki.tls.profile import WAN_CLIENT, WAN_SERVER
from smpki.trust.question import Revocation
from smpki.trust.tls_peer import TrustMaterial, all_of, held_by, trusted


@dataclass(frozen=True)
class OwnCa:
    """The Sub-CA that issued a participant's certificates.

    :param name: its name, of which CN and O count
    :param material: roots, authorities and revocation lists, asked for each time
    :param revocation: what of the CA's certificates has to be known
    :param now: the clock
    :param servers: accept just these TLS certificates of it (the check of a pinned partner); none: any that holds
    """

    name: DistinguishedName
    material: Callable[[], TrustMaterial]
    revocation: Revocation
    now: Callable[[], datetime]
    servers: tuple[x509.Certificate, ...] = ()

    @property
    def check(self) -> PeerCheck:
        """Whether the peer is the CA: by its TLS certificate, which it issued to itself (TR-03109-4 chapter 2)."""
        if self.servers:
            return exact_match(self.servers, now=self.now)
        by_chain = trusted(self.material, now=self.now, roles=(CertificateType.SUB_CA_TLS,), revocation=self.revocation)
        own = DistinguishedName.of(CN=f"{self.name.common_name}.TLS", O=self.name.get("O"))
        return all_of(by_chain, held_by([own]))

    def client(self, identity: Identity) -> Endpoint:
        """Our side of TLS where we ask the CA."""
        return Endpoint(WAN_CLIENT, identity, self.check, clock=self.now)

    def server(self, identity: Identity) -> Endpoint:
        """Our side of TLS where the CA sends us something."""
        material = self.material()
        names = (one.subject for one in (*material.roots, *material.authorities))
        return Endpoint(
            WAN_SERVER, identity, self.check, clock=self.now, trusted_authorities=tuple(dict.fromkeys(names))
        )


def material_of(
    chain: Sequence[x509.Certificate], crls: Sequence[x509.CertificateRevocationList] = ()
) -> TrustMaterial:
    """What a chain as the Sub-CA gives it lets us trust: its roots.

    :param chain: in any order; what is not self-signed by name only helps
    """
    roots = tuple(one for one in chain if one.subject == one.issuer)
    return TrustMaterial(roots, tuple(one for one in chain if one not in roots), tuple(crls))
