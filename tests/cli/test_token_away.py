"""A token that is away for a while, with all keys in it, TLS's too; meanwhile an operator decides on what is held."""

import importlib.util
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from smpki.errors import TlsError
from smpki.policy.names import DistinguishedName
from smpki.requests.build import RequestedNames, build_initial_package
from smpki.requests.build_signed import build_authorised_package
from smpki.requests.keys import KeyTriple, Signer
from smpki.soap.messages import GetServiceStatus, RequestCertificate, ReturnCode

_spec = importlib.util.spec_from_file_location("serve_tests", Path(__file__).with_name("test_serve.py"))
assert _spec is not None and _spec.loader is not None
served = sys.modules.setdefault("serve_tests", importlib.util.module_from_spec(_spec))
_spec.loader.exec_module(served)


@dataclass
class Administrator:
    """An administrator that is registered, with its files."""

    folder: Path

    @property
    def signer(self) -> Signer:
        key = load_pem_private_key((self.folder / "sig.key").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return Signer(key, x509.load_pem_x509_certificate((self.folder / "sig.pem").read_bytes()))

    def package(self, number: int) -> bytes:
        keys = KeyTriple(*(ec.generate_private_key(ec.BrainpoolP256R1()) for _ in range(3)))
        attributes = {"O": "SM-Test-PKI-DE", "OU": "Verwalter.GWA", "C": "DE", "serialNumber": "1"}
        subject = DistinguishedName.of(CN=f"EABC{number:010}.SMGW", **attributes)
        return build_authorised_package(build_initial_package(subject.to_x509(), keys, RequestedNames()), self.signer)


def administrator(home: Path, folder: Path) -> Administrator:
    who = ["--cn", "Verwalter.GWA", "--email", "post@verwalter.example", "--uri", "https://verwalter.example/"]
    served.smpki(home, "request", "new", *who, "--out", str(folder))
    papers = ["--organisation", "Verwalter", "--role", "gwa", "--contact", "post@verwalter.example"]
    url = ["--callback-url", "https://127.0.0.1:1/"]
    register = ["register", str(folder / "request.der"), "--sub-ca", "Beispiel.CA", "--out", str(folder)]
    served.smpki(home, *register, *papers, *url)
    return Administrator(folder)


def test_a_request_is_approved_at_the_command_line_while_the_token_goes_and_comes_back(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    served.smpki(home, "init")
    served.smpki(home, "issue-sub-ca", "--name", "Beispiel")
    gwa = administrator(home, tmp_path / "gwa")
    policy = home / "policy.yaml"
    policy.write_text(policy.read_text().replace("manual_approval: {value: [", "manual_approval: {value: [smgw-w, "))
    now, tokens = RequestCertificate(gwa.package(1)), home / "softhsm" / "tokens"
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{one.getsockname()[1]}"

    with served.serving(home, "--ca", "Beispiel.CA", "--listen", address) as port:
        assert served.ask(gwa.folder, port, now).code is ReturnCode.FAILURE_SYNCHRONOUS_PROCESSING_NOT_POSSIBLE
        assert served.ask(gwa.folder, port, replace(now, message_id="1")).code is ReturnCode.OK_SYNTAX
        (held,) = served.smpki(home, "queue", "list")["requests"]
        assert (held["state"], held["common_name"]) == ("held", "Verwalter.GWA")

        tokens.rename(tokens.with_name("away"))
        with pytest.raises(TlsError, match="internal_error"):  # the server's TLS key is in the token, too
            served.ask(gwa.folder, port, GetServiceStatus("1"))
        tokens.with_name("away").rename(tokens)
        until = time.monotonic() + 120
        while True:  # it starts anew
            with suppress(TlsError, httpx.HTTPError):
                assert served.ask(gwa.folder, port, GetServiceStatus("1")).code is ReturnCode.OK_RECEIVED_CORRECTLY
                break
            assert time.monotonic() < until
            time.sleep(0.5)
        assert served.smpki(home, "queue", "approve", str(held["number"]))["state"] == "waiting"
        while (request := served.smpki(home, "queue", "list")["requests"][0])["state"] != "answered":
            assert request["state"] == "waiting"
        granted = served.ask(gwa.folder, port, now)
        assert (granted.code, len(granted.certificates)) == (ReturnCode.OK_CERT_AVAILABLE, 3)
    assert served.smpki(home, "audit", "verify")["findings"] == []
