"""Which chains lead from a trusted root to a certificate: pyhanko-certvalidator's path builder, kept within bounds.

Its builder matches names by RFC 5280 section 7.1 and key identifiers, and never takes a certificate twice. Left alone
it would try every order of thirty certificates of one name, take any certificate with a root's name and key for that
root, and keep one of two certificates that claim the same issuer and serial number: hence the classes here.
"""

from collections import defaultdict
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from typing import TypeVar

import asn1crypto.x509
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from pyhanko_certvalidator.authority import Authority, AuthorityWithCert, CertTrustAnchor, TrustAnchor
from pyhanko_certvalidator.errors import PathBuildingError
from pyhanko_certvalidator.registry import CertificateRegistry, PathBuilder, TrustManager

from smpki.policy.names import comparable
from smpki.trust.question import Path, Reason, name_text, reason, unreadable

LONGEST = 12
"""Certificates in a chain, root and end user included: root, Sub-CA and end user, and a link for each older root."""

_MOST_RELEVANT = 64  # certificates that the names connect with the one in question
_MOST_LOOKUPS = 500
_MOST_PATHS = 32
_RULE = "RFC 5280 6.1"

T = TypeVar("T")


class PathSearch:
    """The chains that names and key identifiers suggest; signatures are not looked at yet.

    The order of ``untrusted`` does not matter.

    :param certificate: the one in question; it must be readable (:func:`readable`)
    """

    def __init__(
        self, certificate: x509.Certificate, untrusted: Iterable[x509.Certificate], roots: Sequence[x509.Certificate]
    ) -> None:
        self._certificate = certificate
        self._roots = roots
        self._relevant, self._too_long = _relevant(certificate, untrusted)
        self._too_many = len(self._relevant) > _MOST_RELEVANT
        self._registry = _Registry()

    def __iter__(self) -> Iterator[Path]:
        """The chains, the shortest first: a root that is not trusted adds nothing between its link and a Sub-CA."""
        return iter(sorted(self._found(), key=len))

    def _found(self) -> Iterator[Path]:
        relevant, roots = _parsed(() if self._too_many else self._relevant), _parsed(self._roots)
        self._registry.register_multiple(relevant)
        asked = next((asn1 for asn1, one in relevant.items() if one == self._certificate), None)
        if asked is None:
            return
        paths = PathBuilder(_Roots(roots), self._registry).async_build_paths_lazy(asked)
        known = relevant | roots
        try:
            for _ in range(_MOST_PATHS):
                path = tuple(known[one] for one in run(paths.__anext__()))
                if len(path) <= LONGEST:
                    yield path
                else:
                    self._too_long = True
        except (PathBuildingError, StopAsyncIteration):
            return

    def why_none(self) -> Reason:
        """Why there was no chain at all."""
        if self._too_many or self._registry.exhausted:
            message = "too many of the certificates given fit together by their names"
            return reason(self._certificate, "trust.path.too_many", _RULE, message)
        if self._too_long:
            message = f"its chain is longer than {LONGEST} certificates"
            return reason(self._certificate, "trust.path.too_long", _RULE, message)
        if not _parsed([self._certificate]):
            return unreadable(self._certificate)
        for one in self._relevant:
            above = [other for other in (*self._relevant, *self._roots) if names_issuer(one, other) and other != one]
            if above and not any(fits_key(one, other) for other in above):
                message = "its issuer's name is known, but with another key (AuthorityKeyIdentifier)"
                return reason(one, "trust.path.key_identifier", "RFC 5280 4.2.1.1", message)
            if not above and names_issuer(one, one):
                return reason(one, "trust.path.untrusted_root", "RFC 5280 6.1.1 (d)", "it is not a trusted root")
            if not above:
                message = f"its issuer is not among the certificates given: {name_text(one.issuer)}"
                return reason(one, "trust.path.issuer_unknown", "RFC 5280 6.1.3 (a)(4)", message)
        message = "its chain runs in a circle and reaches no trusted root"
        return reason(self._certificate, "trust.path.loop", _RULE, message)


def readable(certificate: x509.Certificate) -> bool:
    """Whether the parts of a certificate that count here can be read; pyca parses them late."""
    try:
        for name in (certificate.subject, certificate.issuer):
            comparable(name)
            name.rfc4514_string()
        for part in ("not_valid_before_utc", "not_valid_after_utc", "serial_number", "extensions"):
            getattr(certificate, part)
        certificate.public_key()
    except Exception:  # ValueError, TypeError, DuplicateExtension, UnsupportedAlgorithm and more
        return False
    return True


def fingerprint(certificate: x509.Certificate) -> bytes:
    """SHA-256 over the certificate."""
    return certificate.fingerprint(SHA256())


