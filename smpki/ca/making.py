"""The making of CAs: keys in the key store, plans for their certificates, one unit that issues them together."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.asn1.curves import CURVES
from smpki.ca.issuer import Issuer
from smpki.ca.permit import Permit, Preparer, key_hash
from smpki.ca.profile import Plan
from smpki.ca.serials import SerialNumbers
from smpki.ca.store.records import AuditEntry, StoredCertificate
from smpki.ca.store.store import Store
from smpki.ca.unit import Unit, issue_units
from smpki.errors import IssuingError, SmpkiError, StoreError, TokenError
from smpki.hsm.key import KeyUse
from smpki.hsm.keystore import KeyStore
from smpki.policy.decide import generation_for, key_use_end, validity
from smpki.policy.model import CertificateType, Environment, EnvironmentName, Policy, Window
from smpki.policy.names import DistinguishedName

NewKeys = list[ec.EllipticCurvePrivateKey]
"""The keys that were made for CAs that are not issued yet."""


@dataclass(frozen=True)
class Holder:
    """Who a CA's certificate is for.

    :param name: the subject
    :param contact: its SubjectAltName
    :param generation: of its key; ``None``: what the policy says today
    :param number: tells its key from those of earlier generations where the name has no serialNumber
    """

    kind: CertificateType
    name: DistinguishedName
    contact: x509.SubjectAlternativeName
    generation: str | None = None
    number: int = 1

    @property
    def key_label(self) -> str:
        """The label of the key: ``CN number type``."""
        return f"{self.name.common_name} {self.name.serial_number or self.number} {self.kind}"


class Maker:
    """Makes the certificates of CAs; what belongs together is issued together or not at all."""

    def __init__(
        self,
        policy: Policy,
        environment: EnvironmentName,
        *,
        store: Store,
        keys: KeyStore,
        preparer: Preparer,
        serials: SerialNumbers,
        clock: Callable[[], datetime],
    ) -> None:
        self.policy = policy
        self.environment = environment
        self.store = store
        self._keys = keys
        self._preparer = preparer
        self._serials = serials
        self._clock = clock

    @property
    def rules(self) -> Environment:
        """What the policy says of this PKI's environment: names and contact."""
        return self.policy.environments[self.environment]

    def now(self) -> datetime:
        """The time now."""
        return self._clock()

    @contextmanager
    def new_keys(self) -> Iterator[NewKeys]:
        """Keys of CAs that are being made: a refusal leaves none of them behind."""
        made: NewKeys = []
        try:
            yield made
        except SmpkiError:
            self._destroy_unused(made)
            raise

    def _destroy_unused(self, made: NewKeys) -> None:
        """Destroy keys that nobody certifies: another process may have taken them over, and been faster."""
        hashes = {key_hash(key.public_key()): key for key in made}
        with suppress(StoreError):  # nobody knows what the database took: the keys stay, and the next try finds them
            for unused in hashes.keys() - self.store.held_keys(hashes):
                with suppress(TokenError):
                    self._keys.destroy(hashes[unused])

    def self_signed(self, new: NewKeys, holder: Holder) -> tuple[Permit, Issuer]:
        """A root, ready to be signed, and the issuer that it will be."""
        window = self.window(holder)
        key = self.key(new, holder, window)
        plan = self._plan(holder, key.public_key(), None, window, self.key_id(key))
        permit = self._preparer.prepare_self_signed(plan, key, window.hash)
        return permit, Issuer(holder.kind, permit.unsigned, key, window.hash, plan.key_use_end)

    def below(self, new: NewKeys, issuer: Issuer, holder: Holder) -> tuple[Permit, Issuer]:
        """A certificate below ``issuer`` with a key of ours, and the issuer that its holder will be if it is a CA."""
        window = self.window(holder)
        key = self.key(new, holder, window)
        plan = self._plan(holder, key.public_key(), issuer, window, self.key_id(key))
        permit = self._preparer.prepare(plan, issuer)
        root = issuer.root or issuer.name
        return permit, Issuer(holder.kind, permit.unsigned, key, window.hash, plan.key_use_end, root)

    def for_key(self, issuer: Issuer, holder: Holder, public_key: ec.EllipticCurvePublicKey) -> Permit:
        """A certificate below ``issuer`` for a key that is not ours, or that has a certificate of its own already."""
        plan = self._plan(holder, public_key, issuer, self.window(holder), None)
        return self._preparer.prepare(plan, issuer)

    def window(self, holder: Holder) -> Window:
        """The generation of a holder's key.

        :raises PolicyError: ``policy.generation.*``
        """
        today = self._clock().date()
        return generation_for(self.policy, holder.kind, today, self.environment, named=holder.generation)

    def key(self, new: NewKeys, holder: Holder, window: Window) -> ec.EllipticCurvePrivateKey:
        """A new key; or the one that an earlier try made before it was interrupted, which nobody has certified.

        :raises TokenError: ``token.key.exists`` when a key on another curve has the label
        """
        label = holder.key_label
        try:
            new.append(self._keys.generate(label, CURVES[window.curve], KeyUse.SIGN))
            return new[-1]
        except TokenError as error:
            if error.code != "token.key.exists":
                raise
        key = self._keys.key(label=label)
        if key.curve.name != window.curve:
            raise TokenError(
                "token.key.exists",
                f"the token has a key {label!r} on {key.curve.name}, not on {window.curve}",
                where=label,
                hint="remove that key from the token, if nothing uses it",
            )
        return key

    def made_key(self, holder: Holder, public_key: ec.EllipticCurvePublicKey) -> ec.EllipticCurvePrivateKey:
        """The key that was made for a holder, to go with the certificate that somebody else issued for it.

        :raises IssuingError: ``issuing.key.foreign`` when the certificate is for another key
        """
        try:
            key = self._keys.key(label=holder.key_label)
        except TokenError as error:
            if error.code != "token.key.missing":
                raise
            key = None
        if key is None or key.public_key() != public_key:
            raise IssuingError(
                "issuing.key.foreign",
                "the certificate is for a key that was not made here",
                where=holder.key_label,
                hint="the requests have to come from this PKI's token: smpki sub-ca request",
            )
        return key

    def key_id(self, key: ec.EllipticCurvePrivateKey) -> bytes:
        """The CKA_ID of a key of ours."""
        return self._keys.key_id(key)

    def issue(self, action: str, name: str, permits: Sequence[Permit]) -> tuple[StoredCertificate, ...]:
        """Record, sign and store what was prepared, as one unit with one audit entry."""
        detail = {"serials": [permit.serial for permit in permits], "generation": permits[0].plan.generation}
        entry = AuditEntry(action=action, outcome="done", subject=name, detail=detail)
        (issued,) = issue_units(self.store, [Unit(tuple(permits), entry)])
        return issued.certificates

    def _plan(
        self,
        holder: Holder,
        public_key: ec.EllipticCurvePublicKey,
        issuer: Issuer | None,
        window: Window,
        token_key_id: bytes | None,
    ) -> Plan:
        end = issuer.certificate.not_valid_after_utc if issuer else None
        not_before, not_after = validity(self.policy, holder.kind, self._clock(), end)
        (purpose,) = self.policy.certificates[holder.kind].certificates
        return Plan(
            kind=holder.kind,
            purpose=purpose,
            subject=holder.name,
            public_key=public_key,
            serial=self._serials.next(),
            not_before=not_before,
            not_after=not_after,
            key_use_end=key_use_end(self.policy, holder.kind, not_before, not_after),
            alternative_names=holder.contact,
            generation=window.generation,
            token_key_id=token_key_id,
        )


