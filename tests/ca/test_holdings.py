"""What holders hold, many at a time, and what changed since a moment; on both kinds of database."""

from datetime import timedelta
from typing import Any

import pytest

from smpki.ca.store.holdings import Bookmark, Shown

KINDS = ("emt", "smgw-g")


@pytest.fixture(params=["sqlite", "postgresql"])
def office(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue("workshop" if request.param == "sqlite" else "postgres_workshop")


def serials(outcome: Any) -> list[str]:
    return [one.serial for one in outcome.certificates]


def test_what_is_in_force_is_shown(office: Any, packages: Any) -> None:
    firm = office.issue(packages.make())
    gateway = office.issue(packages.gateway(1))
    shown, with_revoked = Shown(KINDS), Shown(KINDS, revoked=True)
    with office.open() as pki:
        holdings, keys = pki.store.holdings, [firm.certificates[0].subject_key, gateway.certificates[0].subject_key]
        assert list(holdings.everything(shown, office.now)) == [
            (one.subject_key, one.der) for one in (*firm.certificates, *gateway.certificates)
        ]
        pki.revocations.suspend(serials(gateway))
        assert holdings.of(keys, shown, office.now) == {keys[0]: list(firm.certificates)}
        assert holdings.of(keys, with_revoked, office.now)[keys[1]] == list(gateway.certificates)
        assert holdings.of(keys, Shown(("emt",), revoked=True), office.now).keys() == {keys[0]}
        assert [key for key, _ in holdings.everything(shown, office.now)] == [keys[0]] * 3
        for days in (-1, 3 * 366):
            assert list(holdings.everything(with_revoked, office.now + timedelta(days=days))) == []


def test_everything_comes_in_parts(office: Any, packages: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from smpki.ca.store import holdings

    monkeypatch.setattr(holdings, "_ROWS_AT_ONCE", 2)
    monkeypatch.setattr(holdings, "_ALL", holdings._ALL.limit(2))
    issued = [one for number in (1, 2) for one in office.issue(packages.gateway(number)).certificates]
    with office.open() as pki:
        found = [der for _, der in pki.store.holdings.everything(Shown(KINDS), office.now)]
    assert found == [one.der for one in issued]


def test_who_has_news(office: Any, packages: Any) -> None:
    one, two = (office.issue(packages.gateway(number)) for number in (1, 2))
    key_one, key_two = one.certificates[0].subject_key, two.certificates[0].subject_key
    with office.open() as pki:
        holdings, desk = pki.store.holdings, pki.revocations
        assert holdings.since(Bookmark(), KINDS)[0] == {key_one, key_two}
        mark = holdings.bookmark()

        def news() -> set[str]:
            nonlocal mark
            found, mark = holdings.since(mark, KINDS)
            return found

        assert news() == set()
        desk.suspend(serials(one))
        assert news() == {key_one}
        assert news() == set()
        # SQLite numbers the next row as it did the one that is gone
        desk.resume(serials(one))
        desk.suspend(serials(two))
        assert news() == {key_one, key_two}
        desk.revoke(serials(two), "superseded")
        assert news() == {key_two}
        firm = office.issue(packages.make())
        assert news() == {firm.certificates[0].subject_key}
        desk.revoke(serials(firm), "superseded")
        assert holdings.since(mark, ["gwa"])[0] == set()
        assert news() == {firm.certificates[0].subject_key}
        assert mark == holdings.bookmark()