def names_issuer(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether the issuer's name fits (RFC 5280 7.1)."""
    return comparable(certificate.issuer) == comparable(issuer.subject)


def fits_key(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether AuthorityKeyIdentifier and SubjectKeyIdentifier don't contradict each other (RFC 5280 4.2.1.1)."""
    wanted, found = authority_key(certificate.extensions), subject_key(issuer)
    return None in (wanted, found) or wanted == found


def authority_key(extensions: x509.Extensions) -> bytes | None:
    """The keyIdentifier of a certificate's or CRL's AuthorityKeyIdentifier."""
    try:
        return extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        return None


def subject_key(certificate: x509.Certificate) -> bytes | None:
    """The SubjectKeyIdentifier."""
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return None


def as_asn1(certificate: x509.Certificate) -> asn1crypto.x509.Certificate:
    """The certificate as pyhanko-certvalidator wants it."""
    return asn1crypto.x509.Certificate.load(certificate.public_bytes(Encoding.DER))


def run(coroutine: Awaitable[T]) -> T:
    """Run a coroutine that never waits: nothing is fetched, and callers may have an event loop of their own."""
    try:
        next(coroutine.__await__())
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("path validation tried to wait for something")


def _parsed(certificates: Iterable[x509.Certificate]) -> dict[asn1crypto.x509.Certificate, x509.Certificate]:
    """Certificates by what pyhanko-certvalidator wants, without those that asn1crypto finds unreadable.

    The keys are told apart as objects: asn1crypto does not write every certificate exactly as it read it.
    """
    found = {as_asn1(one): one for one in certificates}
    return {asn1: one for asn1, one in found.items() if _readable_asn1(asn1)}


def _readable_asn1(certificate: asn1crypto.x509.Certificate) -> bool:
    """Whether the parts that path building looks at can be read; asn1crypto, too, parses late."""
    try:
        for name in (certificate.subject, certificate.issuer):
            hash(name.hashable)
        for part in ("issuer_serial", "key_identifier", "authority_key_identifier", "authority_issuer_serial"):
            getattr(certificate, part)
        hash(certificate.public_key.sha1)
    except Exception:  # ValueError, TypeError, KeyError and more
        return False
    return True


def _relevant(
    certificate: x509.Certificate, untrusted: Iterable[x509.Certificate]
) -> tuple[list[x509.Certificate], bool]:
    """What the names connect with a certificate, nearest first, and whether that goes on beyond the longest chain."""
    by_subject = defaultdict(set)
    for one in untrusted:
        by_subject[comparable(one.subject)].add(one)
    found = [certificate]
    level = {certificate}
    for _ in range(LONGEST - 2):  # between the certificate in question and the root
        issuers = {comparable(one.issuer) for one in level}
        level = set().union(*(by_subject.pop(issuer, ()) for issuer in issuers)) - {certificate}
        found += sorted(level, key=fingerprint)
    return found, any(comparable(one.issuer) in by_subject for one in level)


class _Registry(CertificateRegistry):
    """The untrusted certificates, and a count of the questions."""

    _lookups = 0

    @property
    def exhausted(self) -> bool:
        """Whether the search was given up."""
        return self._lookups > _MOST_LOOKUPS

    def register(self, cert: asn1crypto.x509.Certificate) -> bool:
        """Take a certificate, even when another claims the same issuer and serial number."""
        self.certs.pop(cert.issuer_serial, None)
        return super().register(cert)

    def find_potential_issuers(
        self, cert: asn1crypto.x509.Certificate, trust_manager: TrustManager
    ) -> Iterator[TrustAnchor | asn1crypto.x509.Certificate]:
        """The certificates that may have issued one; none any more once too much was asked."""
        self._lookups += 1
        if not self.exhausted:
            yield from super().find_potential_issuers(cert, trust_manager)


class _Roots(TrustManager):
    """The trusted roots, each exactly the certificate that it is."""

    def __init__(self, roots: Iterable[asn1crypto.x509.Certificate]) -> None:
        self._anchors = [CertTrustAnchor(root) for root in roots]

    def as_trust_anchor(self, authority: Authority) -> TrustAnchor | None:
        """The root that is this very certificate. A link certificate has a root's name and key, and is none."""
        wanted = authority.certificate.dump() if isinstance(authority, AuthorityWithCert) else None
        return next((anchor for anchor in self._anchors if anchor.certificate.dump() == wanted), None)

    def find_potential_issuers(self, cert: asn1crypto.x509.Certificate) -> Iterator[TrustAnchor]:
        """The roots whose name and key identifier fit."""
        return (anchor for anchor in self._anchors if anchor.authority.is_potential_issuer_of(cert))
