"""How fast are triples renewed, compared with the cryptography alone?

Alternating rounds on one core, with keys in memory: the cryptography of renewals (verify three proofs of possession and
the outer signature, sign three certificates), and the whole way from the package to the stored triple.
"""

import statistics
import tempfile
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from common import machine, parser, print_json, print_table
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from packages import make_people
from pkis import SUB_CA, in_memory

from smpki.ca.issuer import HASHES
from smpki.ca.pki import Pki
from smpki.ca.triples import Order
from smpki.requests.build import RequestedNames
from smpki.requests.build_signed import build_renewal_package
from smpki.requests.keys import KeyTriple, Signer
from smpki.requests.submission import read_submission, verify_submission

_OF_A_ROUND = 64
_DAYS = 365 * 2 - 30  # from the issue of a triple to a day in its renewal window


def settle(pki: Pki, numbers: range) -> list[bytes]:
    """First triples, and the renewal package of each holder."""
    people = make_people(pki.policy, numbers)
    outcomes = pki.issue([Order(str(at), person.package) for at, person in enumerate(people)], SUB_CA)
    renewals = []
    for person, outcome in zip(people, outcomes, strict=True):
        (sig,) = (one for one in outcome.certificates if one.purpose == "sig")
        signer = Signer(person.keys.sig, x509.load_der_x509_certificate(sig.der))
        names = RequestedNames(person.wanted.email, person.wanted.uri, ("www.company.example",))
        keys = KeyTriple(*(ec.generate_private_key(ec.BrainpoolP256R1()) for _ in range(3)))
        renewals.append(build_renewal_package(signer.certificate.subject, keys, names, signer))
    return renewals


def cryptography_alone(pki: Pki, packages: list[bytes]) -> float:
    """Seconds for the signatures of these renewals, to be verified and to be made."""
    issuer = pki.authorities.sub_ca(SUB_CA)
    submissions = [read_submission(package) for package in packages]
    begin = time.perf_counter()
    for submission in submissions:
        verify_submission(submission)
        for request in submission.package.requests:
            issuer.key.sign(request.signed, ec.ECDSA(HASHES[issuer.hash]))
    return time.perf_counter() - begin


def whole_way(pki: Pki, packages: list[bytes]) -> float:
    """Seconds to renew."""
    begin = time.perf_counter()
    outcomes = pki.issue([Order(str(at), package) for at, package in enumerate(packages)], SUB_CA)
    seconds = time.perf_counter() - begin
    refusals = [outcome.error for outcome in outcomes if outcome.error is not None]
    if refusals or {one.dn_serial for outcome in outcomes for one in outcome.certificates} != {2}:
        raise SystemExit(f"not renewed: {refusals[:1]}")
    return seconds


def main() -> None:
    """Measure and print."""
    chosen = parser("How fast triples are renewed, compared with the cryptography alone.").parse_args()
    begin = time.monotonic()
    limits, ways = [], []
    with tempfile.TemporaryDirectory(prefix="smpki-benchmark-") as folder:
        about = machine(Path(folder))
        with in_memory(Path(folder) / "pki", None).open() as pki:
            later = replace(pki, clock=lambda: pki.clock() + timedelta(days=_DAYS))
            for number in range(3 if chosen.quick else 15):
                renewals = settle(pki, range(number * _OF_A_ROUND, (number + 1) * _OF_A_ROUND))
                limits.append(cryptography_alone(later, renewals))
                ways.append(whole_way(later, renewals))
    ratio = round(statistics.median(alone / way for alone, way in zip(limits, ways, strict=True)), 3)
    limit, whole = (round(_OF_A_ROUND / statistics.median(those), 1) for those in (limits, ways))
    if chosen.json:
        result = {
            "benchmark": "renewal",
            "ratios": {"renewal_of_limit": ratio},
            "renewals_per_second": {"limit": limit, "whole": whole},
            "rounds": len(ways),
            "machine": about,
            "seconds": round(time.monotonic() - begin, 1),
        }
        print_json(result)
        return
    print_table(
        ("renewals a second", "cryptography alone", "whole way", "of that"),
        [("keys in memory", f"{limit:.0f}", f"{whole:.0f}", f"{ratio:.2f}")],
    )


if __name__ == "__main__":
    main()
