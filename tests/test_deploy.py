"""What deploy/ has fits the program: commands, options, files and folders that there are; hardened; no user root."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import pytest

from smpki_cli.main import main

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
UNITS = DEPLOY / "systemd"
SERVICES = sorted(file.name for file in UNITS.glob("*.service"))
INSTALLED = "/opt/smpki/bin/smpki"


class Unit(dict[str, list[str]]):
    """A unit's settings by name; each may be there several times."""

    def __init__(self, file: Path) -> None:
        for line in file.read_text().splitlines():
            if "=" in line and not line.startswith("#"):
                name, _, value = line.partition("=")
                self.setdefault(name, []).append(value.replace("%i", "example"))


def commands() -> Iterator[tuple[str, list[str]]]:
    """What units, the Containerfile's head and the README run."""
    for name in SERVICES:
        (line,) = Unit(UNITS / name)["ExecStart"]
        words = shlex.split(line)
        words = shlex.split(words[2].removeprefix("exec ")) if words[:2] == ["/bin/sh", "-c"] else words
        assert words[0] == INSTALLED
        yield name, words[1:]
    for name in ("Containerfile", "README.md"):
        for line in (DEPLOY / name).read_text().splitlines():
            if found := re.match(r"(?:#   )?(?:podman run .*|runuser .*/)\bsmpki ((?!-).*)", line):
                yield name, shlex.split(found[1])


COMMANDS = list(commands())


@pytest.mark.parametrize(("file", "words"), COMMANDS, ids=[" ".join(words[:2]) for _, words in COMMANDS])
def test_commands_and_options_are_those_of_the_program(
    file: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(DEPLOY / "config")
    words = [word.replace("/etc/smpki/", "./") for word in words]
    command: click.Command = main
    context = click.Context(main, info_name="smpki")
    while isinstance(command, click.Group):
        found = command.get_command(context, words.pop(0))
        assert found is not None
        command = found
    with command.make_context(command.name, words, parent=context) as parsed:
        assert not parsed.args


def test_a_wrong_configuration_would_be_noticed(tmp_path: Path) -> None:
    text = (DEPLOY / "config" / "serve-example.yaml").read_text()
    (tmp_path / "serve.yaml").write_text(f"{text}\nconections: 3\n")
    serve = main.get_command(click.Context(main), "serve")
    assert serve is not None
    with pytest.raises(click.BadParameter, match=r"serve\.yaml:\d+: conections: unknown key"):
        serve.make_context("serve", ["--config", str(tmp_path / "serve.yaml")])


@pytest.mark.parametrize("name", SERVICES)
def test_services_are_hardened(name: str) -> None:
    unit = Unit(UNITS / name)
    wanted = {
        **{"User": "smpki", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "UMask": "0077", "LimitCORE": "0"},
        **{"CapabilityBoundingSet": "", "PrivateTmp": "yes", "LockPersonality": "yes", "StateDirectory": "smpki"},
    }
    assert {name: unit[name] for name in wanted} == {name: [value] for name, value in wanted.items()}
    assert "SMPKI_HOME=/var/lib/smpki" in unit["Environment"]


def test_timers_start_services_that_there_are() -> None:
    timers = [file.stem for file in UNITS.glob("*.timer")]
    assert timers
    assert all(f"{name}.service" in SERVICES for name in timers)


def test_folders_that_units_need_are_made() -> None:
    made = {line.split()[1] for line in (UNITS / "tmpfiles.conf").read_text().splitlines() if line.startswith("d ")}
    used = {place for name in SERVICES for place in Unit(UNITS / name).get("ReadWritePaths", [])}
    assert used | {"/etc/smpki", "/var/lib/smpki"} <= made
    (user,) = (line for line in (UNITS / "sysusers.conf").read_text().splitlines() if not line.startswith("#"))
    assert user.split()[:2] == ["u", "smpki"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_reads_the_units(tmp_path: Path) -> None:
    for file in UNITS.iterdir():
        if file.suffix in (".service", ".timer"):
            text = file.read_text().replace(INSTALLED, "/bin/true")  # where smpki need not be installed
            (tmp_path / file.name.replace("@.", "@example.")).write_text(text)
    found = subprocess.run(["systemd-analyze", "verify", *tmp_path.iterdir()], capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, "")


def instructions() -> list[tuple[str, str]]:
    """The Containerfile's instructions and what stands behind them."""
    text = (DEPLOY / "Containerfile").read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in joined)]


def test_the_container_holds_what_the_wheel_is_built_of_and_runs_as_nobody_special() -> None:
    found = instructions()
    known = {"FROM", "RUN", "COPY", "ENV", "USER", "WORKDIR", "VOLUME", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT", "CMD"}
    assert {name for name, _ in found} <= known
    copied = {place for name, rest in found if name == "COPY" and "--from" not in rest for place in rest.split()[:-1]}
    assert all((ROOT / place).exists() for place in copied)
    assert copied == {"pyproject.toml", "README.md", "LICENSE", "smpki", "cli", "policies"}
    last = found[max(number for number, (name, _) in enumerate(found) if name == "FROM") :]
    settings: Mapping[str, str] = dict(last)
    assert (settings["USER"], settings["VOLUME"], settings["STOPSIGNAL"]) == ("smpki", "/var/lib/smpki", "SIGTERM")
    installed = " ".join(rest for name, rest in last if name == "RUN")
    assert {"softhsm2", "p11-kit-modules", "pkcs11-provider"} <= set(installed.split())
