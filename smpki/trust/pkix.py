"""Does one chain hold, revocation aside: RFC 5280 section 6.1, worked out by pyhanko-certvalidator.

What it leaves to the caller is added here: the root's own constraints and validity (shell model, Schalenmodell: every
certificate of the chain, root included, is valid at the moment in question), and that a certificate names the same
signature algorithm inside and outside.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType

import asn1crypto.algos
import asn1crypto.keys
import asn1crypto.x509
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pyhanko_certvalidator.authority import CertTrustAnchor, TrustQualifiers
from pyhanko_certvalidator.context import ValidationContext
from pyhanko_certvalidator.errors import (
    DisallowedAlgorithmError,
    ExpiredError,
    NotYetValidError,
    PathValidationError,
)
from pyhanko_certvalidator.path import ValidationPath
from pyhanko_certvalidator.policy_decl import (
    NO_REVOCATION,
    AlgorithmUsageConstraint,
    AlgorithmUsagePolicy,
    CertRevTrustPolicy,
    PKIXValidationParams,
)
from pyhanko_certvalidator.registry import SimpleTrustManager
from pyhanko_certvalidator.validate import async_validate_path

from smpki.trust.algorithms import AllowedAlgorithms
from smpki.trust.paths import as_asn1, run
from smpki.trust.question import ANY_POLICY, Path, PolicyInputs, Reason, reason, unreadable

_SHELL = "RFC 5280 6.1.3 (a)(2), shell model"

# pyhanko-certvalidator tells these apart by their text alone
_BROKEN: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "signature of": ("signature", "6.1.3 (a)(1)", "its signature does not verify under its issuer's key"),
        "issuer name": ("name", "6.1.3 (a)(4)", "its issuer's name is another"),
        "permitted namespace": ("name_constraints", "6.1.3 (b)", "its name is outside what a CA above it may name"),
        "are excluded from": ("name_constraints", "6.1.3 (c)", "its name is one that a CA above it may not name"),
        "contains a policy mapping": ("policies", "6.1.4 (a)", "it maps a policy from or to anyPolicy"),
        "set of policies": ("policies", "6.1.3 (f) and 6.1.5 (g)", "no acceptable policy holds for the whole chain"),
        "size limit": ("policies", "6.1.3 (d)", "its policies and their mappings are too many"),
        "is not a CA": ("not_ca", "6.1.4 (k)", "it is no CA's (BasicConstraints), but issued the next certificate"),
        "maximum path length": ("path_length", "6.1.4 (l)", "a CA above it allows no further CA (pathLenConstraint)"),
        "not allowed to sign": ("key_usage", "6.1.4 (n)", "its key may not sign certificates (keyCertSign)"),
        "critical extension": ("critical_extension", "6.1.4 (o)", "it has a critical extension that nobody here knows"),
    }
)


def check_path(path: Path, at: datetime, algorithms: AllowedAlgorithms, policies: PolicyInputs) -> Reason | None:
    """What is wrong with a chain, the first thing found from the root down; ``None`` when it holds.

    :param path: from a trusted root down to the certificate in question; a root alone is a chain too
    """
    progress = _Progress(algorithms)
    try:
        return _check_root(path, at) or _check_below(path, at, progress, policies)
    except DisallowedAlgorithmError:
        message = f"it is not signed as allowed: {progress.against}"
        return reason(path[progress.index], "trust.algorithm.signature", "TR-03116-3 table 5", message)
    except ExpiredError:
        return _expired(path[progress.index])
    except NotYetValidError:
        return _not_yet_valid(path[progress.index])
    except PathValidationError as error:
        return _broken(path[progress.index], str(error))
    except Exception:  # asn1crypto parses late: ValueError, TypeError, KeyError and more
        return unreadable(path[progress.index])


def _check_root(path: Path, at: datetime) -> Reason | None:
    root = path[0]
    if at < root.not_valid_before_utc:
        return _not_yet_valid(root)
    if at > root.not_valid_after_utc:
        return _expired(root)
    asn1 = as_asn1(root)
    if len(path) > 1 and not asn1.ca:
        return _broken(root, "is not a CA")
    if len(path) > 1 and asn1.key_usage_value and "key_cert_sign" not in asn1.key_usage_value.native:
        return _broken(root, "not allowed to sign")
    return None


def _check_below(path: Path, at: datetime, progress: "_Progress", policies: PolicyInputs) -> Reason | None:
    """What is left for :func:`check_path` to catch comes as one of pyhanko-certvalidator's errors."""
    root, *below = [as_asn1(one) for one in path]
    for certificate, asn1 in zip(path[1:], below, strict=True):
        if asn1["signature_algorithm"].dump() != asn1["tbs_certificate"]["signature"].dump():
            message = "it names two signature algorithms, one inside and one outside"
            return reason(certificate, "trust.certificate.signature", "RFC 5280 4.1.1.2", message)
    limit = root.max_path_length
    anchor = CertTrustAnchor(root, TrustQualifiers(max_path_length=limit, max_aa_path_length=limit))
    context = ValidationContext(
        trust_manager=SimpleTrustManager.build([anchor]),
        moment=at,
        time_tolerance=timedelta(0),
        revinfo_policy=CertRevTrustPolicy(NO_REVOCATION),
        algorithm_usage_policy=progress,
    )
    parameters = PKIXValidationParams(
        user_initial_policy_set=frozenset("any_policy" if one == ANY_POLICY else one for one in policies.initial),
        initial_explicit_policy=policies.explicit,
        initial_policy_mapping_inhibit=policies.inhibit_mapping,
        initial_any_policy_inhibit=policies.inhibit_any,
    )
    asn1_path = ValidationPath(anchor, below[:-1], below[-1] if below else None)
    run(async_validate_path(context, asn1_path, parameters))
    return None


class _Progress(AlgorithmUsagePolicy):
    """Decides on signature algorithms; as that is the first step for each certificate, it knows which one is on."""

    def __init__(self, allowed: AllowedAlgorithms) -> None:
        self._allowed = allowed
        self.index = 0
        self.against: str | None = None

    def signature_algorithm_allowed(
        self,
        algo: asn1crypto.algos.SignedDigestAlgorithm,
        moment: datetime | None,
        public_key: asn1crypto.keys.PublicKeyInfo | None,
    ) -> AlgorithmUsageConstraint:
        """Whether the next certificate's signature counts, made with its issuer's key."""
        self.index += 1
        try:
            key = load_der_public_key(public_key.dump()) if public_key else None
        except (ValueError, UnsupportedAlgorithm):
            key = None
        self.against = self._allowed.why_not_signature(algo["algorithm"].dotted, key)
        return AlgorithmUsageConstraint(self.against is None)


def _broken(certificate: x509.Certificate, text: str) -> Reason:
    unknown = ("path", "6.1", "its chain does not hold")
    code, clause, message = next((found for part, found in _BROKEN.items() if part in text), unknown)
    return reason(certificate, f"trust.certificate.{code}", f"RFC 5280 {clause}", message)


def _expired(certificate: x509.Certificate) -> Reason:
    message = f"it was valid until {certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC only"
    return reason(certificate, "trust.certificate.expired", _SHELL, message)


def _not_yet_valid(certificate: x509.Certificate) -> Reason:
    message = f"it is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M:%S} UTC only"
    return reason(certificate, "trust.certificate.not_yet_valid", _SHELL, message)
