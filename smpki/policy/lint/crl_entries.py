"""Entries of a CRL: serial number, reason, and whose certificate it is (TR-03109-4 annex B.2, RFC 5280 5.3)."""

from collections.abc import Iterable, Iterator

from cryptography import x509

from smpki.policy.lint.finding import Finding, Severity
from smpki.policy.model import CertificateType, Policy
from smpki.policy.text import visible

_AT = "tr-03109-4.b2"
_LONGEST_SERIAL = 159  # bits: 20 octets


def entry_findings(crl: x509.CertificateRevocationList, kind: CertificateType, policy: Policy) -> Iterator[Finding]:
    """Check the entries. A finding that several share is about the first of them and says how many there are.

    :param kind: who signs the CRL
    """
    check = _Check(crl, kind, policy)
    for number, entry in enumerate(crl, start=1):
        check.entry(number, entry)
    return check.findings()


class _Check:
    """The way through the entries. There may be a million, so what is as it should be costs as little as it can."""

    def __init__(self, crl: x509.CertificateRevocationList, kind: CertificateType, policy: Policy) -> None:
        self._allowed = {x509.ReasonFlags[reason] for reason in policy.revocation.reasons.value}
        self._indirect = kind is CertificateType.CRL_SIGNER
        self._may_hold = kind is CertificateType.SUB_CA
        self._this_update = crl.last_update_utc
        self._number = 0
        self._serials: dict[bytes, set[int]] = {}  # by issuer: a serial number is unique below one issuer only
        self._of_issuer: set[int] | None = None if self._indirect else set()
        self._found: dict[tuple[Severity, str], tuple[str, int]] = {}

    def entry(self, number: int, entry: x509.RevokedCertificate) -> None:
        """Look at one entry."""
        self._number = number
        try:
            self._extensions(entry.extensions)
        except Exception as failed:  # pyca: ValueError, DuplicateExtension and more; nothing else runs in here
            self._error("rfc-5280.5_3.extensions.unreadable", f"its extensions can't be read: {visible(str(failed))}")
        if self._of_issuer is None:
            self._error("rfc-5280.5_3_3.certificate_issuer.missing", "the CRL signer issued no certificate of its own")
            self._of_issuer = set()
        serial = entry.serial_number
        if serial in self._of_issuer:
            self._error("rfc-5280.5_1_2_6.serial.repeated", f"serial number {serial:x} is there before")
        self._of_issuer.add(serial)
        if serial <= 0 or serial.bit_length() > _LONGEST_SERIAL:
            self._error("rfc-5280.5_1_2_6.serial.range", "the serial number is no positive one of at most 20 octets")
        if entry.revocation_date_utc > self._this_update:
            date = entry.revocation_date_utc
            self._warning("rfc-5280.5_1_2_6.revocation_date.later", f"{date} is later than thisUpdate")

    def findings(self) -> Iterator[Finding]:
        """What was found."""
        for (severity, code), (message, count) in self._found.items():
            yield Finding(severity, code, message if count == 1 else f"{message} ({count} such entries)")

    def _extensions(self, extensions: Iterable[x509.Extension[x509.ExtensionType]]) -> None:
        for extension in extensions:
            value = extension.value
            if isinstance(value, x509.CRLReason):
                self._reason(value.reason)
                self._critical("reason_code", extension.critical, due=False)
            elif isinstance(value, x509.CertificateIssuer):
                self._certificate_issuer(value)
                self._critical("certificate_issuer", extension.critical, due=True)
            elif isinstance(value, x509.InvalidityDate):
                self._critical("invalidity_date", extension.critical, due=False)
            else:
                name = extension.oid.dotted_string
                self._error(f"{_AT}.unknown_extension", f"extension {name} is none of an entry")

    def _reason(self, reason: x509.ReasonFlags) -> None:
        at = "rfc-5280.5_3_1.reason_code"
        if reason is x509.ReasonFlags.unspecified:
            self._error(f"{at}.unspecified", "reason unspecified is said by leaving the extension out")
        elif reason is x509.ReasonFlags.remove_from_crl:
            self._error(f"{at}.remove_from_crl", "removeFromCRL is for delta CRLs; here the entry simply goes")
        elif reason not in self._allowed:
            self._warning(f"{_AT}.reason_code.not_allowed", f"the policy knows no revocation for {reason.value}")
        elif reason is x509.ReasonFlags.certificate_hold and not self._may_hold:
            self._error(f"{_AT}.reason_code.certificate_hold", "what root and TLS signer issue is not suspended")

    def _certificate_issuer(self, value: x509.CertificateIssuer) -> None:
        at = "rfc-5280.5_3_3.certificate_issuer"
        if not self._indirect:
            self._error(f"{at}.unexpected", "only an indirect CRL is about certificates of others")
            return
        names = value.get_values_for_type(x509.DirectoryName)
        if not names:
            self._error(f"{at}.kind", "it holds no distinguished name")
        issuer = b"".join(name.public_bytes() for name in names)
        self._of_issuer = self._serials.setdefault(issuer, set())

    def _critical(self, field: str, critical: bool, *, due: bool) -> None:
        if critical and not due:
            self._error(f"{_AT}.{field}.critical", "the extension has to be not critical")
        elif due and not critical:
            self._error(f"{_AT}.{field}.not_critical", "the extension has to be critical")

    def _error(self, code: str, message: str) -> None:
        self._add(Severity.ERROR, code, message)

    def _warning(self, code: str, message: str) -> None:
        self._add(Severity.WARNING, code, message)

    def _add(self, severity: Severity, code: str, message: str) -> None:
        first, count = self._found.get((severity, code), (f"entry {self._number}: {message}", 0))
        self._found[severity, code] = first, count + 1
