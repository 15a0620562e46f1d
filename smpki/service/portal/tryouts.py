"""Self-tests: one's TLS client against the service, and a message or package against the rules."""

from cryptography import x509
from starlette.responses import Response

from smpki.ca.unit import load
from smpki.errors import ServiceError, SmpkiError
from smpki.policy.model import CertificateType
from smpki.service.accounts.actor import Actor, Role
from smpki.service.desk.desk import Desk
from smpki.service.portal.application import Page
from smpki.service.portal.pages import page
from smpki.service.portal.status import status_of
from smpki.service.portal.visit import Visit
from smpki.service.tryout.tls_trial import Trials
from smpki.service.tryout.upload import look_at
from smpki.trust.question import Question, Revocation, Verdict
from smpki.trust.validate import validate


def pages() -> tuple[Page, ...]:
    """The pages of this room."""
    return (
        Page("/tryout", show=_choose),
        Page("/tryout/tls", show=_tls, act=_begin),
        Page("/tryout/file", show=_ask, act=_look),
    )


def _choose(visit: Visit) -> Response:
    visit.need()
    return page(visit, "tryout.html", has_tls=visit.site.trials is not None)


def _tls(visit: Visit) -> Response:
    actor, trials = visit.need(), _trials(visit)
    return page(visit, "tryout_tls.html", trial=trials.find(actor.account), host=trials.host)


def _begin(visit: Visit) -> Response:
    trials, actor = _trials(visit), visit.need()
    visit.site.run(trials.begin(actor.account))
    return visit.go("/tryout/tls")


def _trials(visit: Visit) -> Trials:
    if visit.site.trials is None:
        message, hint = "TLS clients can't be tried here", "ask the operator"
        raise ServiceError("service.portal.unknown", message, hint=hint)
    return visit.site.trials


def _ask(visit: Visit) -> Response:
    visit.need()
    return page(visit, "tryout_file.html", look=None, error=None)


def _look(visit: Visit) -> Response:
    actor, desk = visit.need(), visit.site.desk
    try:
        data = visit.files.get("file")
        if data is None:
            message, hint = "no file was chosen", "choose a message, package or certificate"
            raise ServiceError("service.portal.package", message, hint=hint)
        look = look_at(data, desk.pki.policy, lambda one: _verdict(desk, one), _own(desk, actor))
    except SmpkiError as error:
        return page(visit, "tryout_file.html", status_of(error), look=None, error=error)
    return page(visit, "tryout_file.html", look=look, error=None)


def _verdict(desk: Desk, certificate: x509.Certificate) -> Verdict:
    """Whether a certificate holds by its chain, and is not taken back."""
    known = desk.certificates.authorities()
    roots = tuple(load(desk.pki.store.get(one.certificate.serial)) for one in known if one.certificate.kind == "root")
    others = tuple(load(desk.pki.store.get(one.certificate.serial)) for one in known if one.revocation is None)
    crls = tuple(
        x509.load_der_x509_crl(desk.crls.get(one.file_name).der) for one in desk.crls.series() if one.newest is not None
    )
    question = Question(certificate, roots, desk.pki.clock(), others, crls, revocation=Revocation.IF_KNOWN)
    return validate(question)


def _own(desk: Desk, actor: Actor) -> tuple[x509.Certificate, ...]:
    """A participant's ENC certificates that are in force."""
    if actor.role is not Role.PARTICIPANT or actor.subject_key is None:
        return ()
    held = (
        one
        for kind in (CertificateType.EMT, CertificateType.GWA, CertificateType.GWH)
        for one in desk.pki.store.held(kind, actor.subject_key, desk.pki.clock())
    )
    return tuple(load(one) for one in held if one.purpose == "enc")
