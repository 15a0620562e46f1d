"""A small PKI of two generations: roots, link certificate, CRL and TLS signers, Sub-CAs, end users, and all CRLs."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import count
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from smpki.asn1.curves import CURVES
from smpki.policy.names import DistinguishedName
from smpki.trust.question import Question, Verdict
from smpki.trust.validate import validate

AT = datetime(2027, 6, 1, 12, tzinfo=UTC)
TEST = "O=SM-Test-PKI-DE, C=DE"
USAGES = {
    "ca": ("key_cert_sign", "crl_sign"),
    "tls-signer": ("key_cert_sign",),
    "crl": ("crl_sign",),
    "tls": ("digital_signature",),
    "sig": ("digital_signature",),
    "enc": ("key_encipherment", "key_agreement"),
}
ALL_USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)
SHA256, SHA384, SHA512 = hashes.SHA256(), hashes.SHA384(), hashes.SHA512()
_SERIALS = count(0x1000)


@dataclass(frozen=True)
class Holder:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    hash: hashes.HashAlgorithm

    @property
    def name(self) -> x509.Name:
        return self.certificate.subject

    @property
    def key_identifier(self) -> bytes:
        return self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


def points(*uris: str, crl_issuer: x509.Name | None = None) -> x509.CRLDistributionPoints:
    named = [x509.DirectoryName(crl_issuer)] if crl_issuer else None
    full = [x509.UniformResourceIdentifier(uri) for uri in uris] or None
    return x509.CRLDistributionPoints([x509.DistributionPoint(full, None, None, named)])


def issue(
    subject: str | x509.Name,
    issuer: Holder | None,
    usage: str | Sequence[str],
    *,
    curve: str = "brainpoolP256r1",
    hash: hashes.HashAlgorithm = SHA256,
    path_length: int | None = None,
    crl: x509.CRLDistributionPoints | None = None,
    begin: datetime = AT - timedelta(days=365),
    end: datetime = AT + timedelta(days=365),
    key: ec.EllipticCurvePrivateKey | None = None,
    serial: int | None = None,
    more: Iterable[x509.ExtensionType] = (),
    ca: bool | None = None,
) -> Holder:
    """A certificate with a new key, signed by ``issuer``, or by itself."""
    name = subject if isinstance(subject, x509.Name) else DistinguishedName.parse(subject).to_x509()
    key = key or ec.generate_private_key(CURVES[curve])
    bits = USAGES[usage] if isinstance(usage, str) else usage
    is_ca = "key_cert_sign" in bits if ca is None else ca
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.AuthorityKeyIdentifier(issuer.key_identifier if issuer else own.digest, None, None), False),
        (own, False),
        (x509.KeyUsage(**{bit: bit in bits for bit in ALL_USAGES}), True),
        (x509.BasicConstraints(is_ca, path_length if is_ca else None), True),
        *((extension, True) for extension in more),
    ]
    if usage == "tls":
        purposes = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        extensions.append((x509.ExtendedKeyUsage(purposes), True))
    if crl is not None:
        extensions.append((crl, False))
    builder = x509.CertificateBuilder(
        issuer.name if issuer else name, name, key.public_key(), serial or next(_SERIALS), begin, end
    )
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    certificate = builder.sign(issuer.key if issuer else key, issuer.hash if issuer else hash)
    return Holder(certificate, key, hash)


@dataclass(frozen=True)
class Entry:
    """A line of a CRL; by default the certificate is revoked since a month."""

    certificate: x509.Certificate
    reason: x509.ReasonFlags | None = x509.ReasonFlags.key_compromise
    since: datetime = AT - timedelta(days=30)
    more: tuple[tuple[x509.ExtensionType, bool], ...] = ()


def revocation_list(
    issuer: Holder,
    entries: Iterable[Entry] = (),
    *,
    number: int = 1,
    begin: datetime = AT - timedelta(days=1),
    end: datetime | None = AT + timedelta(days=6),
    indirect: bool = False,
    uris: Sequence[str] = (),
    more: Iterable[tuple[x509.ExtensionType, bool]] = (),
    key_identifier: bytes | None = None,
    hash: hashes.HashAlgorithm | None = None,
) -> x509.CertificateRevocationList:
    """A full CRL; an indirect one names the issuer in its first entry and wherever that changes."""
    revoked, last = [], None
    for entry in entries:
        extensions = list(entry.more)
        if indirect and entry.certificate.issuer != last:
            last = entry.certificate.issuer
            extensions.append((x509.CertificateIssuer([x509.DirectoryName(last)]), True))
        if entry.reason is not None:
            extensions.append((x509.CRLReason(entry.reason), False))
        builder = x509.RevokedCertificateBuilder(entry.certificate.serial_number, entry.since)
        for value, critical in extensions:
            builder = builder.add_extension(value, critical)
        revoked.append(builder.build())
    identifier = x509.AuthorityKeyIdentifier(key_identifier or issuer.key_identifier, None, None)
    builder = x509.CertificateRevocationListBuilder(issuer.name, begin, end, [], revoked)
    builder = builder.add_extension(identifier, False).add_extension(x509.CRLNumber(number), False)
    if indirect or uris:
        full = [x509.UniformResourceIdentifier(uri) for uri in uris] or None
        scope = x509.IssuingDistributionPoint(full, None, False, False, None, indirect, False)
        builder = builder.add_extension(scope, True)
    for value, critical in more:
        builder = builder.add_extension(value, critical)
    return builder.sign(issuer.key, hash or issuer.hash)


class Generation:
    """A root with what stands around and below it, in the algorithms of its time (TR-03116-3 table 5)."""

    def __init__(self, number: int, curves: tuple[str, str], used: tuple[hashes.HashAlgorithm, hashes.HashAlgorithm]):
        (root_curve, sub_curve), (root_hash, sub_hash) = curves, used
        self.number = number
        root_name = f"CN=SM-Test-Root.CA, {TEST}, serialNumber={number}"
        end = AT + timedelta(days=365 * 4)
        self.root = issue(root_name, None, "ca", curve=root_curve, hash=root_hash, end=end)
        self.small_uri = f"http://crl.example/root.{number}.crl"
        self.root_uri = f"http://crl.example/crl-s.{number}.crl"
        self.sub_uri = f"http://crl.example/sub.{number}.crl"
        self.crl_signer = issue(
            f"CN=SM-Test-Root.CA.CRL-S, {TEST}",
            self.root,
            "crl",
            curve=root_curve,
            hash=root_hash,
            crl=points(self.small_uri),
        )
        of_root = points(self.root_uri, crl_issuer=self.crl_signer.name)
        tls_name = f"CN=SM-Test-Root.CA.TLS-S, {TEST}, serialNumber={number}"
        self.tls_signer = issue(tls_name, self.root, "tls-signer", path_length=0, crl=of_root)
        self.root_tls = issue(
            f"CN=SM-Test-Root.CA.TLS, {TEST}, serialNumber={number}", self.tls_signer, "tls", crl=of_root
        )
        sub_name = f"CN=Beispiel.CA, {TEST}, serialNumber={number}"
        self.sub_ca = issue(
            sub_name, self.root, "ca", curve=sub_curve, hash=sub_hash, path_length=0, crl=of_root, end=end
        )
        self.of_sub_ca = points(self.sub_uri)
        self.emt = {
            use: issue(
                f"CN=Firma.EMT, {TEST}, OU=9900000000001, serialNumber={number}", self.sub_ca, use, crl=self.of_sub_ca
            )
            for use in ("tls", "sig", "enc")
        }
        self.gateway = issue(
            f"CN=EABC0012345678.SMGW, {TEST}, OU=Admin.GWA, serialNumber=1", self.sub_ca, "tls", crl=self.of_sub_ca
        )

    @property
    def helpers(self) -> tuple[x509.Certificate, ...]:
        """What a chain below this root may need, but for the root and the end user."""
        return tuple(one.certificate for one in (self.crl_signer, self.tls_signer, self.sub_ca))

    def crls(self, *entries: Entry, bare: bool = False, **options: Any) -> tuple[x509.CertificateRevocationList, ...]:
        """The three CRLs of this generation; each entry goes where it belongs.

        :param bare: the root's own small list names no distribution point
        """
        small, indirect, sub = [], [], []
        for entry in entries:
            if entry.certificate.issuer == self.sub_ca.name:
                sub.append(entry)
            elif entry.certificate == self.crl_signer.certificate:
                small.append(entry)
            else:
                indirect.append(entry)
        return (
            revocation_list(self.root, small, uris=[] if bare else [self.small_uri], **options),
            revocation_list(self.crl_signer, indirect, indirect=True, uris=[self.root_uri], **options),
            revocation_list(self.sub_ca, sub, **options),
        )


class SmallPki:
    """Both generations and the link between them."""

    AT = AT
    TEST = TEST
    Entry = Entry
    Holder = Holder
    Generation = Generation
    issue = staticmethod(issue)
    points = staticmethod(points)
    revocation_list = staticmethod(revocation_list)

    def __init__(self) -> None:
        self.old = Generation(1, ("brainpoolP384r1", "brainpoolP256r1"), (SHA384, SHA256))
        self.new = Generation(2, ("brainpoolP512r1", "brainpoolP384r1"), (SHA512, SHA384))
        crl = points(self.old.root_uri, crl_issuer=self.old.crl_signer.name)
        self.link = self.make_link(crl)

    def make_link(self, crl: x509.CRLDistributionPoints | None) -> Holder:
        """The new root's name and key, certified by the old root."""
        new = self.new.root
        link = issue(new.name, self.old.root, "ca", key=new.key, crl=crl)
        return replace(link, hash=new.hash)

    @property
    def certificates(self) -> tuple[x509.Certificate, ...]:
        """All that a chain may need, but for the roots."""
        return (*self.old.helpers, self.link.certificate, *self.new.helpers)

    def crls(self, *entries: Entry, bare: bool = False) -> tuple[x509.CertificateRevocationList, ...]:
        """All six CRLs; each entry goes where it belongs."""
        return tuple(
            crl
            for generation in (self.old, self.new)
            for crl in generation.crls(
                *(one for one in entries if self.generation_of(one.certificate) is generation), bare=bare
            )
        )

    def generation_of(self, certificate: x509.Certificate) -> Generation:
        """The generation whose lists a certificate is looked up on; that of its issuer."""
        issuers = (self.new.root, self.new.tls_signer, self.new.sub_ca)
        return self.new if certificate.issuer in [one.name for one in issuers] else self.old

    @cached_property
    def plain_crls(self) -> tuple[x509.CertificateRevocationList, ...]:
        """All six CRLs, nothing on them."""
        return self.crls()

    def ask(self, holder: Holder | x509.Certificate, root: Holder | None = None, **options: Any) -> Verdict:
        """Validate with everything at hand; by default the old root is trusted."""
        certificate = holder.certificate if isinstance(holder, Holder) else holder
        trusted = (root or self.old.root).certificate
        values: dict[str, Any] = {"at": AT, "untrusted": self.certificates, "crls": self.plain_crls}
        return validate(Question(certificate, (trusted,), **(values | options)))


@pytest.fixture(scope="session")
def pki() -> SmallPki:
    """The small PKI; nobody changes it."""
    return SmallPki()


@pytest.fixture(scope="session")
def codes() -> Callable[[Verdict], list[str]]:
    """The codes of a verdict's reasons, in their order."""
    return lambda verdict: [one.code for one in verdict.reasons]
