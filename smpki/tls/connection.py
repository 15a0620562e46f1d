"""One TLS connection without I/O: octets in, octets out, events."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from OpenSSL import SSL

from smpki.errors import TlsError
from smpki.tls import binding
from smpki.tls.binding import Watch
from smpki.tls.peers import Alert
from smpki.tls.profile import Profile, Role
from smpki.tls.session import Session
from smpki.tls.suites import Version

log = logging.getLogger("smpki.tls")

_PIECE = 16384


@dataclass(frozen=True)
class Established:
    """The handshake is done."""


@dataclass(frozen=True)
class Data:
    """Application data from the peer."""

    data: bytes


@dataclass(frozen=True)
class Closed:
    """The peer has said that it sends no more."""


Event = Established | Data | Closed


class Connection:
    """One side of a TLS connection; made by :meth:`smpki.tls.endpoint.Endpoint.connection`."""

    def __init__(
        self,
        profile: Profile,
        ssl: SSL.Connection,
        watch: Watch,
        clock: Callable[[], datetime],
        started: datetime,
    ) -> None:
        self.profile = profile
        self.started = started
        self._ssl = ssl
        self._watch = watch
        self._clock = clock
        self._established = False
        self._over = False

    def start(self) -> None:
        """Make the ClientHello ready; a server has nothing to do."""
        if self.profile.role is Role.CLIENT:
            self.receive(b"")

    def receive(self, data: bytes) -> list[Event]:
        """Take octets from the peer.

        :raises TlsError: the connection is over; the alert for the peer is in :meth:`data_to_send`
        """
        events: list[Event] = []
        try:
            if data:
                self._ssl.bio_write(data)
            if not self._established:
                self._ssl.do_handshake()
                self._established = True
                events.append(Established())
            while True:
                events.append(Data(self._ssl.recv(_PIECE)))
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            events.append(Closed())
        except (SSL.Error, SSL.SysCallError) as error:
            raise self._failure(error) from None
        return events

    def receive_eof(self) -> list[Event]:
        """The transport has ended."""
        return []

    def send(self, data: bytes | memoryview) -> None:
        """Encrypt application data for the peer."""
        self._ssl.sendall(data)

    def close(self) -> None:
        """Make the close_notify ready."""
        self._ssl.shutdown()

    def data_to_send(self) -> bytes:
        """What is to go to the peer now; empty when nothing is."""
        pieces = []
        try:
            while True:
                pieces.append(self._ssl.bio_read(65536))
        except SSL.WantReadError:
            return b"".join(pieces)

    @property
    def deadline(self) -> datetime:
        """When the session ends, whatever happens."""
        return self.started + self.profile.session_limit

    def enforce_limit(self) -> bool:
        """Whether the session has reached its limit and was closed."""
        return False

    @property
    def version(self) -> Version:
        """The version agreed on."""
        return Version(self._ssl.get_protocol_version_name())

    @property
    def suite(self) -> str:
        """The cipher suite agreed on."""
        return str(self._ssl.get_cipher_name())

    @property
    def group(self) -> str | None:
        """The group of the key exchange."""
        return self._ssl.get_group_name()

    @property
    def alpn(self) -> str | None:
        """The application protocol agreed on."""
        return self._ssl.get_alpn_proto_negotiated().decode() or None

    @property
    def server_name(self) -> str | None:
        """The name that the client asked for."""
        name = self._ssl.get_servername()
        return name.decode() if name else None

    @property
    def peer_certificate(self) -> x509.Certificate | None:
        """The peer's certificate."""
        return self.peer_chain[0] if self.peer_chain else None

    @property
    def peer_chain(self) -> tuple[x509.Certificate, ...]:
        """The peer's certificates, end entity first."""
        return self._watch.chain

    @property
    def session(self) -> Session | None:
        """What resumes this session."""
        return None

    def _failure(self, error: Exception) -> Exception:
        binding.clear_errors()
        self._over = True
        if self._watch.refusal:
            return self._watch.refusal
        if self._watch.received is not None:
            alert = Alert(self._watch.received).name.lower()
            return TlsError("tls.alert", f"the peer ended the connection with the alert {alert}")
        return TlsError("tls.handshake", f"the handshake failed: {error}")
