"""How fast are gateways made, compared with their tokens and keys alone?

In turns: bare tokens, that is a fresh SoftHSM token in which a security module makes its three key pairs, and nothing
else; and whole gateways, from the device id to the signed delivery record. Both by the same number of worker processes;
beside those of whole gateways the Sub-CA's process and the office work. Processes start outside the measured time.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from common import machine, parser, print_json, print_table
from cryptography import x509
from pkis import SUB_CA, BenchmarkPki, in_softhsm

from smpki.ca.triples import Order
from smpki.gateway.configuration import AdministratorConfiguration, WakeUpConfiguration
from smpki.gateway.crew import Crew
from smpki.gateway.delivery_record import Administrator
from smpki.gateway.device_numbers import counted
from smpki.gateway.factory import make_gateways
from smpki.gateway.factory_folder import FactoryFolder
from smpki.gateway.factory_office import Office
from smpki.gateway.provisioning import Commission, commission_for
from smpki.gateway.security_module import SecurityModule
from smpki.gateway.slots import Group
from smpki.gateway.workbench import Workbench
from smpki.hsm.pin import random_pin
from smpki.hsm.softhsm import SoftHsm
from smpki.hsm.token import Token
from smpki.hsm.token_set_up import SetUpProgram
from smpki.hsm.token_vault import TokenVault
from smpki.participant.new_request import Wanted, generate_keys, new_package
from smpki.policy.device_id import DeviceId
from smpki.policy.model import CertificateType
from smpki.requests.keys import KeyTriple, Signer
from smpki.service.issuing import SubCaProcess

_OF_A_ROUND = 32
_QUICK, _LONG = 30.0, 120.0  # seconds from the start in which rounds have to end


class BareTokens:
    """Makes tokens with three keys each in a folder, as a gateway's security module does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make(self, device: DeviceId) -> None:
        """A token of its own, with keys for TLS, SIG and ENC."""
        softhsm, pin = SoftHsm(self._folder / device.dns), random_pin()
        softhsm.create_token(device.dns, pin, random_pin())
        softhsm.activate(os.environ)
        with Token.open(None, device.dns, pin, lock=softhsm.lock) as token, SecurityModule(TokenVault(token)) as module:
            for slot in Group.WAN.slots:
                module.generate(slot.next)


@contextmanager
def bare_tokens(folder: Path) -> Iterator[BareTokens]:
    """In a worker."""
    yield BareTokens(folder)


@contextmanager
def workbench(folder: FactoryFolder, commission: Commission) -> Iterator[Workbench]:
    """In a worker."""
    with SetUpProgram() as set_up:
        yield Workbench(folder, commission, os.environ, set_up)


def make_party(pki: BenchmarkPki, common_name: str) -> tuple[KeyTriple, list[x509.Certificate]]:
    """A participant with its TLS, SIG and ENC certificates."""
    wanted = Wanted(common_name, email="pki@company.example", uri="https://company.example/")
    with pki.open() as opened:
        kind = CertificateType.GWH if common_name.endswith("GWH") else CertificateType.GWA
        keys = generate_keys(opened.policy, "test", kind, opened.clock().date())
        (outcome,) = opened.issue([Order(common_name, new_package(wanted, keys, opened.policy, "test"))], SUB_CA)
    return keys, [x509.load_der_x509_certificate(one.der) for one in outcome.certificates]


def seconds_for_tokens(crew: Crew[BareTokens], devices: Sequence[DeviceId]) -> float:
    """What bare tokens take."""
    begin = time.perf_counter()
    for future in [crew.submit(BareTokens.make, device) for device in devices]:
        future.result()
    return time.perf_counter() - begin


def seconds_for_gateways(
    office: Office, issuer: SubCaProcess, crew: Crew[Workbench], devices: Sequence[DeviceId]
) -> float:
    """What whole gateways take."""
    begin = time.perf_counter()
    for report in make_gateways(devices, office, issuer, crew):
        if report.state != "provisioned":
            raise SystemExit(f"not made: {report.error}")
    return time.perf_counter() - begin


def measure(folder: Path, end: float, workers: int) -> list[tuple[float, float]]:
    """Seconds for bare tokens and for gateways, in rounds as long as there is time for another; every other one in the
    opposite order.

    :param end: in seconds of ``time.monotonic``
    """
    pki = in_softhsm(folder / "pki", None)
    keys, (_, sig, _) = make_party(pki, "Maker.GWH")
    _, (gwa_tls, gwa_sig, gwa_enc) = make_party(pki, "Admin.GWA")
    administrator = Administrator(name="Admin.GWA", tls=gwa_tls, sig=gwa_sig, enc=gwa_enc)
    place = AdministratorConfiguration(
        name="Admin.GWA",
        management="localhost:7001",
        admin_service="localhost:7002",
        time="localhost:7003",
        certificates=(Path("gwa-tls.pem"), Path("gwa-sig.pem")),
    )
    commission = commission_for(sig, administrator, place, WakeUpConfiguration(listen="localhost:22357"))
    factory, bare = FactoryFolder(folder / "factory"), folder / "bare"
    for each in (factory.path, bare):
        each.mkdir()
    office = Office(factory, Signer(keys.sig, sig), administrator, (), lambda: datetime.now(UTC))
    taken: list[tuple[float, float]] = []
    with (
        SubCaProcess(pki.open, SUB_CA) as issuer,
        Crew(partial(bare_tokens, bare), "tokens", workers) as tokens,
        Crew(partial(workbench, factory, commission), "workbench", workers) as benches,
    ):
        first = counted("XXX", 1, 0, 2 * workers)  # with these, processes start
        seconds_for_tokens(tokens, first)
        seconds_for_gateways(office, issuer, benches, first)
        longest = 0.0
        while not taken or time.monotonic() + longest < end:
            devices = counted("XXX", 0, len(taken) * _OF_A_ROUND, _OF_A_ROUND)
            steps = [partial(seconds_for_tokens, tokens), partial(seconds_for_gateways, office, issuer, benches)]
            order = (0, 1) if len(taken) % 2 else (1, 0)
            seconds = {each: steps[each](devices) for each in order}
            taken.append((seconds[0], seconds[1]))
            longest = max(longest, sum(seconds.values()))
    return taken


def main() -> None:
    """Measure and print."""
    options = parser("How fast gateways are made, compared with their tokens and keys alone.")
    options.add_argument("--folder", type=Path, help="where to make them: on the disk that is to be measured")
    options.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    chosen = options.parse_args()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="smpki-benchmark-", dir=chosen.folder) as folder:
        about = machine(Path(folder))
        taken = measure(Path(folder), begin + (_QUICK if chosen.quick else _LONG), chosen.workers)
    ratio = round(statistics.median(bare / whole for bare, whole in taken), 3)
    bare, whole = (round(_OF_A_ROUND / statistics.median(those), 2) for those in zip(*taken, strict=True))
    if chosen.json:
        result = {
            "benchmark": "provisioning",
            "ratios": {"gateways_of_keys": ratio},
            "per_second": {"bare_tokens": bare, "gateways": whole, "keys": round(3 * bare, 1)},
            "rounds": len(taken),
            "workers": chosen.workers,
            "machine": about,
            "seconds": round(time.monotonic() - begin, 1),
        }
        print_json(result)
        return
    print_table(
        ("a second", "tokens with three keys", "gateways", "of that"),
        [(f"{chosen.workers} workers", f"{bare:.1f}", f"{whole:.1f}", f"{ratio:.2f}")],
    )


if __name__ == "__main__":
    main()
