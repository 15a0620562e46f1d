"""Be the Sub-CA of a root that runs elsewhere: take over what the root's operator sent."""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.ca.issuer import Issuer
from smpki.ca.making import Maker
from smpki.ca.permit import key_hash
from smpki.ca.store.records import AuditEntry, Intent, StoredCertificate, serial_text
from smpki.ca.sub_cas import SubCaHolders
from smpki.ca.unit import key_scope, load
from smpki.errors import IssuingError
from smpki.policy.decide import key_use_end
from smpki.policy.lint.certificate import Linter
from smpki.policy.lint.classify import classify
from smpki.policy.lint.finding import Severity
from smpki.policy.model import CertificateType, PurposeName, Window
from smpki.policy.names import DistinguishedName, same_name

_KINDS = (
    CertificateType.ROOT,
    CertificateType.LINK,
    CertificateType.CRL_SIGNER,
    CertificateType.TLS_SIGNER,
    CertificateType.SUB_CA,
    CertificateType.SUB_CA_TLS_ROOT,
)
"""What a bundle holds; issuers stand before what they issue."""

_MOST = 100  # certificates; three generations of roots make about twenty


@dataclass(frozen=True)
class Installed:
    """What an installation brought.

    :param certificates: what was stored now, the Sub-CA's own TLS certificate last; empty when all was there before
    :param roots: the roots of the bundle, oldest first; their SHA-256 is compared with what the root's operator says
    """

    certificates: tuple[StoredCertificate, ...]
    roots: tuple[StoredCertificate, ...]


@dataclass(frozen=True)
class _Member:
    """A certificate of the bundle, or one that was installed before."""

    certificate: x509.Certificate
    kind: CertificateType
    purpose: PurposeName
    key: ec.EllipticCurvePublicKey = field(compare=False)

    @property
    def name(self) -> DistinguishedName:
        return DistinguishedName.from_x509(self.certificate.subject)

    @property
    def place(self) -> str:
        return f"{self.kind} {self.name}"

    def signed(self, other: "_Member") -> bool:
        """Whether the other's issuer is this one, by name and signature."""
        algorithm = other.certificate.signature_hash_algorithm
        if algorithm is None or not same_name(other.certificate.issuer, self.certificate.subject):
            return False
        with suppress(InvalidSignature, UnsupportedAlgorithm):
            self.key.verify(other.certificate.signature, other.certificate.tbs_certificate_bytes, ec.ECDSA(algorithm))
            return True
        return False

    def leads_to(self, root: "_Member") -> bool:
        """Whether this is a link certificate to that root."""
        return (
            self.kind is CertificateType.LINK
            and self.key == root.key
            and same_name(self.certificate.subject, root.certificate.subject)
        )


