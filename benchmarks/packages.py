"""Request packages of market participants that nobody has seen before."""

from dataclasses import dataclass
from datetime import UTC, datetime

from smpki.participant.new_request import Wanted, generate_keys, new_package
from smpki.policy.model import CertificateType, Policy
from smpki.requests.keys import KeyTriple


@dataclass(frozen=True)
class Person:
    """A market participant with three keys and the package that asks for their certificates."""

    wanted: Wanted
    keys: KeyTriple
    package: bytes


def make_people(policy: Policy, numbers: range) -> list[Person]:
    """A participant for each number, with a name, a contact and three keys of its own."""
    today = datetime.now(UTC).date()
    people = []
    for number in numbers:
        wanted, keys = _wanted(number), generate_keys(policy, "test", CertificateType.EMT, today)
        people.append(Person(wanted, keys, new_package(wanted, keys, policy, "test")))
    return people


def make_packages(policy: Policy, numbers: range) -> list[bytes]:
    """The package of a participant for each number."""
    return [person.package for person in make_people(policy, numbers)]


def _wanted(number: int) -> Wanted:
    host = f"company-{number}.example"
    return Wanted(
        common_name=f"Company {number}.EMT",
        organizational_unit=f"{9_900_000_000_000 + number}",
        email=f"smgw@{host}",
        uri=f"https://{host}/",
    )
