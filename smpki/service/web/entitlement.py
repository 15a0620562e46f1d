"""Who may ask a CA for what (TR-03129-4): whoever is in the TLS certificate, for itself or for its gateways."""

from collections.abc import Mapping
from types import MappingProxyType

from cryptography import x509

from smpki.errors import PolicyError, RequestError, ServiceError
from smpki.policy.lint.classify import classify, default_kind
from smpki.policy.model import CertificateType
from smpki.policy.names import DistinguishedName
from smpki.requests.any_request import AnyRequest
from smpki.requests.submission import Submission
from smpki.service.web.senders import Sender
from smpki.soap.messages import CertType

_FOR_GATEWAYS = {CertificateType.SMGW_G: CertificateType.GWH, CertificateType.SMGW_W: CertificateType.GWA}
_CERT_TYPES: Mapping[CertType, CertificateType] = MappingProxyType(
    {
        CertType.SMGW_W: CertificateType.SMGW_W,
        CertType.SMGW_G: CertificateType.SMGW_G,
        CertType.GWA: CertificateType.GWA,
        CertType.GWH: CertificateType.GWH,
        CertType.EMT: CertificateType.EMT,
        CertType.SUB_CA: CertificateType.SUB_CA,
    }
)


def check_package(submission: Submission, cert_type: CertType | None, sender: Sender) -> CertificateType:
    """See that a package is the sender's own, or that of a gateway it answers for.

    :param cert_type: what the message's header says
    :return: the type of the certificates that are asked for
    :raises RequestError: ``request.role.unknown``, ``request.cert_type``, ``request.authorisation.missing``
    :raises ServiceError: ``service.unauthorised.*``
    """
    kind = default_kind(submission.package.subject)
    if kind is None or not kind.is_end_user:
        message = "the subject's CN does not say which role it asks for"
        raise RequestError("request.role.unknown", message, where="subject", hint="see TR-03109-4 annex A")
    check_cert_type(kind, cert_type)
    if not kind.is_gateway:
        if (_key(submission.package.subject), kind) != (sender.key, sender.kind):
            message = "the package is for another participant than the TLS certificate"
            raise _unauthorised("subject", message, sender, "ask for yourself, over TLS as yourself")
        return kind
    if sender.kind is not _FOR_GATEWAYS[kind]:
        message = f"a {sender.kind} may not ask for certificates of a {kind}"
        raise _unauthorised("role", message, sender, f"a {_FOR_GATEWAYS[kind]} has to ask for them")
    if submission.authorisation is None:
        raise RequestError(
            "request.authorisation.missing",
            "a gateway's package needs the authorisation of its manufacturer or administrator",
            where="package",
            hint="let the GWH (Guetesiegel) or the GWA (Wirk) authorise the package",
        )
    if _key(submission.authorisation.signer.subject) != sender.key:
        message = "the package is authorised by another participant than the TLS certificate's"
        raise _unauthorised("signer", message, sender, "send what you authorised yourself")
    return kind


def check_signed(request: AnyRequest, sender: Sender) -> None:
    """See that a revocation request or UpdateDeviceAdmin is signed by the sender; what it may ask is for the CA to say.

    :raises ServiceError: ``service.unauthorised.signer``
    """
    if isinstance(request, Submission):
        message = "this is a request package"
        raise RequestError("request.kind", message, where="request", hint="send it by RequestCertificate")
    signer = request.signature.signer
    kind = classify(signer)
    if _key(signer.subject) != sender.key or kind is None or kind[0] is not sender.kind:
        message = "the request is signed by another participant than the TLS certificate's"
        raise _unauthorised("signer", message, sender, "send what you signed yourself")


def check_cert_type(kind: CertificateType, cert_type: CertType | None) -> None:
    """See that the header asks for what the request asks for.

    :raises RequestError: ``request.cert_type``
    """
    if cert_type is not None and _CERT_TYPES[cert_type] is not kind:
        message = f"the header says certType {cert_type}, the request asks for a {kind}"
        raise RequestError("request.cert_type", message, where="header", hint="leave certType out, or correct it")


def _key(name: x509.Name) -> str:
    try:
        return DistinguishedName.from_x509(name).key()
    except PolicyError:
        return ""


def _unauthorised(rule: str, message: str, sender: Sender, hint: str) -> ServiceError:
    return ServiceError(f"service.unauthorised.{rule}", message, where=sender.name.common_name, hint=hint)
