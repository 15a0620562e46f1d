"""``smpki participant``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from smpki_cli.common import Output, command, refuse
from smpki_cli.keys import Keys, now_in, with_keys
from smpki_cli.policy import policy_of

if TYPE_CHECKING:
    from smpki.ca.home import Home
    from smpki.participant.preparing import Prepared
    from smpki.participant.watch import Watched


@click.group("participant")
def participant_command() -> None:
    """The participant's side of the counter."""


@command("watch")
@click.argument("places", metavar="PLACE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--prepare",
    type=click.Path(file_okay=False, path_type=Path),
    help="Make keys and renewal package for each triple that is due and whose SIG key is at hand, in a folder here.",
)
@click.option(
    "--policy", "policy_file", type=click.Path(path_type=Path), help="Default: the home's, or the one that comes along."
)
@with_keys(new=True, signer=True)
@click.pass_context
def watch_command(
    ctx: click.Context,
    home: "Home",
    output: Output,
    keys: Keys,
    places: tuple[Path, ...],
    prepare: Path | None,
    policy_file: Path | None,
) -> None:
    """Say which certificates in files and folders expire when, and which triples can be renewed.

    Ends with 0 when nothing is to be done, with 3 when a triple is due for renewal, with 4 when one has expired, with 1
    when a renewal could not be prepared.
    """
    from smpki.participant.preparing import prepare_renewals
    from smpki.participant.watch import assess, exit_code, find_certificates

    policy = policy_of(home, policy_file)
    found = find_certificates(places, policy)
    now = now_in("test" if all(each.environment == "test" for each in found) else "production")
    watched = assess(found, policy, now)
    prepared: list[Prepared] = []
    if prepare is not None:
        prepared.extend(
            prepare_renewals(
                watched,
                keys.source,
                lambda folder, one: keys.place(folder, f"{one.subject.common_name} {now.date()}"),
                prepare,
                policy,
                now,
            )
        )
    _show(output, watched, prepared)
    ctx.exit(1 if any(each.error for each in prepared) else exit_code(watched))


def _show(output: Output, watched: "tuple[Watched, ...]", prepared: "list[Prepared]") -> None:
    values = {
        "certificates": [each.as_dict() for each in watched],
        "prepared": [each.as_dict() for each in prepared],
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


participant_command.add_command(watch_command)
