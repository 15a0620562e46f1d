"""A policy that does not load says why, and names path and line."""

from itertools import pairwise

import pytest
import yaml

from smpki.errors import PolicyError
from smpki.policy.load import default_policy_text, load_policy
from smpki.policy.model import CertificateType, Confidence, Presence

TEXT = default_policy_text()


def find(path):
    """The node at a dotted path of the shipped policy, or the last on the way that is there, and its key's line."""
    node, line = yaml.compose(TEXT, Loader=yaml.CSafeLoader), 1
    for step in path.split("."):
        if isinstance(node, yaml.SequenceNode):
            node = node.value[int(step)]
            line = node.start_mark.line + 1
            continue
        below = [(key, value) for key, value in node.value if key.value == step] if node.id == "mapping" else []
        if not below:
            break
        ((key, node),) = below
        line = key.start_mark.line + 1
    return node, line


def edited(path, value):
    """The shipped policy with another text for the value at a path."""
    node, _ = find(path)
    start, stop = node.start_mark.index, node.end_mark.index
    return TEXT[:start] + value + TEXT[start + len(TEXT[start:stop].rstrip()) :]


def refusal(text):
    with pytest.raises(PolicyError) as refused:
        load_policy(text, name="cp.yaml")
    assert refused.value.hint
    return refused.value


def check(path, value, code, complaint, message):
    error = refusal(edited(path, value))
    assert (error.code, error.where) == (code, f"cp.yaml:{find(complaint)[1]}: {complaint}")
    assert message in error.message


def test_the_shipped_policy_loads():
    policy = load_policy(TEXT)
    assert policy.environments["test"].organization.value == "SM-Test-PKI-DE"
    assert set(policy.certificates) == set(CertificateType)
    for kind, rules in policy.certificates.items():
        for purpose in rules.certificates:
            assert policy.profile(kind, purpose).key_usage.presence is Presence.MANDATORY


def test_what_was_only_remembered_is_not_called_verified():
    policy = load_policy(TEXT)
    assumed = {kind for kind, rules in policy.certificates.items() if rules.validity.confidence is Confidence.ASSUMED}
    assert {CertificateType.ROOT, CertificateType.GWA, CertificateType.GWH, CertificateType.CRL_SIGNER} <= assumed


SOURCE = "source: somewhere, confidence: assumed"


@pytest.mark.parametrize(
    ("path", "value", "complaint", "message"),
    [
        ("renewal.new_keys", f"{{value: true, {SOURCE}, note: x}}", "renewal.new_keys.note", "unknown key"),
        (
            "certificates.emt.certificates",
            "{tls: participant-tls, tlss: x}",
            "certificates.emt.certificates.tlss",
            "'tls'",
        ),
        ("renewal.new_keys", "{}", "renewal.new_keys.source", "missing (2 more complaints)"),
        ("renewal.new_keys", "{value: true, source: somewhere}", "renewal.new_keys.confidence", "missing"),
        ("renewal.new_keys.source", '""', "renewal.new_keys.source", "at least 1 character"),
        ("renewal.new_keys.confidence", "guessed", "renewal.new_keys.confidence", "'inferred' or 'assumed'"),
        ("renewal.new_keys.value", '"yes"', "renewal.new_keys.value", "valid boolean"),
        ("crl.indirect.value", "1", "crl.indirect.value", "valid boolean"),
        ("names.attribute_max_length.value", '"64"', "names.attribute_max_length.value", "valid integer"),
        ("issuing.serial_octets.value", "7", "issuing.serial_octets.value", "greater than or equal to 8"),
        ("renewal.opens_before_end.value", "90", "renewal.opens_before_end.value", "length of time such as 5y"),
        ("renewal.opens_before_end.value", "0d", "renewal.opens_before_end.value", "length of time such as 5y"),
        ("identifiers.sm_pki.value", "3.1.1", "identifiers.sm_pki.value", "match pattern"),
        ("certificates.emt.title", "7", "certificates.emt.title", "valid string"),
        ("certificates.emt.issuer.value", "sub-sub-ca", "certificates.emt.issuer.value", "'sub-ca'"),
        (
            "certificates.emt.name.common_name.value",
            "'(.+\\.EMT'",
            "certificates.emt.name.common_name.value",
            "regular",
        ),
        (
            "certificates.emt.name.attributes.OU.pattern",
            "'['",
            "certificates.emt.name.attributes.OU.pattern",
            "not a regular expression",
        ),
        ("profiles.sub-ca.key_usage.bits", "[crl-sign]", "profiles.sub-ca.key_usage.bits.0", "'crl_sign'"),
        ("profiles.sub-ca.key_usage.critical", "yes please", "profiles.sub-ca.key_usage.critical", "valid boolean"),
        ("algorithms.root.1.curve", "brainpoolP512t1", "algorithms.root.1.curve", "not a curve of TR-03116-3 table 4"),
        (
            "algorithms.root.1.curve",
            "[brainpoolP512r1]",
            "algorithms.root.1.curve",
            "not a curve of TR-03116-3 table 4",
        ),
        ("algorithms.root.1.from", "soon", "algorithms.root.1.from", "valid date"),
        ("environments.test", "7", "environments.test", "valid dictionary"),
    ],
)
def test_unknown_keys_and_wrong_types(path, value, complaint, message):
    check(path, value, "policy.invalid", complaint, message)


