"""One configured side of TLS, which makes connections."""

from collections.abc import Callable, Sequence
from datetime import datetime

from cryptography import x509
from OpenSSL import SSL
from OpenSSL.crypto import FILETYPE_PEM, load_privatekey

from smpki.errors import TlsError
from smpki.tls import binding
from smpki.tls.binding import Watch
from smpki.tls.connection import Connection
from smpki.tls.identity import Identity, ProviderKey
from smpki.tls.peers import PeerCheck
from smpki.tls.profile import Profile, Role
from smpki.tls.session import Session
from smpki.tls.suites import GROUPS, SIGNATURE_SCHEMES, SUITES, Version

_VERSIONS = {Version.TLS12: SSL.TLS1_2_VERSION, Version.TLS13: SSL.TLS1_3_VERSION}
_TRUSTED_CA_KEYS, _TRUNCATED_HMAC, _SIGNATURE_ALGORITHMS_CERT = 3, 4, 50


class Endpoint:
    """One configured side of TLS; threads may share it.

    :param profile: what it may do
    :param identity: who it is; only a client may have none
    :param check: decides about the peer's certificate; only a server may have none, and then asks for none
    :param clock: the time, for the session limit
    :param trusted_authorities: names of the authorities that vouch for the peer, told to it
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
        self.profile = profile
        self._identity = identity
        self._check = check
        self._clock = clock
        self._authorities = tuple(trusted_authorities)
        self._context = self._new_context()

    def connection(self, *, server_name: str | None = None, resume: Session | None = None) -> Connection:
        """A new connection.

        :param server_name: the name that a client asks for (RFC 6066 3)
        :param resume: a session of this endpoint
        """
        watch = Watch(check=self._check, extensions=self._extensions())
        ssl = SSL.Connection(self._context, None)
        ssl.set_app_data(watch)
        if self.profile.role is Role.CLIENT:
            if server_name is not None:
                ssl.set_tlsext_host_name(server_name.encode())
            ssl.set_connect_state()
        else:
            ssl.set_accept_state()
        return Connection(self.profile, ssl, watch, self._clock, self._clock())

    def _extensions(self) -> dict[int, object]:
        codes = [SIGNATURE_SCHEMES[name].code for name in self.profile.signature_algorithms_cert]
        body = b"".join(code.to_bytes(2, "big") for code in codes)
        return {_SIGNATURE_ALGORITHMS_CERT: binding.buffer(len(body).to_bytes(2, "big") + body)}

    def _new_context(self) -> SSL.Context:
        profile = self.profile
        context = SSL.Context(SSL.TLS_METHOD)
        versions = sorted(_VERSIONS[version] for version in profile.versions)
        context.set_min_proto_version(versions[0])
        context.set_max_proto_version(versions[-1])
        context.set_options(
            SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET | SSL.OP_CIPHER_SERVER_PREFERENCE
        )
        used = profile.versions
        binding.set_groups(context, [GROUPS[n].library for n in profile.groups if GROUPS[n].versions & used])
        schemes = [SIGNATURE_SCHEMES[n] for n in profile.signature_algorithms]
        binding.set_signature_algorithms(context, [s.library for s in schemes if s.versions & used])
        suites = [SUITES[n] for n in profile.suites]
        binding.set_suites(
            context,
            [s.library for s in suites if Version.TLS12 in s.versions],
            [s.library for s in suites if Version.TLS13 in s.versions],
        )
        binding.watch_all(context, verify=self._check is not None, choose_alpn=False)
        if profile.role is Role.CLIENT:
            binding.add_client_extension(context, _TRUNCATED_HMAC)
            binding.add_client_extension(context, _SIGNATURE_ALGORITHMS_CERT)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        if self._identity:
            _install(context, self._identity)
        return context


def _install(context: SSL.Context, identity: Identity) -> None:
    own, *chain = identity.certificates
    context.use_certificate(own)
    for certificate in chain:
        context.add_extra_chain_cert(certificate)
    key = identity.key
    if isinstance(key, ProviderKey):
        raise TlsError("tls.identity", "keys in a token are not there yet")
    context.use_privatekey(key)
    context.check_privatekey()


_ = (FILETYPE_PEM, load_privatekey)
