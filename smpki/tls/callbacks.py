"""What OpenSSL asks and tells during a connection.

OpenSSL calls C functions; those here find the :class:`Watch` of the connection and ask it. Nothing may be raised
through OpenSSL, so what a check raises waits in the watch until the call into OpenSSL is back.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography import x509
from OpenSSL import SSL
from OpenSSL.crypto import X509

from smpki.tls.binding import ffi, lib, session_digest
from smpki.tls.peers import Alert, PeerCheck, PeerRefused
from smpki.tls.session import FirstHandshake

_ALERT, _HANDSHAKE = 21, 22  # content types of a record
_NEW_SESSION_TICKET = b"\x04"
_NOT_ACKNOWLEDGED, _FATAL = int(lib.SSL_TLSEXT_ERR_NOACK), int(lib.SSL_TLSEXT_ERR_ALERT_FATAL)

_VERIFY_ERRORS: Mapping[Alert, int] = {
    Alert.HANDSHAKE_FAILURE: lib.X509_V_ERR_APPLICATION_VERIFICATION,
    Alert.BAD_CERTIFICATE: lib.X509_V_ERR_CERT_UNTRUSTED,
    Alert.UNSUPPORTED_CERTIFICATE: lib.X509_V_ERR_INVALID_PURPOSE,
    Alert.CERTIFICATE_REVOKED: lib.X509_V_ERR_CERT_REVOKED,
    Alert.CERTIFICATE_EXPIRED: lib.X509_V_ERR_CERT_HAS_EXPIRED,
    Alert.CERTIFICATE_UNKNOWN: lib.X509_V_ERR_SUBTREE_MINMAX,
    Alert.UNKNOWN_CA: lib.X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT,
    Alert.DECRYPT_ERROR: lib.X509_V_ERR_CERT_SIGNATURE_FAILURE,
    Alert.INTERNAL_ERROR: 1,  # X509_V_ERR_UNSPECIFIED, for which the binding has no name
}
"""OpenSSL derives the alert from the error of its verification; here is which error to set for which alert."""


@dataclass(eq=False)
class Watch:
    """What one connection answers to OpenSSL, and what OpenSSL told it.

    :param own: this handshake, without the peer's certificates
    :param check: asked about the peer's chain
    :param resume: a server's way from the digest of a session to its first handshake; raises to refuse
    :param remember: a server's way to keep the first handshake of a session by the session's digest
    :param extensions: bodies of a ClientHello's extensions besides OpenSSL's own, by number
    :param alpn: the protocols that a server takes, the preferred first
    :ivar first: the first handshake of the session: this one, unless an earlier session is resumed
    :ivar checked: whether the peer's certificates have come and were checked
    :ivar refusal: what a check raised
    :ivar alert: the last alert but close_notify: whether it was received, and its number
    :ivar tickets: how many tickets of TLS 1.3 came
    """

    own: FirstHandshake
    check: PeerCheck | None
    resume: Callable[[bytes], FirstHandshake] | None = None
    remember: Callable[[bytes, FirstHandshake], None] | None = None
    extensions: Mapping[int, bytes] = field(default_factory=dict)
    alpn: tuple[bytes, ...] = ()
    first: FirstHandshake = field(init=False)
    checked: bool = False
    refusal: Exception | None = None
    alert: tuple[bool, int] | None = None
    tickets: int = 0

    def __post_init__(self) -> None:
        """Begin with a full handshake in mind."""
        self.first = self.own

    def accept(self, chain: tuple[x509.Certificate, ...]) -> None:
        """Let the check decide about the peer's chain."""
        self.first = replace(self.own, peer_chain=chain)
        if self.check:
            self.check(chain)
        self.checked = True

    def accept_resumed(self, digest: bytes) -> None:
        """Let the check decide about the peer of a session that is to be resumed."""
        if self.resume:
            self.first = self.resume(digest)
            if self.check:
                self.check(self.first.peer_chain)

    def accept_full(self) -> None:
        """Take a full handshake: after a HelloRetryRequest a client may think better of resuming."""
        self.first = self.own

    def ask(self, question: Callable[[], None]) -> Alert | None:
        """Run a check; the alert when it refuses, and then :attr:`refusal` is why."""
        try:
            question()
        except PeerRefused as refusal:
            self.refusal = refusal
            return refusal.alert
        except Exception as error:
            self.refusal = error
            return Alert.INTERNAL_ERROR
        return None


def register(context: SSL.Context) -> None:
    """Let the connections of a context tell their watches about alerts and tickets."""
    lib.SSL_CTX_set_msg_callback(context._context, _message)


def register_check(context: SSL.Context) -> None:
    """Ask for the peer's certificate, insist on it, and let the watch's check decide about it."""
    mode = lib.SSL_VERIFY_PEER | lib.SSL_VERIFY_FAIL_IF_NO_PEER_CERT
    lib.SSL_CTX_set_verify(context._context, mode, _verify)


def register_resuming(context: SSL.Context) -> None:
    """Let a server's watches decide about each resumption."""
    lib.SSL_CTX_set_tlsext_servername_callback(context._context, _client_hello)


def register_alpn(context: SSL.Context) -> None:
    """Let a server's watches choose the application protocol."""
    lib.SSL_CTX_set_alpn_select_cb(context._context, _choose_alpn, ffi.NULL)


