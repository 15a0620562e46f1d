"""One configured side of TLS, which makes connections."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime

from cryptography import x509
from OpenSSL import SSL

from smpki.errors import TlsError
from smpki.tls import binding, callbacks
from smpki.tls.callbacks import Watch
from smpki.tls.connection import Connection
from smpki.tls.identity import Identity, install
from smpki.tls.peers import PeerCheck, fitting
from smpki.tls.profile import Profile, Role
from smpki.tls.session import FirstHandshake, Origins, Session
from smpki.tls.suites import GROUPS, SIGNATURE_SCHEMES, SUITES, Version, of_version

_OPENSSL_VERSIONS = {Version.TLS12: SSL.TLS1_2_VERSION, Version.TLS13: SSL.TLS1_3_VERSION}

_OPTIONS = (
    SSL.OP_NO_COMPRESSION
    | SSL.OP_NO_RENEGOTIATION
    | SSL.OP_NO_TICKET  # a session that may be resumed stays with the server, which can forget it
    | SSL.OP_CIPHER_SERVER_PREFERENCE
)

_TRUSTED_CA_KEYS, _TRUNCATED_HMAC, _SIGNATURE_ALGORITHMS_CERT = 3, 4, 50  # extensions
_X509_NAME = b"\x02"  # the kind of identifier in trusted_ca_keys (RFC 6066 6)

_KEY_SHARE = "brainpoolP256r1tls13"  # every peer has to support it, so that none asks for a second ClientHello

_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DNS_NAME = re.compile(rf"(?=.{{1,253}}\Z)({_LABEL}\.)*(?![0-9]+\Z){_LABEL}")


class Endpoint:
    """One configured side of TLS; threads may share it.

    :param profile: what it may do
    :param identity: who it is; a client may have none
    :param check: decides about the peer's certificate; a server may have none, and then asks for no certificate
    :param clock: the time, for the limit of sessions; where it could be set back, take
        :func:`smpki.tls.session.steady`, or they live longer by as much
    :param trusted_authorities: the names of the authorities that vouch for the peer. A client names them to the server
        when there are several (REQ.TA.TLS.Handshake.140), a server to the client
        (REQ.TA.TLS.Handshake.145 and 155).
    :raises TlsError: ``tls.binding``, ``tls.identity.*``, ``tls.endpoint.*``
    """

    def __init__(
        self,
        profile: Profile,
        identity: Identity | None,
        check: PeerCheck | None,
        *,
        clock: Callable[[], datetime],
        trusted_authorities: Sequence[x509.Name] = (),
    ) -> None:
        binding.require()
        if identity is None and profile.role is Role.SERVER:
            raise _wrong("identity", "a server needs a certificate", "give its identity")
        if check is None and profile.role is Role.CLIENT:
            raise _wrong("check", "a client has to check the server's certificate", "give a check")
        self.profile = profile
        self._check = check and fitting(check, profile.certificate_curves)
        self._clock = clock
        self._origins = Origins()
        self._context = _new_context(profile, asks_peer=check is not None)
        if identity:
            install(self._context, identity, profile.certificate_curves)
        self._extensions: dict[int, bytes] = {}
        if profile.role is Role.CLIENT:
            self._extend(trusted_authorities)
        elif trusted_authorities:
            binding.set_authorities(self._context, trusted_authorities)

    def connection(self, *, server_name: str | None = None, resume: Session | None = None) -> Connection:
        """A new connection.

        :param server_name: the DNS name that a client asks for (RFC 6066 3)
        :param resume: what a client wants to resume, from a connection of this endpoint. Where it may not be resumed
            any more, the handshake is a full one.
        :raises TlsError: ``tls.endpoint.server_name``, ``tls.endpoint.session``
        """
        now = self._clock()
        watch = Watch(FirstHandshake(now, now + self.profile.session_limit, ()), self._check)
        ssl = SSL.Connection(self._context, None)
        callbacks.attach(ssl, watch)
        offered = None
        if self.profile.role is Role.SERVER:
            watch.alpn = tuple(name.encode() for name in self.profile.alpn)
            if self.profile.resumption:
                watch.resume = lambda digest: self._origins.resume(digest, self._clock())
                watch.remember = self._origins.add
            ssl.set_accept_state()
        else:
            watch.extensions = self._extensions
            if server_name is not None:
                ssl.set_tlsext_host_name(_checked_name(server_name))
            if resume and self._may_resume(resume, now):
                offered = resume.first
                _offer(ssl, resume)
            ssl.set_connect_state()
        return Connection(self.profile, ssl, watch, self._clock, offered)

    def _may_resume(self, session: Session, now: datetime) -> bool:
        """Whether a session may be resumed still: in time, with a peer that would be accepted today."""
        if not self.profile.resumption or now >= session.deadline:
            return False
        try:
            if self._check:
                self._check(session.first.peer_chain)
        except Exception:  # whatever it is, a full handshake asks again, and has an alert for it
            return False
        return True

    def _extend(self, authorities: Sequence[x509.Name]) -> None:
        """What a ClientHello says besides what OpenSSL says by itself."""
        versions = self.profile.versions
        if Version.TLS13 in versions:  # RFC 8446 4.2.3; a server that chooses TLS 1.2 goes by it too
            schemes = (SIGNATURE_SCHEMES[name] for name in self.profile.signature_algorithms_cert)
            codes = (scheme.code.to_bytes(2) for scheme in schemes if scheme.versions & versions)
            self._extensions[_SIGNATURE_ALGORITHMS_CERT] = _vector(b"".join(codes))
        if Version.TLS12 in versions and len(authorities) > 1:  # RFC 6066 6
            names = (_X509_NAME + _vector(name.public_bytes()) for name in authorities)
            self._extensions[_TRUSTED_CA_KEYS] = _vector(b"".join(names))
        for number in (*self._extensions, _TRUNCATED_HMAC):
            callbacks.register_extension(self._context, number)


def _new_context(profile: Profile, *, asks_peer: bool) -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    versions = sorted(_OPENSSL_VERSIONS[version] for version in profile.versions)
    context.set_min_proto_version(versions[0])
    context.set_max_proto_version(versions[-1])
    context.set_options(_OPTIONS)
    binding.forbid_early_data(context)
    groups = of_version(profile.groups, GROUPS, profile.versions)
    binding.set_groups(context, (f"*{name}" if name == _KEY_SHARE else name for name in groups))
    schemes = of_version(profile.signature_algorithms, SIGNATURE_SCHEMES, profile.versions)
    binding.set_signature_algorithms(context, schemes)
    tls12, tls13 = (of_version(profile.suites, SUITES, {version} & profile.versions) for version in Version)
    binding.set_suites(context, tls12, tls13)
    callbacks.register(context)
    if asks_peer:
        callbacks.register_check(context)
    serves = profile.role is Role.SERVER
    if serves and profile.resumption:
        context.set_session_cache_mode(SSL.SESS_CACHE_SERVER)
        context.set_session_id(b"smpki")  # OpenSSL resumes no session of a client with a certificate without a name
        context.set_timeout(int(profile.session_limit.total_seconds()))
        callbacks.register_resuming(context)
    else:
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    if profile.alpn:
        if serves:
            callbacks.register_alpn(context)
        else:
            context.set_alpn_protos([name.encode() for name in profile.alpn])
    return context


def _offer(ssl: SSL.Connection, session: Session) -> None:
    try:
        ssl.set_session(session.native)
    except ValueError:
        message = "a session can be resumed by the endpoint only that it is from"
        raise _wrong("session", message, "keep the endpoint, or make a full handshake") from None


def _checked_name(name: str) -> bytes:
    if not _DNS_NAME.fullmatch(name):
        message = f"{name!a} is no DNS name (RFC 1035 2.3.1), so no server can be asked for by it"
        raise _wrong("server_name", message, "give the host's name, not its address")
    return name.encode()


def _vector(data: bytes) -> bytes:
    """Octets with their length before them."""
    return len(data).to_bytes(2) + data


def _wrong(rule: str, message: str, hint: str) -> TlsError:
    return TlsError(f"tls.endpoint.{rule}", message, hint=hint)
