"""A process that uses a security module, for the tests: ``module_program.py JOB TOKEN LOCK PIN_FILE [STEP WHEN]``.

It writes a line when it is ready. ``hold`` has the module until it is killed, ``renew`` makes triples current until it
is killed, ``activate`` kills itself before or after the STEP-th change of the vault.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from smpki.gateway.security_module import SecurityModule
from smpki.gateway.slots import Group, Slot
from smpki.hsm.pin import read_pin
from smpki.hsm.token import Token
from smpki.hsm.token_vault import TokenVault
from smpki.requests.model import Purpose

CHANGES = {"generate", "destroy", "store", "drop", "sweep"}


class CrashingVault:
    """A vault whose process ends before or after its STEP-th change, from 0.

    :param crash: does not return
    """

    def __init__(self, inner: Any, step: int, when: str, crash: Callable[[], None]) -> None:
        self._inner = inner
        self._steps = step
        self._when = when
        self._crash = crash
        self.crashed = False

    def __getattr__(self, name: str) -> Any:
        if self.crashed:
            raise AssertionError("a dead process uses its vault")
        attribute = getattr(self._inner, name)
        if name not in CHANGES:
            return attribute

        def change(*arguments: Any) -> Any:
            self._steps -= 1
            if self._steps == -1 and self._when == "before":
                self.crashed = True
                self._crash()
            done = attribute(*arguments)
            if self._steps == -1 and self._when == "after":
                self.crashed = True
                self._crash()
            return done

        return change


def certificate(slot: Slot, public_key: ec.EllipticCurvePublicKey, issuer: ec.EllipticCurvePrivateKey) -> Any:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "EABC0000000001.SMGW")])
    encrypts = slot.purpose is Purpose.ENC
    builder = x509.CertificateBuilder(name, name, public_key, x509.random_serial_number())
    builder = builder.not_valid_before(datetime(2020, 1, 1, tzinfo=UTC)).not_valid_after(
        datetime(2040, 1, 1, tzinfo=UTC)
    )
    usage = x509.KeyUsage(not encrypts, False, encrypts, False, encrypts, False, False, False, False)
    builder = builder.add_extension(usage, critical=True)
    if slot.purpose is Purpose.TLS:
        purposes = [x509.ExtendedKeyUsageOID.CLIENT_AUTH, x509.ExtendedKeyUsageOID.SERVER_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=True)
    return builder.sign(issuer, hashes.SHA256())


def main(job: str, label: str, lock: str, pin_file: str, step: str = "0", when: str = "") -> None:
    pin = read_pin(file=Path(pin_file), value=None, prompt=None)
    vault = TokenVault(Token.open(None, label, pin, lock=Path(lock)))
    crashing = CrashingVault(vault, int(step), when, lambda: os.kill(os.getpid(), signal.SIGKILL))
    module = SecurityModule(crashing if job == "activate" else vault)
    print("ready", flush=True)
    if job == "hold":
        time.sleep(60)
    if job == "activate":
        module.activate()
    issuer = ec.generate_private_key(ec.BrainpoolP256R1())
    while job == "renew":
        for slot in Group.WAN.slots:
            module.install(slot.next, certificate(slot, module.generate(slot.next), issuer))
        module.activate()
        module.retire()


if __name__ == "__main__":
    main(*sys.argv[1:])
