"""``smpki queue`` and ``smpki messages``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from smpki_cli.common import Output, command, surroundings

if TYPE_CHECKING:
    from smpki.ca.home import Home

_NUMBER = click.argument("number", type=int)


@click.group("queue")
def queue_command() -> None:
    """Requests of the web service that an operator decides on, or that wait."""


@command("list")
@click.option("--all", "everything", is_flag=True, help="Those whose results were delivered, too.")
def list_command(home: "Home", output: Output, everything: bool) -> None:
    """List the requests: held ones need your word, waiting ones their result, answered ones a receiver."""
    from smpki.ca.opening import open_store
    from smpki.service.web.store.queue import RequestQueue

    with open_store(home, surroundings()) as store:
        found = store.beside(RequestQueue).list(all=everything)
    values = [
        {
            "number": one.id,
            "state": one.state.value,
            "common_name": one.subject_cn,
            "message_id": one.message_id,
            "received_at": one.received_at.isoformat(),
            "due_at": one.due_at.isoformat(),
            "attempts": one.attempts,
            "remark": one.remark,
        }
        for one in found
    ]
    rows = (
        (str(one.id), one.state, one.subject_cn, f"{one.received_at:%Y-%m-%d %H:%M}", str(one.attempts), one.remark)
        for one in found
    )
    output.table({"requests": values}, ("", "state", "common name", "received at (UTC)", "tries", "remark"), rows)


@command("approve")
@_NUMBER
def approve_command(home: "Home", output: Output, number: int) -> None:
    """Approve of a held request: a running web service grants it, and sends its result."""
    from smpki.ca.opening import open_pki
    from smpki.service.web.store.queue import RequestQueue

    with open_pki(home, surroundings(), "queue") as pki:
        pki.store.beside(RequestQueue).approve(number)
    output.show({"number": number, "state": "waiting"}, f"{number}: approved")


@command("refuse")
@_NUMBER
@click.option("--why", default="the operator refused the request", help="What the sender is told.")
def refuse_command(home: "Home", output: Output, number: int, why: str) -> None:
    """Refuse a held request: who asked is told failure_request_not_accepted."""
    from smpki.ca.opening import open_pki
    from smpki.service.web.runner import refusal_of
    from smpki.service.web.store.queue import RequestQueue
    from smpki.soap.messages import ReturnCode

    with open_pki(home, surroundings(), "queue") as pki:
        queue = pki.store.beside(RequestQueue)
        queue.refuse(number, refusal_of(queue.get(number), ReturnCode.FAILURE_REQUEST_NOT_ACCEPTED, why))
    output.show({"number": number, "state": "answered"}, f"{number}: refused")


@command("again")
@_NUMBER
def again_command(home: "Home", output: Output, number: int) -> None:
    """Send a result that was given up, or that waits for its next try, now."""
    from smpki.ca.opening import open_pki
    from smpki.service.web.store.queue import RequestQueue

    with open_pki(home, surroundings(), "queue") as pki:
        pki.store.beside(RequestQueue).again(number)
    output.show({"number": number, "state": "answered"}, f"{number}: is sent again")


@command("messages")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for the messages, as they came.")
def messages_command(home: "Home", output: Output, out: Path | None) -> None:
    """List GeneralMessages, and certificates that the root sent."""
    from smpki.ca.opening import open_store
    from smpki.ca.output import write_files
    from smpki.service.web.store.messages import Messages

    with open_store(home, surroundings()) as store:
        found = store.beside(Messages).list()
    if out is not None:
        write_files(out, {f"{one.id}.xml": one.message for one in found})
    values = [
        {
            "number": one.id,
            "operation": one.operation,
            "common_name": one.subject_cn,
            "authority": one.authority,
            "received_at": one.received_at.isoformat(),
        }
        for one in found
    ]
    rows = ((str(one.id), one.operation, one.subject_cn, f"{one.received_at:%Y-%m-%d %H:%M}") for one in found)
    output.table({"messages": values}, ("", "operation", "from", "received at (UTC)"), rows)


for each in (list_command, approve_command, refuse_command, again_command):
    queue_command.add_command(each)
