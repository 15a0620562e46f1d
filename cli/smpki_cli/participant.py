"""``smpki participant``."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smpki.errors import SmpkiError
from smpki_cli.common import Output, command, refuse
from smpki_cli.keys import Keys, now_in, with_keys
from smpki_cli.participant_service import chain_command, pending_command, receive_command, status_command
from smpki_cli.policy import policy_of
from smpki_cli.serving import told_within
from smpki_cli.web_service import PENDING, Caller, pending_folder, start_provider, with_web_service

if TYPE_CHECKING:
    from datetime import datetime

    from smpki.ca.home import Home
    from smpki.participant.preparing import Prepared
    from smpki.participant.renewing import Renewed
    from smpki.participant.watch import Watched
    from smpki.policy.model import Policy


@click.group("participant")
def participant_command() -> None:
    """The participant's side of the counter."""


@command("watch", first=start_provider)
@click.argument("places", metavar="PLACE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--prepare",
    type=click.Path(file_okay=False, path_type=Path),
    help="Make keys and renewal package for each triple that is due and whose SIG key is at hand, in a folder here.",
)
@click.option(
    "--policy", "policy_file", type=click.Path(path_type=Path), help="Default: the home's, or the one that comes along."
)
@click.option("--every", type=click.FloatRange(1), metavar="SECONDS", help="Again and again, until SIGTERM or SIGINT.")
@PENDING
@with_keys(new=True, signer=True)
@with_web_service("--send")
@click.pass_context
def watch_command(
    ctx: click.Context,
    home: "Home",
    output: Output,
    keys: Keys,
    caller: Caller,
    places: tuple[Path, ...],
    prepare: Path | None,
    policy_file: Path | None,
    every: float | None,
    pending: Path | None,
) -> None:
    """Say which certificates in files and folders expire when, and which triples can be renewed.

    With --prepare and --send it renews them: the new triple comes into the folder of its keys and counts from then on,
    the old one stays where it is. Started again after a crash it sends the same package again. Ends with 0 when nothing
    is to be done, with 3 when a triple is due for renewal, with 4 when one has expired, with 1 when a renewal failed.
    """
    if caller.url is not None and prepare is None:
        raise click.UsageError("say where new keys and triples go: --prepare")
    watch = Watch(output, keys, caller, places, prepare, policy_of(home, policy_file), pending)
    if every is None:
        ctx.exit(watch.once())
    while True:
        try:
            watch.once()
        except SmpkiError as error:  # it may be mended until the next time
            refuse(error, output.as_json)
        if asyncio.run(told_within(every)):
            break


@dataclass(frozen=True)
class Watch:
    """What is watched, and what is done about it: the command's parameters."""

    output: Output
    keys: Keys
    caller: Caller
    places: tuple[Path, ...]
    prepare: Path | None
    policy: "Policy"
    pending: Path | None

    def once(self) -> int:
        """Look, prepare and send what is due, and show it.

        :return: the exit code
        """
        from smpki.participant.preparing import prepare_renewals
        from smpki.participant.watch import exit_code

        watched, now = self._look()
        prepared: list[Prepared] = []
        renewed: list[Renewed] = []
        if self.prepare is not None:
            prepared += prepare_renewals(
                watched,
                self.keys.source,
                lambda folder, one: self.keys.place(folder, f"{one.subject.common_name} {now:%Y-%m-%d %H:%M:%S}"),
                self.prepare,
                self.policy,
                now,
            )
            if self.caller.url is not None:
                renewed = asyncio.run(self._send(prepared))
                watched, now = self._look()
        _show(self.output, watched, prepared, renewed)
        failed = [*filter(None, (each.error for each in prepared)), *filter(None, (each.error for each in renewed))]
        return 1 if failed else exit_code(watched)

    def _look(self) -> "tuple[tuple[Watched, ...], datetime]":
        """How certificates stand now, those of renewals that have come included."""
        from smpki.participant.watch import assess, find_certificates

        renewals = [self.prepare] if self.prepare is not None and self.prepare.is_dir() else []
        found = find_certificates([*self.places, *renewals], self.policy)
        now = now_in("test" if all(each.environment == "test" for each in found) else "production")
        return assess(found, self.policy, now), now

    async def _send(self, prepared: "list[Prepared]") -> "list[Renewed]":
        from smpki.participant.renewing import send_renewals

        return [one async for one in send_renewals(prepared, self.caller.access, pending_folder(self.pending))]


def _show(output: Output, watched: "tuple[Watched, ...]", prepared: "list[Prepared]", renewed: "list[Renewed]") -> None:
    values = {
        "certificates": [each.as_dict() for each in watched],
        "prepared": [each.as_dict() for each in prepared],
        "renewed": [each.as_dict() for each in renewed],
    }
    rows = (
        (
            f"{each.found.certificate.not_valid_after_utc:%Y-%m-%d}",
            str(each.days_left),
            each.state.value,
            f"{each.renewal_opens:%Y-%m-%d}" if each.renewal_opens else "",
            each.found.kind.value,
            each.found.purpose,
            str(each.found.subject),
            str(each.found.file),
        )
        for each in watched
    )
    output.table(values, ("ends", "days", "state", "renew from", "type", "", "subject", "file"), rows)
    if output.as_json:
        return
    for each in prepared:
        if each.error is None:
            click.echo(f"{'prepared' if each.made else 'prepared before'}: {each.package}")
        else:
            refuse(each.error, as_json=False)
    for one in renewed:
        if one.error is None:
            click.echo(f"{'renewed' if one.sent == 'stored' else 'will be answered later'}: {one.folder}")
        else:
            refuse(one.error, as_json=False)


for each in (watch_command, chain_command, status_command, receive_command, pending_command):
    participant_command.add_command(each)
