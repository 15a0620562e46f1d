"""zeep, which knows nothing of us but the WSDL, speaks each operation: by our WSDL and by the original one."""

import asyncio
import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from smpki.policy.names import DistinguishedName
from smpki.requests.device_admin import build_device_admin_update
from smpki.requests.revocation import RevocationItem, build_revocation_request

PROGRAM = Path(__file__).with_name("zeep_client.py")
ORIGINAL = Path(__file__).parents[4] / "shared" / "data" / "tr-03129-4" / "WSDL_TR-03129-4_v1.3.1_Smartmeter.wsdl"
OPENSSL = """\
openssl_conf = init
[init]
ssl_conf = ssl
[ssl]
system_default = defaults
[defaults]
Groups = brainpoolP256r1:brainpoolP384r1:P-256
SignatureAlgorithms = ECDSA+SHA256:ECDSA+SHA384
"""


def zeep(folder: Path, who: Any, wsdl: str, url: str, calls: list[Any]) -> list[Any]:
    (folder / "openssl.cnf").write_text(OPENSSL)
    cert, key, root = (folder / f"{name}.pem" for name in ("cert", "key", "root"))
    root.write_bytes(who.chain[0].public_bytes(Encoding.PEM))
    cert.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in who.identity.certificates))
    key.write_bytes(who.keys.tls.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    job = {"wsdl": wsdl, "url": url, "cert": str(cert), "key": str(key), "root": str(root), "calls": calls}
    done = subprocess.run(
        [sys.executable, PROGRAM],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        env={**os.environ, "OPENSSL_CONF": str(folder / "openssl.cnf")},
    )
    assert done.returncode == 0, done.stderr
    answers: list[Any] = json.loads(done.stdout)
    return answers


def b64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


@pytest.mark.parametrize("whose", ["ours", "original"])
def test_each_operation(whose: str, world: Any, tmp_path: Path) -> None:
    if whose == "original" and not ORIGINAL.exists():
        pytest.skip("the original WSDL of TR-03129-4 v1.3.1 is not here")
    emt, gwa = world.register(), world.administrator()
    world.administrator("Neu.GWA")
    keys = world.make_keys()
    work = world.packages.make(
        "EABC0000000001.SMGW", keys=keys, OU="Verwalter.GWA", serialNumber="1", names=world.no_names
    )
    package = gwa.authorised(work)
    gateway = world.issue(package, keys)
    certificate: x509.Certificate = gateway.certificates[0]
    item = RevocationItem(certificate.issuer, certificate.serial_number, "certificate_hold")
    issuer = str(DistinguishedName.from_x509(certificate.issuer))
    at_once = {"callbackIndicator": "callback_not_possible"}
    calls = [
        ["GetServiceStatus", {"messageID": "1"}],
        ["GetCertificateChain", {**at_once, "certReference": issuer}],
        ["RequestCertificate", {**at_once, "b64:certReq": b64(package)}],
        [
            "CertificateRevocationRequest",
            {**at_once, "b64:certRevReq": b64(build_revocation_request([item], gwa.signer))},
        ],
        [
            "UpdateDeviceAdmin",
            {
                **at_once,
                "b64:updDevAdminReq": b64(build_device_admin_update(["EABC0000000001.SMGW"], "Neu.GWA", gwa.signer)),
            },
        ],
        ["GeneralMessage", {"callerID": "Verwalter", "messageID": "2", "subject": "Hello", "body": "Text"}],
        ["SendCertificates", {"statusInfo": "failure_other_error"}],
        ["RequestCertificate", {**at_once, "b64:certReq": b64(emt.renewal())}],
    ]

    async def story() -> list[Any]:
        async with world.service() as service:
            url = f"https://127.0.0.1:{service.server.port}/SmartMeterService"
            wsdl = f"{url}?wsdl" if whose == "ours" else str(ORIGINAL)
            return await asyncio.to_thread(zeep, tmp_path, gwa, wsdl, url, calls)

    answers = world.run(story())
    assert [answer["returnCode"] for answer in answers] == [
        "ok_received_correctly",
        "ok_cert_available",
        "ok_cert_available",
        "ok_received_correctly",
        "ok_received_correctly",
        "ok_received_correctly",
        "failure_other_error",
        "failure_unauthorized_request",
    ]
    assert len(answers[1]["certificateSequence"]["certificate"]) == 2
    assert len(answers[2]["certificateSeq"]["certificate"]) == 3
