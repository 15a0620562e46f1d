"""The protocol of a key ceremony (Protokoll): what came of it, as text and HTML, signed by the audit key."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from smpki import __version__
from smpki.ca.ceremony_file import CeremonyFile
from smpki.ca.ceremony_plan import PlannedStep, Situation
from smpki.ca.permit import key_hash
from smpki.ca.store.records import StoredCertificate
from smpki.ca.unit import load
from smpki.errors import SmpkiError
from smpki.hsm.token import TokenInfo
from smpki.policy.names import DistinguishedName
from smpki.policy.templates import render


@dataclass(frozen=True)
class StepRecord:
    """A step that was begun.

    :param error: why nothing came of it
    """

    step: PlannedStep
    begun: datetime
    ended: datetime
    certificates: tuple[StoredCertificate, ...] = ()
    error: SmpkiError | None = None


@dataclass(frozen=True)
class Protocol:
    """A ceremony that was held, or stopped at a step.

    :param situation: the PKI before the first step
    :param token: ``None`` where the keys are not in a token
    :param test_clock: whether the operator had set the clock
    :param steps: those that were begun; the last one may have an error
    """

    file: CeremonyFile
    situation: Situation
    token: TokenInfo | None
    test_clock: bool
    steps: tuple[StepRecord, ...]

    @property
    def is_complete(self) -> bool:
        """Whether all that the file says was made."""
        return len(self.steps) == len(self.file.ceremony.steps) and all(record.error is None for record in self.steps)

    @property
    def certificates(self) -> tuple[StoredCertificate, ...]:
        """All that were made."""
        return tuple(one for record in self.steps for one in record.certificates)


def signed_protocol(protocol: Protocol, key: ec.EllipticCurvePrivateKey) -> Mapping[str, bytes]:
    """The protocol's files by name: text, HTML, a signature beside each, and the key that verifies them.

    The signatures are ECDSA with SHA-256 over the whole file, DER; ``openssl dgst`` verifies them as the text says.

    :param key: the audit key
    :raises TokenError: when the token does not sign
    """
    public_key = key.public_key()
    values = {
        "protocol": protocol,
        "ceremony": protocol.file.ceremony,
        "version": __version__,
        "key_sha256": key_hash(public_key),
        "described": {one.serial: _described(one) for one in protocol.certificates},
    }
    files = {"audit-key.pem": public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)}
    for name in ("protocol.txt", "protocol.html"):
        files[name] = render("smpki.ca", name, **values).encode()
        files[f"{name}.sig"] = key.sign(files[name], ec.ECDSA(hashes.SHA256()))
    return files


def _described(stored: StoredCertificate) -> Mapping[str, str]:
    """What the protocol says of a certificate, in its order."""
    certificate = load(stored)
    key, algorithm = certificate.public_key(), certificate.signature_hash_algorithm
    end = stored.key_use_end or stored.not_after
    return {
        "subject": str(DistinguishedName.from_x509(certificate.subject)),
        "issuer": str(DistinguishedName.from_x509(certificate.issuer)),
        "serial": stored.serial,
        "SHA-256": hashlib.sha256(stored.der).hexdigest(),
        "valid": f"{stored.not_before:%Y-%m-%d %H:%M:%S} to {stored.not_after:%Y-%m-%d %H:%M:%S} UTC",
        "signed with": f"ecdsa-{algorithm.name}" if algorithm else "",
        "key": f"{key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else ''}, signs to {end:%Y-%m-%d}",
        "key SHA-256": stored.key_hash,
        "key in token": stored.token_key_id or "no",
    }
