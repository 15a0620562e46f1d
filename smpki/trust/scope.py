"""Does a revocation list speak for a certificate: RFC 5280 section 6.3.3, steps (b) and (d)."""

from dataclasses import dataclass

from cryptography import x509

from smpki.policy.names import comparable
from smpki.trust.crl import NameKey, RevocationList

ALL_REASONS = frozenset(x509.ReasonFlags) - {x509.ReasonFlags.unspecified, x509.ReasonFlags.remove_from_crl}


@dataclass(frozen=True)
class Coverage:
    """For what a list speaks.

    :param reasons: the revocation reasons that it would show
    :param by_delegate: only if the certificate's own issuer certified its signer for CRLs alone
    """

    reasons: frozenset[x509.ReasonFlags]
    by_delegate: bool = False


def covers(crl: RevocationList, certificate: x509.Certificate) -> Coverage | None:
    """Whether a list's scope holds a certificate, by names alone; who signed it is looked at elsewhere.

    A certificate without CRLDistributionPoints (a link certificate) is also found on the indirect CRL of a signer that
    its issuer made for that: the root's CRL signer lists all that the root issued.
    """
    scope = crl.scope
    if scope is not None and not _holds_kind(scope, certificate):
        return None
    listed = ALL_REASONS if scope is None or scope.only_some_reasons is None else scope.only_some_reasons
    points = _points(certificate)
    if points is None:
        points = [_own_point(certificate)]
        if crl.is_indirect and crl.issuer != comparable(certificate.issuer):
            return Coverage(listed, by_delegate=True)
    reasons = [point.reasons or ALL_REASONS for point in points if _fits(crl, point, certificate)]
    return Coverage(listed & frozenset().union(*reasons)) if reasons else None


def _holds_kind(scope: x509.IssuingDistributionPoint, certificate: x509.Certificate) -> bool:
    """Steps (b)(2)(ii) to (iv): user certificates, CA certificates, attribute certificates only."""
    try:
        is_ca = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        is_ca = False
    if scope.only_contains_attribute_certs:
        return False
    return not (scope.only_contains_user_certs if is_ca else scope.only_contains_ca_certs)


def _fits(crl: RevocationList, point: x509.DistributionPoint, certificate: x509.Certificate) -> bool:
    """Steps (b)(1) and (b)(2)(i): the list's issuer, and the name of the distribution point."""
    issuers = {comparable(one.value) for one in point.crl_issuer or () if isinstance(one, x509.DirectoryName)}
    if point.crl_issuer and not (crl.is_indirect and crl.issuer in issuers):
        return False
    if not point.crl_issuer and crl.issuer != comparable(certificate.issuer):
        return False
    if crl.scope is None:
        return True
    published = _names(crl.scope.full_name, crl.scope.relative_name, crl.issuer)
    base = crl.issuer if point.crl_issuer else comparable(certificate.issuer)
    wanted = _names(point.full_name, point.relative_name, base) or _names(point.crl_issuer, None, base)
    return not published or bool(published & wanted)


def _points(certificate: x509.Certificate) -> list[x509.DistributionPoint] | None:
    try:
        return list(certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value)
    except x509.ExtensionNotFound:
        return None


def _own_point(certificate: x509.Certificate) -> x509.DistributionPoint:
    """The distribution point of a certificate that names none: its issuer's name."""
    return x509.DistributionPoint([x509.DirectoryName(certificate.issuer)], None, None, None)


def _names(
    full: list[x509.GeneralName] | None, relative: x509.RelativeDistinguishedName | None, base: NameKey
) -> set[object]:
    """The names of a distribution point, comparable."""
    if relative is not None:
        return {(*base, *comparable(x509.Name([relative])))}
    return {comparable(one.value) if isinstance(one, x509.DirectoryName) else one for one in full or ()}
