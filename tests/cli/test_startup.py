"""The command line starts at once, helps everywhere, and answers in JSON wherever it is asked to."""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
HEAVY = {
    *("sqlmodel", "sqlalchemy", "alembic", "pkcs11", "pydantic"),
    *("cryptography", "asn1crypto", "rich", "jinja2", "yaml"),
}
HELP = "from smpki_cli.main import main; main(['--help'], prog_name='smpki')"
BARE = """
import click

@click.command()
@click.option("--home", help="A folder.")
def main(home):
    'A program that does nothing.'

main(['--help'], prog_name='bare')
"""


def test_help_imports_nothing_that_a_command_would_need() -> None:
    done = subprocess.run([sys.executable, "-X", "importtime", "-c", HELP], capture_output=True, text=True)
    assert done.returncode == 0
    assert "issue-sub-ca" in done.stdout
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert {"click", "smpki_cli"} <= imported
    assert imported & HEAVY == set()


def cpu_seconds(program: str) -> float:
    """What a Python program costs in a process of its own, user and system time: no waiting."""
    null = (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)
    child = os.posix_spawn(sys.executable, [sys.executable, "-c", program], os.environ, file_actions=[null])
    _, status, usage = os.wait4(child, 0)
    assert status == 0
    return usage.ru_utime + usage.ru_stime


def test_help_takes_at_most_twice_the_time_of_a_bare_click_program() -> None:
    # the least of several, taken in turns: a busy machine only ever adds to both
    rounds = [(cpu_seconds(BARE), cpu_seconds(HELP)) for _ in range(7)]
    bare, ours = (min(times) for times in zip(*rounds, strict=True))
    assert ours <= 2 * bare


# Runs command lines one after another in one process, as a list of [exit code, output]; then the modules it has.
RUNNER = """
import contextlib, io, json, sys
from smpki_cli.main import main

answers = []
for arguments in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()) as output:
        try:
            code = main(arguments, prog_name="smpki")
        except SystemExit as end:
            code = end.code
    answers.append([code or 0, output.getvalue()])
json.dump([answers, sorted(sys.modules)], sys.stdout)
"""