def test_an_unknown_key_on_a_line_of_its_own():
    error = refusal(edited("title", "x\ncolour: red"))
    line = find("title")[1] + 1
    assert (error.code, error.where, error.message) == ("policy.invalid", f"cp.yaml:{line}: colour", "unknown key")


@pytest.mark.parametrize("path", ["certificates.gwh", "environments.production", "algorithms.end-user"])
def test_a_missing_part(path):
    parent, _, name = path.rpartition(".")
    node, line = find(parent)
    key, value = next((key, value) for key, value in node.value if key.value == name)
    start, stop = (TEXT.rindex("\n", 0, mark.index) + 1 for mark in (key.start_mark, value.end_mark))
    error = refusal(TEXT[:start] + TEXT[stop:])
    assert (error.code, error.where, error.message) == ("policy.invalid", f"cp.yaml:{line}: {path}", "missing")


@pytest.mark.parametrize(
    ("path", "value", "complaint", "message"),
    [
        ("algorithms.root", "[]", "algorithms.root", "nobody could sign"),
        ("algorithms.root.1.to", "2024-12-31", "algorithms.root.1.from", "opens on 2025-01-01 and closes before"),
        (
            "algorithms.root.1.from",
            "2026-01-02",
            "algorithms.root.1.from",
            "a gap: the window before closes on 2025-12-31",
        ),
        ("algorithms.root.1.from", "2015-01-01", "algorithms.root.1.from", "in the order in which they open"),
        ("algorithms.root.0.to", "2031-01-01", "algorithms.root.1.to", "closes before the older one does"),
        ("algorithms.root.1.generation", '"2015"', "algorithms.root.1.generation", "generation 2015 is there twice"),
        ("certificates.root.validity.value", "7y", "certificates.root.validity", "does not close: key use 3y"),
        ("certificates.tls-signer.validity.value", "4y", "certificates.tls-signer.validity", "does not close"),
        ("certificates.sub-ca.key_use.value", "4y", "certificates.sub-ca.validity", "does not close: key use 4y"),
        # two years from 29 February end a day earlier than 731 days do
        ("certificates.sub-ca.key_use.value", "1096d", "certificates.sub-ca.validity", "does not close"),
        ("certificates.emt.key_use.value", "3y", "certificates.emt.key_use", "longer than its certificate is valid"),
        ("certificates.emt.certificates.tls", "nothing", "certificates.emt.certificates.tls", "no profile nothing"),
        ("certificates.emt.certificates", "{tls: participant-tls}", "certificates.emt.certificates", "has a triple"),
        (
            "certificates.sub-ca.certificates",
            "{ca: sub-ca, tls: sub-ca-tls}",
            "certificates.sub-ca.certificates",
            "one certificate",
        ),
        ("certificates.emt.issuer.value", "crl-signer", "certificates.emt.issuer.value", "crl-signer is no CA"),
        ("certificates.sub-ca.issuer.value", "sub-ca", "certificates.sub-ca.issuer.value", "the root issues to itself"),
        ("profiles.root.basic_constraints.ca", "false", "profiles.root.key_usage", "go together (RFC 5280 4.2.1.9)"),
        (
            "profiles.crl-signer.basic_constraints",
            f"{{presence: mandatory, path_length: 0, {SOURCE}}}",
            "profiles.crl-signer.basic_constraints.path_length",
            "goes with ca: true",
        ),
        ("profiles.sub-ca.key_usage.bits", "[]", "profiles.sub-ca.key_usage", "bits are missing"),
        (
            "profiles.gateway-tls.extended_key_usage.purposes",
            "[]",
            "profiles.gateway-tls.extended_key_usage",
            "purposes",
        ),
        (
            "profiles.gateway-tls.certificate_policies",
            f"{{presence: mandatory, {SOURCE}}}",
            "profiles.gateway-tls.certificate_policies",
            "content is missing",
        ),
        (
            "profiles.gateway-tls.subject_alternative_name",
            f"{{presence: forbidden, critical: true, {SOURCE}}}",
            "profiles.gateway-tls.subject_alternative_name",
            "neither content nor criticality",
        ),
        ("crl.sub_ca.valid.value", "7d", "crl.sub_ca.valid", "overlap"),
    ],
)
def test_contradictions(path, value, complaint, message):
    check(path, value, "policy.contradiction", complaint, message)


