"""New WAN keys for a gateway: made there, authorised here, certified by the CA, tried, and then the only ones.

``prepare, issue, install, activate, switch, retire``. From ``issue`` until ``retire`` is done the gateway's present and
its next TLS certificate both count.
"""

from smpki.errors import GatewayError, IssuingError
from smpki.gateway import api
from smpki.gateway.slots import Group
from smpki.participant.acts import authorise, revocation_request
from smpki.policy.names import DistinguishedName
from smpki.requests.submission import Submission, read_submission
from smpki.service.administrator.again import TryAgain
from smpki.service.administrator.management import RefusedByGateway
from smpki.service.administrator.plan import Advance, Plan, Step, Work
from smpki.service.administrator.store.gateways import Triple, fingerprint, key_id

_SLOTS = Group.WAN.slots
_KEYS_IN_USE = "gwa.package.keys"


async def _prepare(work: Work) -> Advance:
    """Have keys made, and authorise the package; what an earlier job has begun goes on."""
    upcoming = work.gateway.next
    if work.has_switched:
        return Advance(to="switch")
    if upcoming is not None and _holds(work.connection.status, upcoming):
        return Advance(to="activate")
    if work.job.kind == "renew":
        wanted = api.PrepareWanKeys(kind="renewal")
    else:
        subject = api.WantedSubject(OU=work.office.administrator.name, serialNumber="1")
        wanted = api.PrepareWanKeys(kind="initial", subject=subject)
    try:
        return _authorised(work, wanted, await work.management.prepare(wanted))
    except GatewayError as error:
        # keys with certificates of which nobody here remembers how they came by them
        if error.code != _KEYS_IN_USE and not (
            isinstance(error, RefusedByGateway) and error.problem == "wan_keys.certified"
        ):
            raise
    anew = wanted.model_copy(update={"anew": True})
    return _authorised(work, wanted, await work.management.prepare(anew))


async def _issue(work: Work) -> Advance:
    """Have certificates issued; from now on the gateway is let in with the new one too."""
    with work.office.store.view() as view:
        authorised = view.packages.get(work.job.data["package"])
    if authorised is None:
        raise _refused("gone", "the package is not in the database any more", "order another job")
    triple = await _granted(work, authorised)
    keys = [key_id(one.public_key()) for one in triple.certificates]
    if keys != work.job.data["keys"] or _common_name(triple) != work.gateway.common_name:
        message = "the certificates are not for the gateway and the keys that were asked for"
        raise GatewayError("gwa.issuer.answer", message, where="issuer", hint="see to the CA")
    if triple.certificates == work.gateway.current.certificates:
        message = "the gateway has asked for certificates that it has already"
        raise GatewayError(_KEYS_IN_USE, message, where="package", hint="see to the gateway")
    if work.gateway.next and triple.certificates == work.gateway.next.certificates:
        return Advance()
    return Advance(also=lambda to: to.gateways.announce(work.gateway.id, triple, now=work.office.pace.now()))


async def _install(work: Work) -> Advance:
    """Give the gateway its certificates."""
    for slot, certificate in zip(_SLOTS, _upcoming(work).certificates, strict=True):
        await work.management.install(slot.next, api.SlotCertificate(pem=certificate))
    return Advance()


async def _activate(work: Work) -> Advance:
    """Let it try the new keys; it does so with its next connection."""
    if not work.has_switched:
        await work.management.activate()
        work.connection.end()
    return Advance()


async def _switch(work: Work) -> Advance:
    """Wait for a connection with the new certificate. One with the former one says that the trial is over."""
    if work.has_switched:
        return Advance()
    if work.connection.status.wan_keys == "trial":
        work.connection.end()
        message = "the gateway has connected with its former keys while it tries the new ones"
        raise TryAgain("gwa.switch.trial", message, hint="it tries the new ones next")
    message = "the gateway could not connect with its new keys, and goes on with the former ones"
    raise TryAgain("gwa.switch.back", message, hint="see the gateway's log: smpki gwa log", to="activate")


