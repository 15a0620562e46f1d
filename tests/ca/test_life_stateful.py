"""Whatever is done to a PKI, in whatever order: nothing that must never be comes to be (Hypothesis, stateful).

The machine keeps a book of its own: which certificates there are and how each stands, from the answers of the PKI and
the rules alone. Valid and invalid attempts are mixed; what is refused must change nothing but the audit.
"""

import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from smpki.ca.store.crls import CrlScope
from smpki.ca.sub_cas import SubCaOrder
from smpki.ca.triples import Order
from smpki.errors import SmpkiError
from smpki.policy.names import DistinguishedName
from smpki.requests.build import RequestedNames, build_initial_package
from smpki.requests.build_signed import build_authorised_package, build_renewal_package
from smpki.requests.device_admin import build_device_admin_update
from smpki.requests.keys import KeyTriple, Signer
from smpki.requests.revocation import RevocationItem, build_revocation_request
from smpki.trust.question import Question
from smpki.trust.validate import validate

T = TypeVar("T")

PEOPLE = ("Eins.GWA", "Zwei.GWA", "Hersteller.GWH", "Eins.EMT", "Zwei.EMT")
GATEWAYS = ("EABC0012345678.SMGW", "EABC0087654321.SMGW")
ORGANISATIONS = ("Beispiel", "Zweite")
KINDS = {"GWA": "gwa", "GWH": "gwh", "EMT": "emt"}
CONTACT = RequestedNames("post@firma.example", "https://firma.example/", ("ws.firma.example",))
TO_REVOKE = ("key_compromise", "superseded", "unspecified", "cessation_of_operation", "privilege_withdrawn")
REASONS = (*TO_REVOKE, "certificate_hold", "remove_from_crl", "aa_compromise")
HOLD = ("certificate_hold", "certificate_hold", "remove_from_crl", "superseded")
CAS = ("sub-ca", "sub-ca", "crl-signer", "tls-signer", "link", "root")
WHILES = (timedelta(hours=1), timedelta(days=8), timedelta(days=29), timedelta(days=45), timedelta(days=300))

which = st.integers(0, 30)
"""One of a list, the newest first; a list that is shorter is gone through again."""


def pick(found: Sequence[T], number: int) -> T:
    return found[-1 - number % len(found)]


@dataclass(eq=False)
class Entry:
    """A certificate in the book.

    :param reason: why it is revoked, or ``certificate_hold``; empty while it is in force
    """

    certificate: x509.Certificate
    kind: str
    purpose: str
    package: bytes
    issuer: "Entry | None"
    reason: str = ""
    since: datetime | None = None
    until: datetime | None = None

    @property
    def serial(self) -> str:
        return f"{self.certificate.serial_number:x}"

    @cached_property
    def name(self) -> DistinguishedName:
        return DistinguishedName.from_x509(self.certificate.subject)

    @property
    def revoked(self) -> bool:
        return self.reason not in ("", "certificate_hold")

    @cached_property
    def begin(self) -> datetime:
        return self.certificate.not_valid_before_utc

    @cached_property
    def end(self) -> datetime:
        return self.certificate.not_valid_after_utc

    def holds(self, now: datetime) -> bool:
        return not self.reason and self.begin <= now <= self.end

    def take_back(self, reason: str, now: datetime, until: datetime | None = None) -> None:
        assert not self.revoked, "nothing revoked comes back, nor changes"
        assert now <= self.end
        self.since = self.since or now.replace(microsecond=0)
        self.reason, self.until = reason, until

    def give_back(self) -> None:
        assert self.reason == "certificate_hold"
        self.reason, self.since, self.until = "", None, None


@dataclass(eq=False)
class Triple:
    """What somebody holds.

    :param package: what it was issued for
    """

    subject: DistinguishedName
    keys: KeyTriple
    package: bytes
    entries: tuple[Entry, ...]

    @property
    def sig(self) -> Entry:
        return self.entries[1]

    @property
    def kind(self) -> str:
        return self.sig.kind

    @property
    def signer(self) -> Signer:
        return Signer(self.keys.sig, self.sig.certificate)

    @property
    def is_gateway(self) -> bool:
        return self.kind.startswith("smgw")


