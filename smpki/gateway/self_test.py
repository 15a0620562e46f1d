"""The self-test (Selbsttest): does what the gateway needs work, and for how long do its certificates last?"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.errors import SmpkiError
from smpki.gateway.administration import Administration
from smpki.gateway.api import Check, CommunicationProfile, SelfTest
from smpki.gateway.journal import Happening, Journal
from smpki.gateway.pace import Pace
from smpki.gateway.profiles import Profiles
from smpki.gateway.security_module import SecurityModule
from smpki.gateway.slots import Group, Slot
from smpki.gateway.store.store import GatewayStore
from smpki.requests.model import Purpose
from smpki.trust.question import Question, Revocation, Use
from smpki.trust.tls_peer import TrustMaterial
from smpki.trust.validate import validate

_LEAST_FREE = 10 * 1024 * 1024  # octets
_SILENT = timedelta(hours=1)
_USES: Mapping[Purpose, Use] = {Purpose.TLS: "tls", Purpose.SIG: "sig", Purpose.ENC: "enc"}


class Failed(Exception):
    """A check that is not passed; its argument says why."""


@dataclass(frozen=True)
class Surroundings:
    """What the self-test looks at.

    :param data: the folder of the gateway's state
    :param heard: when the last telegram came from each source
    :param sources: those there are
    :param trust: what the gateway's own certificates are checked against; None: their dates are looked at only
    """

    module: SecurityModule
    store: GatewayStore
    administration: Administration
    data: Path
    heard: Mapping[str, datetime]
    sources: Sequence[str]
    trust: Callable[[], TrustMaterial] | None


class SelfTests:
    """Runs the self-test, and looks at dates.

    :param every: seconds from one to the next
    :param warn_before: how long before the end of a certificate that is told
    """

    def __init__(
        self, surroundings: Surroundings, journal: Journal, pace: Pace, *, every: float, warn_before: timedelta
    ) -> None:
        self._around, self._journal, self._pace = surroundings, journal, pace
        self._every, self._warn_before = every, warn_before
        self._began = pace.shown()

    async def run(self) -> None:
        """Run it again and again, until cancelled."""
        while True:
            self.test()
            self.look_at_dates()
            await self._pace.sleep(self._every)

    def test(self) -> SelfTest:
        """Run it once, and log its result."""
        parts: Mapping[str, Callable[[], str]] = {
            "store": self._store,
            "disk": self._disk,
            "random": self._random,
            "keys": self._keys,
            "certificates": self._certificates,
            "time": self._time,
            "meters": self._meters,
        }
        result = [_checked(name, part) for name, part in parts.items()]
        bad = [check for check in result if not check.passed]
        if bad:
            text = "; ".join(f"{check.name}: {check.text}" for check in bad)
            self._journal.write(Happening("self_test.failed", f"the self-test failed: {text}", "E", "failure"))
        else:
            self._journal.write(Happening("self_test.passed", "the self-test was passed"))
        return SelfTest(passed=not bad, checks=tuple(result))

    def look_at_dates(self) -> None:
        """Log the certificates that end soon, and those that have ended."""
        now = self._pace.trusted()
        if now is None:
            return
        for what, certificate in self._in_use():
            end = certificate.not_valid_after_utc
            if end < now:
                text = f"{what} has ended {end:%Y-%m-%d %H:%M} UTC"
                self._journal.write(Happening("certificate.ended", text, "E", "failure"))
            elif end - now < self._warn_before:
                self._journal.write(Happening("certificate.ending", f"{what} ends {end:%Y-%m-%d %H:%M} UTC", "W"))

    def _in_use(self) -> Iterator[tuple[str, x509.Certificate]]:
        for slot in Group.WAN.slots:
            for credential in self._around.module.credentials(slot)[:1]:
                yield f"the gateway's certificate {slot.value}", credential.certificate
        administrator = self._around.administration.current
        for purpose, certificates in (("TLS", administrator.tls), ("SIG", administrator.sig)):
            for certificate in certificates:
                yield f"a {purpose} certificate of the administrator {administrator.name}", certificate
        with self._around.store.view() as view:
            profiles = Profiles(view).all(CommunicationProfile)
        for name, stored in profiles.items():
            for purpose, one in (("TLS", stored.profile.tls), ("ENC", stored.profile.enc)):
                yield f"the {purpose} certificate of {name}", one

    def _store(self) -> str:
        self._around.store.check()
        return "the database is whole"

    def _disk(self) -> str:
        free = shutil.disk_usage(self._around.data).free
        text = f"{free // 1024 // 1024} MiB are free"
        if free < _LEAST_FREE:
            raise Failed(text)
        return text

    def _random(self) -> str:
        if self._around.module.random(32) == self._around.module.random(32):
            raise Failed("the random numbers repeat")
        return "the security module gives random numbers"

    def _keys(self) -> str:
        module = self._around.module
        for slot in (Slot.WAN_TLS, Slot.WAN_SIG):
            data = module.random(32)
            try:
                _public(module, slot).verify(module.sign(slot, data), data, ec.ECDSA(hashes.SHA256()))
            except InvalidSignature:
                raise Failed(f"the key {slot.value} is not that of its certificate") from None
        public = _public(module, Slot.WAN_ENC)
        one_time = ec.generate_private_key(public.curve)
        if module.agree(Slot.WAN_ENC, one_time.public_key()) != one_time.exchange(ec.ECDH(), public):
            raise Failed("the key wan-enc is not that of its certificate")
        return "the keys are those of their certificates"

    def _certificates(self) -> str:
        at, trust = self._pace.shown(), self._around.trust
        material = trust() if trust else None
        for slot in Group.WAN.slots:
            certificate = self._around.module.certificate(slot)
            if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
                raise Failed(f"{slot.value} is not valid now")
            if material is not None:
                _check_chain(slot, certificate, material, at)
        return "the gateway's certificates hold" if material else "the gateway's certificates are valid by their dates"

    def _time(self) -> str:
        error = self._pace.keeper.standing()
        if not error.trusted:
            raise Failed("the time can't be trusted")
        return f"the time is right within {error.maximum_error:.3f} s"

    def _meters(self) -> str:
        at, heard = self._pace.shown(), self._around.heard
        silent = [each for each in self._around.sources if at - heard.get(each, self._began) > _SILENT]
        if silent:
            raise Failed(f"no telegrams come from {', '.join(silent)}")
        return f"{len(heard)} of {len(self._around.sources)} sources were heard"


def _checked(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name=name, passed=True, text=check())
    except Failed as failed:
        return Check(name=name, passed=False, text=str(failed))
    except SmpkiError as error:
        return Check(name=name, passed=False, text=f"{error.message} [{error.code}]")


def _public(module: SecurityModule, slot: Slot) -> ec.EllipticCurvePublicKey:
    key = module.certificate(slot).public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise Failed(f"the certificate {slot.value} is for another kind of key")
    return key


def _check_chain(slot: Slot, certificate: x509.Certificate, material: TrustMaterial, at: datetime) -> None:
    question = Question(
        certificate,
        material.roots,
        at,
        material.authorities,
        material.crls,
        use=_USES[slot.purpose],
        revocation=Revocation.IF_KNOWN,
    )
    if reasons := validate(question).reasons:
        raise Failed(f"{slot.value}: {reasons[0].message}")
