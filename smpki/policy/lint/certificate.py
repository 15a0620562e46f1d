"""Lint a certificate, signed or about to be."""

from collections.abc import Iterator

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from smpki.policy.lint.body import Encoded, body_findings, lifetime_findings, serial_number_findings
from smpki.policy.lint.extensions import extension_findings, holder_extension_findings
from smpki.policy.lint.finding import Finding
from smpki.policy.lint.issuer import facts_of, issuer_findings, unknown_issuer_findings
from smpki.policy.lint.keys import encoding_findings, encoding_of, public_key_findings
from smpki.policy.lint.reading import read
from smpki.policy.lint.shared import part, with_extensions
from smpki.policy.lint.subject import lint_subject
from smpki.policy.lint.surroundings import Surroundings
from smpki.policy.model import CertificateType, EnvironmentName, Policy, PurposeName

_MOST_KNOWN = 100


def lint_certificate(
    certificate: x509.Certificate,
    kind: CertificateType,
    purpose: PurposeName,
    policy: Policy,
    environment: EnvironmentName,
    *,
    issuer: x509.Certificate | None = None,
) -> tuple[Finding, ...]:
    """Check a certificate against the policy; a :class:`Linter` does the same for many of them in less time.

    See :meth:`Linter.certificate`.
    """
    return Linter(policy, environment).certificate(certificate, kind, purpose, issuer=issuer)


class Linter:
    """The rules of a policy in one environment.

    What many certificates share, octet by octet, is looked at once: the subject of a triple, and all that an issuer
    puts into each certificate of a kind. What was found there is remembered; of the next certificate with the same only
    the holder's own part is looked at: serial number, subject, key, and the two extensions that speak of them.
    """

    def __init__(self, policy: Policy, environment: EnvironmentName) -> None:
        self._policy = policy
        self._environment = environment
        self._subject: tuple[CertificateType, bytes, tuple[Finding, ...]] | None = None
        self._issuer: x509.Certificate | None = None
        self._known: dict[tuple[object, ...], tuple[Finding, ...]] = {}  # what certificates of this issuer share

    def certificate(
        self,
        certificate: x509.Certificate,
        kind: CertificateType,
        purpose: PurposeName,
        *,
        issuer: x509.Certificate | None = None,
        body: bytes | None = None,
        public_key: CertificatePublicKeyTypes | None = None,
    ) -> tuple[Finding, ...]:
        """Check a certificate (TR-03109-4 annex A, TR-03116-3, RFC 5280 section 4).

        Signatures are not verified: the CA lints before it signs. Nothing that stands in the certificate makes it fail.

        :param kind: the certificate's type; see :func:`smpki.policy.lint.classify.classify` where it is not known
        :param issuer: the issuer's certificate where it is at hand; a root is its own
        :param body: the encoded TBSCertificate, where it is at hand
        :param public_key: the key that should be in it, where it is at hand
        :return: the findings in the order of the certificate's fields; none when all is well
        :raises KeyError: when the type has no certificate for that purpose
        :raises ValueError: when ``issuer`` can't be read
        """
        encoded = Encoded.of(certificate.tbs_certificate_bytes if body is None else body)
        if kind is CertificateType.ROOT and issuer is None:
            issuer = _its_own_issuer(certificate)
        if issuer is not self._issuer or len(self._known) == _MOST_KNOWN:
            self._issuer, self._known = issuer, {}
        parted = part(encoded)
        shared = kind, purpose, certificate.signature_algorithm_oid, *parted.shared
        own = with_extensions(encoded, parted.own_extensions)
        if any(self._own_findings(own, encoded, kind, purpose, public_key)):
            return tuple(self._findings(certificate, encoded, kind, purpose, issuer))
        if shared not in self._known:
            self._known[shared] = tuple(self._findings(certificate, encoded, kind, purpose, issuer))
        return self._known[shared]

    def _findings(
        self,
        certificate: x509.Certificate,
        encoded: Encoded,
        kind: CertificateType,
        purpose: PurposeName,
        issuer: x509.Certificate | None,
    ) -> Iterator[Finding]:
        policy, environment = self._policy, self._environment
        facts = None if issuer is None else facts_of(issuer)
        yield from serial_number_findings(certificate)
        yield from body_findings(certificate, encoded)
        yield from lifetime_findings(certificate, kind, policy)
        if facts is not None and encoded.issuer == facts.name:
            yield from issuer_findings(certificate, None, facts, kind, policy)
        elif (name := (yield from read("rfc-5280.4_1_2_4.issuer", lambda: certificate.issuer))) is not None:
            if facts is None:
                yield from unknown_issuer_findings(certificate, name, kind, policy, environment)
            else:
                yield from issuer_findings(certificate, name, facts, kind, policy)
        yield from self._subject_findings(certificate, encoded.subject, kind)
        key = yield from read("rfc-5280.4_1_2_7.public_key", certificate.public_key)
        if key is not None:
            yield from public_key_findings(key, kind, purpose, policy, certificate.not_valid_before_utc)
            yield from encoding_findings(key, encoded.public_key_info, purpose)
        extensions = yield from read("rfc-5280.4_2.extensions", lambda: certificate.extensions)
        if extensions is not None:
            surroundings = Surroundings(policy, environment, key, facts.key_identifier if facts else None)
            yield from extension_findings(extensions, policy.profile(kind, purpose), surroundings)

    def _own_findings(
        self,
        certificate: x509.Certificate,
        encoded: Encoded,
        kind: CertificateType,
        purpose: PurposeName,
        key: CertificatePublicKeyTypes | None,
    ) -> Iterator[Finding]:
        """:meth:`_findings` without the rules for what it shares with others."""
        yield from serial_number_findings(certificate)
        yield from self._subject_findings(certificate, encoded.subject, kind)
        if key is None or encoding_of(key) != encoded.public_key_info:
            key = yield from read("rfc-5280.4_1_2_7.public_key", certificate.public_key)
            if key is not None:
                yield from encoding_findings(key, encoded.public_key_info, purpose)
        extensions = yield from read("rfc-5280.4_2.extensions", lambda: certificate.extensions)
        if extensions is not None:
            surroundings = Surroundings(self._policy, self._environment, key)
            yield from holder_extension_findings(extensions, self._policy.profile(kind, purpose), surroundings)

    def _subject_findings(
        self, certificate: x509.Certificate, encoded: bytes, kind: CertificateType
    ) -> Iterator[Finding]:
        if self._subject is None or self._subject[:2] != (kind, encoded):
            name = yield from read("rfc-5280.4_1_2_6.subject", lambda: certificate.subject)
            if name is None:
                return
            self._subject = kind, encoded, lint_subject(name, kind, self._policy, self._environment)
        yield from self._subject[2]


def _its_own_issuer(root: x509.Certificate) -> x509.Certificate | None:
    """A root, to be compared with itself; ``None`` where it can't be read, which is found field by field."""
    try:
        facts_of(root)
    except Exception:  # as in reading.read
        return None
    return root
