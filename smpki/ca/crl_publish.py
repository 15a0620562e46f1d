"""Publish CRLs and the certificates of CAs: files for a web server, replaced as a whole.

CRLs are named as the certificates' CRLDistributionPoints say.
"""

import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from smpki.ca.crl_series import CrlSeries
from smpki.ca.published_authorities import PublishedAuthority, certificate_address, file_name
from smpki.ca.store.crls import CrlRecord
from smpki.ca.store.store import Store
from smpki.errors import SmpkiError


@dataclass(frozen=True)
class PublishedFile:
    """A file in the published folder.

    :param written: it was not there before, or another
    """

    file: Path
    written: bool


@dataclass(frozen=True)
class PublishedCrl:
    """A published CRL, DER, and beside it the certificate of who signed it (RFC 2585: ``.crl`` and ``.cer``)."""

    series: CrlSeries
    record: CrlRecord
    certificate: PublishedFile
    crl: PublishedFile


def publish(store: Store, found: Sequence[CrlSeries], folder: Path) -> list[PublishedCrl]:
    """Write the newest CRL of each series; of a series without one nothing.

    A reader meets the old file or the new one and never a part. What is there already is not touched.

    :raises SmpkiError: ``output.unwritable``
    :raises StoreError: the database failed
    """
    published = []
    with _folder(folder):
        for series in found:
            if series.newest is None:
                continue
            signer = store.get(series.newest.signer)
            certificate = _replace(folder / file_name(certificate_address(series.addresses[0])), signer.der)
            crl = _replace(folder / series.file_name, store.crls.der(series.newest))
            published.append(PublishedCrl(series, series.newest, certificate, crl))
    return published


def publish_certificates(found: Iterable[PublishedAuthority], folder: Path) -> list[PublishedFile]:
    """Write the certificates of CAs, whether there are CRLs by them or not; otherwise as :func:`publish`.

    :raises SmpkiError: ``output.unwritable``
    """
    with _folder(folder):
        return [_replace(folder / file_name(one.http), one.certificate.der) for one in found]


@contextmanager
def _folder(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        message = f"can't be written: {error.strerror}"
        hint = "what is published is stored: publish it again, or elsewhere with --out"
        raise SmpkiError("output.unwritable", message, where=str(folder), hint=hint) from None


def _replace(file: Path, content: bytes) -> PublishedFile:
    """The whole content or none, also after a power failure."""
    if file.exists() and file.read_bytes() == content:
        return PublishedFile(file, written=False)
    partial = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        with partial.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.rename(file)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
    return PublishedFile(file, written=True)
