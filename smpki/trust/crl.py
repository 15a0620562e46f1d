"""A revocation list (Sperrliste) as the search for a certificate's status needs it (RFC 5280 section 5)."""

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import CRLEntryExtensionOID, ExtensionOID

from smpki.policy.names import comparable
from smpki.trust.paths import authority_key
from smpki.trust.question import Reason, name_text

NameKey = tuple[frozenset[tuple[str, str]], ...]

_KNOWN = {
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    ExtensionOID.ISSUER_ALTERNATIVE_NAME,
    ExtensionOID.CRL_NUMBER,
    ExtensionOID.ISSUING_DISTRIBUTION_POINT,
}
_KNOWN_IN_ENTRIES = {CRLEntryExtensionOID.CRL_REASON, CRLEntryExtensionOID.INVALIDITY_DATE}


@dataclass(frozen=True)
class Listed:
    """What a list says about a certificate.

    :param since: when it was revoked or suspended
    :param reason: ``unspecified`` where the list gives none
    """

    since: datetime
    reason: x509.ReasonFlags = x509.ReasonFlags.unspecified

    @property
    def suspended(self) -> bool:
        """Whether it is on hold only (Suspendierung)."""
        return self.reason is x509.ReasonFlags.certificate_hold


@dataclass(frozen=True)
class RevocationList:
    """A readable, complete list.

    :param issuer: its issuer's name, comparable
    :param age: thisUpdate and CRL number: of two lists by one signer for one scope the greater is the newer
    :param scope: its IssuingDistributionPoint
    :param authority_key: key identifier of its signer
    :param next_update: ``None`` where it promises no next list; then it is never current
    """

    source: x509.CertificateRevocationList
    issuer: NameKey
    scope: x509.IssuingDistributionPoint | None
    authority_key: bytes | None
    age: tuple[datetime, int]
    next_update: datetime | None

    @property
    def this_update(self) -> datetime:
        """When it was made; it says nothing about any time before."""
        return self.age[0]

    @property
    def is_indirect(self) -> bool:
        """Whether it may list certificates of other issuers."""
        return self.scope is not None and self.scope.indirect_crl

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"the CRL of {name_text(self.source.issuer)} of {self.this_update:%Y-%m-%d %H:%M:%S}"

    def find(self, certificate: x509.Certificate) -> Listed | None:
        """What the list says about a certificate; ``None`` when it is not on it.

        Every entry is looked at: a serial number may stand there more than once, an entry's certificateIssuer holds for
        those behind it, and a list with a critical entry extension that nobody knows is good for nothing (RFC 5280
        5.3). Of several entries a revocation outweighs a suspension.

        :raises ValueError: when the certificate is not listed, and the list has entries that can't be understood
        """
        wanted, serial = comparable(certificate.issuer), certificate.serial_number
        issuer = self.issuer
        found: Listed | None = None
        unknown = False
        for entry in self.source:
            try:
                extensions = entry.extensions
            except Exception:  # pyca: ValueError, DuplicateExtension and more, a reason code that does not exist
                unknown, extensions = True, x509.Extensions([])
            why = x509.ReasonFlags.unspecified
            for extension in extensions:
                value = extension.value
                if isinstance(value, x509.CertificateIssuer) and self.is_indirect:
                    names = [comparable(name) for name in value.get_values_for_type(x509.DirectoryName)]
                    issuer, unknown = (names[0], unknown) if names else (issuer, True)
                elif isinstance(value, x509.CRLReason):
                    why = value.reason
                elif extension.critical and extension.oid not in _KNOWN_IN_ENTRIES:
                    unknown = True
            if entry.serial_number == serial and issuer == wanted and (found is None or found.suspended):
                found = Listed(entry.revocation_date_utc, why)
        if found is None and unknown:
            raise ValueError
        return found


def read(source: x509.CertificateRevocationList) -> RevocationList | Reason:
    """Take a list apart; or say why it is good for nothing."""
    try:
        extensions = list(source.extensions)
        by_type = {type(extension.value): extension.value for extension in extensions}
        scope, number = by_type.get(x509.IssuingDistributionPoint), by_type.get(x509.CRLNumber)
        found = RevocationList(
            source,
            comparable(source.issuer),
            scope if isinstance(scope, x509.IssuingDistributionPoint) else None,
            authority_key(source.extensions),
            (source.last_update_utc, number.crl_number if isinstance(number, x509.CRLNumber) else 0),
            source.next_update_utc,
        )
    except Exception:  # pyca parses late: ValueError, TypeError, DuplicateExtension and more
        return Reason("trust.crl.unreadable", "RFC 5280 5.1", "a CRL has parts that can't be read")
    if x509.DeltaCRLIndicator in by_type:
        return Reason("trust.crl.delta", "RFC 5280 5.2.4", f"{found.title} is a delta CRL: the SM-PKI has none")
    if any(extension.critical and extension.oid not in _KNOWN for extension in extensions):
        message = f"{found.title} has a critical extension that nobody here knows"
        return Reason("trust.crl.critical_extension", "RFC 5280 5.2", message)
    return found
