"""The gateway's security module (Sicherheitsmodul): random numbers, keys in slots, signatures, key agreement, anchors.

What TR-03109-2 has a chip do a PKCS#11 token does here, or memory in its place: see :mod:`smpki.hsm.vault`, and
docs/security-module.md for what differs. Private keys don't leave it; what works with them gets handles.
"""

import enum
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from smpki.errors import GatewayError
from smpki.gateway.agreement import agree, check_curve
from smpki.gateway.module_contents import Activation, Contents, HeldKey, key_label, record_label
from smpki.gateway.module_vault import ModuleVault
from smpki.gateway.slot_certificate import check_one_holder, check_slot_certificate
from smpki.gateway.slots import Group, Slot
from smpki.gateway.trust_anchors import AnchorRole, TrustAnchor, read_anchors
from smpki.hsm.key import TokenKey
from smpki.hsm.vault import Ephemeral, ObjectKind, StoredObject, Vault
from smpki.requests.keys import KeyTriple
from smpki.requests.model import Purpose
from smpki.tls.identity import Identity, ProviderKey
from smpki.tls.provider import key_uri

MOST_RANDOM = 1024
"""Octets that :meth:`SecurityModule.random` gives at once."""

_NAME = re.compile("[a-z0-9][a-z0-9-]{0,30}")
_NONE: Mapping[Slot, x509.Certificate] = {}


class SlotState(enum.Enum):
    """How far a slot is."""

    EMPTY = "empty"
    KEY = "key"
    """It has a key without a certificate."""
    READY = "ready"
    """It has both."""


@dataclass(frozen=True)
class Credential:
    """A key with its certificate.

    :param key: a handle
    """

    key: TokenKey
    certificate: x509.Certificate


