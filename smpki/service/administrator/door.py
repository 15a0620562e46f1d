"""Who may connect: registered gateways, by their very TLS certificates, as long as these hold."""

from collections.abc import Callable

from cryptography import x509

from smpki.errors import StoreError
from smpki.gateway.rate_limit import RateLimit
from smpki.policy.device_id import DeviceId
from smpki.policy.text import quoted
from smpki.service.administrator.chronicle import Chronicle
from smpki.service.administrator.store.gateways import KnownPeer, fingerprint
from smpki.service.administrator.store.store import AdministratorStore
from smpki.tls.peers import Alert, PeerCheck, PeerRefused
from smpki.trust.question import name_text

_Chain = tuple[x509.Certificate, ...]
_STRANGERS_NOTED = 10
"""A minute, and as many at once; anybody can make certificates."""


class Door:
    """The check of all servers.

    A gateway's certificates count from when they were issued for it until the next ones are in use; so it is let in
    however a change of keys ends.

    :param vouched: whether a certificate is a gateway's, leads to a trusted root and is not revoked
    :param monotonic: seconds, such as ``time.monotonic``
    :param handshakes: of one gateway a minute, and as many at once
    """

    def __init__(
        self,
        store: AdministratorStore,
        vouched: PeerCheck,
        chronicle: Chronicle,
        *,
        monotonic: Callable[[], float],
        handshakes: int,
    ) -> None:
        self._store, self._vouched, self._chronicle = store, vouched, chronicle
        self._monotonic, self._handshakes = monotonic, handshakes
        self._rates: dict[DeviceId, RateLimit] = {}
        self._notes = RateLimit(_STRANGERS_NOTED / 60, _STRANGERS_NOTED, monotonic)

    def check(self, chain: _Chain) -> None:
        """Asked during the handshake.

        :raises PeerRefused: by what the chain lacks; ``gwa.peer.unknown``, ``.suspended``, ``.handed_over``,
            ``.flood``; ``store.*``
        """
        about = "peer", fingerprint(chain[0])
        peer = self.peer(chain[0])
        gateway = peer.gateway if peer else None
        try:
            # what the CA sent along with a certificate is known here, whatever CA a gateway sends
            self._vouched((*chain, *peer.chain) if peer else chain)
            self._admit(peer)
        except PeerRefused as refused:
            if peer is not None or self._notes.take():
                text = f"{_name(chain[0])} is refused (alert {refused.alert.name.lower()})"
                self._chronicle.trouble(about, refused, text, gateway)
            raise
        self._chronicle.fine(about, "gwa.peer.accepted", "it is let in again", gateway)

    def peer(self, certificate: x509.Certificate) -> KnownPeer | None:
        """Whose TLS certificate it is.

        :raises PeerRefused: ``store.*``: the database does not say
        """
        try:
            with self._store.view() as view:
                return view.gateways.peer(certificate)
        except StoreError as error:
            raise PeerRefused(error.code, error.message, alert=Alert.HANDSHAKE_FAILURE, hint=error.hint) from None

    def _admit(self, peer: KnownPeer | None) -> None:
        if peer is None:
            raise _refused("unknown", "it is none of our gateways' certificates", "adopt the gateway: smpki gwa adopt")
        if peer.state == "suspended":
            message, hint = "the gateway is suspended", "end it: smpki gwa resume"
            raise _refused("suspended", message, hint, Alert.CERTIFICATE_REVOKED)
        if peer.state == "handed-over":
            raise _refused("handed_over", "the gateway has another administrator", "it is to connect there")
        if peer.gateway not in self._rates:
            self._rates[peer.gateway] = RateLimit(self._handshakes / 60, self._handshakes, self._monotonic)
        if not self._rates[peer.gateway].take():
            hint = "see why it connects so often"
            raise _refused("flood", "the gateway connects too often", hint, Alert.HANDSHAKE_FAILURE)


def _name(certificate: x509.Certificate) -> str:
    try:
        return quoted(name_text(certificate.subject), longest=200)
    except ValueError:  # pyca reads names late
        return "a certificate that can't be read"


def _refused(rule: str, message: str, hint: str, alert: Alert = Alert.CERTIFICATE_UNKNOWN) -> PeerRefused:
    return PeerRefused(f"gwa.peer.{rule}", message, alert=alert, hint=hint)
