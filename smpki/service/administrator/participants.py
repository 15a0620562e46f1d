"""Market participants whose certificates don't hold get no readings.

A gateway delivers to the certificates in its communication profiles; their chains and revocation are its
administrator's affair. They are looked at before a profile is set, and again and again as long as it counts.
"""

from collections.abc import Callable, Sequence

from smpki.errors import GatewayError
from smpki.gateway import api
from smpki.gateway.api import CommunicationProfile
from smpki.service.administrator.again import TryAgain
from smpki.service.administrator.plan import Advance, Plan, Step, Work
from smpki.service.administrator.store.participants import Participant
from smpki.service.administrator.store.store import Transaction
from smpki.tls.peers import Alert, PeerRefused


async def check(work: Work) -> Advance:
    """A step: see that those hold to whom the gateway is to deliver by the profiles that are to be set."""
    for profile in ordered(work):
        objection = work.office.vouching.objection(profile, work.gateway.current.chain)
        if not profile.enabled or objection is None:
            continue
        message = objection.message.replace("the peer's", "the participant's", 1)
        if objection.alert is Alert.CERTIFICATE_UNKNOWN:
            raise TryAgain(objection.code, message, where=profile.name, hint=objection.hint)
        raise GatewayError(objection.code, message, where=profile.name, hint="give the certificates that count now")
    return Advance()


def noted(work: Work) -> Callable[[Transaction], None]:
    """Notes the participants in the profiles that were set."""

    def note(to: Transaction) -> None:
        for profile in ordered(work):
            to.participants.put(work.gateway.id, profile)

    return note


def ordered(work: Work) -> Sequence[CommunicationProfile]:
    """The communication profiles among those that a job sets."""
    return [
        CommunicationProfile.model_validate_json(one["body"])
        for one in work.job.arguments["profiles"]
        if one["folder"] == api.COMMUNICATION_PROFILES
    ]


async def tell(work: Work) -> Advance:
    """A step: have the gateway wait with deliveries to those whose certificates were taken back, and go on else."""
    with work.office.store.view() as view:
        known = view.participants.of(work.gateway.id)
    told: dict[str, bool] = {}
    for one in known:
        objection = work.office.vouching.objection(one.profile, work.gateway.current.chain)
        if stands_otherwise(one, objection):
            changed = one.profile.model_copy(update={"enabled": one.stopped})
            await work.management.put(f"{api.COMMUNICATION_PROFILES}{one.profile.name}", changed)
            told[one.profile.name] = not one.stopped

    def note(to: Transaction) -> None:
        for name, stopped in told.items():
            to.participants.set_stopped(work.gateway.id, name, stopped)

    return Advance(result={"stopped": told}, also=note)


TELL = Plan((Step("tell", tell),))
"""Tells a gateway with whom it has to wait, and with whom to go on."""


def stands_otherwise(one: Participant, objection: PeerRefused | None) -> bool:
    """Whether the gateway was told something else; as long as nobody can tell, what it was told counts."""
    if one.stopped:
        return objection is None
    return objection is not None and objection.alert is Alert.CERTIFICATE_REVOKED
