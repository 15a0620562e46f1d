"""NIST's Public Key Interoperability Test Suite, through our own function; RSA with SHA-256 is allowed for it."""

import json
import warnings
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import cryptography_vectors
import pytest
from cryptography import x509

from smpki.trust.algorithms import AllowedAlgorithms
from smpki.trust.question import ANY_POLICY, PolicyInputs, Question
from smpki.trust.validate import validate

EXPECTED = Path(__file__).parents[3] / "shared" / "data" / "pkits" / "pkits.json"
LEFT_OUT = json.loads(Path(__file__).with_name("pkits_left_out.json").read_text(encoding="utf-8"))
VECTORS = Path(cryptography_vectors.__file__).parent / "x509" / "PKITS_data"
AT = datetime(2022, 5, 1, tzinfo=UTC)
WITH_RSA = AllowedAlgorithms(rsa_hashes=frozenset({"sha256"}))

CASES = json.loads(EXPECTED.read_text(encoding="utf-8")) if EXPECTED.exists() else []
NEEDED = pytest.mark.skipif(not CASES, reason=f"the expected results of PKITS are not at {EXPECTED}")


@cache
def certificate(name: str) -> x509.Certificate:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of serial numbers that are not positive, which some tests are about
        return x509.load_der_x509_certificate((VECTORS / "certs" / name).read_bytes())


@cache
def crl(name: str) -> x509.CertificateRevocationList:
    return x509.load_der_x509_crl((VECTORS / "crls" / name).read_bytes())


@NEEDED
@pytest.mark.parametrize("case", [one for one in CASES if one["name"] not in LEFT_OUT], ids=lambda case: case["name"])
@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_our_answer_is_that_of_pkits(case: dict[str, Any]) -> None:
    inputs = case.get("params", {})
    verdict = validate(
        Question(
            certificate(case["cert"]),
            (certificate("TrustAnchorRootCertificate.crt"),),
            AT,
            untrusted=tuple(certificate(name) for name in case.get("other_certs", [])),
            crls=(crl("TrustAnchorRootCRL.crl"), *(crl(name) for name in case.get("crls", []))),
            algorithms=WITH_RSA,
            policies=PolicyInputs(
                initial=frozenset(inputs.get("user_initial_policy_set", [ANY_POLICY])),
                explicit=inputs.get("initial_explicit_policy", False),
                inhibit_mapping=inputs.get("initial_policy_mapping_inhibit", False),
                inhibit_any=inputs.get("initial_any_policy_inhibit", False),
            ),
        )
    )
    assert verdict.valid is ("error" not in case), verdict.reasons
    # every clause has its own code: nothing falls through to the general one
    assert "trust.certificate.path" not in [one.code for one in verdict.reasons]


@NEEDED
def test_what_is_left_out_needs_dsa_or_delta_crls() -> None:
    assert {one["name"] for one in CASES} >= LEFT_OUT.keys()
    assert all("DSA" in reason or "delta CRL" in reason for reason in LEFT_OUT.values())
    assert len(CASES) - len(LEFT_OUT) == 242
