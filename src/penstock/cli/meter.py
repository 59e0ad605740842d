"""What a load shows: a bar on a terminal, plain lines elsewhere, nothing when asked to be quiet."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn
from rich.table import Table

from penstock.load.plan import Plan
from penstock.load.report import Line
from penstock.load.session import Standing, Summary

_PLAIN_SECONDS = 2.0


class Meter:
    """Shows nothing; the base of the two that do.

    `every` is how many seconds apart `show` wants to be called.
    """

    every = 0.5

    def show(self, standing: Standing) -> None:
        """The load stands so."""

    def end(self, standing: Standing) -> None:
        """The load is over."""

    def summarise(self, summary: Summary) -> None:
        """How it ended."""

    def report(self, line: Line) -> None:
        """How one record ended."""


class _Lines(Meter):
    """Plain lines, for logs and pipes."""

    every = _PLAIN_SECONDS

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, standing: Standing) -> None:
        of = f" of about {standing.total:,}" if standing.total else ""
        rejects = f", {standing.failed:,} rejects" if standing.failed else ""
        self._print(f"{standing.done + standing.failed:,}{of} records, {standing.records_per_second:,.0f}/s{rejects}")

    def summarise(self, summary: Summary) -> None:
        for name, value in _rows(summary):
            self._print(f"{name}: {value}")

    def report(self, line: Line) -> None:
        self._print(f"task {line.task_id}: {'ok' if line.error is None else line.error}")

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class _Bar(_Lines):
    """A progress bar that is redrawn in place."""

    every = 0.1

    def __init__(self, console: Console, title: str) -> None:
        super().__init__(console)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None, complete_style="cyan", finished_style="green"),
            TaskProgressColumn(),
            TextColumn("[cyan]{task.fields[done]:>11,}[/] records"),
            TextColumn("[magenta]{task.fields[rate]:>9,.0f}[/]/s"),
            TextColumn("{task.fields[eta]}"),
            TextColumn("{task.fields[rejects]}"),
            console=console,
            expand=True,
        )
        self._task = self._progress.add_task(title, total=None, done=0, rate=0.0, eta="", rejects="")
        self._progress.start()

    def show(self, standing: Standing) -> None:
        ended = standing.done + standing.failed
        left = (standing.total or 0) - ended
        eta = (
            f"[dim]{_duration(left / standing.records_per_second)} left[/]"
            if left > 0 and standing.records_per_second
            else ""
        )
        rejects = f"[red]{standing.failed:,} rejects[/]" if standing.failed else ""
        rejects += f" [yellow]{standing.retried:,} retries[/]" if standing.retried else ""
        self._progress.update(
            self._task, total=standing.total, completed=ended, done=ended, rate=standing.records_per_second, eta=eta,
            rejects=rejects,
        )  # fmt: skip

    def end(self, standing: Standing) -> None:
        self.show(standing)
        self._progress.stop()

    def summarise(self, summary: Summary) -> None:
        table = Table(show_header=False, box=None, padding=(0, 2))
        table.add_column(style="dim", justify="right")
        table.add_column()
        for name, value in _rows(summary):
            table.add_row(name, value, style="red" if name == "rejects" and summary.rejects else None)
        self._console.print(table)

    def report(self, line: Line) -> None:
        mark = "[green]ok[/]" if line.error is None else "[red]failed[/]"
        self._console.print(f"task {line.task_id}: {mark} ", end="", highlight=False)
        self._print(line.error or "")

    def abort(self) -> None:
        """Leave the terminal as it was."""
        self._progress.stop()


@contextmanager
def meter(plan: Plan, *, quiet: bool) -> Iterator[Meter]:
    """The meter that fits the terminal; what it shows goes to standard error, so that standard output stays clean."""
    if quiet:
        yield Meter()
        return
    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield _Lines(console)
        return
    bar = _Bar(console, f"{plan.source} → {plan.table or plan.to}")
    try:
        yield bar
    finally:
        bar.abort()


def _rows(summary: Summary) -> list[tuple[str, str]]:
    """The summary as names and values."""
    sizes = ", ".join(f"{size:,} × {count:,}" for size, count in list(summary.batch_sizes.items())[:4])
    more = len(summary.batch_sizes) - 4
    rows = [
        ("records", f"{summary.records:,}"),
        ("rejects", f"{summary.rejects:,}" + (f" in {summary.rejects_file}" if summary.rejects_file else "")),
        ("time", f"{summary.seconds:.1f} s"),
        ("speed", f"{summary.records_per_second:,.0f} records/s"),
        ("batches", sizes + (f" and {more} other sizes" if more > 0 else "")),
        ("retries", f"{summary.retries:,}"),
        ("peak memory", f"{summary.peak_memory / 1e6:.0f} MB in all processes"),
    ]
    if summary.resumed_at:
        rows.insert(0, ("went on after", f"{summary.resumed_at:,} records of an earlier run"))
    if not summary.complete:
        rows.append(("stopped", "run the same command again: it goes on from here"))
    return rows


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
