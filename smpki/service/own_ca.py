"""A participant's CA, from the folder of a triple, and files that timers may replace."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import chain
from pathlib import Path

from cryptography import x509

from smpki.errors import ServiceError
from smpki.participant.own_ca import OwnCa, material_of
from smpki.participant.signers import read_file_certificates
from smpki.policy.names import DistinguishedName
from smpki.service.watched import Watched, in_folder
from smpki.trust.files import read_crls
from smpki.trust.question import Revocation
from smpki.trust.tls_peer import TrustMaterial


def read_own_ca(
    folder: Path,
    now: Callable[[], datetime],
    *,
    trust: Sequence[Path] = (),
    crls: Path | None = None,
    servers: Sequence[Path] = (),
) -> OwnCa:
    """The CA that issued the TLS certificate of a folder. What is trusted are the roots in its ``chain.pem``.

    :param folder: has ``tls.pem`` and, unless ``trust`` says it all, ``chain.pem``
    :param now: the clock
    :param trust: more files with roots and other CAs, as after a change of the root's key
    :param crls: revocation lists (``*.crl``) and their signers (``*.cer``), as ``smpki crl publish`` leaves them; with
        it, the CA's own certificates need current ones. They are read again when they change.
    :param servers: files with the only TLS certificates that the CA may show
    :raises SmpkiError: a file can't be read; ``web_service.trust``: there is no root
    """
    own = folder / "tls.pem"
    files = [*((folder / "chain.pem",) if (folder / "chain.pem").exists() else ()), *trust]

    def found() -> Iterator[Path]:
        yield from files
        if crls is not None:
            yield from in_folder(crls, ".cer", ".crl")()

    def load(paths: Sequence[Path]) -> TrustMaterial:
        lists = [path for path in paths if path.suffix == ".crl" and path not in files]
        certificates = [one for path in paths if path not in lists for one in read_file_certificates(path)]
        return material_of(certificates, tuple(chain.from_iterable(map(_crls, lists))))

    material = Watched(found, load, now)
    if not material().roots:
        hint = "keep the CA's chain.pem beside tls.pem, or name a file with the root: --trust"
        raise ServiceError("web_service.trust", "there is no root to trust", where=str(folder), hint=hint)
    name = DistinguishedName.from_x509(read_file_certificates(own)[0].issuer)
    pinned = tuple(chain.from_iterable(map(read_file_certificates, servers)))
    return OwnCa(name, material, Revocation.IF_KNOWN if crls is None else Revocation.REQUIRED, now, pinned)


def _crls(path: Path) -> tuple[x509.CertificateRevocationList, ...]:
    try:
        return read_crls(path.read_bytes(), str(path))
    except OSError as error:
        message, hint = f"can't be read: {error.strerror}", "name the folder that `smpki crl publish` writes to"
        raise ServiceError("web_service.crls", message, where=str(path), hint=hint) from None
