"""``smpki account``."""

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from smpki_cli.common import Output, command, surroundings

if TYPE_CHECKING:
    from smpki.ca.home import Home
    from smpki.service.accounts.store.accounts import Account

_NAME = click.argument("name")


@click.group("account")
def account_command() -> None:
    """Who may use the service for people and scripts."""


@command("invite")
@_NAME
@click.option("--role", required=True, type=click.Choice(["participant", "operator", "auditor"]))
@click.option("--participant", metavar="CN", help="The participant that the account acts for.")
def invite_command(home: "Home", output: Output, name: str, role: str, participant: str | None) -> None:
    """Let somebody in, by an invitation that holds once: it is printed here and nowhere else.

    For an account that there is already, such as one whose owner has lost password and passkey, it is a new way in.
    """
    from smpki.ca.opening import open_pki
    from smpki.service.accounts.accounts import Accounts
    from smpki.service.accounts.actor import Role

    with open_pki(home, surroundings(), "account") as pki:
        invitation = Accounts(pki).invite(name, Role(role), by="command line", common_name=participant)
    output.show({"name": name, "role": role, "invitation": invitation}, invitation)


@command("list")
def list_command(home: "Home", output: Output) -> None:
    """List the accounts."""
    from smpki.ca.opening import open_store
    from smpki.service.accounts.store.accounts import AccountStore

    found: list[Account] = []
    with open_store(home, surroundings()) as store:
        accounts = store.beside(AccountStore)
        while page := accounts.page(after=found[-1].id if found else 0):
            found += page
    values = [
        {
            "number": one.id,
            "name": one.name,
            "role": one.role.value,
            "participant": one.common_name,
            "blocked": one.blocked,
            "created_at": one.created_at.isoformat(),
        }
        for one in found
    ]
    rows = (
        (str(one.id), one.name, one.role, one.common_name or "", "blocked" if one.blocked else "admitted")
        for one in found
    )
    output.table({"accounts": values}, ("", "name", "role", "participant", ""), rows)


@command("block")
@_NAME
@click.option("--admit", is_flag=True, help="Let a blocked account in again; its tokens don't come back.")
def block_command(home: "Home", output: Output, name: str, admit: bool) -> None:
    """Block an account: its sessions and tokens end at once."""
    from smpki.ca.opening import open_pki
    from smpki.service.accounts.store.accounts import AccountStore

    with open_pki(home, surroundings(), "account") as pki:
        accounts = pki.store.beside(AccountStore)
        accounts.block(accounts.named(name).id, not admit)
    output.show({"name": name, "blocked": not admit}, f"{name}: {'admitted' if admit else 'blocked'}")


@command("token")
@_NAME
@click.option("--label", default="command line", show_default=True, help="To tell it from others.")
@click.option("--days", type=click.IntRange(1, 365), default=365, show_default=True, help="How long it holds.")
def token_command(home: "Home", output: Output, name: str, label: str, days: int) -> None:
    """Make a token for an account's scripts: it is printed here and nowhere else."""
    from smpki.ca.opening import open_pki
    from smpki.service.accounts.accounts import Accounts

    with open_pki(home, surroundings(), "account") as pki:
        accounts = Accounts(pki)
        secret, token = accounts.new_token(accounts.store.named(name).actor, label, timedelta(days=days))
    value = {"name": name, "label": label, "token": secret, "expires_at": token.expires_at.isoformat()}
    output.show(value, secret)


for each in (invite_command, list_command, block_command, token_command):
    account_command.add_command(each)
