"""What the contents of extensions are compared with."""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from smpki.policy.model import EnvironmentName, Policy


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the contents of extensions are compared with.

    :param public_key: the key that is certified, ``None`` where it can't be read
    :param issuer_key_identifier: the issuer's SKI, ``None`` where its certificate is not at hand
    """

    policy: Policy
    environment: EnvironmentName
    public_key: CertificatePublicKeyTypes | None
    issuer_key_identifier: bytes | None = None
