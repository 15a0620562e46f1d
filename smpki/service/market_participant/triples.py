"""The market participant's triples: one for each time it was certified."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.gateway.configuration import load_certificates
from smpki.participant.key_places import KeySource
from smpki.service.own_triple import read_identity
from smpki.tls.identity import Identity


@dataclass(frozen=True)
class OwnTriple:
    """A triple without its SIG third, which nothing here is signed with.

    :param enc: certificate and key for what gateways encrypt
    """

    tls: Identity
    enc: tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def load_triples(folders: Sequence[Path], keys: KeySource) -> tuple[OwnTriple, ...]:
    """Read the triples of some folders: ``tls.pem``, ``enc.pem``, and ``chain.pem`` where there is one.

    :raises SmpkiError: a certificate or key is missing, or can't be read
    """
    return tuple(_load(folder, keys) for folder in folders)


def _load(folder: Path, keys: KeySource) -> OwnTriple:
    file = folder / "enc.pem"
    certificate = load_certificates(file)[0]
    return OwnTriple(read_identity(folder, keys), (certificate, keys.key_of(certificate, file)))
