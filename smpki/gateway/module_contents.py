"""What a vault holds of one security module: keys by slot, their certificates, and which of them are current.

Keys of a slot are numbered from 1; label and number are the CKA_LABEL of both halves and of the certificate, which has
the key's CKA_ID too. An :class:`Activation` is a record that says which numbers are current. Higher numbers are next
(the highest) or left over (the others); lower ones are former keys. Nothing that is stored is ever changed: the record
with the highest sequence counts, so that one write moves all keys of a group.
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from cryptography import x509

from smpki.errors import GatewayError
from smpki.gateway.slots import Group, Slot
from smpki.hsm.key import KeyInfo
from smpki.hsm.vault import ObjectKind, StoredObject

_DIGEST = 32
_VERSION = 1
_CURRENT = tuple(slot for slot in Slot if not slot.is_next)
_KEY_LABEL = re.compile(rf"(?P<name>[^ ]+) (?P<slot>{'|'.join(_CURRENT)}) (?P<number>[1-9][0-9]*)")


@dataclass(frozen=True)
class Activation:
    """The moment when keys became current.

    :param sequence: which one of the group it is, from 1
    :param numbers: number of the current key by (current) slot
    """

    group: Group
    sequence: int
    numbers: Mapping[Slot, int]

    def to_bytes(self) -> bytes:
        """As it is stored: SHA-256 of what follows, then JSON; a record that was cut is none."""
        numbers = {slot.value: number for slot, number in self.numbers.items()}
        value = {"version": _VERSION, "group": self.group.value, "sequence": self.sequence, "keys": numbers}
        body = json.dumps(value, sort_keys=True).encode()
        return hashlib.sha256(body).digest() + body

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> "Activation | None":
        """The record; ``None`` for what a crash left of one.

        :raises GatewayError: ``module.record.unknown``: it is whole, but not from this version
        """
        digest, body = data[:_DIGEST], data[_DIGEST:]
        if hashlib.sha256(body).digest() != digest:
            return None
        try:
            value = json.loads(body)
            group = Group(value["group"])
            if value["version"] != _VERSION or {*value["keys"]} != {*group.slots}:
                raise ValueError
            numbers = {Slot(slot): int(number) for slot, number in value["keys"].items()}
            return cls(group, int(value["sequence"]), numbers)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise GatewayError(
                "module.record.unknown",
                "the record of the current keys is from another version of smpki",
                where=where,
                hint="use that version",
            ) from None


@dataclass(frozen=True)
class HeldKey:
    """A key pair, and its certificate where that is installed.

    :param number: higher ones are younger
    """

    number: int
    info: KeyInfo
    certificate: x509.Certificate | None


@dataclass(frozen=True)
class Contents:
    """What is there.

    :param keys: by current slot, the oldest first
    :param activations: what is current, by group
    :param leftovers: objects that mean nothing (any more), as an interruption leaves them
    """

    keys: Mapping[Slot, Sequence[HeldKey]]
    activations: Mapping[Group, Activation]
    leftovers: Sequence[StoredObject]

    def sequence(self, group: Group) -> int:
        """How often keys of the group have become current."""
        activation = self.activations.get(group)
        return activation.sequence if activation else 0

    def number(self, slot: Slot) -> int:
        """The number of the current key; 0 while there is none."""
        activation = self.activations.get(slot.group)
        return activation.numbers[slot.current] if activation else 0

    def held(self, slot: Slot) -> HeldKey | None:
        """What is in a slot.

        :raises GatewayError: ``module.slot.damaged``: the current key is gone
        """
        number, keys = self.number(slot), self.keys[slot.current]
        if slot.is_next:
            return keys[-1] if keys and keys[-1].number > number else None
        for key in keys:
            if key.number == number:
                return key
        if number == 0:
            return None
        raise GatewayError(
            "module.slot.damaged",
            f"the current key (number {number}) is no longer in the token",
            where=slot.value,
            hint="restore the token from its backup",
        )

    def former(self, slot: Slot) -> Sequence[HeldKey]:
        """Keys that were current, the youngest first."""
        number = self.number(slot)
        return [key for key in reversed(self.keys[slot.current]) if key.number < number]

    def superseded(self, slot: Slot) -> Sequence[HeldKey]:
        """Keys in whose place another next one was made."""
        number = self.number(slot)
        return [key for key in self.keys[slot.current] if key.number > number][:-1]

    def unused_number(self, slot: Slot) -> int:
        """A number for a new key."""
        return max([self.number(slot), *(key.number for key in self.keys[slot.current])]) + 1


def key_label(name: str, slot: Slot, number: int) -> str:
    """The label of a slot's key in a module's vault."""
    return f"{name} {slot.current.value} {number}"


def record_label(name: str) -> str:
    """The label of a module's activations."""
    return f"{name} current"


def read_contents(name: str, keys: Iterable[KeyInfo], objects: Collection[StoredObject]) -> Contents:
    """Find what is a module's in a vault.

    :param name: the module's, which begins all its labels
    :raises GatewayError: ``module.record.unknown``
    """
    numbered = [(*found, info) for info in keys if (found := _slot_and_number(name, info.label))]
    certificates, left_certificates = _certificates(name, objects, {info.key_id for _, _, info in numbered})
    activations, left_records = _activations(name, objects)
    held: dict[Slot, list[HeldKey]] = {slot: [] for slot in _CURRENT}
    for slot, number, info in sorted(numbered, key=lambda each: each[1]):
        held[slot].append(HeldKey(number, info, certificates.get(info.key_id)))
    return Contents(held, activations, (*left_certificates, *left_records))


def _certificates(
    name: str, objects: Collection[StoredObject], known: Set[bytes]
) -> tuple[dict[bytes, x509.Certificate], list[StoredObject]]:
    """Certificates by the CKA_ID of their keys, and what is none or has no key."""
    ours = [each for each in objects if each.kind is ObjectKind.CERTIFICATE and _slot_and_number(name, each.label)]
    read = {each.key_id: certificate for each in ours if (certificate := _certificate(each)) and each.key_id in known}
    return read, [each for each in ours if each.key_id not in read]


def _activations(name: str, objects: Collection[StoredObject]) -> tuple[dict[Group, Activation], list[StoredObject]]:
    """What is current, and what was or never came to be."""
    ours = [each for each in objects if each.kind is ObjectKind.RECORD and each.label == record_label(name)]
    read = [(each, Activation.from_bytes(each.value, each.label)) for each in ours]
    whole = sorted((activation for _, activation in read if activation), key=lambda each: each.sequence)
    latest = {activation.group: activation for activation in whole}
    return latest, [each for each, activation in read if activation not in latest.values()]


def _slot_and_number(name: str, label: str) -> tuple[Slot, int] | None:
    """What :func:`key_label` put together."""
    parts = _KEY_LABEL.fullmatch(label)
    return (Slot(parts["slot"]), int(parts["number"])) if parts and parts["name"] == name else None


def _certificate(stored: StoredObject) -> x509.Certificate | None:
    try:
        return x509.load_der_x509_certificate(stored.value)
    except ValueError:
        return None
