"""The profiles that the administrator gives: stored with versions, and consistent with each other at all times."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from smpki.errors import GatewayError
from smpki.gateway.api import CommunicationProfile, EvaluationProfile, MeterProfile
from smpki.gateway.purposes import misuse
from smpki.gateway.store.documents import Document
from smpki.gateway.store.store import Transaction
from smpki.requests.model import Purpose

Profile = CommunicationProfile | MeterProfile | EvaluationProfile
P = TypeVar("P", CommunicationProfile, MeterProfile, EvaluationProfile)

_FOLDERS: Mapping[type[Profile], str] = {
    CommunicationProfile: "CommunicationProfile",
    MeterProfile: "MeterProfile",
    EvaluationProfile: "EvaluationProfile",
}
_QUARTER_HOUR = 900  # seconds


def id_of(profile: Profile) -> str:
    """What a profile is known by: its name, or its meter's id in lower case."""
    return profile.meter.dns if isinstance(profile, MeterProfile) else profile.name


@dataclass(frozen=True, slots=True)
class Stored(Generic[P]):
    """A profile with its version, which rises with each change."""

    profile: P
    version: int


class Profiles:
    """The profiles, inside a transaction."""

    def __init__(self, work: Transaction) -> None:
        self._documents = work.documents

    def ids(self, kind: type[Profile]) -> tuple[str, ...]:
        """What there is of a kind."""
        prefix = _document(kind, "")
        return tuple(name.removeprefix(prefix) for name in self._documents.names(prefix))

    def get(self, kind: type[P], id: str) -> Stored[P] | None:
        """A profile, or None."""
        found = self._documents.get(_document(kind, id))
        return None if found is None else Stored(_parsed(kind, found), found.version)

    def all(self, kind: type[P]) -> Mapping[str, Stored[P]]:
        """All of a kind, by id."""
        return {id: found for id in self.ids(kind) if (found := self.get(kind, id))}

    def versions(self) -> Mapping[str, int]:
        """The version of every profile, by its path below ``rts/``."""
        found = {}
        for kind in _FOLDERS:
            for name in self._documents.names(_document(kind, "")):
                document = self._documents.get(name)
                found[name] = document.version if document else 0
        return found

    def put(self, profile: Profile, *, now: datetime) -> bool:
        """Store or replace a profile.

        :returns: whether that changed anything
        :raises GatewayError: ``profile.*``: it contradicts another one
        """
        for complaint in self._complaints(profile):
            raise complaint
        name = _document(type(profile), id_of(profile))
        before = self._documents.get(name)
        return self._documents.put(name, profile.to_json().decode(), now=now) != before

    def remove(self, kind: type[Profile], id: str) -> bool:
        """Remove a profile.

        :returns: whether it was there
        :raises GatewayError: ``profile.used``: an evaluation profile needs it
        """
        for name, each in self.all(EvaluationProfile).items():
            needs = each.profile.meter.dns == id if kind is MeterProfile else id in each.profile.recipients
            if kind is not EvaluationProfile and needs:
                raise _contradiction("used", f"the evaluation profile {name} needs it", id, "change that one first")
        return self._documents.remove(_document(kind, id))

    def _complaints(self, profile: Profile) -> Iterable[GatewayError]:
        match profile:
            case CommunicationProfile():
                yield from _unfit(profile)
            case EvaluationProfile():
                yield from self._without_recipient(profile)
                meter = self.get(MeterProfile, profile.meter.dns)
                if meter is None:
                    message = f"there is no meter profile {profile.meter.dns}"
                    yield _contradiction("meter", message, profile.name, "put the meter profile first")
                else:
                    yield from _unmatched(profile, meter.profile)
            case MeterProfile():
                for each in self.all(EvaluationProfile).values():
                    if each.profile.meter == profile.meter:
                        yield from _unmatched(each.profile, profile)

    def _without_recipient(self, profile: EvaluationProfile) -> Iterable[GatewayError]:
        for name in sorted({*profile.recipients} - {*self.ids(CommunicationProfile)}):
            message = f"there is no communication profile {name}"
            yield _contradiction("recipient", message, profile.name, "put the communication profile first")


def _unmatched(evaluation: EvaluationProfile, meter: MeterProfile) -> Iterable[GatewayError]:
    missing = sorted(str(obis) for obis in {*evaluation.obis} - {*meter.obis})
    if missing:
        message = f"the meter profile {meter.meter.dns} has no register {missing[0]}, which {evaluation.name} needs"
        yield _contradiction("register", message, evaluation.name, "add the register to the meter profile")
    period = meter.registration_period_seconds
    if (period % _QUARTER_HOUR == 0) != (evaluation.taf == "TAF7"):
        message = f"a registration period of {period} s is not for {evaluation.taf}, as {evaluation.name} has it"
        hint = "TAF7 takes whole quarter-hours, TAF14 other periods"
        yield _contradiction("period", message, evaluation.name, hint)


def _unfit(profile: CommunicationProfile) -> Iterable[GatewayError]:
    """Certificates that are not for what they are given for; dates are looked at when they are used."""
    given = ((Purpose.TLS, profile.tls), (Purpose.SIG, profile.sig), (Purpose.ENC, profile.enc))
    for purpose, certificate in given:
        if certificate is not None and (reason := misuse(certificate, purpose)):
            message = f"the certificate for {purpose.value} does not fit: {reason}"
            yield _contradiction("certificate", message, profile.name, "give the one of the participant's triple")


def _document(kind: type[Profile], id: str) -> str:
    return f"{_FOLDERS[kind]}/{id}"


def _parsed(kind: type[P], document: Document) -> P:
    return kind.model_validate_json(document.text)


def _contradiction(rule: str, message: str, where: str, hint: str) -> GatewayError:
    return GatewayError(f"profile.{rule}", message, where=where, hint=hint)
