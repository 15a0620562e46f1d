"""The configuration file: what the documentation shows is what there is."""

import re
from pathlib import Path

import pytest
import yaml

from smpki.errors import GatewayError
from smpki.service.administrator.configuration import Configuration, load_configuration

DOCUMENT = Path(__file__).parents[3] / "docs" / "administrator.md"


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The example of the documentation."""
    found = re.search(r"```yaml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.S)
    assert found is not None
    file = tmp_path / "gwa.yaml"
    file.write_text(found[1], encoding="utf-8")
    return file


def test_the_documented_file_has_every_key_and_the_defaults(example: Path) -> None:
    shown = load_configuration(example)
    assert set(yaml.safe_load(example.read_text())) == set(Configuration.model_fields)
    for part in ("times", "limits", "clock"):
        assert getattr(shown, part) == Configuration.model_fields[part].default
        assert set(yaml.safe_load(example.read_text())[part]) == set(type(getattr(shown, part)).model_fields)
    assert shown.database == example.parent / "gwa.db"


@pytest.mark.parametrize(
    ("line", "changed", "where"),
    [
        ("job_seconds: 86400", "job_second: 86400", "times.job_second"),
        ("retry_seconds: 10 ", "retry_seconds: 700", "times"),
        ("wake_seconds: 15", "wake_seconds: 1", "times.wake_seconds"),
        ("anchors: [root.pem]", "anchors: []", "trust.anchors"),
        ("time: 0.0.0.0:7003}", "time: 7003}", "listen.time"),
        ("home: pki, ", "", "issuer"),
        ("home: pki, ", "home: pki, url: 'https://ca.example/', ", "issuer"),
        ("{home: pki, sub_ca: Example.CA}", "{}", "issuer"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(line: str, changed: str, where: str, example: Path) -> None:
    text = example.read_text()
    assert line in text
    example.write_text(text.replace(line, changed, 1))
    with pytest.raises(GatewayError) as caught:
        load_configuration(example)
    assert caught.value.code == "configuration.invalid"
    assert re.fullmatch(rf"{re.escape(str(example))}:[0-9]+: {re.escape(where)}", caught.value.where)
