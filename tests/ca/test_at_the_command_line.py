"""What the commands themselves see to: paging, files that are named, arguments that are none, a second try."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "ceremony" / "first-root.yaml"


def test_a_list_goes_on_behind_the_serial_that_a_page_ended_with(office: Any) -> None:
    found: list[str] = []
    behind: list[str] = []
    while True:
        page = json.loads(office.run("list", "--limit", "2", "--json", *behind)["out"])
        found += [certificate["serial"] for certificate in page["certificates"]]
        if page["next"] is None:
            break
        assert page["next"] == found[-1]
        behind = ["--after", page["next"]]
    everything = json.loads(office.run("list", "--json")["out"])["certificates"]
    assert found == [certificate["serial"] for certificate in everything]
    assert len(found) == 7


@pytest.mark.parametrize("after", ["zz", "", "ffff"])
def test_a_list_behind_no_serial_is_refused(office: Any, after: str) -> None:
    answer = office.run("list", "--after", after, "--json")
    assert (answer["exit"], json.loads(answer["out"])["error"]["code"]) == (1, "store.serial.unknown")


@pytest.mark.parametrize("look", ["inspect", "lint"])
def test_a_refused_look_names_the_file(office: Any, tmp_path: Path, look: str) -> None:
    file = tmp_path / "text"
    file.write_text("no certificate")
    answer = office.run(look, file, "--json")
    assert (answer["exit"], json.loads(answer["out"])["error"]["where"]) == (1, str(file))


def test_an_argument_that_is_no_text_is_a_wrong_call(office: Any) -> None:
    assert office.run("list", "--cn", "\udcff")["exit"] == 2


def test_a_ceremony_asks_nobody_where_there_is_no_terminal(new_offices: Callable[[], Any], tmp_path: Path) -> None:
    office = new_offices()
    assert office.run("ceremony", "run", EXAMPLE, "--out", tmp_path / "protocol")["exit"] == 2
    assert not office.folder.exists()


def test_the_policy_as_yaml_is_a_json_value_too(office: Any) -> None:
    text = office.run("policy", "show", "--yaml")["out"]
    assert json.loads(office.run("policy", "show", "--yaml", "--json")["out"]) == {"yaml": text}


def test_a_refused_init_does_not_keep_the_home_from_other_settings(
    new_offices: Callable[[], Any], tmp_path: Path
) -> None:
    office = new_offices()
    refused = office.run("init", "--database", "nonsense://", "--json")
    assert json.loads(refused["out"])["error"]["code"] == "store.driver"
    assert office.run("init", "--database", f"sqlite:///{tmp_path / 'one.db'}")["exit"] == 0
    other = office.run("init", "--database", f"sqlite:///{tmp_path / 'two.db'}", "--json")
    assert json.loads(other["out"])["error"]["code"] == "home.other"
