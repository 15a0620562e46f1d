"""Request packages of market participants that nobody has seen before."""

from datetime import UTC, datetime

from smpki.participant.new_request import Wanted, generate_keys, new_package
from smpki.policy.model import CertificateType, Policy


def make_packages(policy: Policy, numbers: range) -> list[bytes]:
    """A package for each number, with a name, a contact and three keys of its own."""
    today = datetime.now(UTC).date()
    return [
        new_package(_wanted(number), generate_keys(policy, "test", CertificateType.EMT, today), policy, "test")
        for number in numbers
    ]


def _wanted(number: int) -> Wanted:
    host = f"company-{number}.example"
    return Wanted(
        common_name=f"Company {number}.EMT",
        organizational_unit=f"{9_900_000_000_000 + number}",
        email=f"smgw@{host}",
        uri=f"https://{host}/",
    )
