import json

import pytest

from smpki.errors import PolicyError
from smpki.policy.load import default_policy_text, load_policy
from smpki.policy.model import CertificateType
from smpki.policy.show import show_type, show_types


@pytest.fixture(scope="module")
def policy():
    return load_policy(default_policy_text())


def test_all_types_with_their_german_names(policy):
    text = show_types(policy).text()
    rows = {line.split()[0]: line for line in text.splitlines() if line}
    for kind, rules in policy.certificates.items():
        assert rules.title in rows[kind]
        assert rows[kind].endswith(rules.german)
    assert json.loads(json.dumps(show_types(policy).as_dict()))["smgw-g"] == {
        "title": "Gateway, quality seal",
        "german": policy.certificates[CertificateType.SMGW_G].german,
        "issuer": "sub-ca",
        "certificates": ["tls", "sig", "enc"],
        "validity": "2y",
        "key_use": "2y",
    }


@pytest.mark.parametrize("kind", CertificateType)
def test_every_value_of_a_type_has_its_confidence_and_source(kind, policy):
    lines = show_type(policy, kind).text().splitlines()
    sources = dict(line.strip().split(" ", 1) for line in lines[lines.index("Sources (Quellen)") + 1 :])
    labels = [line for line in lines if line.startswith("  KeyUsage (Schlüsselverwendung)")]
    for name, label in zip(policy.certificates[kind].certificates.values(), labels, strict=True):
        rule = policy.profiles[name].key_usage
        confidence, number = label.split()[-2:]
        assert (confidence, sources[number]) == (rule.confidence, rule.source)


def test_the_rules_of_a_participant_in_words(policy):
    text = show_type(policy, "emt").text()
    assert text.startswith("External market participant (Externer Marktteilnehmer): emt\n")
    for words in (
        "mandatory, critical: keyEncipherment, keyAgreement",
        "mandatory, not critical: e-mail address mandatory, URI mandatory, host name mandatory",
        "OU: organisational unit (Organisationseinheit)",
        "mandatory, matches [0-9]{13}",
        "Encryption certificate (Verschlüsselungszertifikat)",
        "brainpoolP256r1, SHA-256 (generation 2015)",
    ):
        assert words in text


def test_the_rules_of_a_sub_ca_as_data(policy):
    data = json.loads(json.dumps(show_type(policy, "sub-ca").as_dict()))
    assert data["type"] == "sub-ca"
    assert data["validity"]["value"] == "5y"
    assert data["windows"][1]["curve"] == "brainpoolP384r1"
    assert data["windows"][1]["from"] == "2025-01-01"
    assert data["profiles"]["ca"]["basic_constraints"]["path_length"] == 0
    assert data["profiles"]["ca"]["crl_distribution_points"]["crl_issuer"] is True
    assert data["name"]["common_name"]["value"] == r".+\.CA"


def test_an_unknown_type(policy):
    with pytest.raises(PolicyError) as refused:
        show_type(policy, "emt\x1b[31m")
    assert refused.value.code == "policy.type.unknown"
    assert "smgw-w" in refused.value.hint
    assert refused.value.message.isprintable()
