"""Hand a gateway over to another administrator.

``export, tell, gone, notify``. First there is a signed record for the new administrator to adopt the gateway by; then
the gateway is told, which tries the new administrator and comes back when it can't reach them; it is told again then,
for they may not have adopted it yet. When it has stayed away the CA is told. So whatever happens, the gateway is in the
charge of the administrator whom it talks to.
"""

from base64 import b64decode, b64encode
from datetime import datetime, timedelta

from smpki.gateway import api
from smpki.gateway.delivery_record import Triple
from smpki.participant.acts import device_admin
from smpki.policy.model import CertificateType
from smpki.service.administrator.again import TryAgain
from smpki.service.administrator.hand_over_record import HandOverRecord, sign_hand_over
from smpki.service.administrator.plan import Advance, Plan, Step, Wait, Work


async def _export(work: Work) -> Advance:
    """Write the record for the new administrator."""
    current, to = work.gateway.current, _recipient(work)
    record = HandOverRecord(
        version=1,
        gateway=work.gateway.id,
        former=work.office.administrator.name,
        signer=work.office.signer.certificate,
        administrator=to.name,
        certificates=Triple(tls=current.tls, sig=current.sig, enc=current.enc),
        chain=current.chain,
        created_at=work.office.pace.now(),
    )
    return Advance(result={"to": to.name, "record": sign_hand_over(record, work.office.signer).decode()})


async def _tell(work: Work) -> Advance:
    """Tell the gateway, which leaves with that."""
    await work.management.put(api.ADMINISTRATOR, _recipient(work))
    work.connection.end()
    return Advance({"told_at": work.office.pace.now().isoformat()})


async def _gone(work: Work) -> Advance | Wait:
    """Wait whether it comes back."""
    told_at = datetime.fromisoformat(work.job.data["told_at"])
    if work.gateway.seen_at is not None and work.gateway.seen_at > told_at:
        message = "the gateway has come back, since it could not reach its new administrator"
        hint = "the new administrator has to adopt the gateway; then it is told again"
        raise TryAgain("gwa.hand_over.back", message, hint=hint, to="tell")
    until = told_at + timedelta(seconds=work.office.hand_over_seconds)
    if work.office.pace.now() < until:
        return Wait(until)
    if work.gateway.current.kind is not CertificateType.SMGW_W:  # the CA knows no administrator of a quality seal
        return Advance()
    gateways, signer = [work.gateway.common_name], work.office.signer
    request = device_admin(gateways, _recipient(work).name, signer, work.office.pace.now())
    return Advance({"request": b64encode(request).decode()})


async def _notify(work: Work) -> Advance:
    """Tell the CA (UpdateDeviceAdmin), which acts once on the same octets."""
    if request := work.job.data.get("request"):
        await work.office.authority.process(b64decode(request))
    return Advance(also=lambda to: to.gateways.set_state(work.gateway.id, "handed-over"))


HAND_OVER = Plan(
    (
        Step("export", _export, connected=False),
        Step("tell", _tell),
        Step("gone", _gone, connected=False),
        Step("notify", _notify, connected=False),
    )
)


def _recipient(work: Work) -> api.Administrator:
    return api.Administrator.model_validate_json(work.job.arguments["to"])
