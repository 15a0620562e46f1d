"""Until when certificates of full length fit into their issuer's validity."""

from datetime import UTC, datetime, timedelta

import pytest
import yaml

from smpki.policy.decide import latest_start, validity
from smpki.policy.load import default_policy_text, load_policy
from smpki.policy.model import CertificateType

POLICY = load_policy(default_policy_text())
SECOND = timedelta(seconds=1)


def to_the_second():
    document = yaml.safe_load(default_policy_text())
    document["issuing"]["not_after_end_of_day"]["value"] = False
    return load_policy(yaml.safe_dump(document))


@pytest.mark.parametrize(
    ("end", "latest"),
    [
        ("2034-11-22T23:59:59", "2029-11-22T23:59:59"),
        ("2034-11-22T12:00:00", "2029-11-21T23:59:59"),
        ("2033-02-28T23:59:59", "2028-02-29T23:59:59"),  # 29 February and 28 February end on the same day
        ("2032-02-29T23:59:59", "2027-02-28T23:59:59"),
    ],
)
def test_to_the_end_of_the_day(end: str, latest: str) -> None:
    found = latest_start(POLICY, CertificateType.SUB_CA, datetime.fromisoformat(end).replace(tzinfo=UTC))
    assert found == datetime.fromisoformat(latest).replace(tzinfo=UTC)


@pytest.mark.parametrize("policy", [POLICY, to_the_second()], ids=["end of day", "to the second"])
@pytest.mark.parametrize("day", range(360, 380))
def test_a_second_later_they_are_too_long(policy, day) -> None:
    end = datetime(2031, 2, 20, 13, 14, 15, tzinfo=UTC) + timedelta(days=day)
    latest = latest_start(policy, CertificateType.EMT, end)
    assert validity(policy, CertificateType.EMT, latest, None)[1] <= end
    assert validity(policy, CertificateType.EMT, latest + SECOND, None)[1] > end
