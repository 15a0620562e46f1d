"""Lint one certificate request: what its holder wishes, before the CA decides (TR-03109-4 annex C.1)."""

from collections.abc import Iterator

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.policy.lint.extensions import CHECKS, FIELDS
from smpki.policy.lint.finding import Finding, error
from smpki.policy.lint.keys import public_key_findings
from smpki.policy.lint.subject import subject_findings
from smpki.policy.lint.surroundings import Surroundings
from smpki.policy.model import CertificateType, EnvironmentName, ExtensionRule, Policy, Presence, Profile, PurposeName

_AT = "tr-03109-4.c1"

# the extensions that a real request carries; the issuer decides about all others
_WISHES = ("subject_key_identifier", "subject_alternative_name", "key_usage", "extended_key_usage")
# a request may leave it to the CA to compute this one
_COMPUTED = "subject_key_identifier"


def lint_request(
    subject: x509.Name | None,
    public_key: ec.EllipticCurvePublicKey,
    extensions: x509.Extensions,
    proof_hash: hashes.HashAlgorithm,
    kind: CertificateType,
    purpose: PurposeName,
    policy: Policy,
    environment: EnvironmentName,
) -> tuple[Finding, ...]:
    """Check one request of a package against the policy.

    The DN serialNumber is a wish of which only the form is checked. Requested extensions must agree with the profile;
    that they are critical or not is not looked at, since real requests have none critical and the CA sets it anyway.

    :param subject: ``None`` when it was looked at with another request of the package
    :param proof_hash: the hash of the proof of possession (RFC 4211 section 4.1)
    :return: the findings in the order of the request's fields; none when all is well
    :raises KeyError: when the type has no certificate for that purpose
    """
    profile = policy.profile(kind, purpose)
    surroundings = Surroundings(policy, environment, public_key)
    return (
        *(() if subject is None else subject_findings(subject, kind, policy, environment, requested=True)),
        *public_key_findings(public_key, kind, purpose, policy, on=None),
        *_wish_findings(extensions, profile, surroundings),
        *_proof_findings(proof_hash, policy),
    )


def _wish_findings(extensions: x509.Extensions, profile: Profile, surroundings: Surroundings) -> Iterator[Finding]:
    present = set()
    for extension in extensions:
        field = FIELDS.get(extension.oid)
        if field not in _WISHES:
            name = field or extension.oid.dotted_string
            yield error(f"{_AT}.extension.not_requestable", f"extension {name} is not for the requester to ask for")
            continue
        present.add(field)
        rule: ExtensionRule = getattr(profile, field)
        if rule.presence is Presence.FORBIDDEN:
            yield error(f"{_AT}.{field}.forbidden", "the extension is requested, the profile forbids it")
        else:
            yield from CHECKS[field](extension.value, rule, f"{_AT}.{field}", surroundings)
    for field in _WISHES:
        rule = getattr(profile, field)
        if rule.presence is Presence.MANDATORY and field not in present and field != _COMPUTED:
            yield error(f"{_AT}.{field}.missing", "the extension is not requested, the profile has it")


def _proof_findings(proof_hash: hashes.HashAlgorithm, policy: Policy) -> Iterator[Finding]:
    allowed = policy.issuing.proof_hashes.value
    if proof_hash.name not in allowed:
        yield error(
            f"{_AT}.proof.hash", f"the proof of possession uses {proof_hash.name}, allowed are {', '.join(allowed)}"
        )