async def _retire(work: Work) -> Advance:
    """Let it destroy the former keys; their certificates count no more."""
    upcoming = _upcoming(work)
    if not work.has_switched:
        message = "the gateway has connected with its former keys again"
        raise TryAgain("gwa.switch.back", message, hint="see the gateway's log: smpki gwa log", to="activate")
    await work.management.retire()
    result = {
        "subject": str(DistinguishedName.from_x509(upcoming.tls.subject)),
        "not_after": upcoming.not_after.isoformat(),
        "fingerprints": [fingerprint(one) for one in upcoming.certificates],
    }
    return Advance(result=result, also=lambda to: to.gateways.confirm(work.gateway.id))


_STEPS = (
    Step("prepare", _prepare),
    Step("issue", _issue, connected=False),
    Step("install", _install),
    Step("activate", _activate),
    Step("switch", _switch, comes=True),
    Step("retire", _retire),
)

NEW_KEYS = Plan(_STEPS)
"""The whole sequence: for a job ``renew`` with a renewal package, for others with an initial one."""

SETTLE = Plan(_STEPS[-2:])
"""The end of it, for a gateway that has come with its next certificate after its job was over."""


def _authorised(work: Work, wanted: api.PrepareWanKeys, package: bytes) -> Advance:
    """See that a package is this gateway's and for new keys, and authorise it; one that was, as it was then.

    :raises GatewayError: ``gwa.package.*``
    :raises RequestError: what the package is refused for
    """
    submission = read_submission(package)
    _check(work, wanted, submission)
    digest = submission.digest.hex()
    keys = [key_id(request.public_key) for request in submission.package.requests]
    with work.office.store.view() as view:
        authorised = view.packages.get(digest)
        in_use = view.gateways.certified_keys(keys)
    if authorised is None:
        if in_use:
            raise _refused("keys", "there are certificates for these keys already", "the gateway has to make new ones")
        authorised = authorise(package, work.office.signer, work.office.pace.now())
    known = authorised
    return Advance(
        {"package": digest, "keys": keys},
        also=lambda to: to.packages.put(digest, work.gateway.id, known, now=work.office.pace.now()),
    )


def _check(work: Work, wanted: api.PrepareWanKeys, submission: Submission) -> None:
    if submission.kind != wanted.kind:
        message = f"the gateway was asked for an {wanted.kind} package, and this is one of kind {submission.kind}"
        raise _refused("kind", message, "see to the gateway")
    subject = DistinguishedName.from_x509(submission.package.subject)
    if subject.get("CN") != work.gateway.common_name:
        message = f"the package is for {subject.get('CN')!r}, and the gateway is {work.gateway.common_name}"
        raise _refused("subject", message, "no gateway gets certificates of another one")
    if subject.get("OU") != work.office.administrator.name:
        message = f"the package is for gateways of {subject.get('OU')!r}"
        raise _refused("administrator", message, "personalise the gateway before it is renewed")
    if submission.renewal is not None and submission.renewal.signer != work.gateway.current.sig:
        message = "the package is not signed with the gateway's current SIG key"
        raise _refused("signer", message, "see to the gateway")


async def _granted(work: Work, authorised: bytes) -> Triple:
    """The certificates for a package. A triple that the gateway never took into use stands in the way of another first
    one, and is revoked."""
    try:
        return await work.office.authority.issue(authorised)
    except IssuingError as error:
        lost = work.gateway.next
        if error.code != "issuing.subject.has_triple" or lost is None or work.job.kind == "renew":
            raise
    request = revocation_request(lost.certificates, "superseded", work.office.signer, work.office.pace.now())
    await work.office.authority.process(request)
    return await work.office.authority.issue(authorised)


def _upcoming(work: Work) -> Triple:
    if work.gateway.next is None:
        hint = "order another job"
        message = "no next certificates of the gateway are known"
        raise GatewayError("gwa.keys.gone", message, where=work.gateway.id.dns, hint=hint)
    return work.gateway.next


def _holds(status: api.Status, triple: Triple) -> bool:
    """Whether the gateway has these certificates in its next slots."""
    held = [status.slots.get(slot.next) for slot in _SLOTS]
    return [one and one.fingerprint for one in held] == [fingerprint(one) for one in triple.certificates]


def _common_name(triple: Triple) -> str | None:
    return DistinguishedName.from_x509(triple.sig.subject).get("CN")


def _refused(rule: str, message: str, hint: str) -> GatewayError:
    return GatewayError(f"gwa.package.{rule}", message, where="package", hint=hint)