class Installer:
    """Installs what the operator of the root sends to that of a Sub-CA."""

    def __init__(self, maker: Maker) -> None:
        self._maker = maker
        self._linter = Linter(maker.policy, maker.environment)

    def install(self, pem: bytes, root_sha256: str | None = None) -> Installed:
        """Store roots, link certificates, CRL signers, TLS signer and the certificates of our keys; issue the
        Sub-CA's TLS certificate towards its end users.

        The first bundle brings the root that is trusted from then on; later ones may bring other roots only by way of
        link certificates from it. A second time, what is there already stays, and what is missing is made up for.

        :param pem: certificates in any order, as ``smpki issue-sub-ca --out`` writes them
        :param root_sha256: of the root to be trusted, in hex, as its operator told it; ``None``: not known yet
        :raises IssuingError: ``issuing.install.*``, ``issuing.key.foreign``, ``issuing.issuer.*`` for a Sub-CA that may
            not issue now, and what the store refuses
        """
        bundle = [self._member(certificate) for certificate in _read(pem)]
        bundle.sort(key=lambda member: (_KINDS.index(member.kind), member.name.serial_number or 0))
        known = [self._member(load(one)) for one in self._maker.store.of_kinds(_KINDS)]
        above = {member: self._issuer(member, {*bundle, *known}) for member in bundle}
        self._check_roots(bundle, known, root_sha256)
        new = [member for member in bundle if member not in known]
        for member in new:
            self._lint(member, above[member])
        sub_ca = _only(bundle, CertificateType.SUB_CA)
        holders = SubCaHolders.of(sub_ca.name, _alternative_names(sub_ca.certificate))
        keys = self._own_keys(sub_ca, _only(bundle, CertificateType.SUB_CA_TLS_ROOT), holders)
        with self._maker.new_keys() as made:
            issuer = self._as_issuer(sub_ca, keys[sub_ca], above[sub_ca])
            permits = [] if self._has_tls(sub_ca) else [self._maker.below(made, issuer, holders.tls)[0]]
            certificates = self._adopt(new, above, keys, issuer.name.common_name)
            if permits:
                certificates += self._maker.issue("sub-ca-install", issuer.name.common_name, permits)
        brought = {member.certificate for member in bundle}
        roots = (one for one in self._maker.store.of_kinds([CertificateType.ROOT]) if load(one) in brought)
        return Installed(certificates, tuple(roots))

    def _member(self, certificate: x509.Certificate) -> _Member:
        what = classify(certificate)
        if what is None or what[0] not in _KINDS:
            raise _refused("bundle", "it is no certificate of a root, or of a Sub-CA by it", _fingerprint(certificate))
        with suppress(ValueError, UnsupportedAlgorithm):
            key = certificate.public_key()
            if isinstance(key, ec.EllipticCurvePublicKey):
                return _Member(certificate, *what, key)
        raise _refused("bundle", "its key is on no elliptic curve that is known", _fingerprint(certificate))

    def _issuer(self, member: _Member, everyone: Collection[_Member]) -> _Member:
        due = self._maker.policy.certificates[member.kind].issuer.value
        for other in [member] if member.kind is CertificateType.ROOT else everyone:
            if other.kind is due and other.signed(member):
                return other
        raise _refused("chain", f"it is not signed by a {due} that is in the bundle or known here", member.place)

    def _check_roots(self, bundle: Collection[_Member], known: Collection[_Member], sha256: str | None) -> None:
        """See that every root is the one that is trusted, or is reached from it by link certificates."""
        roots = [member for member in bundle if member.kind is CertificateType.ROOT]
        links = [member for member in {*bundle, *known} if member.kind is CertificateType.LINK]
        trusted = [member for member in known if member.kind is CertificateType.ROOT]
        compared = roots
        if not trusted:
            trusted = [root for root in roots if not any(link.leads_to(root) for link in links)]
            if len(trusted) != 1:
                raise _refused("root", f"there are {len(trusted)} roots to begin with, not one")
            compared = list(trusted)
        while reached := [
            root
            for root in roots
            if root not in trusted
            and any(link.leads_to(root) and any(old.signed(link) for old in trusted) for link in links)
        ]:
            trusted += reached
        for root in roots:
            if root not in trusted:
                raise _refused("root", "no link certificate leads to it from the root that is trusted here", root.place)
        wanted = sha256 and sha256.replace(":", "").strip().lower()
        if wanted and wanted not in {_fingerprint(root.certificate) for root in compared}:
            found = ", ".join(_fingerprint(root.certificate) for root in compared)
            raise _refused("root", f"the root's SHA-256 is {found}, not {wanted}")

    def _lint(self, member: _Member, issuer: _Member) -> None:
        found = self._linter.certificate(member.certificate, member.kind, member.purpose, issuer=issuer.certificate)
        for finding in found:
            if finding.severity is Severity.ERROR:
                raise _refused("lint", f"{finding.code}: {finding.message}", member.place)

    def _own_keys(
        self, sub_ca: _Member, tls: _Member, holders: SubCaHolders
    ) -> dict[_Member, ec.EllipticCurvePrivateKey]:
        """The keys that were made for these two certificates."""
        if not same_name(tls.certificate.subject, holders.tls_to_root.name.to_x509()):
            raise _refused("bundle", f"the TLS certificate is not for {holders.tls_to_root.name}", tls.place)
        return {
            sub_ca: self._maker.made_key(holders.sub_ca, sub_ca.key),
            tls: self._maker.made_key(holders.tls_to_root, tls.key),
        }

    def _as_issuer(self, sub_ca: _Member, key: ec.EllipticCurvePrivateKey, root: _Member) -> Issuer:
        issuer = Issuer(
            kind=sub_ca.kind,
            certificate=sub_ca.certificate,
            key=key,
            hash=self._window(sub_ca).hash,
            key_use_end=self._key_use_end(sub_ca),
            root=root.name,
        )
        issuer.check_usable(self._maker.now())
        return issuer

    def _has_tls(self, sub_ca: _Member) -> bool:
        serial = serial_text(sub_ca.certificate.serial_number)
        return any(one.issuer_serial == serial for one in self._maker.store.of_kinds([CertificateType.SUB_CA_TLS]))

    def _adopt(
        self,
        new: Sequence[_Member],
        above: Mapping[_Member, _Member],
        keys: Mapping[_Member, ec.EllipticCurvePrivateKey],
        subject: str,
    ) -> tuple[StoredCertificate, ...]:
        if not new:
            return ()
        certificates = tuple(self._stored(member, above[member], keys.get(member)) for member in new)
        intents = [_intent(one, member.certificate) for one, member in zip(certificates, new, strict=True)]
        detail = {"certificates": {one.serial: hashlib.sha256(one.der).hexdigest() for one in certificates}}
        entry = AuditEntry(action="sub-ca-install", outcome="done", subject=subject, detail=detail)
        self._maker.store.adopt(intents, certificates, entry)
        return certificates

    def _stored(self, member: _Member, issuer: _Member, key: ec.EllipticCurvePrivateKey | None) -> StoredCertificate:
        certificate, name = member.certificate, member.name
        return StoredCertificate(
            serial=serial_text(certificate.serial_number),
            issuer_serial=None if issuer is member else serial_text(issuer.certificate.serial_number),
            kind=member.kind.value,
            purpose=member.purpose,
            subject_cn=name.common_name,
            subject_key=name.key(),
            dn_serial=name.serial_number,
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            key_hash=key_hash(member.key),
            key_use_end=self._key_use_end(member),
            token_key_id=self._maker.key_id(key).hex() if key else None,
            generation=self._window(member).generation,
            der=certificate.public_bytes(Encoding.DER),
        )

    def _window(self, member: _Member) -> Window:
        """The generation of a key: the newest on its curve; the lint has seen that there is one."""
        windows = self._maker.policy.algorithms[self._maker.policy.certificates[member.kind].algorithm.value]
        return [window for window in windows if window.curve == member.key.curve.name][-1]

    def _key_use_end(self, member: _Member) -> datetime:
        start, end = member.certificate.not_valid_before_utc, member.certificate.not_valid_after_utc
        return key_use_end(self._maker.policy, member.kind, start, end)


