"""Settings and questions that pyOpenSSL does not wrap.

Only this module and :mod:`smpki.tls.callbacks` call OpenSSL by themselves. The names are those of cryptography's own
binding, which adds and drops some from release to release. So those that the rules of TLS depend on are looked for
first (:func:`require`), and pyproject.toml keeps the releases in a range.
"""

from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Any, Final

from cryptography import x509
from OpenSSL import SSL
from OpenSSL.crypto import PKey

from smpki.errors import TlsError

lib: Final[Any] = SSL._lib  # type: ignore[attr-defined]
ffi: Final[Any] = SSL._ffi  # type: ignore[attr-defined]

_NEEDED = (
    "SSL_CTX_add_client_custom_ext",
    "SSL_CTX_set1_curves_list",
    "SSL_CTX_set1_sigalgs_list",
    "SSL_CTX_set_client_CA_list",
    "SSL_CTX_set_max_early_data",
    "SSL_CTX_set_msg_callback",
    "SSL_CTX_set_tlsext_servername_callback",
    "SSL_get0_group_name",
    "SSL_get_extms_support",
    "SSL_SESSION_get_master_key",
    "SSL_session_reused",
    "X509_STORE_CTX_get1_chain",
    "X509_STORE_CTX_set_error",
)


def require(library: object = lib) -> None:
    """Refuse to go on with a binding that lacks a call: what OpenSSL does by default is not what is allowed.

    :raises TlsError: ``tls.binding``
    """
    missing = [name for name in _NEEDED if not hasattr(library, name)]
    if missing:
        message = f"the installed cryptography lacks {', '.join(missing)}; TLS can't be kept to what is allowed"
        raise TlsError("tls.binding", message, hint="install a release of cryptography that pyproject.toml allows")


def set_groups(context: SSL.Context, names: Iterable[str]) -> None:
    """The groups of the key exchange and, in TLS 1.2, the curves of certificates; OpenSSL's names."""
    _set_list(context, lib.SSL_CTX_set1_curves_list, names)


def set_signature_algorithms(context: SSL.Context, names: Iterable[str]) -> None:
    """The signature schemes of the handshake; OpenSSL's names."""
    _set_list(context, lib.SSL_CTX_set1_sigalgs_list, names)


def set_suites(context: SSL.Context, tls12: Iterable[str], tls13: Iterable[str]) -> None:
    """The cipher suites of both versions; OpenSSL's names, one list may be empty."""
    _set_list(context, lib.SSL_CTX_set_ciphersuites, tls13)
    if names := tuple(tls12):
        _set_list(context, lib.SSL_CTX_set_cipher_list, names)


def set_authorities(context: SSL.Context, names: Iterable[x509.Name]) -> None:
    """The authorities that a server's CertificateRequest names."""
    stack = lib.sk_X509_NAME_new_null()
    for name in names:
        der = name.public_bytes()
        start = ffi.new("unsigned char **", ffi.from_buffer("unsigned char[]", der))
        parsed = lib.d2i_X509_NAME(ffi.NULL, start, len(der))
        _demand(parsed != ffi.NULL)
        lib.sk_X509_NAME_push(stack, parsed)
    lib.SSL_CTX_set_client_CA_list(context._context, stack)  # the context owns the stack now


def use_private_key(context: SSL.Context, key: PKey) -> None:
    """A key that is not pyca's.

    :raises OpenSSL.SSL.Error: it does not belong to the certificate
    """
    if not lib.SSL_CTX_use_PrivateKey(context._context, key._pkey):
        clear_errors()
        raise SSL.Error([])


def forbid_early_data(context: SSL.Context) -> None:
    """No 0-RTT (BSI TR-03116-3 4.3)."""
    _demand(lib.SSL_CTX_set_max_early_data(context._context, 0))


def was_resumed(connection: SSL.Connection) -> bool:
    """Whether the handshake resumes a session; known to a client from the ServerHello on."""
    return bool(lib.SSL_session_reused(connection._ssl))


def has_extended_master_secret(connection: SSL.Connection) -> bool:
    """Whether both sides of TLS 1.2 use the extended master secret (RFC 7627)."""
    return bool(lib.SSL_get_extms_support(connection._ssl) == 1)


def session_digest(ssl: Any) -> bytes:
    """A name for the session of a connection that tells nothing about its secret.

    TLS 1.2 keeps the secret when it resumes; TLS 1.3 has a new one with each ticket.

    :param ssl: ``SSL *``
    """
    session = lib.SSL_get_session(ssl)
    secret = ffi.new("unsigned char[]", lib.SSL_SESSION_get_master_key(session, ffi.NULL, 0))
    lib.SSL_SESSION_get_master_key(session, secret, len(secret))
    digest = sha256(ffi.buffer(secret)).digest()
    ffi.memmove(secret, bytes(len(secret)), len(secret))
    return digest


def clear_errors() -> None:
    """Empty OpenSSL's queue of errors, which the thread's next user of OpenSSL would take for its own."""
    lib.ERR_clear_error()


def _set_list(context: SSL.Context, call: Callable[[Any, bytes], int], names: Iterable[str]) -> None:
    _demand(call(context._context, ":".join(names).encode()) == 1)


def _demand(done: int | bool) -> None:
    if not done:
        clear_errors()
        raise TlsError("tls.binding", "OpenSSL refuses a setting", hint="reinstall cryptography from its own wheel")