def renamed(name: DistinguishedName, common_name: str) -> DistinguishedName:
    """The same name with another CN."""
    rest = tuple((short, value) for short, value in name.attributes if short != "CN")
    return replace(name, attributes=(("CN", common_name), *rest))


def contact_of(email: str, uri: str) -> x509.SubjectAlternativeName:
    """The SubjectAltName of a CA: mail address and URI.

    :raises IssuingError: ``issuing.contact``
    """
    try:
        return x509.SubjectAlternativeName([x509.RFC822Name(email), x509.UniformResourceIdentifier(uri)])
    except ValueError as error:
        message = f"the contact can't stand in a certificate: {error}"
        raise IssuingError("issuing.contact", message, where=f"{email}, {uri}", hint="write it in ASCII") from None


def with_host(contact: x509.SubjectAlternativeName) -> x509.SubjectAlternativeName:
    """The names of a CA's TLS certificate: its contact and the host of its URI.

    :raises IssuingError: ``issuing.contact``
    """
    uri = contact.get_values_for_type(x509.UniformResourceIdentifier)[0]
    try:
        host = urlsplit(uri).hostname
    except ValueError:
        host = None
    if not host:
        raise IssuingError("issuing.contact", "the URI has no host", where=uri, hint="such as https://ca.example/")
    return x509.SubjectAlternativeName([*contact, x509.DNSName(host)])
