"""``smpki publish`` at the command line, as processes of their own."""

import json
import os
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509

SMPKI = [sys.executable, "-c", "from smpki_cli.main import main; main(prog_name='smpki')"]
SUFFIX = "o=SM-Test-PKI-DE,c=DE"


@dataclass
class Shell:
    """A PKI with its keys in SoftHSM, and what is typed.

    :param clock: the time; empty for the real one
    """

    office: Any
    clock: str

    def run(self, *arguments: object, status: int = 0) -> Any:
        """The JSON that a command prints."""
        answer = self.office.run(*arguments, "--json", environ={"SMPKI_CLOCK": self.clock})
        assert answer["exit"] == status, answer["out"] + answer["err"]
        return json.loads(answer["out"]) if answer["out"] else answer["err"]

    @contextmanager
    def running(self, *arguments: object) -> Iterator[Any]:
        """What a server says when it is ready; in the end it is told to end, and does."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("SMPKI_")}
        environ |= {"SMPKI_HOME": str(self.office.folder), "SMPKI_CLOCK": self.clock}
        command = [*SMPKI, *map(str, arguments), "--json"]
        with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as one:
            assert one.stdout and one.stderr
            line = one.stdout.readline()
            assert line, one.stderr.read()
            try:
                yield json.loads(line)
            finally:
                one.send_signal(signal.SIGTERM)
                rest, log = one.communicate(timeout=120)
            assert (one.returncode, rest) == (0, ""), log


@pytest.fixture
def shell(office: Any) -> Shell:
    """A PKI with CRLs, at one fixed time."""
    made = Shell(office, "2026-11-22T12:00:00+00:00")
    made.run("crl", "issue", "--due")
    return made


def until(condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + 120
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def test_http(shell: Shell) -> None:
    with shell.running("publish", "serve", "--listen", "127.0.0.1:0") as ready:
        address = f"http://{ready['address']}/Beispiel.CA.1.crl"
        first = httpx.get(address, trust_env=False)
        assert first.headers["content-type"] == "application/pkix-crl"
        asked = {"if-none-match": first.headers["etag"]}
        assert httpx.get(address, headers=asked, trust_env=False).status_code == 304
        shell.run("crl", "issue", "--ca", "Beispiel.CA")
        again = httpx.get(address, headers=asked, trust_env=False)
    crl = x509.load_der_x509_crl(again.content)
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 2


def test_a_directory_once(shell: Shell, slapd: Any) -> None:
    everything = {"added": 6, "changed": 0, "removed": 0, "refused": []}
    nothing = everything | {"added": 0}
    tls = ["--url", slapd.tls_url, "--cert", slapd.client.file, "--key", slapd.client.key_file]
    assert shell.run("publish", "ldap", *tls, "--peer", slapd.server.file, "--once") == everything
    assert shell.run("publish", "ldap", "--url", slapd.url, "--once") == nothing
    wrong = shell.run("publish", "ldap", *tls, "--peer", slapd.guest.file, "--once", status=1)
    assert wrong["error"]["code"] == "tls.peer.unknown"
    change = "changetype: modify\nreplace: certificateRevocationList;binary\ncertificateRevocationList;binary::"
    found = slapd.search(f"serialNumber=1,cn=Beispiel.CA,{SUFFIX}", "certificateRevocationList")
    other = f"serialNumber=1,cn=SM-Test-Root.CA,{SUFFIX}"
    ((crl,),) = (entry["certificateRevocationList;binary"] for entry in found.values())
    slapd.write(f"dn: {other}\n{change} {b64encode(crl).decode()}\n")
    refused = shell.run("publish", "ldap", "--url", slapd.url, "--once", status=1)["refused"]
    assert [one["code"] for one in refused] == ["publish.crl.foreign"]


def test_a_directory_is_kept(shell: Shell, slapd: Any) -> None:
    with shell.running("publish", "ldap", "--url", slapd.url, "--every", "0.2") as ready:
        assert ready == {"ready": True, "directory": slapd.url}
        until(lambda: len(slapd.everything()) == 11)
        shell.run("crl", "issue", "--ca", "Beispiel.CA")

        def newest() -> bool:
            found = slapd.search(f"serialNumber=1,cn=Beispiel.CA,{SUFFIX}", "certificateRevocationList")
            ((crl,),) = (entry["certificateRevocationList;binary"] for entry in found.values())
            read = x509.load_der_x509_crl(crl)
            return read.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 2

        until(newest)


def test_a_door(slapd: Any, tunnel: Any, new_offices: Any, tmp_path: Path) -> None:
    """At the real time: TLS has no other."""
    here, participant, published = Shell(new_offices(), ""), tmp_path / "participant", tmp_path / "published"
    here.run("init")
    here.run("issue-sub-ca", "--name", "Beispiel")
    names = ["--cn", "Firma.EMT", "--ou", "9900000000001", "--email", "a@b.example", "--uri", "https://b.example/"]
    here.run("request", "new", *names, "--out", participant)
    here.run("issue", participant / "request.der", "--sub-ca", "Beispiel.CA", "--out", participant)
    here.run("crl", "publish", "--due", "--out", published)
    here.run("publish", "ldap", "--url", slapd.url, "--once")
    own = ["--cert", participant / "tls.pem", "--key", participant / "tls.key"]
    door = ["publish", "ldaps", "--listen", "127.0.0.1:0", "--directory", f"127.0.0.1:{slapd.plain_port}", *own]
    with here.running(*door, "--trust", published / "SM-Test-Root.CA.1.cer", "--crls", published) as ready:
        credentials = ["-cert", str(own[1]), "-key", str(own[3])]
        with tunnel(int(ready["address"].rpartition(":")[2]), credentials) as port:
            found = slapd.search(f"cn=Firma.EMT,{SUFFIX}", url=f"ldap://127.0.0.1:{port}")
    ((certificates,),) = ([entry["userCertificate;binary"]] for entry in found.values())
    assert len(certificates) == 3


def test_what_can_not_be(office: Any, tmp_path: Path) -> None:
    exposed, private = tmp_path / "exposed", tmp_path / "private"
    for file, mode in ((exposed, 0o644), (private, 0o600)):
        file.write_text("geheim")
        file.chmod(mode)
    nowhere = ["ldap", "--once", "--url", "ldapi://%2Fnowhere"]
    for arguments, status, word in (
        (["ldap", "--url", "ldap://127.0.0.1"], 1, "publish.url"),
        (nowhere, 1, "publish.directory.unreachable"),
        (["ldap", "--url", "ldaps://127.0.0.1:9"], 2, "--peer"),
        ([*nowhere, "--bind-dn", "cn=admin"], 2, "--bind-password-file"),
        ([*nowhere, "--bind-dn", "cn=admin", "--bind-password-file", exposed], 1, "keys.password.exposed"),
        ([*nowhere, "--bind-dn", "cn=admin", "--bind-password-file", private], 1, "publish.directory.unreachable"),
        (["serve", "--listen", "127.0.0.1:x"], 2, "HOST"),
        (["serve", "--listen", "192.0.2.1:0"], 1, "http.listen"),
    ):
        answer = office.run("publish", *arguments)
        assert (answer["exit"], word in answer["err"], answer["out"]) == (status, True, ""), answer
