"""Suspend a gateway's certificates (Suspendierung), and resume them, by signed requests to the CA."""

from base64 import b64decode, b64encode

from smpki.errors import GatewayError, RevocationError
from smpki.participant.acts import revocation_request
from smpki.policy.model import CertificateType
from smpki.policy.reasons import AnyReason
from smpki.service.administrator.plan import Advance, Lane, Plan, Step, Work
from smpki.service.administrator.store.gateways import State

_REASONS: dict[str, tuple[AnyReason, str, State]] = {
    "suspend": ("certificate_hold", "revocation.suspended", "suspended"),
    "resume": ("remove_from_crl", "revocation.not_suspended", "active"),
}
"""By kind of job: the reason, what the CA says when it was done before, and how the gateway stands then."""


async def _request(work: Work) -> Advance:
    """Sign a request for each triple that counts; the CA acts once on the same octets."""
    reason, _, _ = _REASONS[work.job.kind]
    triples = [one for one in (work.gateway.current, work.gateway.next) if one and one.kind is CertificateType.SMGW_W]
    if not triples:
        message = "the gateway has a quality seal (Guetesiegel) only, which is its manufacturer's affair"
        raise GatewayError("gwa.suspend.seal", message, where=work.gateway.id.dns, hint="ask the manufacturer (GWH)")
    signer, now = work.office.signer, work.office.pace.now()
    requests = [revocation_request(triple.certificates, reason, signer, now) for triple in triples]
    return Advance({"requests": [b64encode(request).decode() for request in requests]})


async def _process(work: Work) -> Advance:
    """Have the CA do it. After that nobody lets the gateway in, or everybody again, once the next CRL is out."""
    _, done_before, state = _REASONS[work.job.kind]
    for request in work.job.data["requests"]:
        try:
            await work.office.authority.process(b64decode(request))
        except RevocationError as error:
            if error.code != done_before:
                raise
    serials = [f"{one.serial_number:x}" for one in work.gateway.current.certificates]
    return Advance(
        result={"state": state, "serials": serials}, also=lambda to: to.gateways.set_state(work.gateway.id, state)
    )


CHANGE = Plan((Step("request", _request, connected=False), Step("process", _process, connected=False)), Lane.AUTHORITY)
