"""What a ceremony's file says is held against policy and PKI, before anything is made."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from smpki.ca.ceremony_file import CeremonyFile, PlannedKey, RootStep, SubCaStep
from smpki.ca.home import Settings
from smpki.ca.making import Holder, contact_of
from smpki.ca.pki import Pki
from smpki.ca.roots import RootHolders
from smpki.ca.store.lists import Lists
from smpki.ca.store.records import StoredCertificate
from smpki.ca.sub_cas import SubCaHolders, SubCaOrder, sub_ca_name
from smpki.errors import IssuingError, SmpkiError
from smpki.policy.decide import generation_for
from smpki.policy.document import Complaint, YamlPath
from smpki.policy.model import CertificateType, Policy

Numbers = Mapping[str, int]
"""The highest DN serialNumber of each root and Sub-CA, by CN."""

ReadFile = Callable[[str], bytes]
"""Reads a file that the ceremony's file names."""


@dataclass(frozen=True)
class Situation:
    """The PKI that a ceremony meets.

    :param settings: of its home; of the one to be made where there is none
    :param policy_sha256: of the policy's file, hexadecimal
    """

    settings: Settings
    policy: Policy
    policy_sha256: str
    numbers: Numbers = field(default_factory=dict)


@dataclass(frozen=True)
class PlannedStep:
    """A step whose file says just what will come of it.

    :param place: 1 for the first
    :param requests: those of a Sub-CA that keeps its keys itself
    """

    place: int
    spec: RootStep | SubCaStep
    requests: bytes | None = field(default=None, repr=False)

    @property
    def title(self) -> str:
        """What is made, in words."""
        whose = f" {self.spec.organisation}.CA" if isinstance(self.spec, SubCaStep) else ""
        elsewhere = ", keys elsewhere" if self.requests is not None else ""
        return f"{self.spec.make.replace('-renewal', ' renewal')}{whose}, generation {self.spec.generation}{elsewhere}"

    def make(self, pki: Pki) -> tuple[StoredCertificate, ...]:
        """Do it.

        :raises SmpkiError: what policy, token or store refuse
        """
        if isinstance(self.spec, RootStep):
            make = pki.create_root if self.spec.make == "root" else pki.renew_root
            return make(self.spec.generation)
        order = _order(self.spec)
        return pki.create_sub_ca(order) if self.requests is None else pki.certify_sub_ca(order, self.requests)


def numbers_of(store: Lists) -> Numbers:
    """The numbers of the roots and Sub-CAs that there are."""
    found = sorted(store.of_kinds([CertificateType.ROOT, CertificateType.SUB_CA]), key=lambda one: one.dn_serial or 0)
    return {one.subject_cn: one.dn_serial or 0 for one in found}


def plan(file: CeremonyFile, situation: Situation, now: datetime, read: ReadFile) -> tuple[PlannedStep, ...]:
    """Hold the file against the PKI: environment, token, policy, and every key of every step.

    :param now: timezone-aware
    :raises IssuingError: ``ceremony.differs``; ``where`` is the line that says something else
    :raises SmpkiError: what ``read`` raises
    """
    complaints = list(_settings_differ(file, situation))
    numbers, steps = dict(situation.numbers), []
    for index, spec in enumerate(file.ceremony.steps):
        path: YamlPath = ("steps", index)
        requests = None
        if isinstance(spec, SubCaStep) and spec.requests is not None:
            requests = read(spec.requests.file)
            if hashlib.sha256(requests).hexdigest() != spec.requests.sha256:
                complaints.append(((*path, "requests", "sha256"), f"{spec.requests.file} is another file"))
        steps.append(PlannedStep(index + 1, spec, requests))
        try:
            holders = _holders(spec, situation, numbers)
            due = [_key(holder, situation, now) for holder in holders]
        except SmpkiError as error:
            complaints.append((path, error.message))
            continue
        complaints += _keys_differ(path, spec.keys, due)
    if complaints:
        raise file.differs(complaints)
    return tuple(steps)


def _settings_differ(file: CeremonyFile, situation: Situation) -> Iterator[Complaint]:
    ceremony, settings = file.ceremony, situation.settings
    for path, said, is_so in (
        (("environment",), ceremony.environment, settings.environment),
        (("token", "label"), ceremony.token.label, settings.token),
        (("token", "module"), ceremony.token.module, settings.module),
        (("policy_sha256",), ceremony.policy_sha256 or situation.policy_sha256, situation.policy_sha256),
    ):
        if said != is_so:
            yield path, f"the PKI's is {is_so or 'SoftHSM'}, the file says {said or 'SoftHSM'}"


def _holders(spec: RootStep | SubCaStep, situation: Situation, numbers: dict[str, int]) -> tuple[Holder, ...]:
    """Whose keys a step makes or certifies; ``numbers`` is brought up to what they are after it."""
    rules = situation.policy.environments[situation.settings.environment]
    root = rules.root_common_name.value
    if isinstance(spec, RootStep):
        number = _next_number(root, numbers, renewal=spec.make == "root-renewal")
        return tuple(RootHolders.of(rules, number, spec.generation))
    if root not in numbers:
        raise _cant(f"there is no root {root} to sign it")
    order = _order(spec)
    name = sub_ca_name(order, rules.organization.value, 1)
    name = name.with_serial_number(_next_number(name.common_name, numbers, renewal=order.renew))
    holders = SubCaHolders.of(name, contact_of(spec.email, spec.uri), spec.generation)
    return tuple(holders) if spec.requests is None else (holders.sub_ca, holders.tls_to_root)


def _next_number(common_name: str, numbers: dict[str, int], *, renewal: bool) -> int:
    if renewal and common_name not in numbers:
        raise _cant(f"there is no {common_name} to be renewed")
    if not renewal and common_name in numbers:
        raise _cant(f"there is a {common_name}, number {numbers[common_name]}")
    numbers[common_name] = numbers.get(common_name, 0) + 1
    return numbers[common_name]


def _order(spec: SubCaStep) -> SubCaOrder:
    renew = spec.make == "sub-ca-renewal"
    return SubCaOrder(spec.organisation, spec.country, spec.email, spec.uri, spec.generation, renew)


def _key(holder: Holder, situation: Situation, now: datetime) -> PlannedKey:
    environment = situation.settings.environment
    window = generation_for(situation.policy, holder.kind, now.date(), environment, named=holder.generation)
    return PlannedKey(
        type=holder.kind,
        common_name=holder.name.common_name,
        number=holder.name.serial_number,
        curve=window.curve,
        hash=window.hash,
    )


def _keys_differ(path: YamlPath, said: Sequence[PlannedKey], due: Sequence[PlannedKey]) -> Iterator[Complaint]:
    missing = {(key.type, key.common_name): key for key in due}
    for index, key in enumerate(said):
        place: YamlPath = (*path, "keys", index)
        would_be = missing.pop((key.type, key.common_name), None)
        if would_be is None:
            yield place, f"no such key comes of this step, or it stands here twice: {key.type} {key.common_name}"
            continue
        for field_name in ("number", "curve", "hash"):
            if getattr(key, field_name) != getattr(would_be, field_name):
                yield (*place, field_name), f"it would be {getattr(would_be, field_name)}"
    for key in missing.values():
        yield (*path, "keys"), f"the key of {key.type} {key.common_name} would come of it too, and is not in the file"


def _cant(message: str) -> IssuingError:
    return IssuingError("ceremony.differs", message)