@dataclass
class Book:
    """What there must be.

    :param last_scheduled: thisUpdate of the newest scheduled CRL of each series; ``numbers``: the newest's number
    :param in_charge: administrators by the gateways' CN
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    triples: list[Triple] = field(default_factory=list)
    last_scheduled: dict[tuple[str, str], datetime] = field(default_factory=dict)
    numbers: dict[tuple[str, str], int] = field(default_factory=dict)
    in_charge: dict[str, str] = field(default_factory=dict)

    def add(self, stored: Any, now: datetime, package: bytes = b"") -> Entry:
        certificate = x509.load_der_x509_certificate(stored.der)
        issuer = self.entries.get(stored.issuer_serial or "")
        entry = Entry(certificate, stored.kind, stored.purpose, package, issuer)
        assert entry.serial == stored.serial
        assert entry.serial not in self.entries, "serial numbers are unique"
        if issuer is not None:
            certificate.verify_directly_issued_by(issuer.certificate)
            assert issuer.holds(now), "a CA that is revoked or not valid issues nothing"
            assert entry.end <= issuer.end
        self.entries[entry.serial] = entry
        return entry

    def of_kind(self, *kinds: str) -> list[Entry]:
        return [one for one in self.entries.values() if one.kind in kinds]

    def issued_by(self, *issuers: Entry) -> list[Entry]:
        return [one for one in self.entries.values() if one.issuer in issuers]

    def together(self, entry: Entry) -> list[Entry]:
        return [one for one in self.entries.values() if entry.package and one.package == entry.package] or [entry]


class Life(RuleBasedStateMachine):
    """A PKI with two Sub-CAs and a handful of participants."""

    def __init__(self, workshop: Any) -> None:
        super().__init__()
        self.workshop = workshop
        self.workshop.now += timedelta(milliseconds=250)
        self._open = ExitStack()
        self.pki = self._open.enter_context(workshop.open())
        self.book = Book()
        for stored in self.pki.store.page().certificates:
            self.book.add(self.pki.store.get(stored.serial), self.now)

    @property
    def now(self) -> datetime:
        now: datetime = self.workshop.now
        return now

    # What is done

    @initialize()
    def people_come(self) -> None:
        """So that there is somebody from the start who can authorise, and a gateway."""
        self.make_a_sub_ca("Zweite", renew=False)
        self.settle(list(PEOPLE[:4]), "Beispiel", again=False, old_keys=None)
        self.make_gateway(GATEWAYS[0], "Eins.GWA", "Zweite", 0, again=False)

    @rule(
        who=st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=2),
        ca=st.sampled_from(ORGANISATIONS),
        again=st.booleans(),
        old_keys=st.none() | which,
    )
    def settle(self, who: list[str], ca: str, again: bool, old_keys: int | None) -> None:
        """First packages or further ones, several at once, of one subject too; with new keys or certified ones."""
        drafts = []
        for cn in who:
            ou = "9900000000001" if cn.endswith("EMT") else None
            drafts.append(self._draft(cn, ou, 1, old_keys))
        self._issue(drafts, ca, again=again)

    @rule(
        cn=st.sampled_from(GATEWAYS),
        ou=st.sampled_from(("", "Eins.GWA", "Zwei.GWA")),
        ca=st.sampled_from(ORGANISATIONS),
        authority=st.none() | which,
        again=st.booleans(),
    )
    def make_gateway(self, cn: str, ou: str, ca: str, authority: int | None, again: bool) -> None:
        """A Guetesiegel (no OU given) or a Wirk package; authorised, unauthorised, or authorised by the wrong one."""
        subject, keys, package = self._draft(cn, ou or "Hersteller GmbH", int(bool(ou)), None)
        self._issue([(subject, keys, self._authorised(package, subject, authority))], ca, again=again)

    @rule(
        number=which,
        ca=st.sampled_from(ORGANISATIONS),
        authority=st.none() | which,
        again=st.booleans(),
        old_keys=st.sampled_from((False, False, True)),
        wait=st.booleans(),
        ou=st.sampled_from(("", "Eins.GWA", "Zwei.GWA")),
    )
    def renew(
        self, number: int, ca: str, authority: int | None, again: bool, old_keys: bool, wait: bool, ou: str
    ) -> None:
        """With the newest SIG key or an older one; in the window (for which it can wait) or not."""
        old = pick(self.book.triples, number)
        if wait:
            self.workshop.now = max(self.now, old.sig.end - timedelta(days=60))
        subject, keys = old.subject, old.keys if old_keys else new_keys()
        if ou and old.kind == "smgw-w":
            subject = DistinguishedName.of(**dict(subject.attributes) | {"OU": ou})
        names = RequestedNames() if old.is_gateway else CONTACT
        package = build_renewal_package(subject.to_x509(), keys, names, old.signer)
        now, was_in_force = self.now, old.sig.holds(self.now)
        newer = [one for one in self.book.triples if (one.kind, one.sig.name.key()) == (old.kind, old.sig.name.key())]
        package = self._authorised(package, subject, authority if old.is_gateway else None)
        for _ in self._issue([(subject, keys, package)], ca, again=again):
            assert was_in_force, "only a key that is in force renews"
            assert newer[-1] is old, "only the newest triple is renewed"
            assert now >= old.sig.end - timedelta(days=90), "not before its time"

    @rule(number=which, ca=st.sampled_from(ORGANISATIONS))
    def bring_the_same_again(self, number: int, ca: str) -> None:
        triple = pick(self.book.triples, number)
        outcome = self._attempt(lambda: self.pki.issue([Order("the same", triple.package)], f"{ca}.CA"))
        if outcome is not None:
            (outcome,) = outcome
            assert outcome.state == "known"
            assert [one.serial for one in outcome.certificates] == [one.serial for one in triple.entries]

    @rule(number=which, purpose=st.integers(0, 2), reason=st.sampled_from(REASONS), triple=st.none() | st.booleans())
    def take_back(self, number: int, purpose: int, reason: str, triple: bool | None) -> None:
        """The operator revokes, suspends or resumes."""
        entry = pick(self.book.triples, number).entries[purpose]
        self._take_back(entry, reason, triple)

    @rule(kind=st.sampled_from(CAS), number=which, reason=st.sampled_from((*TO_REVOKE, "certificate_hold")))
    def take_a_ca_back(self, kind: str, number: int, reason: str) -> None:
        if found := self.book.of_kind(kind):
            self._take_back(pick(found, number), reason, None)

    @rule(number=which, reason=st.sampled_from(HOLD))
    def suspend_or_resume_a_gateway(self, number: int, reason: str) -> None:
        gateways = [one for one in self.book.triples if one.is_gateway]
        self._take_back(pick(gateways, number).sig, reason, None)

    @rule(sender=which, number=which, reason=st.sampled_from(REASONS))
    def ask_to_take_back(self, sender: int, number: int, reason: str) -> None:
        """By a signed request, of somebody entitled or not."""
        target = pick(self.book.triples, number)
        if target.kind == "smgw-w":
            entitled = self.book.in_charge[target.subject.common_name]
        else:
            entitled = "Hersteller.GWH" if target.is_gateway else target.subject.common_name
        asking = self._somebody(entitled, sender)
        item = RevocationItem(target.sig.certificate.issuer, target.sig.certificate.serial_number, reason)  # type: ignore[arg-type]
        request = build_revocation_request([item], asking.signer)
        was_in_force = asking.sig.holds(self.now)
        done = self._attempt(lambda: self.pki.process(request, "request").taken_back)
        if done is not None:
            assert was_in_force
            if target.kind == "smgw-w":
                assert asking.sig.name.common_name == self.book.in_charge[target.subject.common_name]
            elif target.kind == "smgw-g":
                assert asking.kind == "gwh"
            else:
                assert asking.sig.name.key() == target.sig.name.key()
            self._enter(target.sig, reason, None, done)

    @rule(
        sender=which,
        gateways=st.lists(st.sampled_from(GATEWAYS), min_size=1, unique=True),
        to=st.sampled_from(PEOPLE[:2]),
    )
    def hand_over(self, sender: int, gateways: list[str], to: str) -> None:
        """UpdateDeviceAdmin, by the administrator in charge or by another."""
        asking = self._somebody(self.book.in_charge.get(gateways[0], ""), sender)
        request = build_device_admin_update(gateways, to, asking.signer)
        was_in_force = asking.sig.holds(self.now)
        if self._attempt(lambda: self.pki.process(request, "request")) is not None:
            assert was_in_force
            for gateway in gateways:
                assert self.book.in_charge[gateway] == asking.sig.name.common_name
                self.book.in_charge[gateway] = to

    @rule()
    def settle_suspensions(self) -> None:
        overdue = [
            one for one in self.book.entries.values() if one.until is not None and one.until < self.now <= one.end
        ]
        settled = self.pki.revocations.settle()
        assert {one.certificate.serial for one in settled} == {one.serial for one in overdue}
        for one in overdue:
            one.take_back("unspecified", self.now)

    @rule(due=st.booleans())
    def issue_crls(self, due: bool) -> None:
        """Each is compared with the book."""
        outcomes = self._attempt(
            lambda: self.pki.crls.issue(due=due), in_vain=lambda outcomes: all(one.error for one in outcomes)
        )
        for outcome in outcomes or ():
            if outcome.error is None:
                self._check_crl(outcome.record)

    @precondition(lambda self: len(self.book.of_kind("sub-ca")) < 6)
    @rule(organisation=st.sampled_from(ORGANISATIONS), renew=st.booleans())
    def make_a_sub_ca(self, organisation: str, renew: bool) -> None:
        order = SubCaOrder(organisation, renew=renew)
        for stored in self._attempt(lambda: self.pki.create_sub_ca(order)) or ():
            self.book.add(stored, self.now)

    @precondition(lambda self: len(self.book.of_kind("root")) < 4)
    @rule()
    def renew_the_root(self) -> None:
        for stored in self._attempt(self.pki.renew_root) or ():
            self.book.add(stored, self.now)

    @rule(how_long=st.sampled_from(WHILES))
    def time_passes(self, how_long: timedelta) -> None:
        self.workshop.now += how_long

    @rule(number=which, trusted=which)
    def judge(self, number: int, trusted: int) -> None:
        """Whether a certificate holds, with new CRLs, for somebody who trusts its own root or an older one."""
        self.issue_crls(due=False)
        self._judge(pick(self.book.triples, number).sig, trusted)

    # What must hold

    @invariant()
    def no_two_valid_triples_have_one_number(self) -> None:
        valid = [
            (one.name.common_name, one.kind, one.purpose, one.name.serial_number)
            for triple in self.book.triples
            for one in triple.entries
            if not one.revoked and self.now <= one.end
        ]
        assert [one for one, count in Counter(valid).items() if count > 1] == []

    @invariant()
    def no_key_is_certified_twice(self) -> None:
        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        keys = Counter(
            one.certificate.public_key().public_bytes(*form) for one in self.book.entries.values() if one.kind != "link"
        )
        assert max(keys.values()) == 1

    @invariant()
    def the_store_agrees_with_the_book(self) -> None:
        found = self.pki.store.revocations.among(list(self.book.entries))
        stored = {one.serial: (one.reason, one.since, one.suspended_until) for one in found.values()}
        expected = {one.serial: (one.reason, one.since, one.until) for one in self.book.entries.values() if one.reason}
        assert stored == expected

    def teardown(self) -> None:
        """In the end each Sub-CA is asked once more, which a revoked one must refuse, and all is looked at."""
        try:
            for organisation in ORGANISATIONS:
                self.settle(["Zwei.EMT"], organisation, again=True, old_keys=None)
            self.issue_crls(due=False)
            for triple in self.book.triples[-3:]:
                self._judge(triple.sig, 0)
            rows = self.workshop.tables()
            assert {row["serial"] for row in rows["certificate"]} == self.book.entries.keys()
            assert {row["serial"] for row in rows["revocation"]} == {
                one.serial for one in self.book.entries.values() if one.reason
            }
            self.workshop.assert_chain_holds()
        finally:
            self._open.close()
            shutil.rmtree(self.workshop.home.folder)

    # How it is done

    def _draft(
        self, cn: str, ou: str | None, number: int, old_keys: int | None
    ) -> tuple[DistinguishedName, KeyTriple, bytes]:
        """Subject, keys and an initial package."""
        keys = new_keys()
        if old_keys is not None:
            keys = pick(self.book.triples, old_keys).keys
        subject = DistinguishedName.of(CN=cn, O="SM-Test-PKI-DE", OU=ou, C="DE", serialNumber=str(number))
        names = RequestedNames() if cn in GATEWAYS else CONTACT
        return subject, keys, build_initial_package(subject.to_x509(), keys, names)

    def _authorised(self, package: bytes, subject: DistinguishedName, authority: int | None) -> bytes:
        if authority is None:
            return package
        wanted = subject.get("OU") if (subject.get("OU") or "").endswith(".GWA") else "Hersteller.GWH"
        return build_authorised_package(package, self._somebody(wanted or "", authority).signer)

    def _somebody(self, common_name: str, number: int) -> Triple:
        """Mostly of that name, where there is such a one."""
        named = [one for one in self.book.triples if one.subject.common_name == common_name]
        return pick(named if number % 3 < 2 and named else self.book.triples, number // 3)

    def _issue(
        self, drafts: Sequence[tuple[DistinguishedName, KeyTriple, bytes]], ca: str, *, again: bool
    ) -> list[Triple]:
        """Bring packages to the counter, and enter what is granted into the book."""
        orders = [Order(str(number), package, again=again) for number, (_, _, package) in enumerate(drafts)]
        outcomes = self._attempt(
            lambda: self.pki.issue(orders, f"{ca}.CA"), in_vain=lambda outcomes: all(one.error for one in outcomes)
        )
        granted = []
        for (subject, keys, package), outcome in zip(drafts if outcomes else (), outcomes or (), strict=True):
            if outcome.state == "refused":
                assert isinstance(outcome.error, SmpkiError)
                assert outcome.certificates == ()
                continue
            assert outcome.state == "issued"
            granted.append(self._granted(subject, keys, package, outcome.certificates))
        return granted

    def _granted(
        self, subject: DistinguishedName, keys: KeyTriple, package: bytes, certificates: Sequence[Any]
    ) -> Triple:
        entries = tuple(self.book.add(one, self.now, package) for one in certificates)
        assert [one.purpose for one in entries] == ["tls", "sig", "enc"]
        triple = Triple(subject, keys, package, entries)
        if triple.kind == "smgw-g":
            for one in self.book.of_kind("smgw-g"):
                same = one.name.key() == triple.sig.name.key() and one not in entries
                if same and not one.revoked and self.now <= one.end:
                    one.take_back("superseded", self.now)
        elif triple.kind == "smgw-w":
            self.book.in_charge.setdefault(subject.common_name, subject.get("OU") or "")
        self.book.triples.append(triple)
        return triple

    def _take_back(self, entry: Entry, reason: str, triple: bool | None) -> None:
        done = self._attempt(lambda: self.pki.revocations.change([entry.serial], reason, triple=triple))
        if done is not None:
            self._enter(entry, reason, triple, done)

    def _enter(self, named: Entry, reason: str, triple: bool | None, done: Sequence[Any]) -> None:
        """What was done must be what the rules say, and is entered into the book."""
        assert reason != "aa_compromise" and named.kind != "root"
        together = [named] if triple is False else self.book.together(named)
        before = {"certificate_hold": ("",), "remove_from_crl": ("certificate_hold",)}
        may = before.get(reason, ("", "certificate_hold"))
        wanted = [one for one in together if one.reason in may and self.now <= one.end]
        assert named in wanted
        assert {one.certificate.serial for one in done} == {one.serial for one in wanted}
        for one in wanted:
            if reason == "remove_from_crl":
                one.give_back()
            elif reason == "certificate_hold":
                assert one.kind.startswith("smgw")
                one.take_back(reason, self.now, self.now + timedelta(days=30))
            else:
                one.take_back(reason, self.now)

    def _attempt(self, work: Callable[[], T], *, in_vain: Callable[[T], bool] = lambda result: False) -> T | None:
        """What comes of it; None when it is refused, which leaves entries in the audit and no other trace.

        :param in_vain: whether all that was wanted was refused, one by one
        """
        before, audited = self._traces()
        try:
            result = work()
        except SmpkiError:
            assert self._traces() == (before, audited + 1)
            return None
        if in_vain(result):
            assert self._traces() == (before, audited + len(result))  # type: ignore[arg-type]
        return result

    def _traces(self) -> tuple[object, int]:
        """All that there is but the audit, and how long that is."""
        with closing(sqlite3.connect(self.workshop.home.folder / "smpki.db")) as database:
            names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            rows = {name: database.execute(f"SELECT * FROM {name}").fetchall() for name in names}
        audited = len(rows.pop("audit"))
        del rows["audit_head"]
        return (rows, self.workshop.key_labels), audited

    def _check_crl(self, record: Any) -> None:
        """It lists what is revoked or on hold now and did not end before the last scheduled one; nothing else."""
        authority, scope = self.book.entries[record.authority], (record.authority, record.kind)
        crl = x509.load_der_x509_crl(self.pki.store.crls.der(record))
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        assert number > self.book.numbers.get(scope, 0)
        self.book.numbers[scope] = number
        assert crl.last_update_utc == self.now.replace(microsecond=0)
        assert authority.holds(self.now)

        issuers = [authority]
        if record.kind == "crl-signer":
            issuers += [one for one in self.book.issued_by(authority) if one.kind == "tls-signer"]
        last = self.book.last_scheduled.get(scope)
        expected = {
            (one.certificate.issuer, one.certificate.serial_number): (one.reason, one.since)
            for one in self.book.issued_by(*issuers)
            if one.reason and (last is None or one.end >= last)
            if record.kind != "crl-signer" or one.kind != "crl-signer"
        }
        assert dict(listed(crl, authority.certificate.subject)) == expected
        assert len(crl) == len(expected)
        every = {"sub-ca": 7}.get(record.kind, 30)
        if last is None or self.now >= last + timedelta(days=every):
            self.book.last_scheduled[scope] = crl.last_update_utc

    def _judge(self, leaf: Entry, trusted: int) -> None:
        sub_ca = leaf.issuer
        assert sub_ca is not None and sub_ca.issuer is not None
        roots = self.book.of_kind("root")
        own = roots.index(sub_ca.issuer)
        first = own - trusted % (own + 1)
        links = [one for one in self.book.of_kind("link") if one.issuer in roots[first:own]]
        chain = [leaf, sub_ca, *links, roots[first]]
        crls = [
            self.pki.store.crls.der(series)
            for authority in self.book.of_kind("root", "sub-ca")
            for kind in ({"root": ("root", "crl-signer")}.get(authority.kind, ("sub-ca",)))
            if (series := self.pki.store.crls.newest(CrlScope(authority.serial, kind))) is not None
        ]
        question = Question(
            leaf.certificate,
            (roots[first].certificate,),
            self.now,
            tuple(one.certificate for one in self.book.of_kind("sub-ca", "link", "crl-signer", "tls-signer")),
            tuple(x509.load_der_x509_crl(one) for one in crls),
        )
        verdict = validate(question)
        if not all(one.holds(self.now) for one in chain):
            assert not verdict.valid, verdict
        elif self._signers_hold(roots[first : own + 1]):
            assert verdict.valid, verdict

    def _signers_hold(self, roots: Sequence[Entry]) -> bool:
        """Whether each of these roots has a CRL signer that may still sign, or a later root that the links lead to."""
        linked = all(one.holds(self.now) for one in self.book.of_kind("link"))
        every = self.book.of_kind("root")
        able = {
            one.issuer
            for one in self.book.of_kind("crl-signer")
            if one.holds(self.now) and self.now <= one.begin + timedelta(days=3 * 365)
        }
        return all(root in able or (linked and able & set(every[every.index(root) :])) for root in roots)


def listed(
    crl: x509.CertificateRevocationList, issuer: x509.Name
) -> Iterator[tuple[tuple[x509.Name, int], tuple[str, datetime]]]:
    """The entries of a CRL: whose certificate, reason and date."""
    for entry in crl:
        reason = "unspecified"
        for extension in entry.extensions:
            if isinstance(extension.value, x509.CertificateIssuer):
                ((issuer),) = extension.value.get_values_for_type(x509.DirectoryName)
            elif isinstance(extension.value, x509.CRLReason):
                reason = extension.value.reason.name
        yield (issuer, entry.serial_number), (reason, entry.revocation_date_utc)


def new_keys() -> KeyTriple:
    return KeyTriple(*(ec.generate_private_key(ec.BrainpoolP256R1()) for _ in range(3)))


def live(workshops: Callable[[], Any], examples: int, steps: int) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        lambda: Life(workshops()),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=True,
            database=None,
            deadline=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_no_life_leads_to_what_must_not_be(workshops: Callable[[], Any]) -> None:
    live(workshops, 8, 30)


@pytest.mark.slow
def test_no_long_life_leads_to_what_must_not_be(workshops: Callable[[], Any]) -> None:
    live(workshops, 100, 50)
