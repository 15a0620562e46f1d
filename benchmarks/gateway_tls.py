"""How fast are mutual handshakes, compared with two bare pyOpenSSL connections that do the same?

Same certificates (a chain of three, brainpoolP256r1), groups, suites and signature schemes in the same order, both
versions in turns; everything in memory buffers, on one core. The peer's certificate is checked in the ways that there
are: it has to equal the configured one and be in time, as a gateway has it; or its chain has to hold and be on no
revocation list. What our check of chains has found it remembers; so it is measured for a peer that it knows, and anew.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL, crypto

from smpki.tls import binding
from smpki.tls.endpoint import Endpoint
from smpki.tls.identity import Identity
from smpki.tls.peers import PeerCheck, exact_match
from smpki.tls.profile import WAN_CLIENT, WAN_SERVER, Version
from smpki.tls.suites import GROUPS, SIGNATURE_SCHEMES, SUITES, of_version
from smpki.trust.tls_peer import TrustMaterial, trusted

_NOW = datetime.now(UTC).replace(microsecond=0)
_DAY = timedelta(days=1)
_HANDSHAKES = 8  # of each kind, in a round

Handshake = Callable[[], str | None]
"""One mutual handshake; tells the group that was agreed on."""


@dataclass(frozen=True)
class _Holder:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


class _Chain:
    """A root, a CA below it, and a client and a server below that; each CA with an empty revocation list."""

    def __init__(self) -> None:
        self.root = _certify("Root", None, ca=True)
        self.ca = _certify("CA", self.root, ca=True)
        self.client, self.server = _certify("Client", self.ca), _certify("Server", self.ca)
        self.crls = _empty_crl(self.root), _empty_crl(self.ca)


def tls_handshakes(rounds: int) -> Mapping[str, Mapping[str, float]]:
    """Handshakes a second, and what part of the bare ones ours are (the median over the rounds).

    :param rounds: each takes about a second
    :returns: for ``exact``, ``chain`` (of a peer that is known) and ``chain_anew``: ``ours``, ``bare``, ``ratio``
    """
    chain = _Chain()
    pairs = {
        "exact": (_ours(chain, _exact), _bare(chain, _bare_exact)),
        "chain": (_ours(chain, _known), _bare(chain, _bare_trusted)),
        "chain_anew": (_ours(chain, _anew), _bare(chain, _bare_trusted)),
    }
    results = {}
    for name, (ours, bare) in pairs.items():
        if [one() for one in ours] != [one() for one in bare]:
            raise SystemExit("they agree on different groups")
        taken = [(_seconds(ours), _seconds(bare)) for _ in range(rounds)]
        results[name] = {
            "ours": round(len(ours) * _HANDSHAKES / statistics.median(mine for mine, _ in taken), 1),
            "bare": round(len(bare) * _HANDSHAKES / statistics.median(other for _, other in taken), 1),
            "ratio": round(statistics.median(other / mine for mine, other in taken), 3),
        }
    return results


def _seconds(handshakes: list[Handshake]) -> float:
    begin = time.perf_counter()
    for _ in range(_HANDSHAKES):
        for handshake in handshakes:
            handshake()
    return time.perf_counter() - begin


# ours


def _ours(chain: _Chain, check: Callable[[_Chain, _Holder], PeerCheck]) -> list[Handshake]:
    made = []
    for version in Version:
        only = frozenset({version})
        ends = ((WAN_CLIENT, chain.client, chain.server), (WAN_SERVER, chain.server, chain.client))
        client, server = (
            Endpoint(
                replace(profile, versions=only),
                Identity((own.certificate, chain.ca.certificate), own.key),
                check(chain, peer),
                clock=lambda: datetime.now(UTC),
            )
            for profile, own, peer in ends
        )
        made.append(_our_handshake(client, server))
    return made


def _our_handshake(client_endpoint: Endpoint, server_endpoint: Endpoint) -> Handshake:
    def handshake() -> str | None:
        client, server = client_endpoint.connection(), server_endpoint.connection()
        client.start()
        while (data := client.data_to_send()) or (answer := server.data_to_send()):
            if data:
                server.receive(data)
            else:
                client.receive(answer)
        if not (client.established and server.established):
            raise SystemExit("no handshake of ours")
        return client.group

    return handshake


def _exact(chain: _Chain, peer: _Holder) -> PeerCheck:
    return exact_match([peer.certificate], now=lambda: datetime.now(UTC))


def _known(chain: _Chain, peer: _Holder) -> PeerCheck:
    material = TrustMaterial((chain.root.certificate,), (), chain.crls)
    return trusted(lambda: material, now=lambda: datetime.now(UTC))


def _anew(chain: _Chain, peer: _Holder) -> PeerCheck:
    # nothing is remembered where the material is another each time
    return trusted(lambda: TrustMaterial((chain.root.certificate,), (), chain.crls), now=lambda: datetime.now(UTC))


# bare pyOpenSSL


def _bare(chain: _Chain, trust: Callable[[SSL.Context, _Chain, _Holder], None]) -> list[Handshake]:
    made = []
    for version, number in ((Version.TLS12, SSL.TLS1_2_VERSION), (Version.TLS13, SSL.TLS1_3_VERSION)):
        client, server = (_bare_context(version, number, chain, own) for own in (chain.client, chain.server))
        trust(client, chain, chain.server)
        trust(server, chain, chain.client)
        made.append(_bare_handshake(client, server))
    return made


def _bare_context(version: Version, number: int, chain: _Chain, own: _Holder) -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(number)
    context.set_max_proto_version(number)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    # pyOpenSSL has no calls for these; OpenSSL would agree on something else without them
    groups = of_version(WAN_CLIENT.groups, GROUPS, {version})
    binding.set_groups(context, (f"*{name}" if name == "brainpoolP256r1tls13" else name for name in groups))
    schemes = of_version(WAN_CLIENT.signature_algorithms, SIGNATURE_SCHEMES, {version})
    binding.set_signature_algorithms(context, schemes)
    suites = of_version(WAN_CLIENT.suites, SUITES, {version})
    tls12, tls13 = (suites, ()) if version is Version.TLS12 else ((), suites)
    binding.set_suites(context, tls12, tls13)
    context.use_certificate(own.certificate)
    context.add_extra_chain_cert(chain.ca.certificate)
    context.use_privatekey(own.key)
    return context


def _bare_exact(context: SSL.Context, chain: _Chain, peer: _Holder) -> None:
    def check(_: SSL.Connection, certificate: crypto.X509, error: int, depth: int, accepted: int) -> bool:
        if depth:
            return True
        shown = certificate.to_cryptography()
        return shown == peer.certificate and (
            shown.not_valid_before_utc <= datetime.now(UTC) <= shown.not_valid_after_utc
        )

    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, check)


def _bare_trusted(context: SSL.Context, chain: _Chain, peer: _Holder) -> None:
    store = context.get_cert_store()
    if store is None:
        raise SystemExit("pyOpenSSL has no store")
    store.add_cert(crypto.X509.from_cryptography(chain.root.certificate))
    for crl in chain.crls:
        store.add_crl(crl)
    store.set_flags(crypto.X509StoreFlags.CRL_CHECK | crypto.X509StoreFlags.CRL_CHECK_ALL)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)


def _bare_handshake(client_context: SSL.Context, server_context: SSL.Context) -> Handshake:
    def handshake() -> str | None:
        client, server = SSL.Connection(client_context, None), SSL.Connection(server_context, None)
        client.set_connect_state()
        server.set_accept_state()
        done = [False, False]
        moved = True
        while moved:
            moved = False
            for at, (end, other) in enumerate(((client, server), (server, client))):
                if not done[at]:
                    try:
                        end.do_handshake()
                        done[at] = True
                    except SSL.WantReadError:
                        pass
                try:
                    other.bio_write(end.bio_read(65536))
                    moved = True
                except SSL.WantReadError:
                    pass
        if not all(done):
            raise SystemExit("no bare handshake")
        return client.get_group_name()

    return handshake


# certificates


def _certify(name: str, issuer: _Holder | None, *, ca: bool = False) -> _Holder:
    key = ec.generate_private_key(ec.BrainpoolP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signing_key = issuer.key if issuer else key
    builder = x509.CertificateBuilder(
        issuer.certificate.subject if issuer else subject,
        subject,
        key.public_key(),
        x509.random_serial_number(),
        _NOW - _DAY,
        _NOW + _DAY,
    )
    uses = {"key_cert_sign": ca, "crl_sign": ca, "digital_signature": not ca}
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only")
    key_usage = x509.KeyUsage(**uses, **dict.fromkeys((*others, "decipher_only"), False))
    builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
    builder = builder.add_extension(key_usage, critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key())
    builder = builder.add_extension(authority, critical=False)
    if not ca:
        both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(both, critical=False)
    return _Holder(builder.sign(signing_key, hashes.SHA256()), key)


def _empty_crl(issuer: _Holder) -> x509.CertificateRevocationList:
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
    builder = x509.CertificateRevocationListBuilder(issuer.certificate.subject, _NOW - _DAY, _NOW + _DAY)
    builder = builder.add_extension(x509.CRLNumber(1), critical=False).add_extension(authority, critical=False)
    return builder.sign(issuer.key, hashes.SHA256())
