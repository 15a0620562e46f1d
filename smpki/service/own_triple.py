"""The certificates and keys of whoever runs a server, from folders and a token."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.hsm.key import TokenKey
from smpki.hsm.token import Token
from smpki.participant.key_files import read_key
from smpki.participant.key_places import KeySource, TokenSource
from smpki.participant.password import Password
from smpki.participant.signers import read_file_certificates
from smpki.tls.identity import Identity, ProviderKey
from smpki.tls.provider import key_uri


@dataclass(frozen=True)
class FileOrTokenSource:
    """Keys in the file beside their certificate, ``tls.key`` for ``tls.pem``; those that are in none, in a token.

    :param token: ``None``: there is none
    :param password: asked for when a file is encrypted
    """

    token: Token | None
    password: Callable[[], Password | None]

    def key_of(self, certificate: x509.Certificate, file: Path) -> ec.EllipticCurvePrivateKey:
        """See :meth:`smpki.participant.key_places.KeySource.key_of`."""
        beside = file.with_suffix(".key")
        if self.token is None or beside.exists():
            return read_key(beside, self.password)
        return TokenSource(self.token).key_of(certificate, file)


def read_identity(folder: Path, keys: KeySource) -> Identity:
    """Who a folder lets us be in TLS: ``tls.pem`` with its key, and ``chain.pem`` where there is one.

    :raises SmpkiError: a certificate or key is missing, or can't be read
    """
    file, chain = folder / "tls.pem", folder / "chain.pem"
    own = read_file_certificates(file)[0]
    # root first in the file (the order of TR-03129-4), issuer first on the wire, where nobody needs the root
    above = (
        [one for one in reversed(read_file_certificates(chain)) if one.subject != one.issuer] if chain.exists() else []
    )
    key = keys.key_of(own, file)
    if isinstance(key, TokenKey):
        return Identity((own, *above), ProviderKey(key_uri(key.owner.label, key.info.label)))
    return Identity((own, *above), key)
