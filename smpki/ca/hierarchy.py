"""The hierarchy: the root with its CRL signer, TLS signer and TLS certificate, and Sub-CAs below it."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.asn1.curves import CURVES
from smpki.ca.authorities import Authorities
from smpki.ca.issuer import Issuer
from smpki.ca.permit import Permit, Preparer
from smpki.ca.profile import Plan, crl_signer_name
from smpki.ca.serials import SerialNumbers
from smpki.ca.store.records import AuditEntry, StoredCertificate
from smpki.ca.store.store import Store
from smpki.ca.unit import Unit, issue_units
from smpki.errors import IssuingError, SmpkiError, StoreError, TokenError
from smpki.hsm.key import KeyUse
from smpki.hsm.keystore import KeyStore
from smpki.policy.decide import generation_for, key_use_end, validity
from smpki.policy.model import CertificateType, EnvironmentName, Policy, PurposeName, Window
from smpki.policy.names import CommonName, DistinguishedName


@dataclass(frozen=True)
class SubCaOrder:
    """A Sub-CA to be made.

    :param organisation: the name before ``.CA``
    :param email: contact for its certificates' SubjectAltName; ``None`` (test only): one below ``.example``
    :param uri: likewise; its certificates name it as their certification practice statement
    :param generation: of its key; ``None``: what the policy says today
    """

    organisation: str
    country: str = "DE"
    email: str | None = None
    uri: str | None = None
    generation: str | None = None


class Hierarchy:
    """Makes CAs. Their keys come from the key store, each under the label ``CN number type``."""

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
        self._policy = policy
        self._environment = environment
        self._store = store
        self._keys = keys
        self._preparer = preparer
        self._serials = serials
        self._clock = clock

    def create_root(self, generation: str | None = None) -> tuple[StoredCertificate, ...]:
        """Make the root, its CRL signer, its TLS signer and its TLS certificate, together or not at all.

        :param generation: of the keys; ``None``: what the policy says today
        :raises IssuingError: ``issuing.root.exists`` when the PKI has a root
        :raises PolicyError: when no window is open, or the generation is not allowed now
        """
        rules = self._policy.environments[self._environment]
        common_name = rules.root_common_name.value
        if self._store.authorities(kind=CertificateType.ROOT.value):
            raise IssuingError(
                "issuing.root.exists", f"there is a root {common_name}", where=common_name, hint="see smpki ca list"
            )
        name = DistinguishedName.of(CN=common_name, O=rules.organization.value, C=rules.country.value, serialNumber="1")
        contact = _contact(rules.contact_email.value, rules.contact_uri.value)
        with_host = _with_host(contact, rules.contact_uri.value)

        crl_name = crl_signer_name(name)
        signer_name, tls_name = (_renamed(name, f"{common_name}.{part}") for part in ("TLS-S", "TLS"))

        with self._new_keys() as new:
            root, issuer = self._root(new, name, contact, generation)
            crl_signer, _ = self._below(new, issuer, CertificateType.CRL_SIGNER, crl_name, contact, generation)
            tls_signer, signer = self._below(new, issuer, CertificateType.TLS_SIGNER, signer_name, contact, generation)
            tls, _ = self._below(new, signer, CertificateType.ROOT_TLS, tls_name, with_host)
            return self._issue("init", common_name, [root, crl_signer, tls_signer, tls])

    def create_sub_ca(self, order: SubCaOrder, authorities: Authorities) -> tuple[StoredCertificate, ...]:
        """Make a Sub-CA and its two TLS certificates (towards the root, towards end users), together or not at all.

        :raises IssuingError: ``issuing.sub_ca.exists``, ``issuing.sub_ca.contact``, ``issuing.issuer.*``
        :raises PolicyError: ``name.*`` for a name the scheme forbids, ``policy.*`` as :meth:`create_root`
        """
        common_name = str(CommonName(order.organisation, "CA"))
        if self._store.authorities(cn=common_name):
            raise IssuingError(
                "issuing.sub_ca.exists", f"there is a CA {common_name}", where=common_name, hint="see smpki ca list"
            )
        root, tls_signer, now = authorities.root(), authorities.tls_signer(), self._clock()
        root.check_usable(now)
        tls_signer.check_usable(now)
        email, uri = self._sub_ca_contact(order)
        organization = self._policy.environments[self._environment].organization.value
        name = DistinguishedName.of(CN=common_name, O=organization, C=order.country, serialNumber="1")
        tls_name = _renamed(name, f"{common_name}.TLS")
        contact = _contact(email, uri)
        with_host = _with_host(contact, uri)

        with self._new_keys() as new:
            sub_ca, issuer = self._below(new, root, CertificateType.SUB_CA, name, contact, order.generation)
            to_root, _ = self._below(new, tls_signer, CertificateType.SUB_CA_TLS_ROOT, tls_name, with_host)
            to_users, _ = self._below(new, issuer, CertificateType.SUB_CA_TLS, tls_name, with_host)
            return self._issue("issue-sub-ca", common_name, [sub_ca, to_root, to_users])

    def _sub_ca_contact(self, order: SubCaOrder) -> tuple[str, str]:
        if self._environment == "production" and not (order.email and order.uri):
            raise IssuingError(
                "issuing.sub_ca.contact",
                "a Sub-CA's certificate names its mail address and URI",
                where=order.organisation,
                hint="give --email and --uri",
            )
        host = re.sub("[^a-z0-9]+", "-", order.organisation.lower()).strip("-") or "sub-ca"
        return order.email or f"ca@{host}.example", order.uri or f"https://{host}.example/"

    @contextmanager
    def _new_keys(self) -> Iterator["_NewKeys"]:
        """Keys of a hierarchy that is being made: a refusal leaves none of them behind."""
        made: _NewKeys = []
        try:
            yield made
        except StoreError:
            raise  # nobody knows whether the database took it: the keys stay, and the next try finds them
        except SmpkiError:
            for key in made:
                with suppress(TokenError):
                    self._keys.destroy(key)
            raise

    def _root(
        self, new: "_NewKeys", name: DistinguishedName, contact: x509.SubjectAlternativeName, generation: str | None
    ) -> tuple[Permit, Issuer]:
        window = self._window(CertificateType.ROOT, generation)
        key = self._key(new, f"{name.common_name} {name.serial_number} {CertificateType.ROOT}", window)
        plan = self._plan(CertificateType.ROOT, "ca", name, key, None, contact, window)
        permit = self._preparer.prepare_self_signed(plan, key, window.hash)
        return permit, Issuer(CertificateType.ROOT, permit.unsigned, key, window.hash, plan.key_use_end)

    def _below(
        self,
        new: "_NewKeys",
        issuer: Issuer,
        kind: CertificateType,
        name: DistinguishedName,
        contact: x509.SubjectAlternativeName,
        generation: str | None = None,
    ) -> tuple[Permit, Issuer]:
        """A certificate below ``issuer``, and the issuer that its holder will be if it is a CA."""
        window = self._window(kind, generation)
        (purpose,) = self._policy.certificates[kind].certificates
        key = self._key(new, f"{name.common_name} {name.serial_number or 1} {kind}", window)
        plan = self._plan(kind, purpose, name, key, issuer, contact, window)
        permit = self._preparer.prepare(plan, issuer)
        return permit, Issuer(kind, permit.unsigned, key, window.hash, plan.key_use_end, issuer)

    def _window(self, kind: CertificateType, generation: str | None) -> Window:
        return generation_for(self._policy, kind, self._clock().date(), self._environment, named=generation)

    def _key(self, new: "_NewKeys", label: str, window: Window) -> ec.EllipticCurvePrivateKey:
        """A new key; or the one that an earlier try made before it was interrupted, which nobody has certified."""
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

    def _plan(
        self,
        kind: CertificateType,
        purpose: PurposeName,
        name: DistinguishedName,
        key: ec.EllipticCurvePrivateKey,
        issuer: Issuer | None,
        contact: x509.SubjectAlternativeName,
        window: Window,
    ) -> Plan:
        end = issuer.certificate.not_valid_after_utc if issuer else None
        not_before, not_after = validity(self._policy, kind, self._clock(), end)
        return Plan(
            kind=kind,
            purpose=purpose,
            subject=name,
            public_key=key.public_key(),
            serial=self._serials.next(),
            not_before=not_before,
            not_after=not_after,
            key_use_end=key_use_end(self._policy, kind, not_before, not_after),
            alternative_names=contact,
            generation=window.generation,
            token_key_id=self._keys.key_id(key),
        )

    def _issue(self, action: str, name: str, permits: list[Permit]) -> tuple[StoredCertificate, ...]:
        detail = {"serials": [permit.serial for permit in permits], "generation": permits[0].plan.generation}
        entry = AuditEntry(action=action, outcome="done", subject=name, detail=detail)
        (issued,) = issue_units(self._store, [Unit(tuple(permits), entry)])
        return issued.certificates


_NewKeys = list[ec.EllipticCurvePrivateKey]


def _renamed(name: DistinguishedName, common_name: str) -> DistinguishedName:
    rest = tuple((short, value) for short, value in name.attributes if short != "CN")
    return replace(name, attributes=(("CN", common_name), *rest))


def _contact(email: str, uri: str) -> x509.SubjectAlternativeName:
    try:
        return x509.SubjectAlternativeName([x509.RFC822Name(email), x509.UniformResourceIdentifier(uri)])
    except ValueError as error:
        message = f"the contact can't stand in a certificate: {error}"
        raise IssuingError("issuing.contact", message, where=f"{email}, {uri}", hint="write it in ASCII") from None


def _with_host(contact: x509.SubjectAlternativeName, uri: str) -> x509.SubjectAlternativeName:
    """The names of a TLS certificate: the contact and the URI's host."""
    host = urlsplit(uri).hostname
    if not host:
        raise IssuingError("issuing.contact", "the URI has no host", where=uri, hint="such as https://ca.example/")
    return x509.SubjectAlternativeName([*contact, x509.DNSName(host)])
