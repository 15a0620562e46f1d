"""CRLDistributionPoints: where the CRL is, and whose it is (RFC 5280 4.2.1.13)."""

from collections.abc import Iterator

from cryptography import x509

from smpki.policy.lint.alternative_names import host_of
from smpki.policy.lint.finding import Finding, error
from smpki.policy.lint.surroundings import Surroundings
from smpki.policy.model import CrlDistributionPointsRule, EnvironmentName, Policy
from smpki.policy.names import DistinguishedName, same_name
from smpki.policy.text import quoted

_SCHEMES = ("http://", "ldap://")


def crl_distribution_points_findings(
    value: x509.CRLDistributionPoints, rule: CrlDistributionPointsRule, at: str, surroundings: Surroundings
) -> Iterator[Finding]:
    """One distribution point with http or ldap addresses; its CRL's signer where the CRL is an indirect one."""
    points = list(value)
    if len(points) != 1:
        yield error(f"{at}.points", f"there are {len(points)} distribution points, one is due")
    for point in points:
        if point.reasons is not None:
            yield error(f"{at}.reasons", "the CRL holds only some reasons")
        if not point.full_name:
            yield error(f"{at}.full_name", "a distribution point has no full name")
        for name in point.full_name or ():
            yield from address_findings(name, at)
        yield from _crl_issuer(point.crl_issuer, rule, at, surroundings)


def address_findings(name: x509.GeneralName, at: str) -> Iterator[Finding]:
    """One address of a CRL."""
    if not isinstance(name, x509.UniformResourceIdentifier):
        yield error(f"{at}.kind", f"an address is a {type(name).__name__}, not a URI")
        return
    # the name in an LDAP URI may have spaces, which issuers don't always escape
    fits = name.value.lower().startswith(_SCHEMES) and host_of(name.value.replace(" ", "%20"))
    if not fits:
        yield error(f"{at}.uri", f"{quoted(name.value)} is no http or ldap URI with a host")


def _crl_issuer(
    found: list[x509.GeneralName] | None, rule: CrlDistributionPointsRule, at: str, surroundings: Surroundings
) -> Iterator[Finding]:
    if not rule.crl_issuer:
        if found:
            yield error(f"{at}.crl_issuer.forbidden", "cRLIssuer is there, though the issuer signs its own CRL")
        return
    if not found:
        yield error(f"{at}.crl_issuer.missing", "cRLIssuer is missing, though another signs the CRL (indirect CRL)")
        return
    due = crl_signer_name(surroundings.policy, surroundings.environment)
    if len(found) != 1 or not isinstance(found[0], x509.DirectoryName) or not same_name(found[0].value, due):
        yield error(f"{at}.crl_issuer.name", "cRLIssuer is not the name of the root's CRL signer")


def crl_signer_name(policy: Policy, environment: EnvironmentName) -> x509.Name:
    """The name of the root's CRL signer (CRL-Signer), as cRLIssuer of real Sub-CA certificates has it."""
    surroundings = policy.environments[environment]
    return DistinguishedName.of(
        CN=f"{surroundings.root_common_name.value}.CRL-S",
        O=surroundings.organization.value,
        C=surroundings.country.value,
    ).to_x509()
