"""Certificates as files: PEM, DER, a PKCS#12 chain without key, and a ZIP of all that somebody needs."""

import enum
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import NoEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from smpki.ca.output import pem_file
from smpki.ca.store.records import StoredCertificate
from smpki.ca.unit import load


class Form(enum.StrEnum):
    """What a certificate can be had as."""

    PEM = "pem"
    """The certificate alone."""
    DER = "der"
    CHAIN = "chain"
    """PEM, from the certificate up to the root."""
    P12 = "p12"
    """PKCS #12 with the certificate and its chain, without key and password."""
    ZIP = "zip"
    """``tls.pem``, ``sig.pem``, ``enc.pem`` and ``chain.pem``."""


@dataclass(frozen=True)
class File:
    """Something to keep.

    :param name: without folders; ASCII
    """

    name: str
    media_type: str
    content: bytes


_MEDIA_TYPES = {
    Form.PEM: "application/x-pem-file",
    Form.DER: "application/pkix-cert",
    Form.CHAIN: "application/x-pem-file",
    Form.P12: "application/x-pkcs12",
    Form.ZIP: "application/zip",
}


def download(
    form: Form, one: StoredCertificate, triple: Sequence[StoredCertificate], chain: Sequence[StoredCertificate]
) -> File:
    """A certificate as a file.

    :param triple: what was issued together with it, for a ZIP
    :param chain: the CAs above it, the root first
    """
    chain = [each for each in chain if each.serial != one.serial]  # a root stands above itself
    upwards = [one, *reversed(chain)]
    match form:
        case Form.PEM:
            content = pem_file([one])
        case Form.DER:
            content = one.der
        case Form.CHAIN:
            content = pem_file(upwards)
        case Form.P12:
            content = _pkcs12(*map(load, upwards))
        case Form.ZIP:
            content = _zip(triple, chain)
    suffix = {Form.CHAIN: "chain.pem"}.get(form, form.value)
    return File(f"{_harmless(one)}.{suffix}", _MEDIA_TYPES[form], content)


def _pkcs12(own: x509.Certificate, *above: x509.Certificate) -> bytes:
    return serialize_key_and_certificates(None, None, own, above, NoEncryption())


def _zip(triple: Sequence[StoredCertificate], chain: Sequence[StoredCertificate]) -> bytes:
    """The files that ``smpki issue`` writes; nothing in it depends on the time, so the same is the same."""
    files = {f"{one.purpose or one.kind}.pem": pem_file([one]) for one in triple} | {"chain.pem": pem_file(chain)}
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return target.getvalue()


def _harmless(one: StoredCertificate) -> str:
    parts = (one.subject_cn, str(one.dn_serial or ""), one.purpose)
    text = "-".join(part for part in parts if part)
    return "".join(each if each.isascii() and (each.isalnum() or each in "._-") else "_" for each in text)
