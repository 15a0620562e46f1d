"""What peers of a server are checked against, from files that operators and timers replace while it runs."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import chain
from pathlib import Path

from cryptography import x509

from smpki.errors import GatewayError
from smpki.gateway.configuration import load_certificates
from smpki.service.watched import Watched, in_folder
from smpki.trust.files import read_crls
from smpki.trust.tls_peer import TrustMaterial


def trust_material(
    anchors: Sequence[Path], authorities: Sequence[Path], crl_folder: Path | None, now: Callable[[], datetime]
) -> Watched[TrustMaterial]:
    """Roots, authorities and revocation lists, as :func:`smpki.trust.tls_peer.trusted` asks for them.

    :param anchors: files with the trusted roots
    :param authorities: files with Sub-CAs, link certificates and CRL signers
    :param crl_folder: revocation lists (``*.crl``) and their signers (``*.cer``), as ``smpki crl publish`` leaves them
    :param now: the clock
    :raises GatewayError: ``configuration.certificate``, ``configuration.crl``
    :raises TrustError: a file holds no certificate or revocation list
    """

    def files() -> Iterator[Path]:
        yield from (*anchors, *authorities)
        if crl_folder:
            yield from in_folder(crl_folder, ".cer", ".crl")()

    def load(found: Sequence[Path]) -> TrustMaterial:
        lists = [path for path in found[len(anchors) + len(authorities) :] if path.suffix != ".cer"]
        above = [path for path in found[len(anchors) :] if path not in lists]
        return TrustMaterial(
            _certificates(anchors), _certificates(above), tuple(chain.from_iterable(map(_crls, lists)))
        )

    return Watched(files, load, now)


def _certificates(files: Sequence[Path]) -> tuple[x509.Certificate, ...]:
    return tuple(chain.from_iterable(map(load_certificates, files)))


def _crls(path: Path) -> tuple[x509.CertificateRevocationList, ...]:
    try:
        return read_crls(path.read_bytes(), str(path))
    except OSError as error:
        message, hint = f"can't be read: {error.strerror}", "name the folder that `smpki crl publish` writes to"
        raise GatewayError("configuration.crl", message, where=str(path), hint=hint) from None
