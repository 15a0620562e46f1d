"""One TLS connection without I/O: octets in, octets out, events."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NoReturn

from cryptography import x509
from OpenSSL import SSL

from smpki.errors import TlsError
from smpki.tls import binding
from smpki.tls.callbacks import Watch
from smpki.tls.peers import Alert, describe
from smpki.tls.profile import Profile, Role
from smpki.tls.resumed_hello import ResumedHello
from smpki.tls.session import FirstHandshake, Session
from smpki.tls.suites import Version, suite_name

_LARGEST_FRAGMENT = 16384  # octets of data in one record (RFC 8446 5.1)
_RECORD_OVERHEAD = 85  # octets at most: header, AES-CBC's IV and padding, HMAC-SHA-384
_PLAIN_ALERT = b"\x15\x03\x03\x00\x02\x02"  # a record with a fatal alert, but for its number


@dataclass(frozen=True)
class Established:
    """This side's handshake is done.

    In TLS 1.3 a client gets here before the server has seen the client's certificate; a server that refuses it says so
    later.
    """


@dataclass(frozen=True)
class Data:
    """Application data from the peer."""

    data: bytes


@dataclass(frozen=True)
class Closed:
    """The peer sends no more, and said so (close_notify)."""


Event = Established | Data | Closed


class ConnectionFailed(TlsError):
    """The connection is over, by a fatal alert of either side.

    :param alert: the alert's number, most of them in :class:`~smpki.tls.peers.Alert`; ``None`` when there was none
    :param received: whether it came from the peer
    """

    def __init__(self, code: str, message: str, *, alert: int | None, received: bool, hint: str = "") -> None:
        super().__init__(code, message, hint=hint)
        self.alert = alert
        self.received = received


class Connection:
    """One side of a TLS connection; :meth:`smpki.tls.endpoint.Endpoint.connection` makes it.

    One thread at a time may use it. After an error :meth:`data_to_send` has the alert for the peer, and no more data
    goes either way; whoever does the I/O logs it.

    :ivar profile: how it speaks
    """

    def __init__(
        self,
        profile: Profile,
        ssl: SSL.Connection,
        watch: Watch,
        clock: Callable[[], datetime],
        offered: FirstHandshake | None,
    ) -> None:
        self.profile: Final = profile
        self._ssl = ssl
        self._watch = watch
        self._clock = clock
        self._offered = offered
        self._hello = ResumedHello() if offered else None
        self._piece = (profile.record_limit or _LARGEST_FRAGMENT + _RECORD_OVERHEAD) - _RECORD_OVERHEAD
        self._established = False
        self._closed = False
        self._peer_closed = False
        self._over = False
        self._last_words = b""

    def start(self) -> None:
        """Make the ClientHello ready; a server waits for it and has nothing to start."""
        if self.profile.role is Role.CLIENT:
            self._run((b"",))

    def receive(self, data: bytes) -> list[Event]:
        """Take octets that came from the peer.

        :raises PeerRefused: by this side's check of the peer's certificate
        :raises ConnectionFailed: ``tls.alert`` (the peer's), ``tls.failed`` (ours)
        :raises TlsError: ``tls.session.limit``, ``tls.over``, ``tls.peer.unchecked`` (the check itself failed)
        """
        self._demand(not self._over)
        if self._peer_closed:
            return []  # RFC 8446 6.1: nothing counts any more
        return self._run(self._hello.parts(data) if self._hello else (data,))

    def receive_eof(self) -> list[Event]:
        """Take note that the transport has ended.

        :raises TlsError: ``tls.truncated``: the peer did not close, so something may be missing
        """
        if self._over or self._peer_closed:
            return []
        if self._closed:  # by this side; the peer need not
            self._peer_closed = True
            return [Closed()]
        when = "without close_notify" if self._established else "during the handshake"
        message = f"the transport ended {when}; data may have been cut off"
        return self._end(TlsError("tls.truncated", message, hint="what came is not complete; connect again"))

    def send(self, data: bytes | memoryview) -> None:
        """Encrypt application data for the peer.

        :raises TlsError: ``tls.session.limit``, ``tls.over``, ``tls.handshake.pending``
        """
        self._demand(not self._over and not self._closed)
        if not self._established:
            message = "the handshake is not done, so nothing can be sent"
            raise TlsError("tls.handshake.pending", message, hint="wait for Established")
        view = memoryview(data).cast("B")
        for start in range(0, len(view), self._piece):
            self._ssl.sendall(view[start : start + self._piece])

    def close(self) -> None:
        """Send no more, and say so (close_notify); what the peer still sends is taken."""
        if not self._established:
            self._over = True
        elif not self._over and not self._closed:
            self._ssl.shutdown()
            self._closed = True

    def data_to_send(self) -> bytes:
        """What is to go to the peer now; empty when nothing is."""
        pieces = []
        try:
            while True:
                pieces.append(self._ssl.bio_read(65536))
        except SSL.WantReadError:
            pieces.append(self._last_words)
            self._last_words = b""
            return b"".join(pieces)

    @property
    def deadline(self) -> datetime:
        """When the session ends, whatever happens: its limit, counted from the first handshake."""
        return self._watch.first.deadline

    @property
    def remaining(self) -> timedelta:
        """How long the session may live still; not above zero at its end."""
        return self.deadline - self._clock()

    def enforce_limit(self) -> None:
        """End the connection when its session has reached its limit (BSI TR-03116-3 4.1.2, 5.1.2 and 6.1).

        :raises TlsError: ``tls.session.limit``: it has; close_notify is in :meth:`data_to_send`
        """
        if self.remaining > timedelta():
            return
        self.close()
        message = f"the session has reached its limit of {self.profile.session_limit}"
        self._end(TlsError("tls.session.limit", message, hint="connect again, with a full handshake"))

    @property
    def established(self) -> bool:
        """Whether this side's handshake is done."""
        return self._established

    @property
    def version(self) -> Version:
        """The version agreed on; once established."""
        return Version(self._ssl.get_protocol_version_name())

    @property
    def suite(self) -> str:
        """The cipher suite agreed on, by its registered name; once established."""
        return suite_name(str(self._ssl.get_cipher_name()))

    @property
    def group(self) -> str | None:
        """The group of the key exchange, by its registered name."""
        return self._ssl.get_group_name()

    @property
    def alpn(self) -> str | None:
        """The application protocol agreed on."""
        return self._ssl.get_alpn_proto_negotiated().decode() or None

    @property
    def server_name(self) -> str | None:
        """The name that the client asked for."""
        name = self._ssl.get_servername()
        return name.decode(errors="replace") if name else None

    @property
    def resumed(self) -> bool:
        """Whether an earlier session goes on."""
        return self._established and binding.was_resumed(self._ssl)

    @property
    def extended_master_secret(self) -> bool:
        """Whether TLS 1.2 uses the extended master secret (RFC 7627)."""
        return binding.has_extended_master_secret(self._ssl)

    @property
    def peer_certificate(self) -> x509.Certificate | None:
        """The peer's end entity certificate."""
        return next(iter(self.peer_chain), None)

    @property
    def peer_chain(self) -> tuple[x509.Certificate, ...]:
        """The peer's certificates, end entity first, of the session's first handshake; none before Established."""
        return self._watch.first.peer_chain if self._established else ()

    @property
    def session(self) -> Session | None:
        """What a client can resume later, ``None`` when there is nothing; in TLS 1.3 it comes with the first ticket.

        A session goes on only if its connections end with close_notify.
        """
        if not self.profile.resumption or self.profile.role is Role.SERVER or self._over or not self._established:
            return None
        if self.version is Version.TLS13 and not self._watch.tickets:
            return None
        native = self._ssl.get_session()
        return Session(self._watch.first, native) if native else None

    def _run(self, parts: Iterable[bytes]) -> list[Event]:
        """Let OpenSSL work on what came."""
        events: list[Event] = []
        try:
            for part in parts:
                events += self._step(part)
                if self._hello and not self._established:
                    self._judge(self._hello)
        except SSL.Error as error:
            self._end(self._failure(error))
        return events

    def _step(self, part: bytes) -> Iterator[Event]:
        try:
            if part:
                self._ssl.bio_write(part)
            if not self._established:
                self._ssl.do_handshake()
                self._establish()
                yield Established()
            while True:
                yield Data(self._ssl.recv(_LARGEST_FRAGMENT))
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            if not self._established:
                self._end(_told(Alert.CLOSE_NOTIFY))
            self._peer_closed = True
            yield Closed()

    def _judge(self, hello: ResumedHello) -> None:
        """Give up where a server resumes and says in its ServerHello what it must not."""
        forbidden = hello.forbidden()
        if forbidden and binding.was_resumed(self._ssl):
            self._last_words = _PLAIN_ALERT + bytes([Alert.UNSUPPORTED_EXTENSION])
            numbers = ", ".join(map(str, sorted(forbidden)))
            message = f"the server resumes a session and sends extensions again that it must not: {numbers}"
            self._end(_failed(message, Alert.UNSUPPORTED_EXTENSION, "the server breaks RFC 6066; don't resume with it"))

    def _establish(self) -> None:
        self._established = True
        if self._offered and self.resumed:
            self._watch.first = self._offered
        if self._watch.remember:
            self._watch.remember(binding.session_digest(self._ssl._ssl), self._watch.first)

    def _demand(self, possible: bool) -> None:
        if not possible:
            raise TlsError("tls.over", "the connection is over", hint="connect again")
        self.enforce_limit()

    def _failure(self, error: SSL.Error) -> TlsError:
        """Why OpenSSL gave up."""
        binding.clear_errors()
        refusal, self._watch.refusal = self._watch.refusal, None
        if isinstance(refusal, TlsError):
            return refusal
        if refusal:
            message = f"the peer's certificate could not be checked: {refusal}"
            failure = TlsError("tls.peer.unchecked", message, hint="see what the check needs")
            failure.__cause__ = refusal
            return failure
        received, alert = self._watch.alert or (False, None)
        if alert is not None and received:
            return _told(alert)
        told_nothing = isinstance(error, SSL.SysCallError)  # it has other arguments than the rest
        reasons = "no reason" if told_nothing else ", ".join(reason for _, _, reason in error.args[0])
        message = f"what the peer sends can't be accepted: {reasons}"
        return _failed(message, alert, "compare versions, cipher suites, groups and certificates of both sides")

    def _end(self, error: TlsError) -> NoReturn:
        """Raise; nobody keeps the error in a variable, or it and the connection would keep each other alive."""
        self._over = True
        try:
            raise error from error.__cause__
        finally:
            del error


def _told(alert: int) -> ConnectionFailed:
    message = f"the peer has ended the connection with the alert {describe(alert)}"
    return ConnectionFailed("tls.alert", message, alert=alert, received=True, hint="the peer's log says more")


def _failed(message: str, alert: int | None, hint: str) -> ConnectionFailed:
    told = "" if alert is None else f"; the peer is told {describe(alert)}"
    return ConnectionFailed("tls.failed", message + told, alert=alert, received=False, hint=hint)
