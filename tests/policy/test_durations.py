from datetime import UTC, datetime

import pytest

from smpki.policy.decide import renewal_opens
from smpki.policy.duration import Duration
from smpki.policy.load import default_policy_text, load_policy

END = datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "after", "before"),
    [
        ("1y", "2029-02-28", "2027-02-28"),
        ("4y", "2032-02-29", "2024-02-29"),
        ("30d", "2028-03-30", "2028-01-30"),
        ("48h", "2028-03-02", "2028-02-27"),
    ],
)
def test_a_duration_runs_both_ways(text: str, after: str, before: str) -> None:
    duration = Duration.parse(text)
    assert duration.after(END) == datetime.fromisoformat(f"{after}T23:59:59Z")
    assert duration.before(END) == datetime.fromisoformat(f"{before}T23:59:59Z")


def test_durations_end_with_the_calendar() -> None:
    with pytest.raises(OverflowError):
        Duration.parse("8000y").after(END)
    with pytest.raises(OverflowError):
        Duration.parse("8000y").before(END)


def test_the_renewal_window_opens_as_the_policy_says() -> None:
    policy = load_policy(default_policy_text())
    assert policy.renewal.opens_before_end.value == Duration(90, "d")
    assert renewal_opens(policy, END) == datetime(2027, 12, 1, 23, 59, 59, tzinfo=UTC)
