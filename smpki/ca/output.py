"""Certificates as PEM files: what an end user gets, and what the operator of a CA hands on."""

import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from asn1crypto import pem

from smpki.ca.store.records import StoredCertificate
from smpki.errors import SmpkiError


def triple_files(certificates: Sequence[StoredCertificate], chain: Sequence[StoredCertificate]) -> Mapping[str, bytes]:
    """File name to content: ``tls.pem``, ``sig.pem``, ``enc.pem`` and ``chain.pem``.

    :param chain: from the root down to the issuer; the end user's own certificates are not in it
    """
    return {f"{one.purpose}.pem": pem_file([one]) for one in certificates} | {"chain.pem": pem_file(chain)}


def triple_folder(base: Path, certificates: Sequence[StoredCertificate]) -> Path:
    """The folder of one triple among several: ``<CN>-<number>``, with nothing in it that a file system could mistake.

    Where that folder holds another triple (a second Guetesiegel has number 0 again), the serial tells them apart.
    """
    first = certificates[0]
    name = re.sub(r"[^A-Za-z0-9._-]", "_", first.subject_cn).lstrip(".")
    folder = base / f"{name}-{first.dn_serial}"
    present = folder / f"{first.purpose}.pem"
    if present.exists() and present.read_bytes() != pem_file([first]):
        return folder.with_name(f"{folder.name}-{first.serial}")
    return folder


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files, each whole or not at all; those of an earlier run are replaced.

    :raises SmpkiError: ``output.unwritable``
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            partial = folder / f".{name}.{secrets.token_hex(4)}"
            partial.write_bytes(content)
            partial.rename(folder / name)
    except OSError as error:
        message = f"can't be written: {error.strerror}"
        hint = "what was issued is stored: repeat the command with another --out, or see smpki show SERIAL --out"
        raise SmpkiError("output.unwritable", message, where=str(folder), hint=hint) from None


def pem_file(certificates: Iterable[StoredCertificate]) -> bytes:
    """Certificates one after the other."""
    return b"".join(pem.armor("CERTIFICATE", certificate.der) for certificate in certificates)
