"""``smpki issue-batch``."""

import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smpki_cli.common import Output, command

if TYPE_CHECKING:
    from smpki.ca.home import Home


@command("issue-batch")
@click.argument("source", type=click.Path(exists=True, path_type=Path), metavar="FOLDER_OR_NDJSON")
@click.option("--sub-ca", required=True, metavar="ORG.CA", help="The Sub-CA that issues.")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder for the triples.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes.")
@click.pass_context
def issue_batch_command(
    ctx: click.Context, home: "Home", output: Output, source: Path, sub_ca: str, out: Path, workers: int
) -> None:
    """Issue triples for a folder of packages, or for NDJSON with a package a line (docs/issue-batch.md).

    Each triple goes to OUT/<CN>-<number>/, and OUT/report.ndjson gets a line for each package. A batch that was
    interrupted is started again: what was granted before is written again and not issued a second time.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from smpki.ca.batch import open_report, read_orders, run_batch
    from smpki.ca.worker import open_in_worker

    total = sum(1 for _ in read_orders(source))
    counts = {"issued": 0, "known": 0, "refused": 0}
    progress = Progress(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=Console(stderr=True))
    with open_report(out) as report, progress:
        task = progress.add_task("packages", total=total)
        for line in run_batch(
            read_orders(source), sub_ca, out, partial(open_in_worker, home, "issue-batch"), workers=workers
        ):
            report.write(json.dumps(dataclasses.asdict(line), ensure_ascii=False) + "\n")
            counts[line.state] += 1
            progress.advance(task)
    summary = {**counts, "report": str(out / "report.ndjson")}
    output.show(summary, ", ".join(f"{count} {state}" for state, count in counts.items()) + f"; {summary['report']}")
    if counts["refused"]:
        ctx.exit(1)
