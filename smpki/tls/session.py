"""Sessions that may be resumed, bounded by our own clock from their first handshake.

OpenSSL renews the clock of TLS 1.3 with each resumption, so its time limit is none.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock

from cryptography import x509
from OpenSSL import SSL

from smpki.tls.peers import Alert, PeerRefused


def steady(clock: Callable[[], datetime], monotonic: Callable[[], float]) -> Callable[[], datetime]:
    """A clock that goes on by itself from what another one shows now; whoever sets that one doesn't set this one.

    :param monotonic: seconds, such as ``time.monotonic``
    """
    begun, instant = clock(), monotonic()
    return lambda: begun + timedelta(seconds=monotonic() - instant)


@dataclass(frozen=True)
class FirstHandshake:
    """Where a session, with all its resumptions, comes from.

    :param started: when the first handshake began
    :param deadline: when the session ends, whatever happens
    :param peer_chain: whom it was with, end entity first; nothing is shown again when a session is resumed
    """

    started: datetime
    deadline: datetime
    peer_chain: tuple[x509.Certificate, ...]


@dataclass(frozen=True)
class Session:
    """What a client keeps to resume a session; for the endpoint that it is from.

    :param first: its first handshake
    """

    first: FirstHandshake
    native: SSL.Session = field(repr=False)

    @property
    def started(self) -> datetime:
        """When the first handshake began."""
        return self.first.started

    @property
    def deadline(self) -> datetime:
        """When the session ends, whatever happens."""
        return self.first.deadline


class Origins:
    """What a server remembers: the first handshake of each session that may be resumed. Threads may share it.

    :param most: how many sessions; OpenSSL's own cache keeps fewer (20,480)
    """

    def __init__(self, most: int = 32768) -> None:
        self._most = most
        self._lock = Lock()
        self._by_digest: OrderedDict[bytes, FirstHandshake] = OrderedDict()

    def add(self, digest: bytes, first: FirstHandshake) -> None:
        """Remember where a session comes from.

        :param digest: see :func:`smpki.tls.binding.session_digest`
        """
        with self._lock:
            self._by_digest[digest] = first
            while len(self._by_digest) > self._most:
                self._by_digest.popitem(last=False)

    def resume(self, digest: bytes, now: datetime) -> FirstHandshake:
        """Where a session comes from that is to be resumed.

        :raises PeerRefused: ``tls.session.limit``; the peer has to make a new, full handshake
        """
        with self._lock:
            first = self._by_digest.get(digest)
        if first is None or now >= first.deadline:
            message = "the peer resumes a session that has reached its limit"
            hint = "the peer has to make a full handshake"
            raise PeerRefused("tls.session.limit", message, alert=Alert.HANDSHAKE_FAILURE, hint=hint)
        return first
