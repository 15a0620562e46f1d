"""The OpenAPI document is true: schemathesis makes requests of it, good ones and bad ones, and looks at each answer."""

from typing import Any

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from smpki.service.accounts.actor import Actor, Role
from smpki.service.people import beside
from smpki.service.rest.access import ByToken, Throttle
from smpki.service.rest.application import rest_application

REFUSED_BY_RULES = ["2xx", 401, 403, 404, 409, 422]
"""What a request may get that breaks nothing a schema could say; 422 is for rules that it can't say."""


def application(office: Any) -> Any:
    """REST where nobody has to wait after many wrong tokens or applications: schemathesis sends a lot of them."""
    patience = Throttle(office.pki.clock, most=1_000_000)
    return beside(rest_application(office.desk, ByToken(office.desk.accounts, patience), patience), None)


def failures(office: Any, actor: Actor, *, examples: int, delete: bool = False, stateful: bool = False) -> set[str]:
    """What is not as the document says; with all checks."""
    config = SchemathesisConfig.from_dict(
        {
            "headers": {"Authorization": f"Bearer {office.token(actor)}"},
            "generation": {"max-examples": examples, "deterministic": True, "database": "none"},
            "phases": {"stateful": {"enabled": stateful}},
            "checks": {"positive_data_acceptance": {"expected-statuses": REFUSED_BY_RULES}},
        }
    )
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", application(office), config=config)
    # who ends the token that it came with gets no further
    schema = schema.include(method="DELETE") if delete else schema.exclude(method="DELETE")
    found, cases = set(), 0
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            found.add(str(event))
        elif isinstance(event, events.ScenarioFinished):
            cases += sum(map(len, event.recorder.checks.values()))
            for each in event.recorder.checks.values():
                for check in each:
                    if check.failure_info is not None:
                        failure = check.failure_info.failure
                        found.add(f"{event.recorder.label}: {check.name}: {failure.title}: {failure.message}")
    assert cases > (10 if delete else 1000)
    return found


def who(office: Any, role: Role) -> Actor:
    actor: Actor = office.participant() if role is Role.PARTICIPANT else office.staff(role)
    return actor


def test_what_a_participant_is_answered(office: Any) -> None:
    assert failures(office, office.participant(), examples=1) == set()


def test_what_who_ends_tokens_is_answered(office: Any) -> None:
    assert failures(office, office.staff(), examples=1, delete=True) == set()


@pytest.mark.slow
@pytest.mark.parametrize("role", Role)
def test_what_everybody_is_answered_to_many_requests(role: Role, office: Any) -> None:
    assert failures(office, who(office, role), examples=100, stateful=True) == set()


def test_each_operation_is_documented_with_its_errors(office: Any) -> None:
    document = rest_application(office.desk, lambda _: office.staff()).openapi()
    assert document["openapi"].startswith("3.1")
    operations = [one for path in document["paths"].values() for one in path.values()]
    assert len(operations) > 25
    for one in operations:
        assert one["summary"]
        assert one["description"]
        assert {"406", "422", "503"} <= one["responses"].keys()
        assert one["security"] == [] or "401" in one["responses"]
        errors = [answer for status, answer in one["responses"].items() if int(status) >= 400]
        assert all(list(answer["content"]) == ["application/problem+json"] for answer in errors)
