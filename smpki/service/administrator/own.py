"""The administrator's own triple: who speaks TLS with gateways, and who signs wake-ups, packages and requests."""

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from smpki.errors import GatewayError
from smpki.gateway.configuration import load_certificates
from smpki.participant.key_places import KeySource
from smpki.participant.signers import signer_of
from smpki.policy.lint.classify import classify
from smpki.policy.model import CertificateType
from smpki.policy.names import DistinguishedName
from smpki.requests.keys import Signer
from smpki.service.own_triple import read_identity
from smpki.tls.identity import Identity


@dataclass(frozen=True)
class OwnCertificates:
    """The certificates, for who needs no key.

    :param name: their CN
    """

    name: str
    tls: x509.Certificate
    sig: x509.Certificate


@dataclass(frozen=True)
class Own:
    """Certificates and keys."""

    certificates: OwnCertificates
    identity: Identity
    signer: Signer


def read_own_certificates(folder: Path) -> OwnCertificates:
    """The certificates of a folder: ``tls.pem`` and ``sig.pem``.

    :raises GatewayError: ``gwa.own``: they are none of an administrator; ``configuration.certificate``
    :raises TrustError: a file holds no certificate
    """
    tls, sig = (load_certificates(folder / f"{use}.pem")[0] for use in ("tls", "sig"))
    for certificate, use in ((tls, "tls"), (sig, "sig")):
        if classify(certificate) != (CertificateType.GWA, use):
            message = f"this is no {use.upper()} certificate of an administrator (GWA)"
            raise _refused(message, folder / f"{use}.pem", "name the folder that the Sub-CA's certificates are in")
    return OwnCertificates(DistinguishedName.from_x509(sig.subject).common_name, tls, sig)


def load_own(folder: Path, source: KeySource) -> Own:
    """The certificates of a folder with their keys.

    :raises SmpkiError: as :func:`read_own_certificates`; ``gwa.own``: a key of another certificate; and what the source
        raises
    """
    certificates = read_own_certificates(folder)
    file = folder / "sig.pem"
    signer = signer_of(certificates.sig, file, source)
    if signer.key.public_key() != certificates.sig.public_key():
        raise _refused("the private key is not that of the certificate", file, "take both of the same triple")
    return Own(certificates, read_identity(folder, source), signer)


def _refused(message: str, file: Path, hint: str) -> GatewayError:
    return GatewayError("gwa.own", message, where=str(file), hint=hint)