def billion_laughs():
    lines = ['a: &a ["lol", "lol"]'] + [f"{new}: &{new} [*{old}, *{old}]" for old, new in pairwise("abcdefghi")]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("title: [a, b\nnames: x", "cp.yaml:2", "expected ',' or ']'"),
        ("title: a\n\tnames: x", "cp.yaml:2", "found a tab character"),
        ("title: a\x07", "cp.yaml", "not readable as YAML"),
        ("title: \ud800", "cp.yaml", "not readable as YAML"),
        ("a: 1\n--- \nb: 2", "cp.yaml:2", "but found another document"),
        ("", "cp.yaml", "the file is empty"),
        ("# nothing", "cp.yaml", "the file is empty"),
        ("title: a\nnames:\n  b: 1\n  b: 2", "cp.yaml:4", "the key names.b is there twice"),
        ("title: a\n[b, c]: d", "cp.yaml:2", "a key is no plain text"),
        ("title: a\nfrom: 2025-02-30", "cp.yaml:2: from", "not readable as YAML"),
        ("title: a\nfrom: !!timestamp x", "cp.yaml:2", "a tag"),
        ("title: a\nfrom: !!python/object:os.system x", "cp.yaml:2", "a tag"),
        (billion_laughs(), "cp.yaml:2", "an alias"),
        ("a: &a\n  b: *a", "cp.yaml:2", "an alias"),
        ("a:\n  " + "[" * 100_000, "cp.yaml:2", "more than 32 levels"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_not_yaml_or_more_than_a_policy_needs(text, where, message):
    error = refusal(text)
    assert (error.code, error.where) == ("policy.yaml", where)
    assert message in error.message


@pytest.mark.parametrize("text", ["- a", "just text", "7", "2: x", "yes: x"])
def test_what_is_yaml_but_no_policy(text):
    error = refusal(text)
    assert error.code == "policy.invalid"
    assert error.where.startswith("cp.yaml:1")
