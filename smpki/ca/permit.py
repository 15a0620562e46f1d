"""Lint, record, sign: a certificate is complete and linted before the CA's key sees it.

The to-be-signed bytes get a dummy signature; the linter reads what comes out; later the real key signs those very bytes
and the certificate is put together from both.
"""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from smpki.asn1.signed import assemble
from smpki.ca.issuer import HASHES, Issuer
from smpki.ca.profile import Plan, Profiles
from smpki.ca.store.records import serial_text
from smpki.errors import IssuingError
from smpki.policy.lint.certificate import Linter
from smpki.policy.lint.finding import Severity
from smpki.policy.model import EnvironmentName, HashName, Policy

_DUMMY_SIGNATURE = bytes(8)


@dataclass
class Permit:
    """The permission to sign one certificate, once.

    :param plan: what was asked for
    :param issuer: who will sign, ``None`` for a self-signed certificate
    :param unsigned: the linted certificate with a dummy signature
    :param tbs: its DER TBSCertificate, which will be signed
    """

    plan: Plan
    issuer: Issuer | None
    unsigned: x509.Certificate = field(repr=False)
    tbs: bytes = field(repr=False)
    _key: ec.EllipticCurvePrivateKey = field(repr=False)
    _hash: HashName
    _used: bool = False

    @cached_property
    def serial(self) -> str:
        """The certificate's serial number as the store writes it."""
        return serial_text(self.plan.serial)

    @property
    def issuer_serial(self) -> str | None:
        """The serial number of the issuer's certificate, ``None`` when self-signed."""
        return self.issuer.serial if self.issuer else None

    @cached_property
    def subject_key(self) -> str:
        """The holder's identity over all generations of its certificates."""
        return self.plan.subject.key()

    @cached_property
    def key_hash(self) -> str:
        """What the store calls the holder's key."""
        return key_hash(self.plan.public_key)

    @property
    def tbs_hash(self) -> str:
        """SHA-256 over the bytes that will be signed, hexadecimal."""
        return hashlib.sha256(self.tbs).hexdigest()

    def sign(self) -> bytes:
        """Let the issuer's key sign; the permit is used up, whatever comes of it.

        :return: the certificate, DER
        :raises IssuingError: ``issuing.permit.used`` the second time
        :raises TokenError: when the token does not sign
        """
        if self._used:
            raise IssuingError(
                "issuing.permit.used", "this permit was used already", hint="prepare the certificate anew"
            )
        self._used = True
        return assemble(self.tbs, self._hash, self._key.sign(self.tbs, ec.ECDSA(HASHES[self._hash])))


class Preparer:
    """Builds and lints certificates; what passes comes back as a permit to sign."""

    def __init__(self, policy: Policy, environment: EnvironmentName) -> None:
        self._profiles = Profiles(policy, environment)
        self._linter = Linter(policy, environment)

    def prepare(self, plan: Plan, issuer: Issuer) -> Permit:
        """Prepare a certificate below ``issuer``.

        :raises IssuingError: ``issuing.lint`` with the first finding, when the certificate breaks the policy
        """
        return self._prepare(plan, issuer, issuer.key, issuer.hash)

    def prepare_self_signed(self, plan: Plan, key: ec.EllipticCurvePrivateKey, hash_name: HashName) -> Permit:
        """Prepare a root's certificate.

        :raises IssuingError: as :meth:`prepare`
        """
        return self._prepare(plan, None, key, hash_name)

    def _prepare(
        self, plan: Plan, issuer: Issuer | None, key: ec.EllipticCurvePrivateKey, hash_name: HashName
    ) -> Permit:
        try:
            tbs = self._profiles.body(plan, issuer, hash_name)
            unsigned = x509.load_der_x509_certificate(assemble(tbs, hash_name, _DUMMY_SIGNATURE))
        except ValueError as error:
            raise IssuingError(
                "issuing.build", f"the certificate can't be built: {error}", where=plan.place, hint="check the request"
            ) from None
        above = issuer.certificate if issuer else unsigned
        found = self._linter.certificate(
            unsigned, plan.kind, plan.purpose, issuer=above, body=tbs, public_key=plan.public_key
        )
        errors = [finding for finding in found if finding.severity is Severity.ERROR]
        if errors:
            more = f" ({len(errors) - 1} more findings)" if len(errors) > 1 else ""
            raise IssuingError(
                "issuing.lint",
                f"{errors[0].code}: {errors[0].message}{more}",
                where=plan.place,
                hint="the certificate would break the policy: change the request, or the policy",
            )
        return Permit(plan, issuer, unsigned, tbs, key, hash_name)


def key_hash(key: ec.EllipticCurvePublicKey) -> str:
    """What the store calls a key: SHA-256 over its SubjectPublicKeyInfo, hexadecimal."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