class SecurityModule:
    """One gateway's keys; a context manager. The vault stays its opener's to close.

    Threads may share it. Only one at a time, in all processes of the computer, has a module of a name open in a vault;
    a forked copy refuses. Errors of the token (TokenError) come through as they are; what the module holds is looked
    up again after one.

    :param vault: where the keys are
    :param name: of this module among those that share the vault; small letters, digits and hyphens, up to 31
    :raises GatewayError: ``module.name``, ``module.record.unknown``
    :raises TokenError: ``token.claimed``, or what the vault refuses
    """

    def __init__(self, vault: Vault, *, name: str = "smgw") -> None:
        if not _NAME.fullmatch(name):
            raise GatewayError(
                "module.name",
                f"{name!r} can't name a security module",
                where="name",
                hint="up to 31 small letters, digits and hyphens",
            )
        self._part = ModuleVault(vault, name)

    def random(self, octets: int) -> bytes:
        """Random octets of the token's generator; its class (DRG.4, PTG.3, NTG.1) is the token's affair.

        :param octets: 1 to :data:`MOST_RANDOM`
        :raises GatewayError: ``module.random.length``
        """
        if not 1 <= octets <= MOST_RANDOM:
            raise GatewayError(
                "module.random.length",
                f"{octets} random octets are asked for",
                where="octets",
                hint=f"ask for 1 to {MOST_RANDOM} at once",
            )
        self._part.check()
        return self._part.vault.random(octets)

    def generate(self, slot: Slot, curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePublicKey:
        """Make a key pair in a next slot; one that is there is destroyed, with its certificate.

        :param curve: one of :attr:`Slot.curves`; brainpoolP256r1 by default
        :raises GatewayError: ``module.slot.current``, ``module.curve``
        """
        self._check_next(slot)
        name = curve.name if curve else next(iter(slot.curves))
        if name not in slot.curves:
            raise GatewayError(
                "module.curve",
                f"no keys are made on {name} for this slot",
                where=slot.value,
                hint=f"choose one of {', '.join(slot.curves)} (TR-03116-3)",
            )
        with self._part.changing() as contents:
            former = contents.held(slot)
            label = key_label(self._part.name, slot, contents.unused_number(slot))
            # the new one first: where the token has no room for it, the former one stays
            key = self._part.generate(label, slot, slot.curves[name])
            self._part.destroy([former] if former else [])
        return key.public_key()

    def generate_missing(self, group: Group = Group.WAN) -> None:
        """Make a key pair in each next slot of a group that has none, or has but half of one.

        A second time it does nothing: keys that somebody may have asked certificates for stay.
        """
        with self._part.changing() as contents:
            for slot in group.slots:
                held = contents.held(slot.next)
                if held is None or not self._part.is_whole(held):
                    label = key_label(self._part.name, slot, contents.unused_number(slot))
                    self._part.generate(label, slot, next(iter(slot.curves.values())))
                    self._part.destroy([held] if held else [])

    def install(self, slot: Slot, certificate: x509.Certificate) -> None:
        """Put the certificate of a next slot's key beside it, for good; the same one again does nothing.

        :raises GatewayError: ``module.slot.current``, ``module.slot.empty``, ``module.slot.certified`` (another is
            installed), ``module.certificate.unreadable``, ``.key`` or ``.usage``
        """
        self._check_next(slot)
        with self._part.changing() as contents:
            held = self._held(contents, slot)
            self._part.store(self._to_install(held, slot, certificate))

    def activate(
        self,
        group: Group = Group.WAN,
        certificates: Mapping[Slot, x509.Certificate] = _NONE,
        anchors: Iterable[TrustAnchor] = (),
    ) -> None:
        """Make the next keys of a group current, all of them by one write; the current ones become former ones.

        However it is interrupted, either the old keys are current or the new ones.

        :param certificates: to be installed before, by next slot, as :meth:`install` does
        :param anchors: to be trusted before, as :meth:`add_anchor` does
        :raises GatewayError: ``module.slot.empty``, ``module.slot.uncertified``, ``module.certificate.key``,
            ``.usage`` or ``.holder``; as :meth:`install` and :meth:`add_anchor`
        """
        wanted = _checked(anchors)
        with self._part.changing() as contents:
            holders, numbers, missing = {}, {}, []
            for slot in group.slots:
                held = self._held(contents, slot.next)
                certificate = certificates.get(slot.next) or self._certificate(held, slot.next)
                missing += self._to_install(held, slot.next, certificate)
                holders[slot.next], numbers[slot] = certificate, held.number
            check_one_holder(holders)
            missing += self._to_trust(wanted)
            if missing:
                self._part.store(missing)
                self._part.vault.settle()  # before, and not after, they count
            activation = Activation(group, contents.sequence(group) + 1, numbers)
            self._part.store([StoredObject(ObjectKind.RECORD, record_label(self._part.name), activation.to_bytes())])

    def retire(self, group: Group = Group.WAN) -> None:
        """Destroy the former keys of a group, with their certificates.

        Nothing else does: messages that are under way may still need the former ENC key.
        """
        with self._part.changing() as contents:
            for slot in group.slots:
                self._part.destroy(contents.former(slot))

    def state(self, slot: Slot) -> SlotState:
        """How far a slot is.

        :raises GatewayError: ``module.slot.damaged``
        """
        with self._part.reading() as contents:
            held = contents.held(slot)
        if held is None:
            return SlotState.EMPTY
        return SlotState.KEY if held.certificate is None else SlotState.READY

    def key(self, slot: Slot) -> TokenKey:
        """A handle of the key in a slot: signs and agrees like pyca's own keys. It stays with that key, not the slot.

        :raises GatewayError: ``module.slot.empty``, ``module.slot.damaged``
        """
        with self._part.reading() as contents:
            return self._part.handle(self._held(contents, slot))

    def certificate(self, slot: Slot) -> x509.Certificate:
        """The certificate in a slot.

        :raises GatewayError: ``module.slot.empty``, ``module.slot.uncertified``, ``module.slot.damaged``
        """
        with self._part.reading() as contents:
            return self._certificate(self._held(contents, slot), slot)

    def credentials(self, slot: Slot) -> tuple[Credential, ...]:
        """Key and certificate of a current slot, then those that were current before, the youngest first.

        For a recipient who finds his key by the identifier in the message.

        :raises GatewayError: ``module.slot.damaged``
        """
        with self._part.reading() as contents:
            current = contents.held(slot.current)
            held = [*([current] if current else []), *contents.former(slot)]
            return tuple(Credential(self._part.handle(each), each.certificate) for each in held if each.certificate)

    def next_triple(self) -> KeyTriple:
        """Handles of the three next WAN keys, for a request package.

        :raises GatewayError: ``module.slot.empty``
        """
        return KeyTriple(*(self.key(slot.next) for slot in Group.WAN.slots))

    def tls_identity(self, slot: Slot, issuers: Sequence[x509.Certificate] = ()) -> Identity:
        """What TLS needs to be the gateway, with the key of a TLS slot. Ask again after :meth:`activate`.

        :param issuers: certificates to send along, that of the issuing Sub-CA first
        :raises GatewayError: ``module.use``, ``module.slot.empty``, ``module.slot.uncertified``
        """
        self._check_purpose(slot, Purpose.TLS)
        with self._part.reading() as contents:
            held = self._held(contents, slot)
            certificate, key = self._certificate(held, slot), self._part.handle(held)
        in_memory = self._part.vault.tls_key(key)
        uri = key_uri(self._part.vault.label, key.info.label)
        return Identity((certificate, *issuers), ProviderKey(uri) if in_memory is None else in_memory)

    def sign(self, slot: Slot, data: bytes, hash: hashes.HashAlgorithm | None = None) -> bytes:
        """An ECDSA signature (BSI TR-03111 4.2.1) by the key of a SIG or TLS slot.

        :param hash: SHA-256 by default
        :returns: DER SEQUENCE of r and s
        :raises GatewayError: ``module.use``, ``module.slot.empty``
        """
        self._check_purpose(slot, Purpose.SIG, Purpose.TLS)
        return self.key(slot).sign(data, ec.ECDSA(hash or hashes.SHA256()))

    def agree(self, slot: Slot, peer: ec.EllipticCurvePublicKey | bytes) -> bytes:
        """ECKA-EG as the recipient (BSI TR-03111 4.3.2.2): the shared secret of an ENC slot's key and the sender's.

        :param peer: the sender's ephemeral key, or its DER SubjectPublicKeyInfo
        :returns: the x-coordinate of the shared point; key derivation is the caller's
        :raises GatewayError: ``module.use``, ``module.slot.empty``, ``agreement.*``, see
            :func:`smpki.gateway.agreement.agree`
        """
        self._check_purpose(slot, Purpose.ENC)
        return agree(self.key(slot), peer)

    def agree_once(self, peer: ec.EllipticCurvePublicKey) -> Ephemeral:
        """ECKA-EG as the sender: a key pair for this one message, and its shared secret with the recipient's key.

        :raises GatewayError: ``agreement.curve``
        """
        self._part.check()
        check_curve(peer)
        return self._part.vault.agree_once(peer)

    def anchors(self, role: AnchorRole | None = None) -> tuple[TrustAnchor, ...]:
        """The trust anchors, all or those of one role."""
        self._part.check()
        found = read_anchors(self._part.name, self._part.vault.objects())
        return tuple(anchor for anchor in found if role in (None, anchor.role))

    def add_anchor(self, *anchors: TrustAnchor) -> None:
        """Trust certificates from now on; one that is trusted already makes no difference.

        :raises GatewayError: as :meth:`TrustAnchor.check`
        """
        wanted = _checked(anchors)
        with self._part.changing():
            self._part.store(self._to_trust(wanted))

    def remove_anchor(self, anchor: TrustAnchor) -> None:
        """Trust a certificate no longer.

        :raises GatewayError: ``module.anchor.missing``
        """
        with self._part.changing():
            if anchor not in self.anchors():
                raise GatewayError(
                    "module.anchor.missing",
                    "this certificate is not trusted",
                    where=anchor.role.value,
                    hint="look at the list of trust anchors",
                )
            self._part.vault.drop(anchor.stored(self._part.name))

    def close(self) -> None:
        """Let others open the module; a second time does nothing. Handles work on, as long as the vault is open."""
        self._part.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _to_trust(self, anchors: Collection[TrustAnchor]) -> list[StoredObject]:
        """What is to be stored so that certificates are trusted."""
        known = self.anchors() if anchors else ()
        return [anchor.stored(self._part.name) for anchor in anchors if anchor not in known]

    def _to_install(self, held: HeldKey, slot: Slot, certificate: x509.Certificate) -> list[StoredObject]:
        """What is to be stored so that a key has its certificate."""
        check_slot_certificate(slot, certificate, self._part.handle(held).public_key())
        if held.certificate is None:
            value = certificate.public_bytes(Encoding.DER)
            return [StoredObject(ObjectKind.CERTIFICATE, held.info.label, value, held.info.key_id)]
        if held.certificate == certificate:
            return []
        raise GatewayError(
            "module.slot.certified",
            "another certificate is installed for this key",
            where=slot.value,
            hint="a key gets one certificate; make a new key to have another",
        )

    @staticmethod
    def _held(contents: Contents, slot: Slot) -> HeldKey:
        held = contents.held(slot)
        if held is None:
            hint = "make one" if slot.is_next else "make a next key, install its certificate, activate"
            raise GatewayError("module.slot.empty", "there is no key in this slot", where=slot.value, hint=hint)
        return held

    @staticmethod
    def _certificate(held: HeldKey, slot: Slot) -> x509.Certificate:
        if held.certificate is None:
            raise GatewayError(
                "module.slot.uncertified",
                "the key in this slot has no certificate",
                where=slot.value,
                hint="request one, then install it",
            )
        return held.certificate

    @staticmethod
    def _check_next(slot: Slot) -> None:
        if not slot.is_next:
            raise GatewayError(
                "module.slot.current",
                "the key in use is never replaced in place",
                where=slot.value,
                hint=f"use {slot.next.value}, then activate",
            )

    @staticmethod
    def _check_purpose(slot: Slot, *purposes: Purpose) -> None:
        if slot.purpose not in purposes:
            allowed = " or ".join(purpose.value.upper() for purpose in purposes)
            raise GatewayError(
                "module.use", f"this takes the key of a slot for {allowed}", where=slot.value, hint="name such a slot"
            )


def _checked(anchors: Iterable[TrustAnchor]) -> tuple[TrustAnchor, ...]:
    found = tuple(anchors)
    for anchor in found:
        anchor.check()
    return found
