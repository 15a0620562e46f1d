"""Make an initial request package, as a participant does: three keys, a name, three proofs of possession."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec

from smpki.asn1.curves import CURVES
from smpki.errors import RequestError
from smpki.participant.checks import check_requests
from smpki.participant.key_places import KeyPlace, make_keys
from smpki.participant.packages import write_package
from smpki.policy.decide import generation_for
from smpki.policy.lint.classify import default_kind
from smpki.policy.model import CertificateType, EnvironmentName, Policy, Presence
from smpki.policy.names import DistinguishedName
from smpki.requests.build import RequestedNames, build_initial_package
from smpki.requests.keys import KeyTriple
from smpki.requests.read import read_package


@dataclass(frozen=True)
class Wanted:
    """What a participant asks for.

    :param common_name: such as ``Company.EMT.MAK``; it says the role unless ``role`` does
    :param organizational_unit: 13-digit market partner id (EMT), manufacturer (SMGW Guetesiegel), CN of the
        administrator (SMGW Wirk)
    :param email: contact, all roles but gateways
    :param uri: likewise
    :param dns: host names for the TLS certificate; the URI's host when there are none
    """

    common_name: str
    role: CertificateType | None = None
    organizational_unit: str | None = None
    country: str = "DE"
    email: str | None = None
    uri: str | None = None
    dns: tuple[str, ...] = ()


def role_of(wanted: Wanted) -> CertificateType:
    """The role that is asked for, by name or by CN.

    :raises RequestError: ``request.role.unknown``
    """
    subject = DistinguishedName.of(CN=wanted.common_name, OU=wanted.organizational_unit)
    kind = wanted.role or default_kind(subject.to_x509())
    if kind is None or not kind.is_end_user:
        raise RequestError(
            "request.role.unknown",
            f"CN {wanted.common_name!r} does not say which role asks",
            where="--cn",
            hint="ORG.EMT[.EXT], ORG.GWA[.EXT], ORG.GWH[.EXT] or DEVICEID.SMGW, or name the role: --role",
        )
    return kind


def curve_for(policy: Policy, environment: EnvironmentName, kind: CertificateType, on: date) -> ec.EllipticCurve:
    """The curve that the policy names for the keys of end users.

    :raises PolicyError: ``policy.generation.none``
    """
    return CURVES[generation_for(policy, kind, on, environment).curve]


def generate_keys(policy: Policy, environment: EnvironmentName, kind: CertificateType, on: date) -> KeyTriple:
    """Three new keys in memory, on the curve that the policy names for end users."""
    return make_keys(curve_for(policy, environment, kind, on))


def new_package(wanted: Wanted, keys: KeyTriple, policy: Policy, environment: EnvironmentName) -> bytes:
    """The DER package, checked by the rules that the Sub-CA will apply.

    :raises RequestError: for what is missing or forbidden for the role; ``where`` names the option
    """
    kind = role_of(wanted)
    _require_names(wanted, kind, policy)
    rules = policy.environments[environment]
    number = policy.certificates[kind].name.first_serial_number.value
    subject = DistinguishedName.of(
        CN=wanted.common_name,
        O=rules.organization.value,
        OU=wanted.organizational_unit,
        C=wanted.country,
        serialNumber=None if number is None else str(number),
    )
    host = urlsplit(wanted.uri).hostname if wanted.uri else None
    dns = wanted.dns or ((host,) if host else ())
    package = build_initial_package(subject.to_x509(), keys, RequestedNames(wanted.email, wanted.uri, dns))
    check_requests(read_package(package), kind, policy, environment)
    return package


def write_new_request(
    wanted: Wanted, policy: Policy, environment: EnvironmentName, folder: Path, place: KeyPlace, on: date
) -> tuple[str, ...]:
    """Make keys and package, the package in ``request.der`` of the folder.

    :param place: where the keys go
    :param on: today
    :return: what was made: files, or labels of keys in a token
    :raises SmpkiError: as :func:`new_package` and :func:`smpki.participant.packages.write_package`
    """
    curve = curve_for(policy, environment, role_of(wanted), on)
    return write_package(folder, place, curve, lambda keys: new_package(wanted, keys, policy, environment))


def _require_names(wanted: Wanted, kind: CertificateType, policy: Policy) -> None:
    """Say which option is missing, rather than which extension."""
    unit = policy.certificates[kind].name.attributes["OU"]
    if unit.presence is Presence.MANDATORY and wanted.organizational_unit is None:
        raise _missing(kind, "--ou")
    names = policy.profile(kind, "tls").subject_alternative_name
    for option, value, presence in (("--email", wanted.email, names.email), ("--uri", wanted.uri, names.uri)):
        if names.presence is Presence.MANDATORY and presence is Presence.MANDATORY and value is None:
            raise _missing(kind, option)
        if names.presence is Presence.FORBIDDEN and value is not None:
            raise _forbidden(kind, option)
    if names.presence is Presence.FORBIDDEN and wanted.dns:
        raise _forbidden(kind, "--dns")


def _missing(kind: CertificateType, option: str) -> RequestError:
    hint = f"give {option}; see smpki policy show {kind}"
    return RequestError("request.new.missing", f"a {kind} needs {option}", where=option, hint=hint)


def _forbidden(kind: CertificateType, option: str) -> RequestError:
    hint = "leave it out: a gateway's certificates have no SubjectAltName"
    return RequestError("request.new.forbidden", f"a {kind} can't have {option}", where=option, hint=hint)
