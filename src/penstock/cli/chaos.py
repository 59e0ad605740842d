"""`penstock chaos`: does a user's own store lose a job when workers die?"""

from __future__ import annotations

import random
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from penstock.cli import output
from penstock.cli.options import examples, json_option
from penstock.cli.output import Cell, Column
from penstock.core.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from penstock.chaos.trial import Standing, Terms
    from penstock.chaos.verdict import Toll, Verdict

#: Seconds between two lines where there is no terminal.
_PLAIN_SECONDS = 5.0
#: Numbers of jobs that are told, at most.
_MOST = 10


@click.command(
    epilog=examples(
        "chaos sqlite:///trial.db",
        "chaos shop:app --seconds 120 --cut --json",
        "chaos redis://localhost:6379/0 --restart 'systemctl restart redis'",
    )
)
@click.argument("where", metavar="WHERE")
@click.option("--jobs", type=click.IntRange(1), default=20_000, show_default=True, help="Jobs to send.")
@click.option(
    "--seconds", type=click.FloatRange(1), default=30.0, show_default=True, help="Seconds in which they are sent."
)
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Workers to run.")
@click.option("--processes", type=click.IntRange(1), default=2, show_default=True, help="Processes of each worker.")
@click.option(
    "--every",
    type=click.FloatRange(0.05),
    default=1.0,
    show_default=True,
    help="Seconds between two harms, on average.",
)
@click.option("--cut", is_flag=True, help="Cut the workers' connections as well, by a proxy before the server.")
@click.option(
    "--restart", metavar="COMMAND", help="Restart the server as well, by this shell command; a kill -9 in it is fine."
)
@click.option(
    "--patience",
    type=click.FloatRange(1),
    default=60.0,
    show_default=True,
    help="Seconds without news after which a job is lost.",
)
@click.option("--seed", type=int, help="Of all that is random; without it, another each time.")
@json_option
def chaos(where: str, as_json: bool, seed: int | None, **chosen: Any) -> int:
    """Run jobs on WHERE while their workers are killed and frozen, and count what was lost. Exit code 0: nothing was, and nothing ran
    twice without need; else 1.

    WHERE is an app (package.module:app) or a queue's URL. The jobs are Penstock's own, in the queue penstock.chaos, which
    only the workers of this command take from; your own jobs and workers are left alone, but for --restart, which they notice as well.

    Each run of a job is written to a file beside the store as it begins and as it ends, and counted there. A job may run again where
    its worker was killed, frozen or cut off before the store could hear that it was done: at least once is the promise. More than that, or less, is
    a bug of Penstock's, or of the server's settings: see `penstock doctor`.

    JSON: an object of `passed`, `jobs`, `lost` and `unexplained` (lists of jobs' numbers), `again` (jobs that ran again for a reason), `seed`,
    `seconds` and `harms`, each of `kind`, `times`, `in_hand` (jobs that were being run by whom it met), and seconds until these were done: `back_p50`
    and `back_max`.
    """
    from penstock.chaos.trial import Terms, Trial
    from penstock.cli.place import find_place

    place = find_place(where)
    terms = Terms(place.url, seed=random.randrange(10**9) if seed is None else seed, **chosen)
    began = time.monotonic()
    with _progress(place.shown, terms, quiet=as_json) as show:
        trial = Trial(terms, show)
        verdict = trial.run()
    seconds = time.monotonic() - began
    if as_json:
        output.print_json(_fields(verdict, terms, seconds))
    else:
        _summarise(verdict, terms, place.shown, seconds)
    if trial.died_of is not None:
        click.echo(f"penstock: jobs became dead letters: {shown(trial.died_of)}", err=True)
    return 0 if verdict.passed else 1


@contextmanager
def _progress(title: str, terms: Terms, *, quiet: bool) -> Iterator[Callable[[Standing], None]]:
    """How far it is, on standard error, in what form fits there."""
    if quiet:
        yield lambda standing: None
        return
    from rich.console import Console

    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield _Lines(terms.jobs).show
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    with Progress(
        SpinnerColumn(), TextColumn("[bold]{task.description}"), BarColumn(bar_width=None), TextColumn("{task.completed:,}/{task.total:,} jobs"),
        TextColumn("[red]{task.fields[harms]}"), TimeElapsedColumn(), console=console, expand=True, transient=True,
    ) as progress:  # fmt: skip
        bar = progress.add_task(title, total=terms.jobs, harms="")

        def show(standing: Standing) -> None:
            harms = f"{standing.harms} harms: {standing.last}" if standing.harms else ""
            progress.update(bar, completed=standing.done, harms=harms)

        yield show


class _Lines:
    """Plain lines, for logs and pipes."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._due = time.monotonic() + _PLAIN_SECONDS

    def show(self, standing: Standing) -> None:
        now = time.monotonic()
        if now >= self._due:
            self._due = now + _PLAIN_SECONDS
            click.echo(f"{standing.done:,} of {self._jobs:,} jobs done, {standing.harms} harms", err=True)


def _fields(verdict: Verdict, terms: Terms, seconds: float) -> dict[str, Any]:
    return {
        "passed": verdict.passed,
        "jobs": verdict.sent,
        "lost": verdict.lost,
        "again": verdict.again,
        "unexplained": verdict.unexplained,
        "seed": terms.seed,
        "seconds": round(seconds, 3),
        "harms": [
            {
                "kind": toll.kind,
                "times": toll.times,
                "in_hand": toll.in_hand,
                "back_p50": _rounded(toll.middle),
                "back_max": _rounded(toll.longest),
            }
            for toll in verdict.tolls
        ],
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _summarise(verdict: Verdict, terms: Terms, where: str, seconds: float) -> None:
    click.echo(
        f"{where}: {verdict.sent:,} jobs, {terms.workers} workers of {terms.processes} processes, {seconds:.1f} s, seed {terms.seed}\n"
    )
    columns = [
        Column("HARM"),
        *(Column(name, right=True) for name in ("TIMES", "JOBS IN HAND", "DONE AFTER p50", "LONGEST")),
    ]
    output.print_table(columns, [_row(toll) for toll in verdict.tolls])
    click.echo()
    output.print_fields(
        [
            ("lost", _count(verdict.lost)),
            ("run again", f"{verdict.again:,}: whoever ran them was harmed before the store heard of it"),
            ("for no reason", _count(verdict.unexplained)),
        ]
    )


def _row(toll: Toll) -> list[str]:
    return [toll.kind, f"{toll.times:,}", f"{toll.in_hand:,}", _seconds(toll.middle), _seconds(toll.longest)]


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2f} s"


def _count(numbers: tuple[int, ...]) -> Cell:
    if not numbers:
        return Cell("none", "green")
    named = ", ".join(map(str, numbers[:_MOST])) + (", ..." if len(numbers) > _MOST else "")
    return Cell(f"{len(numbers):,}: jobs number {named}", "bold red")
