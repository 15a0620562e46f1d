"""What pyOpenSSL does not wrap: the only module that calls OpenSSL by itself.

The names are those of cryptography's own binding, which drops and adds some from release to release. So every one that
the rules of TLS depend on is looked for first (:func:`require`), and pyproject.toml keeps the releases in a range.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from OpenSSL import SSL
from OpenSSL.crypto import X509
from OpenSSL.SSL import _ffi, _lib

from smpki.errors import TlsError
from smpki.tls.peers import Alert, PeerRefused

_NEEDED = (
    "SSL_CTX_set1_curves_list",
    "SSL_CTX_set1_sigalgs_list",
    "SSL_CTX_add_client_custom_ext",
    "SSL_CTX_set_client_CA_list",
    "SSL_CTX_set_msg_callback",
    "SSL_CTX_set_max_early_data",
    "X509_STORE_CTX_set_error",
    "X509_STORE_CTX_get1_chain",
    "SSL_get0_group_name",
    "SSL_get_extms_support",
)

_HANDSHAKE, _ALERT = 22, 21  # record types
_NEW_SESSION_TICKET = 4
_FATAL = 2

_VERIFY_ERRORS = {
    Alert.HANDSHAKE_FAILURE: _lib.X509_V_ERR_APPLICATION_VERIFICATION,
    Alert.BAD_CERTIFICATE: _lib.X509_V_ERR_CERT_UNTRUSTED,
    Alert.UNSUPPORTED_CERTIFICATE: _lib.X509_V_ERR_INVALID_PURPOSE,
    Alert.CERTIFICATE_REVOKED: _lib.X509_V_ERR_CERT_REVOKED,
    Alert.CERTIFICATE_EXPIRED: _lib.X509_V_ERR_CERT_HAS_EXPIRED,
    Alert.CERTIFICATE_UNKNOWN: _lib.X509_V_ERR_SUBTREE_MINMAX,
    Alert.UNKNOWN_CA: _lib.X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT,
    Alert.DECRYPT_ERROR: _lib.X509_V_ERR_CERT_SIGNATURE_FAILURE,
    Alert.INTERNAL_ERROR: 1,  # X509_V_ERR_UNSPECIFIED, which the binding leaves out
}
"""OpenSSL chooses the alert by the error of the verification; this is its table the other way round."""


@dataclass
class Watch:
    """What the callbacks of one connection ask for and leave behind.

    :param check: the check of the peer's chain; raises to refuse
    :param extensions: bodies of the extensions that a ClientHello has besides OpenSSL's own, by number
    :param alpn: protocols that a server takes, the preferred first
    :ivar chain: the peer's certificates, end entity first, once they came
    :ivar refusal: what the check raised
    :ivar sent: the fatal alert that went to the peer
    :ivar received: the fatal alert that came from the peer
    :ivar tickets: how many tickets for resumption came
    """

    check: Callable[[tuple[x509.Certificate, ...]], None] | None = None
    extensions: Mapping[int, Any] = field(default_factory=dict)
    alpn: tuple[bytes, ...] = ()
    chain: tuple[x509.Certificate, ...] = ()
    refusal: Exception | None = None
    sent: int | None = None
    received: int | None = None
    tickets: int = 0


def require(library: object = _lib) -> None:
    """Refuse to go on with a binding in which a call is missing: OpenSSL's defaults are not ours.

    :raises TlsError: ``tls.binding``
    """
    missing = [name for name in _NEEDED if not hasattr(library, name)]
    if missing:
        raise TlsError(
            "tls.binding",
            f"the installed cryptography lacks {', '.join(missing)}, without which TLS would use what is not allowed",
            hint="install a release of cryptography in the range that pyproject.toml names",
        )


def set_groups(context: SSL.Context, names: Iterable[str]) -> None:
    """The groups of the key exchange and, in TLS 1.2, the curves of certificates; OpenSSL's names."""
    _set_list(context, _lib.SSL_CTX_set1_curves_list, names)


def set_signature_algorithms(context: SSL.Context, names: Iterable[str]) -> None:
    """The signature schemes of the handshake; OpenSSL's names."""
    _set_list(context, _lib.SSL_CTX_set1_sigalgs_list, names)


def set_suites(context: SSL.Context, tls12: Iterable[str], tls13: Iterable[str]) -> None:
    """The cipher suites of both versions; OpenSSL's names, either may be empty."""
    _set_list(context, _lib.SSL_CTX_set_ciphersuites, tls13)
    names = ":".join(tls12)
    if names:
        _demand(_lib.SSL_CTX_set_cipher_list(context._context, names.encode()))


def set_authorities(context: SSL.Context, names: Iterable[x509.Name]) -> None:
    """The names that a server's CertificateRequest lists (``certificate_authorities``)."""
    stack = _lib.sk_X509_NAME_new_null()
    for name in names:
        der = name.public_bytes()
        pointer = _ffi.new("unsigned char **")
        buffer = _ffi.from_buffer("unsigned char[]", der)
        pointer[0] = buffer
        parsed = _lib.d2i_X509_NAME(_ffi.NULL, pointer, len(der))
        _demand(parsed != _ffi.NULL)
        _lib.sk_X509_NAME_push(stack, parsed)
    _lib.SSL_CTX_set_client_CA_list(context._context, stack)  # takes the stack over


def add_client_extension(context: SSL.Context, number: int) -> None:
    """An extension that the watch of each connection gives the body for; without one it is only known, never sent.

    OpenSSL answers ``unsupported_extension`` to a server that sends a known one unasked; what it does not know it
    passes over.
    """
    arguments = (context._context, number, _add_extension, _ffi.NULL, _ffi.NULL, _ffi.NULL, _ffi.NULL)
    _demand(_lib.SSL_CTX_add_client_custom_ext(*arguments))