def register_extension(context: SSL.Context, number: int) -> None:
    """Let a client's watches add an extension; one that they don't add is known all the same.

    OpenSSL passes over an extension that it doesn't know; a known one that was not asked for is answered with the
    alert unsupported_extension.
    """
    if not lib.SSL_CTX_add_client_custom_ext(
        context._context, number, _add_extension, ffi.NULL, ffi.NULL, ffi.NULL, ffi.NULL
    ):
        raise ValueError(f"OpenSSL keeps extension {number} for itself")


def attach(connection: SSL.Connection, watch: Watch) -> None:
    """Make a watch that of a connection."""
    connection.set_app_data(watch)


def _watch(ssl: Any) -> Watch:
    watch: Watch = SSL.Connection._reverse_mapping[ssl].get_app_data()
    return watch


def _callback(signature: str, failed: int | None = None) -> Callable[[Callable[..., Any]], Any]:
    """The decorator that makes a C function.

    :param failed: what OpenSSL gets when the function raises, a mistake of ours; it never means yes
    """
    decorator: Callable[[Callable[..., Any]], Any] = ffi.callback(signature, error=failed)
    return decorator


@_callback("int(int, X509_STORE_CTX *)", failed=0)
def _verify(_accepted: int, store: Any) -> int:
    """Called once for each finding, of which there is always one: OpenSSL was given no trust anchors."""
    watch = _watch(lib.X509_STORE_CTX_get_ex_data(store, lib.SSL_get_ex_data_X509_STORE_CTX_idx()))
    alert = None if watch.checked else watch.ask(lambda: watch.accept(_chain(store)))
    if alert is not None:
        lib.X509_STORE_CTX_set_error(store, _VERIFY_ERRORS[alert])
        return 0
    lib.X509_STORE_CTX_set_error(store, lib.X509_V_OK)
    return 1


def _chain(store: Any) -> tuple[x509.Certificate, ...]:
    """The peer's certificates in the order in which each is issued by the next.

    :raises PeerRefused: ``tls.peer.unreadable``
    """
    stack = lib.X509_STORE_CTX_get1_chain(store)
    owned = [X509._from_raw_x509_ptr(lib.sk_X509_value(stack, index)) for index in range(lib.sk_X509_num(stack))]
    lib.sk_X509_free(stack)
    try:
        return tuple(certificate.to_cryptography() for certificate in owned)
    except (ValueError, x509.InvalidVersion):
        message, hint = "a certificate of the peer can't be read", "the peer needs another certificate"
        raise PeerRefused("tls.peer.unreadable", message, alert=Alert.BAD_CERTIFICATE, hint=hint) from None


@_callback("void(int, int, int, void *, size_t, SSL *, void *)")
def _message(written: int, _version: int, kind: int, data: Any, length: int, ssl: Any, _argument: Any) -> None:
    """Called for each message in clear, both ways."""
    if kind == _ALERT:
        _level, number = ffi.buffer(data, length)[:]
        if number != Alert.CLOSE_NOTIFY:
            _watch(ssl).alert = (not written, number)
    elif kind == _HANDSHAKE and ffi.buffer(data, 1)[:] == _NEW_SESSION_TICKET:
        watch = _watch(ssl)
        if not written:
            watch.tickets += 1
        elif watch.remember:
            watch.remember(session_digest(ssl), watch.first)


@_callback("int(SSL *, int *, void *)", failed=_FATAL)
def _client_hello(ssl: Any, alert: Any, _argument: Any) -> int:
    """Called when a server has read the ClientHello and, where it is to resume, has found the session."""
    watch = _watch(ssl)
    if not lib.SSL_session_reused(ssl):
        watch.accept_full()
        return _NOT_ACKNOWLEDGED
    refused = watch.ask(lambda: watch.accept_resumed(session_digest(ssl)))
    if refused is None:
        return _NOT_ACKNOWLEDGED
    alert[0] = refused
    return _FATAL


@_callback("int(SSL *, unsigned char **, unsigned char *, unsigned char *, unsigned int, void *)", failed=_FATAL)
def _choose_alpn(ssl: Any, out: Any, out_length: Any, offered: Any, length: int, _argument: Any) -> int:
    """Called when a client offers application protocols (RFC 7301 3.2)."""
    names = ffi.buffer(offered, length)[:]
    places = {}
    place = 0
    while place < length:
        end = place + 1 + names[place]
        places[names[place + 1 : end]] = place + 1
        place = end
    for name in _watch(ssl).alpn:
        if name in places:
            out[0] = offered + places[name]  # OpenSSL copies it out of the ClientHello
            out_length[0] = len(name)
            return int(lib.SSL_TLSEXT_ERR_OK)
    return _FATAL


@_callback("int(SSL *, unsigned int, unsigned char **, size_t *, int *, void *)", failed=-1)
def _add_extension(ssl: Any, number: int, out: Any, length: Any, _alert: Any, _argument: Any) -> int:
    """Called when a ClientHello is made, for each registered extension."""
    body = _watch(ssl).extensions.get(number)
    if body is None:
        return 0
    out[0] = ffi.from_buffer("unsigned char[]", body)  # the watch keeps it alive
    length[0] = len(body)
    return 1
