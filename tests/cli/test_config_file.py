"""Options by file and environment: who comes first, what is refused and where it stands."""

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from smpki_cli.config_file import file_options, with_config
from smpki_cli.main import COMMANDS, main

FILE = click.Path(path_type=Path)


@click.command("serve")
@with_config("SMPKI_TRY")
@click.option("--ca", required=True)
@click.option("--queue-at", type=click.IntRange(0), default=200)
@click.option("--every", type=click.FloatRange(0.1), default=10.0)
@click.option("--kind", "kinds", multiple=True, type=click.Choice(["emt", "gwa"]))
@click.option("--trust", "roots", multiple=True, type=FILE)
@click.option("--tls", "tls_folder", type=FILE)
@click.option("--once", is_flag=True)
@click.option("--metrics")
@click.option("--check", is_flag=True)
def command(**values: Any) -> None:
    """A server."""
    click.echo("\n".join(f"{name}={value}" for name, value in values.items()))


def call(tmp_path: Path, text: str | None, *words: str, **environ: str) -> Result:
    file = tmp_path / "serve.yaml"
    if text is not None:
        file.write_text(text)
    return CliRunner().invoke(command, [*(["--config", str(file)] if text is not None else []), *words], env=environ)


def values(result: Result) -> dict[str, str]:
    assert result.exit_code == 0, result.output
    return dict(line.split("=", 1) for line in result.output.splitlines())


def test_the_command_line_comes_first_then_the_environment_then_the_file(tmp_path: Path) -> None:
    text = "ca: file\nqueue_at: 1\nevery: 1"
    found = values(call(tmp_path, text, "--ca", "line", SMPKI_TRY_CA="environment", SMPKI_TRY_QUEUE_AT="2"))
    assert (found["ca"], found["queue_at"], found["every"]) == ("line", "2", "1.0")
    assert values(call(tmp_path, None, SMPKI_TRY_CA="environment"))["ca"] == "environment"


def test_all_kinds_of_values_and_paths_from_where_the_file_is(tmp_path: Path) -> None:
    text = "ca: X.CA\nkind: [emt, gwa]\ntrust: [root.pem, /etc/other.pem]\ntls: tls\nonce: true\nmetrics: 9464\n"
    found = values(call(tmp_path, text))
    assert found["kinds"] == "('emt', 'gwa')"
    assert found["roots"] == str((tmp_path / "root.pem", Path("/etc/other.pem")))
    assert (found["tls_folder"], found["once"], found["metrics"]) == (str(tmp_path / "tls"), "True", "9464")


def test_the_environment_may_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("ca: file")
    assert values(call(tmp_path, None, SMPKI_TRY_CONFIG=str(tmp_path / "x.yaml")))["ca"] == "file"


WRONG = {
    "an unknown key": ("ca: X\nqueue: 3\n", "serve.yaml:2: queue: unknown key"),
    "too small": ("ca: X\n\nqueue_at: -1\n", "serve.yaml:3: queue_at: Input should be greater than or equal to 0"),
    "text for a number": ("queue_at: many\n", "serve.yaml:1: queue_at: Input should be a valid integer"),
    "none of the choices": ("kind: [emt, root]\n", "serve.yaml:1: kind.1: Input should be 'emt' or 'gwa'"),
    "no list": ("kind: emt\n", "serve.yaml:1: kind: Input should be a valid"),
    "yes for a flag": ("once: 1\n", "serve.yaml:1: once: Input should be a valid boolean"),
    "what is for trials": ("check: true\n", "serve.yaml:1: check: unknown key"),
    "a file for the file": ("config: other.yaml\n", "serve.yaml:1: config: unknown key"),
    "a key twice": ("ca: X\nca: Y\n", "serve.yaml:2: the key ca is there twice"),
    "no YAML": ("ca: X\n  listen: Y\n", "serve.yaml:2: mapping values are not allowed"),
    "nothing": ("", "the file is empty"),
    "a list": ("- ca", "serve.yaml:1"),
    "no text": ("\x00", "serve.yaml"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_with_its_line(name: str, tmp_path: Path) -> None:
    text, expected = WRONG[name]
    result = call(tmp_path, text)
    assert result.exit_code == 2
    assert expected in result.output
    assert "[configuration." in result.output


def test_what_is_wrong_in_the_environment_is_told_with_its_variable(tmp_path: Path) -> None:
    result = call(tmp_path, "ca: X", SMPKI_TRY_QUEUE_AT="many")
    assert result.exit_code == 2
    assert "SMPKI_TRY_QUEUE_AT" in result.output


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["--config", str(tmp_path / "nothing.yaml")])
    assert (result.exit_code, "can't be read: No such file or directory [file.unreadable]" in result.output) == (
        2,
        True,
    )


def test_every_option_of_the_servers_can_stand_in_a_file() -> None:
    context = click.Context(main)
    servers = {"serve": main.get_command(context, "serve")}
    publish = main.get_command(context, "publish")
    assert isinstance(publish, click.Group)
    servers |= {f"publish {name}": publish.commands[name] for name in ("serve", "ldap", "ldaps")}
    for name, server in servers.items():
        assert server is not None
        options = {max(one.opts, key=len).removeprefix("--").replace("-", "_") for one in server.params}
        assert options - set(file_options(server)) <= {"config", "check", "for", "home", "json"}, name
        assert all(
            str(one.envvar).startswith(f"SMPKI_{name.upper().replace(' ', '_')}_")
            for one in file_options(server).values()
        )
    assert {name.split()[0] for name in servers} <= COMMANDS.keys()