def watch_all(context: SSL.Context, *, verify: bool, choose_alpn: bool) -> None:
    """Let the connections of a context tell their watches what happens.

    :param verify: ask for the peer's certificate, insist on it, and let the watch's check decide
    :param choose_alpn: take part in ALPN as a server
    """
    mode = _lib.SSL_VERIFY_PEER | _lib.SSL_VERIFY_FAIL_IF_NO_PEER_CERT if verify else _lib.SSL_VERIFY_NONE
    _lib.SSL_CTX_set_verify(context._context, mode, _verify)
    _lib.SSL_CTX_set_msg_callback(context._context, _message)
    if choose_alpn:
        _lib.SSL_CTX_set_alpn_select_cb(context._context, _choose_alpn, _ffi.NULL)


def forbid_early_data(context: SSL.Context) -> None:
    """No 0-RTT."""
    _demand(_lib.SSL_CTX_set_max_early_data(context._context, 0))


def set_timeout(context: SSL.Context, seconds: int) -> None:
    """How long OpenSSL keeps a session by its own clock."""
    _lib.SSL_CTX_set_timeout(context._context, seconds)


def buffer(data: bytes) -> Any:
    """Octets where OpenSSL can read them as long as the value lives."""
    return _ffi.from_buffer("unsigned char[]", data)


def session_reused(connection: SSL.Connection) -> bool:
    """Whether this handshake resumed a session; known from the ServerHello on."""
    return bool(_lib.SSL_session_reused(connection._ssl))


def extended_master_secret(connection: SSL.Connection) -> bool:
    """Whether TLS 1.2 agreed on the extended master secret (RFC 7627)."""
    return bool(_lib.SSL_get_extms_support(connection._ssl) == 1)


def clear_errors() -> None:
    """Empty OpenSSL's queue of errors, which belongs to the thread and would puzzle the next user of the library."""
    _lib.ERR_clear_error()


def _set_list(context: SSL.Context, call: Callable[[Any, bytes], int], names: Iterable[str]) -> None:
    _demand(call(context._context, ":".join(names).encode()))


def _demand(succeeded: object) -> None:
    if not succeeded or succeeded == -1:
        clear_errors()
        raise TlsError("tls.binding", "OpenSSL refuses a setting", hint="is it the OpenSSL that cryptography bundles?")


def _watch(ssl: Any) -> Watch:
    watch = SSL.Connection._reverse_mapping[ssl].get_app_data()
    assert isinstance(watch, Watch)
    return watch


def _chain(store: Any) -> tuple[x509.Certificate, ...]:
    stack = _lib.X509_STORE_CTX_get1_chain(store)
    owned = [X509._from_raw_x509_ptr(_lib.sk_X509_value(stack, i)) for i in range(_lib.sk_X509_num(stack))]
    _lib.sk_X509_free(stack)
    return tuple(certificate.to_cryptography() for certificate in owned)


@_ffi.callback("int(int, X509_STORE_CTX *)")
def _verify(_accepted: int, store: Any) -> int:
    """Called for each finding of OpenSSL, of which there is always one since it has no trust anchors."""
    watch = _watch(_lib.X509_STORE_CTX_get_ex_data(store, _lib.SSL_get_ex_data_X509_STORE_CTX_idx()))
    if not watch.chain:
        alert = Alert.INTERNAL_ERROR
        try:
            watch.chain = _chain(store)
            assert watch.check is not None
            watch.check(watch.chain)
        except PeerRefused as refusal:
            watch.refusal, alert = refusal, refusal.alert
        except Exception as error:
            watch.refusal = error
        if watch.refusal:
            _lib.X509_STORE_CTX_set_error(store, _VERIFY_ERRORS[alert])
            return 0
    _lib.X509_STORE_CTX_set_error(store, _lib.X509_V_OK)
    return 1


@_ffi.callback("void(int, int, int, void *, size_t, SSL *, void *)")
def _message(written: int, _version: int, kind: int, data: Any, length: int, ssl: Any, _argument: Any) -> None:
    if kind == _ALERT:
        level, number = _ffi.buffer(data, length)[:]
        if level == _FATAL:
            if written:
                _watch(ssl).sent = number
            else:
                _watch(ssl).received = number
    elif kind == _HANDSHAKE and not written and _ffi.buffer(data, 1)[0] == bytes([_NEW_SESSION_TICKET]):
        _watch(ssl).tickets += 1


@_ffi.callback("int(SSL *, unsigned char **, unsigned char *, unsigned char *, unsigned int, void *)")
def _choose_alpn(ssl: Any, out: Any, out_length: Any, offered: Any, length: int, _argument: Any) -> int:
    names = _ffi.buffer(offered, length)[:]
    places = {}
    at = 0
    while at < len(names):
        places[names[at + 1 : at + 1 + names[at]]] = at + 1
        at += 1 + names[at]
    for name in _watch(ssl).alpn:
        if name in places:
            out[0] = offered + places[name]  # points into the ClientHello, which outlives the choice
            out_length[0] = len(name)
            return int(_lib.SSL_TLSEXT_ERR_OK)
    return int(_lib.SSL_TLSEXT_ERR_ALERT_FATAL)


@_ffi.callback("int(SSL *, unsigned int, unsigned char **, size_t *, int *, void *)")
def _add_extension(ssl: Any, number: int, out: Any, length: Any, _alert: Any, _argument: Any) -> int:
    body = _watch(ssl).extensions.get(number)
    if body is None:
        return 0
    out[0] = body
    length[0] = len(body)
    return 1
