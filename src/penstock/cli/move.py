"""`penstock move`: the jobs of a live queue go to another store."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import click

from penstock.cli import output
from penstock.cli.options import examples, json_option
from penstock.errors import StoreError

if TYPE_CHECKING:
    from penstock.brokers.base import Broker
    from penstock.moving import Mover, Standing, Summary

_EXIT_STOPPED = 130
#: Seconds between two lines where there is no terminal.
_PLAIN_SECONDS = 2.0


@click.command(
    epilog=examples(
        "move sqlite:///jobs.db postgresql://ada@host/shop",
        "move sqlite:///jobs.db shop:app --queues mail,reports",
        "move shop:app redis://host:6379/0 --once --json",
    )
)
@click.argument("source", metavar="SRC")
@click.argument("destination", metavar="DST")
@click.option("-q", "--queues", metavar="NAMES", help="Only these queues, parted by commas. Kept results stay then.")
@click.option("--once", is_flag=True, help="Do not wait for jobs that run: end when nothing more can be moved now.")
@click.option(
    "--adopt",
    is_flag=True,
    help="An earlier move to another place can't end as that is gone for good: bring its jobs here.",
)
@click.option("--quiet", is_flag=True, help="Show no progress and no summary.")
@json_option
def move(source: str, destination: str, queues: str | None, once: bool, adopt: bool, quiet: bool, as_json: bool) -> int:
    """Move the jobs of SRC to DST; each is an app (package.module:app) or a queue's URL.

    Workers may go on with either queue, and programs may fill DST. Everything goes that does not run: jobs that are
    ready, delayed, parked, dead or cancelled, in their order and with their history, unique keys, batches' counters, and
    results; and, without --queues, the schedules. A job that runs stays with its worker, and goes if it comes back; the
    command ends when SRC is empty.

    Killed at any moment and started again, it goes on where it was: no job is lost and none is there twice. So it is when
    several run at once, or when either database restarts. Interrupted, it ends after what is on its way.

    A job whose id or unique key DST has already is not stored there again. Exit code 130: it was interrupted.

    JSON: an object of `complete`, `moved` (jobs), `known` (those of them that DST had already), `left` and `running` (jobs
    still in SRC), `seconds`, `jobs_per_second` and `schedules` (how many were moved).
    """
    from penstock.cli.place import find_place
    from penstock.moving import Mover

    named = None if queues is None else [name for name in (word.strip() for word in queues.split(",")) if name]
    if named == []:
        raise click.UsageError("--queues names no queue")
    origin, target = find_place(source), find_place(destination)
    with _opened(origin.url, origin.shown, must_be_there=True) as here, _opened(target.url, target.shown) as there:
        mover = Mover(here, there, target.shown, named, once=once, adopt=adopt)
        with _stopping(mover):
            summary = _run(mover, f"{origin.shown} → {target.shown}", quiet=quiet or as_json)
    if as_json:
        output.print_json(summary)
    elif not quiet:
        _summarise(summary)
    return 0 if summary.complete or (once and summary.left == 0) else _EXIT_STOPPED


@contextmanager
def _opened(url: str, shown: str, *, must_be_there: bool = False) -> Iterator[Broker]:
    from penstock.brokers import connect

    broker = connect(url)
    if must_be_there and broker.schema().installed is None:
        raise StoreError(f"there is no queue in {shown}: name the one whose jobs are to be moved")
    with closing(broker):
        broker.open()
        yield broker


@contextmanager
def _stopping(mover: Mover) -> Iterator[None]:
    """The first signal lets what is on its way arrive; the second ends the program, which loses nothing either."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, frame: FrameType | None) -> None:
        mover.stop()
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(mover: Mover, title: str, *, quiet: bool) -> Summary:
    """Move, with what fits the terminal on standard error."""
    if quiet:
        return mover.run(lambda standing: None)
    from rich.console import Console

    console = Console(file=sys.stderr)
    if not console.is_terminal:
        return mover.run(_Lines().show)
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn

    with Progress(
        SpinnerColumn(), TextColumn("[bold]{task.description}"), BarColumn(bar_width=None), TaskProgressColumn(),
        TextColumn("[cyan]{task.fields[moved]:>11,}[/] jobs"), TextColumn("{task.fields[news]}"), console=console, expand=True,
    ) as progress:  # fmt: skip
        bar = progress.add_task(title, total=None, moved=0, news="")

        def show(standing: Standing) -> None:
            total = standing.moved + standing.left.movable + standing.left.held
            progress.update(bar, total=total, completed=standing.moved, moved=standing.moved, news=_news(standing))

        return mover.run(show)


class _Lines:
    """Plain lines, for logs and pipes."""

    def __init__(self) -> None:
        self._due = time.monotonic() + _PLAIN_SECONDS
        self._said = ""

    def show(self, standing: Standing) -> None:
        now, news = time.monotonic(), _news(standing)
        if now >= self._due or (standing.trouble and news != self._said):
            self._due, self._said = now + _PLAIN_SECONDS, news
            click.echo(f"{standing.moved:,} jobs moved{', ' if news else ''}{news}", err=True)


def _news(standing: Standing) -> str:
    if standing.trouble is not None:
        return f"waiting: {standing.trouble}"
    if standing.left.movable == 0 and standing.left.held:
        return f"waiting for {standing.left.held:,} that run"
    return ""


def _summarise(summary: Summary) -> None:
    rows = [("moved", f"{summary.moved:,} jobs")]
    if summary.known:
        rows.append(("known", f"{summary.known:,} of them were there already, by their id or unique key"))
    if summary.schedules:
        rows.append(("schedules", f"{summary.schedules:,}"))
    if summary.running:
        rows.append(("running", f"{summary.running:,} stay with the workers of the source for now"))
    if summary.left:
        rows.append(("left", f"{summary.left:,}: run the same command again, it goes on from here"))
    rows += [("time", f"{summary.seconds:.1f} s"), ("speed", f"{summary.jobs_per_second:,.0f} jobs/s")]
    output.print_fields(rows)
