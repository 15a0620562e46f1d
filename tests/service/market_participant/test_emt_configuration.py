"""The configuration file: the example that the documentation has, and what is refused."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from smpki.errors import GatewayError
from smpki.policy.device_id import DeviceId
from smpki.service.market_participant.configuration import (
    LimitsConfiguration,
    OutputConfiguration,
    TimesConfiguration,
    load_configuration,
)

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "market-participant.md"
LEAST = {
    "listen": "127.0.0.1:0",
    "recipients": ["Firma"],
    "triples": ["triple"],
    "senders": {"certificates": "gateways"},
    "data": "data",
}


def test_the_documentation_s_example(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", DOCUMENTATION.read_text(encoding="utf-8"), re.DOTALL)
    file = tmp_path / "emt.yaml"
    file.write_text(example)
    found = load_configuration(file)
    assert found.address == ("0.0.0.0", 8443)
    assert found.triples == (tmp_path / "2026-11", tmp_path / "2024-11")
    assert found.token is not None and found.token.folder == tmp_path / "hsm"
    assert found.senders.trust is not None and found.senders.trust.crl_folder == tmp_path / "crl"
    assert found.senders.gateways is not None
    assert found.senders.gateways[DeviceId.parse("EABC0012345679")].meters is None
    defaults = OutputConfiguration(), LimitsConfiguration(), TimesConfiguration()
    assert (found.output, found.limits, found.times) == defaults


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"listen": "somewhere"}, "listen"),
        ({"path": "readings"}, "path"),
        ({"path": "/readings/"}, "path"),
        ({"path": "/read ings"}, "path"),
        ({"path": "/readings?"}, "path"),
        ({"recipients": []}, "recipients"),
        ({"recipients": ["a b"]}, "recipients"),
        ({"triples": []}, "triples"),
        ({"senders": {}}, "senders"),
        ({"senders": {"trust": {"anchors": ["root.pem"]}}}, "crl_folder"),
        ({"senders": {"certificates": "x", "gateways": {"EABC0012345678": {}}}}, "gateways"),
        ({"senders": {"certificates": "x", "gateways": {"eabc0012345678": {"meters": ["1"]}}}}, "meters"),
        ({"limits": {"body_octets": 0}}, "body_octets"),
        ({"times": {"answer_seconds": 0.5}}, "answer_seconds"),
        ({"more": 1}, "more"),
    ],
)
def test_what_is_refused_is_named_with_its_line(change: dict[str, Any], where: str, tmp_path: Path) -> None:
    file = tmp_path / "emt.yaml"
    file.write_text(yaml.safe_dump(LEAST | change))
    with pytest.raises(GatewayError) as refused:
        load_configuration(file)
    assert refused.value.code == "configuration.invalid"
    assert re.search(rf"emt\.yaml:[0-9]+: .*{where}", refused.value.where)
    assert "docs/market-participant.md" in refused.value.hint
