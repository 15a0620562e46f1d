"""``smpki crl``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smpki_cli.common import Output, command, refuse, surroundings

if TYPE_CHECKING:
    from datetime import datetime

    from smpki.ca.crl import CrlOutcome
    from smpki.ca.crl_series import CrlSeries
    from smpki.ca.home import Home
    from smpki.ca.store.crls import CrlRecord
    from smpki.ca.store.store import Store

_OUT = click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Folder. Default: published in the home."
)


@click.group("crl")
def crl_command() -> None:
    """CRLs (Sperrlisten): of each Sub-CA, and of each root its own and the indirect one of its CRL signer."""


@command("issue")
@click.option("--due", is_flag=True, help="Only where the next one has to appear by now; settles suspensions first.")
@click.option("--ca", "names", multiple=True, metavar="CN", help="Of this CA only; may be repeated.")
@click.pass_context
def issue_command(ctx: click.Context, home: "Home", output: Output, due: bool, names: tuple[str, ...]) -> None:
    """Issue the next CRLs."""
    outcomes = _issue(home, due, names)
    _show_outcomes(output, outcomes)
    if any(outcome.error for outcome in outcomes):
        ctx.exit(1)


@command("list")
@click.option("--due", is_flag=True, help="Only those whose next one has to appear by now.")
def list_command(home: "Home", output: Output, due: bool) -> None:
    """List the CRLs in force, and when the next ones are due."""
    from smpki.ca.opening import open_store

    with open_store(home, surroundings()) as store:
        found, now = _series(home, store)
    found = [series for series in found if not due or (series.is_open(now) and series.due <= now)]
    rows = (
        (
            series.file_name,
            *(_record_cells(series.newest) if series.newest else ("", "", "", "")),
            f"{series.due:%Y-%m-%d %H:%M}" if series.is_open(now) else "no more",
        )
        for series in found
    )
    values: list[object] = [
        {
            **_series_value(series),
            "newest": _record_value(series.newest) if series.newest else None,
            "due": series.due.isoformat() if series.is_open(now) else None,
        }
        for series in found
    ]
    output.table({"crls": values}, ("file", "number", "of", "valid to", "entries", "next due"), rows)


@command("publish")
@_OUT
@click.option("--due", is_flag=True, help="First issue those that are due, as smpki crl issue --due does.")
@click.pass_context
def publish_command(ctx: click.Context, home: "Home", output: Output, out: Path | None, due: bool) -> None:
    """Write the CRLs in force, and the certificates of CAs, to a folder for a web server.

    CRLs are named as the certificates' CRLDistributionPoints say. Each file is replaced as a whole.
    """
    from smpki.ca.crl_publish import publish, publish_certificates
    from smpki.ca.opening import open_store
    from smpki.ca.published_authorities import published_authorities

    refused = [outcome for outcome in _issue(home, True, ()) if outcome.error] if due else []
    with open_store(home, surroundings()) as store:
        found, _ = _series(home, store)
        folder = out or home.published_folder
        published = publish(store, found, folder)
        authorities = published_authorities(store, home.policy(), home.settings().environment)
        beside = {one.certificate.file for one in published}
        certificates = [one for one in publish_certificates(authorities, folder) if one.file not in beside]
    values: list[object] = [
        {
            **_series_value(one.series),
            "number": one.record.number,
            "crl": {"file": str(one.crl.file), "written": one.crl.written},
            "certificate": {"file": str(one.certificate.file), "written": one.certificate.written},
        }
        for one in published
    ]
    files = [(file, str(one.record.number)) for one in published for file in (one.crl, one.certificate)]
    files += [(file, "") for file in certificates]
    rows = ((str(file.file), number, "written" if file.written else "unchanged") for file, number in files)
    refusals = [{**_series_value(outcome.series), "error": _error_value(outcome)} for outcome in refused]
    others: list[object] = [{"file": str(one.file), "written": one.written} for one in certificates]
    value = {"published": values, "certificates": others, "refused": refusals}
    output.table(value, ("file", "number", ""), rows)
    _show_refusals(output, refused)
    if refused:
        ctx.exit(1)


def _issue(home: "Home", due: bool, names: Sequence[str]) -> "list[CrlOutcome]":
    from smpki.ca.opening import open_pki

    with open_pki(home, surroundings(), "issue-crl") as pki:
        if due:
            pki.revocations.settle()
        return pki.crls.issue(due=due, names=names)


def _series(home: "Home", store: "Store") -> "tuple[list[CrlSeries], datetime]":
    """The CRLs there are, and the time."""
    from smpki.ca.crl_series import crl_series

    settings = home.settings()
    now = surroundings().clock(settings)[0]()
    return list(crl_series(store, home.policy(), settings.environment)), now


def _show_outcomes(output: Output, outcomes: "Sequence[CrlOutcome]") -> None:
    values: list[object] = [
        {
            **_series_value(outcome.series),
            "crl": _record_value(outcome.record) if outcome.record else None,
            "error": _error_value(outcome),
        }
        for outcome in outcomes
    ]
    rows = [(outcome.series.file_name, *_record_cells(outcome.record)) for outcome in outcomes if outcome.record]
    if rows or output.as_json:
        output.table({"crls": values}, ("file", "number", "of", "valid to", "entries"), rows)
    _show_refusals(output, outcomes)


def _show_refusals(output: Output, outcomes: "Sequence[CrlOutcome]") -> None:
    for outcome in outcomes:
        if outcome.error is not None and not output.as_json:
            click.echo(f"{outcome.series.file_name}:", err=True)
            refuse(outcome.error, as_json=False)


def _error_value(outcome: "CrlOutcome") -> dict[str, str] | None:
    return outcome.error.as_dict() if outcome.error else None


def _series_value(series: "CrlSeries") -> dict[str, object]:
    return {
        "issuer": str(series.name),
        "kind": series.kind.value,
        "authority": series.authority.serial,
        "file": series.file_name,
    }


def _record_value(record: "CrlRecord") -> dict[str, object]:
    return {
        "number": record.number,
        "this_update": record.this_update.isoformat(),
        "next_update": record.next_update.isoformat(),
        "entries": record.entries,
        "signer": record.signer,
    }


def _record_cells(record: "CrlRecord") -> tuple[str, ...]:
    moments = (record.this_update, record.next_update)
    return str(record.number), *(f"{moment:%Y-%m-%d %H:%M}" for moment in moments), str(record.entries)


for _command in (issue_command, list_command, publish_command):
    crl_command.add_command(_command)
