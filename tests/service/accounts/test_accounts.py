"""Invitations, passwords, sessions: what holds, for how long, and for whom."""

import threading
from datetime import timedelta
from typing import Any

import pytest

from smpki.errors import ServiceError
from smpki.service.accounts.accounts import Accounts
from smpki.service.accounts.actor import Role

GOOD = "a sentence is a good password"


@pytest.fixture
def accounts(office: Any) -> Accounts:
    found: Accounts = office.desk.accounts
    return found


def invited(accounts: Accounts, name: str = "chef") -> Any:
    return accounts.join(accounts.invite(name, Role.OPERATOR, by="the test"), GOOD)


def refused(act: Any, *arguments: Any, **keywords: Any) -> str:
    with pytest.raises(ServiceError) as refusal:
        act(*arguments, **keywords)
    return refusal.value.code


def test_from_invitation_to_session(office: Any, accounts: Accounts) -> None:
    invitation = accounts.invite("chef", Role.OPERATOR, by="the test")
    assert refused(accounts.log_in, "chef", GOOD) == "service.account.credentials"
    assert refused(accounts.join, invitation, "short") == "service.account.password.length"
    account = accounts.join(invitation, GOOD)
    assert refused(accounts.join, invitation, GOOD) == "service.account.invitation"
    assert accounts.log_in("chef", GOOD).actor == account.actor
    secret = accounts.open_session(account)
    assert accounts.session(secret) == account.actor
    accounts.end_session(secret)
    assert accounts.session(secret) is None
    assert accounts.session("smpki_session_x") is None
    actions = [action for action, _ in office.audit() if action.startswith("account")]
    assert actions == ["account-new", "account-invite", "account-join", "account-password", "account-log-in"]


def test_secrets_are_not_in_the_database(office: Any, accounts: Accounts) -> None:
    account = invited(accounts)
    told = [accounts.invite("chef", Role.OPERATOR, by="the test"), accounts.open_session(account)]
    told += [accounts.new_token(account.actor, "script")[0], GOOD]
    stored = str(office.workshop.tables())
    assert [secret for secret in told if secret in stored] == []
    assert "argon2id" in stored


def test_sessions_end(office: Any, accounts: Accounts) -> None:
    account = invited(accounts)
    secret = accounts.open_session(account)
    for _ in range(26):  # seen every 27 minutes
        office.wait(minutes=27)
        assert accounts.session(secret) is not None
    office.wait(minutes=27)
    assert accounts.session(secret) is None  # after 12 hours in any case
    secret = accounts.open_session(account)
    office.wait(minutes=31)
    assert accounts.session(secret) is None
    secrets = [accounts.open_session(account) for _ in range(2)]
    accounts.set_password(account.actor, f"{GOOD}!")
    assert [accounts.session(one) for one in secrets] == [None, None]
    secret = accounts.open_session(account)
    accounts.store.block(account.id, True)
    accounts.store.block(account.id, False)
    assert accounts.session(secret) is None


def test_wrong_passwords_make_one_wait(office: Any, accounts: Accounts) -> None:
    invited(accounts)
    for _ in range(5):
        assert refused(accounts.log_in, "chef", "wrong") == "service.account.credentials"
    assert refused(accounts.log_in, "chef", GOOD) == "service.account.throttled"
    office.wait(seconds=31)
    assert refused(accounts.log_in, "chef", "wrong") == "service.account.credentials"
    office.wait(seconds=31)
    assert refused(accounts.log_in, "chef", GOOD) == "service.account.throttled"  # twice as long now
    office.wait(seconds=31)
    assert accounts.log_in("chef", GOOD).name == "chef"
    for _ in range(4):  # forgotten with the right one
        assert refused(accounts.log_in, "chef", "wrong") == "service.account.credentials"
    assert accounts.log_in("chef", GOOD).name == "chef"


@pytest.mark.parametrize("name", ["nobody", "", "chef\x00", "\ud800", "x" * 100_000, "chef' OR '1'='1"])
def test_names_that_nobody_has_are_answered_like_wrong_passwords(name: str, accounts: Accounts) -> None:
    invited(accounts)
    told = []
    for each, password in ((name, GOOD), ("chef", "wrong"), ("chef", "\ud800" * 200), ("chef", "x" * 1_000_000)):
        with pytest.raises(ServiceError) as refusal:
            accounts.log_in(each, password)
        told.append(refusal.value.as_dict())
    assert told == told[:1] * 4


def test_wrong_names_make_one_wait_like_wrong_passwords(office: Any, accounts: Accounts) -> None:
    invited(accounts)
    told = {}
    for name in ("chef", "nobody", "\ud800"):
        told[name] = [refused(accounts.log_in, name, "wrong") for _ in range(6)]
    assert told["nobody"] == told["chef"] == told["\ud800"]
    assert told["chef"][-1] == "service.account.throttled"
    office.wait(seconds=31)
    assert refused(accounts.log_in, "nobody", "wrong") == "service.account.credentials"
    office.wait(seconds=31)
    assert refused(accounts.log_in, "nobody", "wrong") == "service.account.throttled"


def test_a_blocked_account_does_not_log_in(accounts: Accounts) -> None:
    account = invited(accounts)
    accounts.store.block(account.id, True)
    assert refused(accounts.log_in, "chef", GOOD) == "service.account.credentials"
    invitation = accounts.invite("chef", Role.OPERATOR, by="the test")
    assert refused(accounts.join, invitation) == "service.account.invitation"


def test_who_may_be_invited(accounts: Accounts) -> None:
    invited(accounts)
    for name in ("", "a b", "<b>", "-x", "x" * 101, "ä"):
        assert refused(accounts.invite, name, Role.OPERATOR, by="the test") == "service.account.name"
    assert refused(accounts.invite, "p", Role.PARTICIPANT, by="the test") == "service.account.participant"
    assert refused(accounts.invite, "o", Role.AUDITOR, by="the test", common_name="X.EMT") == (
        "service.account.participant"
    )
    for common_name in ("Firma", "Firma.CA", "EABC0012345678.SMGW", ".EMT", ""):
        assert refused(accounts.invite, "p", Role.PARTICIPANT, by="the test", common_name=common_name) == (
            "service.account.participant"
        )
    assert refused(accounts.invite, "chef", Role.AUDITOR, by="the test") == "service.account.role"
    account = accounts.join(accounts.invite("p", Role.PARTICIPANT, by="the test", common_name="Firma.EMT"))
    assert account.actor.subject_key == accounts.subject_key("FIRMA.emt")


def test_an_invitation_is_used_once_by_whoever_is_first(accounts: Accounts) -> None:
    invitation = accounts.invite("chef", Role.OPERATOR, by="the test")
    barrier, got = threading.Barrier(4), []

    def join() -> None:
        barrier.wait()
        try:
            got.append(accounts.join(invitation).name)
        except ServiceError as error:
            got.append(error.code)

    threads = [threading.Thread(target=join) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == ["chef", *["service.account.invitation"] * 3]


def test_tokens_hold_as_long_as_they_were_made_for(office: Any, accounts: Accounts) -> None:
    actor = invited(accounts).actor
    for lifetime in (timedelta(), timedelta(days=-1), timedelta(days=366)):
        assert refused(accounts.new_token, actor, "x", lifetime) == "service.account.token.lifetime"
    secret, _ = accounts.new_token(actor, "x", timedelta(hours=1))
    assert accounts.token(secret) == actor
    office.wait(hours=1)
    assert accounts.token(secret) is None
    assert list(accounts.tokens.of(actor.account)) == []
