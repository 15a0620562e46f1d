"""Certificates as files to take away: PEM, DER, PKCS#12, ZIP."""

import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.serialization import NoEncryption, pkcs12

from smpki.ca.output import pem_file, triple_files
from smpki.ca.store.records import StoredCertificate
from smpki.ca.unit import load

PEM, DER = "application/pem-certificate-chain", "application/pkix-cert"
P12, ZIP = "application/x-pkcs12", "application/zip"

_MOMENT = (1980, 1, 1, 0, 0, 0)
"""The same files make the same ZIP."""


@dataclass(frozen=True)
class Download:
    """A file.

    :param name: with nothing in it that a file system or a header could mistake
    """

    name: str
    media_type: str
    content: bytes


def pem(one: StoredCertificate) -> Download:
    """A certificate as PEM."""
    return Download(f"{_stem(one)}.pem", PEM, pem_file([one]))


def pem_chain(one: StoredCertificate, chain: Sequence[StoredCertificate]) -> Download:
    """A certificate as PEM, and behind it those above, as servers and clients want it."""
    return Download(f"{_stem(one)}.chain.pem", PEM, pem_file([one, *_above(one, chain)]))


def der(one: StoredCertificate) -> Download:
    """A certificate as DER."""
    return Download(f"{_stem(one)}.cer", DER, one.der)


def p12(one: StoredCertificate, chain: Sequence[StoredCertificate]) -> Download:
    """A certificate with its chain as PKCS#12; without a key, which is the participant's alone, and so unencrypted."""
    above = [load(each) for each in _above(one, chain)]
    content = pkcs12.serialize_key_and_certificates(None, None, load(one), above, NoEncryption())
    return Download(f"{_stem(one)}.p12", P12, content)


def zip_file(triple: Sequence[StoredCertificate], chain: Sequence[StoredCertificate]) -> Download:
    """A triple and its chain, as ``smpki issue --out`` writes them.

    :param chain: from the root down to the issuer
    """
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in triple_files(triple, chain).items():
            archive.writestr(zipfile.ZipInfo(name, _MOMENT), content)
    first = triple[0]
    return Download(f"{_safe(first.subject_cn)}-{first.dn_serial}.zip", ZIP, stream.getvalue())


def _above(one: StoredCertificate, chain: Sequence[StoredCertificate]) -> list[StoredCertificate]:
    """The CAs above a certificate, its issuer first."""
    return [each for each in reversed(chain) if each.serial != one.serial]


def _stem(one: StoredCertificate) -> str:
    parts = [_safe(one.subject_cn), str(one.dn_serial or 0), one.purpose]
    return "-".join(part for part in parts if part)


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".") or "certificate"