def _read(pem: bytes) -> Iterator[x509.Certificate]:
    """The certificates of a PEM file, each once."""
    try:
        found = dict.fromkeys(x509.load_pem_x509_certificates(pem))
    except ValueError:
        raise _refused("bundle", "it is no PEM file with certificates") from None
    if len(found) > _MOST:
        raise _refused("bundle", f"there are {len(found)} certificates, more than {_MOST}")
    return iter(found)


def _only(bundle: Collection[_Member], kind: CertificateType) -> _Member:
    found = [member for member in bundle if member.kind is kind]
    if len(found) != 1:
        raise _refused("bundle", f"there are {len(found)} {kind} certificates, not one")
    return found[0]


def _intent(stored: StoredCertificate, certificate: x509.Certificate) -> Intent:
    return Intent(
        serial=stored.serial,
        tbs_hash=hashlib.sha256(certificate.tbs_certificate_bytes).hexdigest(),
        issuer_serial=stored.issuer_serial,
        kind=stored.kind,
        purpose=stored.purpose,
        subject_key=stored.subject_key,
        dn_serial=stored.dn_serial,
        key_hash=stored.key_hash,
        key_scope=key_scope(CertificateType(stored.kind)),
    )


def _alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def _fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(SHA256()).hex()


def _refused(rule: str, message: str, where: str = "bundle") -> IssuingError:
    hint = "let the root's operator write it anew: smpki issue-sub-ca --request FILE --out DIR"
    return IssuingError(f"issuing.install.{rule}", message, where=where, hint=hint)
