"""Passkeys: made, used, and refused where anything is not as it must be."""

import json
import secrets
from dataclasses import replace
from typing import Any

import pytest

from smpki.errors import ServiceError
from smpki.service.accounts.passkeys import Passkeys, RelyingParty

PARTY = RelyingParty("portal.example", "https://portal.example")


@pytest.fixture
def passkeys(office: Any) -> Passkeys:
    return Passkeys(office.pki, PARTY, secrets.token_bytes)


def refused(act: Any, *arguments: Any) -> str:
    with pytest.raises(ServiceError) as refusal:
        act(*arguments)
    return refusal.value.code


def made(passkeys: Passkeys, actor: Any, authenticator: Any) -> Any:
    ceremony = passkeys.begin_registration(actor)
    return passkeys.finish_registration(actor, ceremony.handle, authenticator.create(ceremony.options), "my key")


def test_make_one_and_log_in(office: Any, passkeys: Passkeys, authenticator: Any) -> None:
    operator = office.staff()
    ceremony = passkeys.begin_registration(operator)
    options = json.loads(ceremony.options)
    assert options["rp"]["id"] == "portal.example"
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert "operator" not in options["user"]["id"]
    key = passkeys.finish_registration(operator, ceremony.handle, authenticator.create(ceremony.options), "my key")
    assert [one.label for one in passkeys.of(operator)] == ["my key"]
    excluded = json.loads(passkeys.begin_registration(operator).options)["excludeCredentials"]
    assert len(excluded) == 1
    for _ in range(2):
        ceremony = passkeys.begin_log_in()
        account = passkeys.finish_log_in(ceremony.handle, authenticator.get(ceremony.options))
        assert account.actor == operator
    assert ("account-passkey", "done") in office.audit()
    assert office.audit().count(("account-log-in", "done")) == 2
    assert not passkeys.remove(office.staff(name="other"), key.credential)
    assert passkeys.remove(operator, key.credential)
    ceremony = passkeys.begin_log_in()
    answer = authenticator.get(ceremony.options)
    assert refused(passkeys.finish_log_in, ceremony.handle, answer) == "service.account.passkey.refused"


def test_a_challenge_holds_once_for_one_and_not_for_long(office: Any, passkeys: Passkeys, authenticator: Any) -> None:
    operator, other = office.staff(), office.staff(name="other")
    ceremony = passkeys.begin_registration(operator)
    answer = authenticator.create(ceremony.options)
    challenge = "service.account.passkey.challenge"
    assert refused(passkeys.finish_registration, other, ceremony.handle, answer, "") == challenge
    assert refused(passkeys.finish_registration, operator, ceremony.handle, answer, "") == challenge  # used up
    made(passkeys, operator, authenticator)
    ceremony = passkeys.begin_log_in()
    answer = authenticator.get(ceremony.options)
    passkeys.finish_log_in(ceremony.handle, answer)
    assert refused(passkeys.finish_log_in, ceremony.handle, answer) == challenge
    assert refused(passkeys.finish_log_in, "smpki_challenge_x", answer) == challenge
    ceremony = passkeys.begin_log_in()
    office.wait(minutes=6)
    assert refused(passkeys.finish_log_in, ceremony.handle, authenticator.get(ceremony.options)) == challenge
    registering = passkeys.begin_registration(operator)
    answer = authenticator.get(registering.options)
    assert refused(passkeys.finish_log_in, registering.handle, answer) == challenge


@pytest.mark.parametrize(
    "wrong",
    [
        {"origin": "https://evil.example"},
        {"rp_id": "evil.example"},
        {"flags": 0x01},  # nobody proved who it is
        {"flags": 0x04},  # nobody was there
    ],
)
def test_what_is_signed_for_others_is_refused(
    wrong: dict[str, Any], office: Any, passkeys: Passkeys, authenticator: Any
) -> None:
    operator = office.staff()
    assert refused(made, passkeys, operator, replace(authenticator, **wrong)) == "service.account.passkey.refused"
    made(passkeys, operator, authenticator)
    ceremony = passkeys.begin_log_in()
    answer = replace(authenticator, **wrong).get(ceremony.options)
    assert refused(passkeys.finish_log_in, ceremony.handle, answer) == "service.account.passkey.refused"


def test_a_copied_passkey_is_noticed_by_its_count(office: Any, passkeys: Passkeys, authenticator: Any) -> None:
    made(passkeys, office.staff(), authenticator)
    copy = replace(authenticator)
    for _ in range(3):
        ceremony = passkeys.begin_log_in()
        passkeys.finish_log_in(ceremony.handle, authenticator.get(ceremony.options))
    ceremony = passkeys.begin_log_in()
    assert (
        refused(passkeys.finish_log_in, ceremony.handle, copy.get(ceremony.options))
        == "service.account.passkey.refused"
    )


def test_another_key_or_account_is_refused(office: Any, passkeys: Passkeys, authenticator: Any) -> None:
    operator = office.staff()
    made(passkeys, operator, authenticator)
    stranger = type(authenticator)()  # the same id, another key
    ceremony = passkeys.begin_log_in()
    answer = stranger.get(ceremony.options)
    assert refused(passkeys.finish_log_in, ceremony.handle, answer) == "service.account.passkey.refused"
    assert refused(made, passkeys, office.staff(name="other"), stranger) == "service.account.passkey.known"
    office.desk.accounts.store.block(operator.account, True)
    ceremony = passkeys.begin_log_in()
    answer = authenticator.get(ceremony.options)
    assert refused(passkeys.finish_log_in, ceremony.handle, answer) == "service.account.passkey.refused"


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"id": 1}',
        '{"id": "x", "rawId": "x", "type": "public-key", "response": {}}',
        '{"id": "AA", "rawId": "AA", "type": "public-key", "response": {"clientDataJSON": "!"}}',
        '{"rawId": ' + "[" * 5000 + "]" * 5000 + "}",
        "x" * 100_000,
    ],
)
def test_nonsense_is_refused(answer: str, office: Any, passkeys: Passkeys) -> None:
    operator = office.staff()
    handle = passkeys.begin_log_in().handle
    assert refused(passkeys.finish_log_in, handle, answer) == "service.account.passkey.refused"
    handle = passkeys.begin_registration(operator).handle
    finish = passkeys.finish_registration
    assert refused(finish, operator, handle, answer, "") == "service.account.passkey.refused"
