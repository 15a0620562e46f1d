"""What a participant signs beside its own packages: authorisations, revocation requests, changes of administrator."""

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509

from smpki.errors import RequestError
from smpki.participant.checks import check_signer_valid
from smpki.policy.lint.classify import classify
from smpki.policy.model import CertificateType
from smpki.policy.reasons import AnyReason
from smpki.requests.build_signed import build_authorised_package
from smpki.requests.device_admin import build_device_admin_update
from smpki.requests.keys import Signer
from smpki.requests.revocation import RevocationItem, build_revocation_request


def authorise(package: bytes, authority: Signer, now: datetime) -> bytes:
    """Put an authorisation around a gateway's initial or renewal package.

    :param package: in whatever armour
    :param authority: the gateway's manufacturer (GWH, for a Guetesiegel) or administrator (GWA, for a Wirk triple)
    :param now: timezone-aware
    :return: the authorised package, DER
    :raises RequestError: ``request.signer.role`` when the authority is neither, ``request.signer.not_valid``, and as
        :func:`smpki.requests.build_signed.build_authorised_package`
    """
    _check_role(authority, now, CertificateType.GWH, CertificateType.GWA)
    return build_authorised_package(package, authority)


def revocation_request(
    certificates: Sequence[x509.Certificate], reason: AnyReason, signer: Signer, now: datetime
) -> bytes:
    """Ask to revoke, suspend (``certificate_hold``) or resume (``remove_from_crl``) certificates.

    :param signer: whoever is entitled: the holder, or the manufacturer or administrator of a gateway
    :param now: timezone-aware
    :return: the signed request, DER
    :raises RequestError: ``request.signer.not_valid``, and as
        :func:`smpki.requests.revocation.build_revocation_request`
    """
    check_signer_valid(signer.certificate, now)
    items = [RevocationItem(each.issuer, each.serial_number, reason) for each in dict.fromkeys(certificates)]
    return build_revocation_request(items, signer)


def device_admin(gateways: Sequence[str], new_admin: str, administrator: Signer, now: datetime) -> bytes:
    """Hand gateways over to another administrator.

    :param gateways: the CN of each
    :param new_admin: the new administrator's CN
    :param administrator: the one who is in charge until now
    :param now: timezone-aware
    :return: the signed request, DER
    :raises RequestError: ``request.signer.role``, ``request.signer.not_valid``, and as
        :func:`smpki.requests.device_admin.build_device_admin_update`
    """
    _check_role(administrator, now, CertificateType.GWA)
    return build_device_admin_update(gateways, new_admin, administrator)


def _check_role(signer: Signer, now: datetime, *kinds: CertificateType) -> None:
    kind, _ = classify(signer.certificate) or (None, None)
    if kind not in kinds:
        raise RequestError(
            "request.signer.role",
            f"the signer is {kind or 'of no known type'}",
            where="signer",
            hint=f"let a {' or '.join(kinds)} sign",
        )
    check_signer_valid(signer.certificate, now)
