"""`penstock load`: a file into a database, or through a task."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec

from penstock.cli.meter import Meter, meter
from penstock.errors import ConfigError
from penstock.events.emit import Emitter
from penstock.events.log import log_events
from penstock.load.files import STDIN
from penstock.load.plan import Plan
from penstock.load.rejects import Reject, rejects_path
from penstock.load.report import Line, key_of, report
from penstock.load.session import Session, Summary, default_queue
from penstock.load.sources import FORMATS
from penstock.sinks.base import OnConflict

#: Up to so many records, each is reported by its task_id without being asked for.
_FEW = 100
_EXIT_REJECTS = 3
_EXIT_STOPPED = 130


@click.command(short_help="Load a file into a database or through a task.")
@click.argument("file")
@click.option(
    "--into",
    metavar="URL",
    help="The database to write into: sqlite:///market.db, postgresql://host/market, mongodb://host/market",
)
@click.option("--table", metavar="NAME", help="The table in it; without, the file's name up to its first dot.")
@click.option("--create", is_flag=True, help="Make the table from the records' fields if it is missing.")
@click.option(
    "--on-conflict",
    type=click.Choice([how.value for how in OnConflict]),
    default=OnConflict.ERROR.value,
    show_default=True,
    help="What becomes of a record whose key is in the table already: refused, left out, written over it, or added.",
)
@click.option("--key", metavar="COL[,COL]", help="The columns that tell rows apart; without, the primary key.")
@click.option("--to", metavar="TARGET", help="Give each record to a task instead: package.module:app.task")
@click.option("--workers", type=click.IntRange(1, 256), default=2, show_default=True, help="Processes that write.")
@click.option("--queue", metavar="URL", help="The queue in between; without, a file beside FILE, removed at the end.")
@click.option("--format", "format_", type=click.Choice(FORMATS), help="Of FILE, where its name and start do not tell.")
@click.option("--strict", is_flag=True, help=f"Exit with {_EXIT_REJECTS} when records were refused.")
@click.option(
    "--report", "report_to", metavar="PATH", help="Write each record's task_id and success or error, as JSON Lines."
)
@click.option("--quiet", is_flag=True, help="Show nothing but errors.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def load(
    file: str,
    into: str | None,
    table: str | None,
    create: bool,
    on_conflict: str,
    key: str | None,
    to: str | None,
    workers: int,
    queue: str | None,
    format_: str | None,
    strict: bool,
    report_to: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Load FILE (a JSON array, JSON Lines or CSV, also .gz, or - for standard input).

    Records that are refused go to FILE.rejects.jsonl with their line and the reason; the rest go in. Killed at any
    moment and started again with the same command, it goes on where it was, and every record is in once.

    \b
    Example:
      penstock load orders.jsonl --into sqlite:///market.db --table orders --create
      penstock load tasks.json --to shop.tasks:app.process --workers 4
    """
    if (into is None) == (to is None):
        raise click.UsageError("name either --into URL (a database) or --to package.module:app.task")
    if to is not None and (queue or create or table or key or on_conflict != OnConflict.ERROR):
        raise click.UsageError(
            "--queue, --create, --table, --on-conflict and --key go with --into; with --to, the app has its own broker"
        )
    if report_to is not None and file == STDIN:
        raise click.UsageError("--report reads FILE once more at the end, which - can't be")
    _look_here()
    plan = make_plan(
        file, into=into, table=table, create=create, to=to, workers=workers, queue=queue, format=format_,
        on_conflict=OnConflict(on_conflict), conflict_key=tuple(key.split(",")) if key else (),
    )  # fmt: skip
    status = run_load(plan, keep_queue=queue is not None, quiet=quiet, as_json=as_json, report_to=report_to)
    sys.exit(_EXIT_REJECTS if status == 0 and strict and Path(rejects_path(file)).exists() else status)


def make_plan(file: str, *, to: str | None, table: str | None, queue: str | None, **rest: Any) -> Plan:
    """The plan that the options ask for."""
    if to is not None:
        from penstock.load.program import load_target

        return Plan(file, load_target(to)[0].settings.url, to=to, **rest)
    if table is None:
        if file == STDIN:
            raise ConfigError("name the --table that standard input is loaded into")
        table = Path(file).name.partition(".")[0]
    return Plan(file, queue or default_queue(file), table=table, **rest)


def run_load(plan: Plan, *, keep_queue: bool, quiet: bool, as_json: bool, report_to: str | None = None) -> int:
    """Run a load with its progress and summary on the terminal; returns an exit status."""
    emitter = Emitter()
    log_events(emitter)
    session = Session(plan, emitter, keep_queue=keep_queue)
    with closing(session), meter(plan, quiet=quiet or as_json) as shown:
        summary = session.run(shown.show, shown.every)
        shown.end(session.standing())
        if as_json:
            click.echo(msgspec.json.encode(summary).decode())
        elif not quiet:
            shown.summarise(summary)
        if summary.complete and plan.source != STDIN:
            _report(plan, summary, shown, quiet or as_json, report_to)
        if summary.complete:
            session.forget()
    return 0 if summary.complete else _EXIT_STOPPED


def _report(plan: Plan, summary: Summary, shown: Meter, quiet: bool, path: str | None) -> None:
    """Each record by its task_id: to a file where one is named, and to the terminal where they are few."""
    few = summary.records + summary.rejects <= _FEW and not quiet
    if path is None and not few:
        return
    refused = (
        {key_of(reject.line, reject.task_id): reject.reason for reject in _read_rejects(plan.source)}
        if summary.rejects
        else {}
    )
    with _writing(path) as write:
        for line in report(plan, refused):
            write(line)
            if few:
                shown.report(line)


@contextmanager
def _writing(path: str | None) -> Iterator[Any]:
    if path is None:
        yield lambda line: None
        return
    with open(path, "wb") as file:

        def write(line: Line) -> None:
            file.write(msgspec.json.encode(line) + b"\n")

        yield write


def _read_rejects(source: str) -> Iterator[Reject]:
    with open(rejects_path(source), "rb") as file:
        for text in file:
            yield msgspec.json.decode(text, type=Reject)


def _look_here() -> None:
    """Find the user's modules in the working folder, as `python -m` does."""
    if "" not in sys.path:
        sys.path.insert(0, "")
