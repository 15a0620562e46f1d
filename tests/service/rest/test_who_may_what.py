"""Each operation for each who may ask: nobody, a foreign participant, an auditor, the owner, an operator."""

from typing import Any

import pytest

from smpki.policy.model import CertificateType
from smpki.service.accounts.actor import Role

FORM = {"organisation": "Neue", "role": "emt", "contact": "post@neue.example"}
REMARK, REASON, LABEL = {"remark": "no"}, {"reason": "superseded"}, {"label": "x"}
EVERYBODY, ALL, HIDDEN, STAFF = (
    (200,) * 5,
    (401, 200, 200, 200, 200),
    (401, 404, 200, 200, 200),
    (401, 403, 200, 403, 200),
)
OPERATOR = (401, 403, 403, 403, 200)
PACKAGE = object()

# operation, body; status for: nobody, foreign participant, auditor, owner, operator. Who changes something comes last.
RIGHTS: list[tuple[str, str, Any, tuple[int, ...]]] = [
    ("POST", "/registrations", FORM, (201,) * 5),
    ("GET", "/registrations", None, ALL),
    ("GET", "/registrations/{registration}", None, HIDDEN),
    ("POST", "/registrations/{applied}/approval", None, OPERATOR),
    ("POST", "/registrations/{other}/refusal", REMARK, OPERATOR),
    ("POST", "/invitations", {"invitation": "smpki_invitation_nobodys"}, (403,) * 5),
    ("POST", "/checks", PACKAGE, ALL),
    ("POST", "/packages", PACKAGE, (401, 403, 403, 201, 403)),
    ("GET", "/packages", None, ALL),
    ("GET", "/packages/{package}", None, HIDDEN),
    ("GET", "/packages/{package}/files", None, HIDDEN),
    ("POST", "/packages/{package}/approval", None, (401, 403, 403, 403, 409)),
    ("POST", "/packages/{package}/refusal", REMARK, (401, 403, 403, 403, 409)),
    ("GET", "/certificates", None, ALL),
    ("GET", "/certificates/{serial}", None, HIDDEN),
    ("GET", "/certificates/{serial}/files/pem", None, HIDDEN),
    ("GET", "/certificates/{serial}/files/zip", None, HIDDEN),
    ("GET", "/expiry?after={serial}", None, HIDDEN),
    ("POST", "/certificates/{serial}/revocation", REASON, (401, 404, 403, 200, 409)),
    ("POST", "/certificates/{authority}/revocation", REASON, (401, 403, 403, 403, 200)),
    ("POST", "/signed-requests", b"\x30\x00", (401, 422, 403, 422, 403)),
    ("GET", "/authorities", None, EVERYBODY),
    ("GET", "/chain", None, EVERYBODY),
    ("POST", "/crls", None, OPERATOR),
    ("GET", "/crls", None, EVERYBODY),
    ("GET", "/crls/{crl}", None, EVERYBODY),
    ("GET", "/audit", None, STAFF),
    ("GET", "/audit/verification", None, STAFF),
    ("GET", "/me", None, ALL),
    ("GET", "/tokens", None, ALL),
    ("POST", "/tokens", LABEL, (401, 201, 201, 201, 201)),
    ("DELETE", "/tokens/{token}", None, (401, 404, 404, 204, 404)),
]
ASKED = ("nobody", "foreign", "auditor", "owner", "operator")


@pytest.fixture
def town(service: Any) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Who asks, the owner's things, and the owner's package."""
    owner = service.participant()
    foreign = service.participant("Andere", CertificateType.EMT, None)
    who = dict(zip(ASKED, (service.nobody, foreign, service.staff(Role.AUDITOR), owner, service.staff()), strict=True))
    package = service.office.packages.make()
    issued = owner.post("/packages", package).json()
    authorities = service.nobody.get("/authorities").json()["items"]
    who["operator"].post("/crls")
    things = {
        "registration": 1,
        "applied": service.nobody.post("/registrations", FORM).json()["id"],
        "other": service.nobody.post("/registrations", FORM | {"organisation": "Noch Eine"}).json()["id"],
        "package": issued["id"],
        "serial": issued["certificates"][0]["serial"],
        "authority": next(one["serial"] for one in authorities if one["kind"] == "sub-ca"),
        "crl": service.nobody.get("/crls").json()["items"][0]["name"],
        "token": owner.post("/tokens", LABEL).json()["id"],
    }
    return who, things, package


def test_who_may_what(service: Any, town: Any) -> None:
    who, things, package = town
    found, wanted = {}, {}
    for method, path, body, statuses in RIGHTS:
        for name, status in zip(ASKED, statuses, strict=True):
            value = package if body is PACKAGE else body
            request = {"value": value} if method == "POST" else {}
            act = {"GET": who[name].get, "POST": who[name].post}.get(method)
            place = path.format(**things)
            answer = act(place, **request) if act else who[name].ask(method, place)
            found[method, path, name], wanted[method, path, name] = answer.status_code, status
    assert found == wanted


def test_no_operation_is_left_out(service: Any) -> None:
    def shape(path: str) -> tuple[str, ...]:
        bare = path.partition("?")[0].removeprefix("/api/v1")
        bare = bare.replace("/pem", "/{kind}").replace("/zip", "/{kind}")
        return tuple("{}" if part.startswith("{") else part for part in bare.split("/"))

    document = service.application.openapi()["paths"]
    there = {(method.upper(), shape(path)) for path, operations in document.items() for method in operations}
    assert {(method, shape(path)) for method, path, _, _ in RIGHTS} == there
