"""Our own certificates and keys, from folders: one triple for each time we were certified."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.gateway.configuration import load_certificates
from smpki.hsm.key import TokenKey
from smpki.hsm.token import Token
from smpki.participant.key_files import read_key
from smpki.participant.key_places import TokenSource
from smpki.participant.password import Password
from smpki.tls.identity import Identity, ProviderKey
from smpki.tls.provider import key_uri


@dataclass(frozen=True)
class KeyFinder:
    """Where private keys are: in the file beside a certificate, ``tls.key`` for ``tls.pem``, or in a token.

    :param token: ``None``: there is none
    :param password: asked for when a file is encrypted
    """

    token: Token | None
    password: Callable[[], Password | None]

    def key_of(self, certificate: x509.Certificate, file: Path) -> ec.EllipticCurvePrivateKey:
        """The key of a certificate.

        :param file: the certificate's
        :raises SmpkiError: ``keys.*``: there is none, or it can't be read
        :raises TokenError: what the token refuses
        """
        beside = file.with_suffix(".key")
        if self.token is None or beside.exists():
            return read_key(beside, self.password)
        return TokenSource(self.token).key_of(certificate, file)


@dataclass(frozen=True)
class OwnTriple:
    """A triple without its SIG third, which nothing here is signed with.

    :param enc: certificate and key for what gateways encrypt
    """

    tls: Identity
    enc: tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def load_triples(folders: Sequence[Path], keys: KeyFinder) -> tuple[OwnTriple, ...]:
    """Read the triples of some folders: ``tls.pem``, ``enc.pem``, and ``chain.pem`` where there is one.

    :raises SmpkiError: a certificate or key is missing, or can't be read
    """
    return tuple(_load(folder, keys) for folder in folders)


def _load(folder: Path, keys: KeyFinder) -> OwnTriple:
    tls, enc, chain = (folder / f"{name}.pem" for name in ("tls", "enc", "chain"))
    own, encryption = load_certificates(tls)[0], load_certificates(enc)[0]
    # root first in the file (the order of TR-03129-4), issuer first on the wire, where nobody needs the root
    above = [one for one in reversed(load_certificates(chain)) if one.subject != one.issuer] if chain.exists() else []
    key = keys.key_of(own, tls)
    if isinstance(key, TokenKey):
        identity = Identity((own, *above), ProviderKey(key_uri(key.owner.label, key.info.label)))
    else:
        identity = Identity((own, *above), key)
    return OwnTriple(identity, (encryption, keys.key_of(encryption, enc)))
