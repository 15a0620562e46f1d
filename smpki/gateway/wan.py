"""The gateway's side of its WAN connections: it opens every one of them, as a TLS client."""

from collections.abc import Iterable, Sequence

from cryptography import x509

from smpki.gateway.ntp_stream import time_server_check
from smpki.gateway.security_module import SecurityModule
from smpki.gateway.slots import Slot
from smpki.gateway.time_keeper import TimeKeeper
from smpki.gateway.trust_anchors import AnchorRole
from smpki.tls.endpoint import Endpoint
from smpki.tls.peers import PeerCheck, exact_match
from smpki.tls.profile import WAN_CLIENT
from smpki.tls.session import steady
from smpki.tls.transport import Timing


class Wan:
    """Makes TLS endpoints with the gateway's present identity.

    Peers are those whose certificate was configured, that very one (REQ.TA.TLS.Handshake.160); their chains were
    looked at by the administrator. Their dates are compared with what the gateway's clock shows.

    :param module: has the keys
    :param issuers: sent along with the gateway's own certificate
    :param timing: how long its connections wait
    """

    def __init__(
        self, module: SecurityModule, issuers: Sequence[x509.Certificate], keeper: TimeKeeper, timing: Timing
    ) -> None:
        self._module, self._issuers, self._keeper, self.timing = module, issuers, keeper, timing
        self._steady = steady(keeper.reading, keeper.monotonic)

    def endpoint(self, peers: Iterable[x509.Certificate], slot: Slot = Slot.WAN_TLS) -> Endpoint:
        """For connections to one of these peers.

        :param slot: whose key is shown
        :raises GatewayError: ``module.slot.*``
        :raises TlsError: ``tls.identity.*``, ``tls.provider.*``
        """
        return self._endpoint(exact_match(peers, now=self._keeper.reading), slot)

    def time_endpoint(self, servers: Iterable[x509.Certificate]) -> Endpoint:
        """For connections to a time server; its dates count once there is a time to compare them with."""
        return self._endpoint(time_server_check(servers, self._keeper), Slot.WAN_TLS)

    def _endpoint(self, check: PeerCheck, slot: Slot) -> Endpoint:
        identity = self._module.tls_identity(slot, self._issuers)
        roots = [anchor.certificate.subject for anchor in self._module.anchors(AnchorRole.ROOT)]
        return Endpoint(WAN_CLIENT, identity, check, clock=self._steady, trusted_authorities=roots)
