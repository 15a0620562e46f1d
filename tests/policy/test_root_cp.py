"""The shipped policy claims no more than its sources say, and its rules for a certificate's life hold together."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from smpki.errors import PolicyError
from smpki.policy.load import default_policy_text, load_policy
from smpki.policy.model import END_USERS, CertificateType, Confidence, Origin, Policy

TEXT = default_policy_text()
POLICY = load_policy(TEXT)

SOURCE = re.compile(
    r"BSI TR-03116-3 \(2025\) tables? 5|BSI TR-03116-3 \(2025\) tables? 6"
    r"|TR-03129-4 v1\.3\.1"
    r"|Detailspezifikationen zur TR-03109-1 v2\.0 chapter 4"
    r"|(extension table of TR-03109-4 v1\.2\.1|name scheme of the Certificate Policy 1\.1\.2) as the zlint fork jzlint"
    r"|RFC 5280 [45]\.[1-4]"
    r"|real (\w+[ -])*certificates?\b|real request packages"
    r"|(cRLIssuer|IssuerAltName) of real Sub-CA certificates"
)
"""A document that was read, or certificates that were parsed."""

NEVER_SEEN = {"root", "crl-signer", "tls-signer", "root-side-tls", "sub-ca-tls"}


def origins(value: object, path: str = "") -> Iterator[tuple[str, Origin]]:
    """Everything that has a source, with its path."""
    if isinstance(value, Origin):
        yield path, value
    elif isinstance(value, tuple):
        for index, below in enumerate(value):
            yield from origins(below, f"{path}.{index}")
    else:
        below = value if isinstance(value, dict) else vars(value) if hasattr(value, "__dict__") else {}
        for name, entry in below.items():
            yield from origins(entry, f"{path}.{name}".lstrip("."))


def test_verified_values_name_a_source_that_was_read() -> None:
    found = {path: origin.source for path, origin in origins(POLICY) if origin.confidence is Confidence.VERIFIED}
    assert len(found) > 100
    own_terms = {"certificates.root.issuer"}  # by definition of a root
    assert {path: source for path, source in found.items() if not SOURCE.search(source)}.keys() == own_terms


def test_our_choices_are_called_assumed() -> None:
    chosen = {path: origin for path, origin in origins(POLICY) if "our choice" in origin.source}
    assert len(chosen) > 50
    assert {path for path, origin in chosen.items() if origin.confidence is not Confidence.ASSUMED} == set()


def test_profiles_of_certificates_that_were_not_seen_are_not_verified() -> None:
    for name in NEVER_SEEN:
        found = {path for path, origin in origins(POLICY.profiles[name]) if origin.confidence is Confidence.VERIFIED}
        assert found == set()


def changed(path: str, value: object) -> str:
    document: Any = yaml.safe_load(TEXT)
    place = document
    *way, last = path.split(".")
    for step in way:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return yaml.safe_dump(document)


def assumed(value: object) -> dict[str, object]:
    return {"value": value, "source": "here", "confidence": "assumed"}


@pytest.mark.parametrize(
    ("path", "value", "code", "complaint"),
    [
        ("revocation.reasons.value", ["superseded", "remove_from_crl"], "policy.invalid", "reasons.value.1"),
        ("revocation.reasons.value", ["superseded"], "policy.contradiction", "revocation.reasons.value"),
        ("revocation.entitled.gwh", None, "policy.invalid", "revocation.entitled.gwh"),
        ("revocation.entitled.emt.value", ["emt"], "policy.invalid", "revocation.entitled.emt.value.0"),
        ("revocation.entitled.sub-ca", assumed(["holder"]), "policy.contradiction", "revocation.entitled.sub-ca"),
        ("renewal.opens_before_end.value", "2y", "policy.contradiction", "renewal.opens_before_end"),
    ],
)
def test_rules_for_a_certificates_life_that_do_not_hold_together(
    path: str, value: object, code: str, complaint: str
) -> None:
    with pytest.raises(PolicyError) as refused:
        load_policy(changed(path, value))
    assert refused.value.code == code
    assert refused.value.where is not None
    assert refused.value.where.endswith(complaint)


def test_without_suspension_no_reason_for_it_is_needed() -> None:
    text = changed("revocation.suspension_types.value", [])
    document = yaml.safe_load(text)
    document["revocation"]["reasons"]["value"].remove("certificate_hold")
    assert "certificate_hold" not in load_policy(yaml.safe_dump(document)).revocation.reasons.value


def test_gateways_are_taken_back_by_who_is_responsible_for_them() -> None:
    entitled = POLICY.revocation.entitled
    assert set(entitled) == set(END_USERS)
    assert (entitled[CertificateType.SMGW_G].value, entitled[CertificateType.SMGW_W].value) == (("gwh",), ("gwa",))
    assert set(POLICY.revocation.suspension_types.value) == {kind for kind in END_USERS if kind.is_gateway}


def test_every_policy_field_is_in_the_file() -> None:
    assert yaml.safe_load(TEXT).keys() == Policy.model_fields.keys()
