"""The certificates that a gateway trusts because it was given them: roots, and its administrator's."""

import enum
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.errors import GatewayError
from smpki.hsm.vault import ObjectKind, StoredObject
from smpki.requests.model import Purpose
from smpki.trust.holder import check_holder


class AnchorRole(enum.StrEnum):
    """What an anchor is trusted for."""

    ROOT = "root"
    """Root of the SM-PKI; there are two while one replaces the other."""
    GWA_TLS = "gwa-tls"
    GWA_SIG = "gwa-sig"
    GWA_ENC = "gwa-enc"


@dataclass(frozen=True)
class TrustAnchor:
    """A trusted certificate (Vertrauensanker).

    :param role: what it is trusted for
    """

    role: AnchorRole
    certificate: x509.Certificate

    def check(self) -> None:
        """Refuse a certificate that can't be what it is to be trusted for.

        :raises GatewayError: ``module.anchor.unreadable``, ``module.anchor.root`` (it is no root),
            ``module.anchor.usage``
        """
        try:
            reasons = self._reasons()
        except Exception:  # pyca: ValueError, UnsupportedAlgorithm, DuplicateExtension and more
            raise self._refused("unreadable", "the certificate has parts that can't be read") from None
        if reasons:
            raise self._refused("root" if self.role is AnchorRole.ROOT else "usage", "; ".join(reasons))

    def _reasons(self) -> list[str]:
        if self.role is not AnchorRole.ROOT:
            purpose = Purpose(self.role.value.removeprefix("gwa-"))
            return [reason.message for reason in check_holder(self.certificate, None, purpose.value)]
        try:
            self.certificate.verify_directly_issued_by(self.certificate)
        except Exception:  # pyca: ValueError, TypeError, InvalidSignature
            return ["it is not signed with its own key"]
        constraints = [
            each.value for each in self.certificate.extensions if isinstance(each.value, x509.BasicConstraints)
        ]
        return [] if any(each.ca for each in constraints) else ["it is no CA's certificate"]

    def stored(self, name: str) -> StoredObject:
        """As a module's vault keeps it.

        :param name: the module's
        """
        value, known_by = self.certificate.public_bytes(Encoding.DER), self.certificate.fingerprint(SHA256())
        return StoredObject(ObjectKind.CERTIFICATE, _label(name, self.role), value, known_by)

    def _refused(self, rule: str, message: str) -> GatewayError:
        hint = f"give the certificate that is to be trusted as {self.role.value}"
        return GatewayError(f"module.anchor.{rule}", message, where=self.role.value, hint=hint)


def read_anchors(name: str, objects: Collection[StoredObject]) -> tuple[TrustAnchor, ...]:
    """The trust anchors among a vault's objects, by role. What can't be read is not trusted.

    :param name: the module's
    """
    found = []
    for role in AnchorRole:
        for each in objects:
            if each.kind is ObjectKind.CERTIFICATE and each.label == _label(name, role):
                with suppress(ValueError):
                    found.append(TrustAnchor(role, x509.load_der_x509_certificate(each.value)))
    return tuple(found)


def _label(name: str, role: AnchorRole) -> str:
    return f"{name} anchor {role.value}"