def run(*lines: list[str], home: Path, **more: str) -> tuple[list[tuple[int, str]], set[str]]:
    """Exit code and output of each command line, and all packages that were imported for them.

    :param more: environment variables
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SMPKI_")}
    done = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        env=environment | {"SMPKI_HOME": str(home), **more},
    )
    assert done.returncode == 0, done.stderr
    answers, modules = json.loads(done.stdout)
    return [(code, output) for code, output in answers], {module.partition(".")[0] for module in modules}


@pytest.fixture(scope="module")
def commands() -> list[tuple[str, ...]]:
    """Every command there is, such as ``("policy", "show")``."""
    import click

    from smpki_cli.main import main

    def below(group: click.Command, path: tuple[str, ...]) -> list[tuple[str, ...]]:
        if not isinstance(group, click.Group):
            return [path]
        context = click.Context(group)
        found = [(name, group.get_command(context, name)) for name in group.list_commands(context)]
        return [leaf for name, command in found if command for leaf in below(command, (*path, name))]

    return below(main, ())


def test_every_command_helps_without_loading_what_it_needs_to_work(
    commands: list[tuple[str, ...]], tmp_path: Path
) -> None:
    groups = {command[:1] for command in commands if len(command) > 1}
    lines = [[*path, "--help"] for path in (*commands, *sorted(groups))]
    answers, imported = run(*lines, home=tmp_path)
    for line, (code, output) in zip(lines, answers, strict=True):
        assert code == 0
        assert output.startswith(f"Usage: smpki {' '.join(line[:-1])} ")
    assert imported & HEAVY == set()


def test_every_command_answers_in_json(commands: list[tuple[str, ...]], tmp_path: Path) -> None:
    packages, issued = tmp_path / "packages", tmp_path / "issued"
    package, policy = str(packages / "request.der"), str(tmp_path / "home" / "policy.yaml")
    told: set[tuple[str, ...]] = set()

    def tell(*lines: list[str], **more: str) -> list[Any]:
        answers, _ = run(*([*line, "--json"] for line in lines), home=tmp_path / "home", **more)
        for line, (code, output) in zip(lines, answers, strict=True):
            assert code == 0, (line, output)
            told.update((tuple(line[:1]), tuple(line[:2])))
        return [json.loads(output) for _, output in answers]

    who = ["--cn", "Firma.EMT.MAK", "--ou", "9900000000001"]
    where = ["--email", "post@firma.example", "--uri", "https://firma.example/"]
    tell(["init"], ["issue-sub-ca", "--name", "Beispiel"], ["request", "new", *who, *where, "--out", str(packages)])
    for key in packages.glob("*.key"):
        key.unlink()
    by = ["--sub-ca", "Beispiel.CA"]
    _, known, page, *_ = tell(
        ["issue", package, *by, "--out", str(issued)],
        ["issue-batch", str(packages), *by, "--out", str(tmp_path / "batch")],
        ["list", "--kind", "emt"],
        ["inspect", package, str(issued / "tls.pem")],
        ["lint", package, str(issued / "tls.pem")],
        ["verify", str(issued / "tls.pem"), "--role", "emt", "--use", "tls", "--revocation", "ignored"],
        ["audit", "verify"],
        ["policy", "check", policy],
        ["policy", "show"],
        ["policy", "show", "emt"],
        ["hsm", "info"],
        ["ca", "list"],
    )
    assert known["known"] == 1
    serials = [certificate["serial"] for certificate in page["certificates"]]
    shown = tell(*(["show", serial] for serial in serials))
    assert [one["certificate"]["serial"] for one in shown] == serials
    assert len(serials) == 3
    gateway, certificate = tmp_path / "gateway", str(tmp_path / "gateway" / "sig.pem")
    tell(
        ["request", "new", "--cn", "EABC0012345678.SMGW", "--ou", "Hersteller GmbH", "--out", str(gateway)],
        ["issue", str(gateway / "request.der"), *by, "--out", str(gateway)],
        ["suspend", "--cert", certificate],
        ["settle-suspensions"],
        ["resume", "--cert", certificate],
        ["revoke", "--cert", certificate, "--reason", "superseded"],
        ["crl", "issue", "--due"],
        ["crl", "list"],
        ["crl", "publish"],
    )
    requests, bundle = tmp_path / "requests.pem", tmp_path / "bundle.pem"
    sub_ca, ceremony = ["--home", str(tmp_path / "sub-ca")], str(EXAMPLES / "ceremony" / "first-root.yaml")
    tell(
        ["root", "renew", "--out", str(tmp_path)],
        ["sub-ca", "request", "--name", "Extern", "--out", str(requests), *sub_ca],
        ["issue-sub-ca", "--name", "Extern", "--request", str(requests), "--out", str(tmp_path)],
        ["sub-ca", "install", str(bundle), *sub_ca],
        ["ceremony", "check", ceremony, "--home", str(tmp_path / "ceremony")],
        [
            "ceremony",
            "run",
            "--yes",
            ceremony,
            "--home",
            str(tmp_path / "ceremony"),
            "--out",
            str(tmp_path / "protocol"),
        ],
    )
    partner = str(tmp_path / "partner")
    papers = ["--organisation", "Partner", "--role", "emt", "--id", "9900000000002", "--contact", "a@partner.example"]
    tell(
        ["request", "new", "--cn", "Partner.EMT", "--ou", "9900000000002", *where, "--out", partner],
        ["register", f"{partner}/request.der", *papers, *by, "--out", partner],
        ["registry", "list"],
        ["registry", "change", "Partner.EMT", "--blocked"],
        ["registry", "add-sub-ca", "Extern.CA", "--contact", "post@extern.example"],
        ["queue", "list"],
        ["messages"],
        ["account", "invite", "operator", "--role", "operator"],
        ["account", "token", "operator"],
        ["account", "block", "operator"],
        ["account", "list"],
    )
    here = ["--listen", "127.0.0.1:0", "--portal", "127.0.0.1:0"]
    (served,) = tell(["serve", "--ca", "Beispiel.CA", *here, "--for", "0"])
    assert served["portal"].startswith("http://127.0.0.1:")
    administrator = tmp_path / "administrator"
    signed = ["--signer", str(administrator), "--out", str(tmp_path / "signed.der")]
    tell(
        ["request", "new", "--cn", "Verwalter.GWA", *where, "--out", str(administrator)],
        ["issue", str(administrator / "request.der"), *by, "--out", str(administrator)],
        ["request", "authorise", str(gateway / "request.der"), *signed],
        ["revocation-request", certificate, "--reason", "superseded", *signed],
        ["device-admin", "EABC0012345678.SMGW", "--to", "Neu.GWA", *signed],
        ["participant", "watch", str(administrator)],
        ["participant", "pending", partner],
    )
    tell(["participant", "receive", "--as", partner, "--pending", partner, "--listen", "127.0.0.1:0", "--for", "0"])
    wake_up, device = str(tmp_path / "wake-up"), "EABC0012345678"
    tell(
        ["gateway", "wake", device, "--out", wake_up, "--key", str(administrator / "sig.key")],
        ["gateway", "check-wake", wake_up, "--id", device, "--gwa-cert", str(administrator / "sig.pem")],
        ["gateway", "telegram", "1ABC0012345678", "1-0:1.8.0=1234", "--out", str(tmp_path / "meter.sml")],
    )
    maker, factory = str(tmp_path / "maker"), tmp_path / "factory"
    tell(
        ["request", "new", "--cn", "Hersteller.GWH", *where, "--out", maker],
        ["issue", f"{maker}/request.der", *by, "--out", maker],
    )
    parties = ["--gwh", maker, "--gwa", str(administrator), "--out", str(factory)]
    places = ["--management", "127.0.0.1:9", "--admin", "127.0.0.1:9", "--time", "127.0.0.1:9"]
    provision = ["gateway", "provision", "--count", "1", *by, *parties, *places, "--json"]
    ((code, output),), _ = run(provision, home=tmp_path / "home")
    told.add(("gateway", "provision"))
    assert (code, [json.loads(line).get("state") for line in output.splitlines()]) == (0, ["provisioned", None])
    tell(["gateway", "check-delivery", str(factory / "exxx0000000001" / "delivery.json")])
    delivered = factory / "exxx0000000001"
    (tmp_path / "gwa.yaml").write_text(
        json.dumps(
            {
                "own": "administrator",
                "database": "gwa.db",
                "listen": dict.fromkeys(("management", "admin_service", "time"), "127.0.0.1:0"),
                "trust": {"anchors": [str(delivered / "root.pem")]},
                "accept_from": ["Hersteller.GWH"],
            }
        )
    )
    meter = tmp_path / "meter.json"
    meter.write_text('{"meter": "1abc0012345678", "obis": ["1-0:1.8.0"]}')
    order, places = ["exxx0000000001", "--no-wait"], ["--admin-service", "127.0.0.1:9", *places[:2], *places[-2:]]
    theirs = [f"--certificates={administrator / use}.pem" for use in ("tls", "sig")]
    tell(
        ["gwa", "adopt", str(delivered / "delivery.json"), "--wake-up", "127.0.0.1:9"],
        ["gwa", "list"],
        ["gwa", "set", *order, "meter", str(meter)],
        *(["gwa", kind, *order] for kind in ("wake", "personalise", "suspend", "introduce", "status", "log")),
        *(["gwa", kind, *order] for kind in ("self-test", "report")),
        ["gwa", "hand-over", *order, "--to", "Neu.GWA", *places, *theirs],
        ["gwa", "show", "exxx0000000001"],
        ["gwa", "events"],
        ["gwa", "serve", str(tmp_path / "gwa.yaml"), "--for", "0"],
        SMPKI_GWA_CONFIG=str(tmp_path / "gwa.yaml"),
    )
    message, sig, enc = str(tmp_path / "message"), str(administrator / "sig.pem"), str(administrator / "enc.pem")
    sender, own = ["--sender-cert", sig], ["--recipient-cert", enc, "--recipient-key", str(administrator / "enc.key")]
    signs = ["--sender-key", str(administrator / "sig.key"), "--recipient", enc]
    tell(
        ["cms", "protect", wake_up, message, *sender, *signs],
        ["cms", "inspect", message],
        ["cms", "open", message, str(tmp_path / "content"), *own, *sender],
    )
    emt = str(tmp_path / "emt.yaml")
    serving = {"listen": "127.0.0.1:0", "recipients": ["Firma"], "triples": ["administrator"], "data": "emt"}
    Path(emt).write_text(json.dumps(serving | {"senders": {"certificates": "gateway"}}))
    tell(["emt", "serve", emt, "--for", "0"], ["emt", "list", emt])
    place = dict.fromkeys(("management", "admin_service", "time"), "127.0.0.1:9")
    own = {"id": device.lower(), "software_keys": "keys", "data": "data", "wake_up": {"listen": "127.0.0.1:0"}}
    files = {"name": "Verwalter.GWA", "certificates": ["administrator/tls.pem", "administrator/sig.pem"]}
    (tmp_path / "gateway.yaml").write_text(json.dumps(own | {"administrator": place | files}))
    tell(["gateway", "run", str(tmp_path / "gateway.yaml"), "--for", "0"])
    tls = ["--cert", str(administrator / "tls.pem"), "--key", str(administrator / "tls.key")]
    tell(["tls", "listen", *tls, "--for", "0"])
    here, root = ["--listen", "127.0.0.1:0", "--for", "0"], tmp_path / "home" / "published" / "SM-Test-Root.CA.1.cer"
    tell(
        ["publish", "serve", *here],
        ["publish", "ldap", "--url", "ldapi://%2Fnowhere", "--for", "0"],
        ["publish", "ldaps", *here, *tls, "--trust", str(root)],
    )
    listen = [sys.executable, "-c", "from smpki_cli.main import main; main()", "tls", "listen", *tls, "--count", "1"]
    with subprocess.Popen(listen, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as listener:
        assert listener.stderr
        port = listener.stderr.readline().split()[-1]
        tell(["tls", "probe", f"127.0.0.1:{port}", *tls])
    backup = str(tmp_path / "backup.zip")
    tell(
        ["backup", backup, "--with-audit-key"],
        ["restore", backup, "--check"],
        ["restore", backup, "--home", str(tmp_path / "restored")],
    )
    soon_over = (datetime.now(UTC) + timedelta(days=700)).isoformat()
    tell(["request", "renew", str(administrator), "--out", str(tmp_path / "renewed")], SMPKI_CLOCK=soon_over)
    last = str(tmp_path / "last.der")
    own = ["--reason", "superseded", "--signer", str(administrator), "--out", last]
    tell(["revocation-request", str(administrator), *own], ["process", last])
    elsewhere = {("queue", "approve"), ("queue", "refuse"), ("queue", "again")}  # tests/cli/test_serve.py has them
    elsewhere |= {("gwa", "renew"), ("gwa", "resume")}  # and test_gwa.py these
    # and tests/service/web/test_client_commands.py these
    elsewhere |= {("request", "send"), ("participant", "chain"), ("participant", "status")}
    assert [command for command in commands if command not in told | elsewhere] == [], "tell new commands above, too"


REFUSALS: dict[str, list[str]] = {
    "home.missing": ["list"],
    "file.unreadable": ["policy", "check", "there-is-no-such-file.yaml"],
}


@pytest.mark.parametrize("code", REFUSALS)
def test_a_refusal_in_json_and_in_words(code: str, tmp_path: Path) -> None:
    answers, _ = run([*REFUSALS[code], "--json"], REFUSALS[code], home=tmp_path / "home")
    (exit_json, as_json), (exit_text, as_text) = answers
    assert (exit_json, exit_text, as_text) == (1, 1, "")
    error: dict[str, Any] = json.loads(as_json)["error"]
    assert error["code"] == code
    assert error["hint"]
    assert re.search(r"\w", error["message"])
