"""The page of the documentation, and its plots: all of it is written by the run whose figures it shows."""

from __future__ import annotations

from pathlib import Path

import msgspec

from benchmarks.peers.measures import MEASURES
from benchmarks.peers.orders import Stored
from benchmarks.peers.plot import plot
from benchmarks.peers.standing import Standing
from benchmarks.peers.table import figures, ratios, settings

#: The measures that have a plot.
_PLOTS = {"drain": "what two processes drain", "one": "enqueueing one by one", "p50": "the wait of half the jobs"}
_HEAD = """# Beside other task queues

One run of `{command}`, written by it: {machine}.{quick}
`make bench-peers` measures all anew, and writes this page.

Each task queue is installed into an environment of its own, set up as its documentation advises for short tasks, at least once where it has
that, and given two worker processes. The job marks its slot in a file in shared memory: when it first started, and how often. So what is
lost, what runs twice, and when the first and the last started is seen from outside, the same way for all. All of a store share one private
server and take turns, {rounds}; a figure is the median. The best of each column is in **bold**, whoever has it. What is measured and how is
told in [Benchmarks](benchmarks.md#beside-its-peers).
"""
_COLUMNS = """`enqueue in bulk` is a peer's own call for many, 1,000 at once; `-` where it has none. `drain` is from the first start to the last of the `jobs`
that wait when the worker is started; a fast peer is given more of them, so that it takes each some seconds. CPU is that of all the worker's processes for
this, and with it the server's. `start after` is from the call that enqueues to the job's first line, at 50 jobs a second on an idle worker. Memory is PSS,
of all the worker's processes. `lost` and `twice` are jobs of all rounds that never started, and that started more than once, with nothing killed."""


class Report(msgspec.Struct, frozen=True):
    """A whole run.

    Parameters:
        command: that it was, as it was called.
        machine: the date and what it was measured on.
        quick: smaller sizes, for a first look.
        rounds: of each contestant.
        stored: the orders that go into a table; None where they were left out.
    """

    command: str
    machine: str
    quick: bool
    rounds: int
    standings: list[Standing]
    stored: Stored | None


def text(report: Report, ours: str, *, plots: bool) -> str:
    """The page as Markdown."""
    quick = " With `--quick`: few jobs, for a first look only; the figures are rough." if report.quick else ""
    rounds = "in one round" if report.rounds == 1 else f"{report.rounds} rounds"
    parts = [_HEAD.format(command=report.command, machine=report.machine, quick=quick, rounds=rounds)]
    if plots:
        parts += [f"![{words}]({_file(field)})\n" for field, words in _PLOTS.items() if _drawn(report, field, ours)]
    for standing in report.standings:
        parts += [f"## {standing.store}\n", f"{standing.settings}.\n", f"{figures(standing)}\n"]
        if times := ratios(standing, ours):
            parts += [f"How many times better Penstock is; in bold where the other is ahead:\n\n{times}\n"]
    if report.standings:
        parts += [f"{_COLUMNS}\n"]
    if report.stored is not None:
        parts += [f"## Rows into a table, one by one\n\n{_orders(report.stored)}\n"]
    if report.standings:
        parts += [f"## Versions and settings\n\n{settings(report.standings)}\n"]
    return "\n".join(parts)


def write(report: Report, ours: str, place: Path) -> list[Path]:
    """Write the page and its plots into a folder; returns what was written."""
    written = {place / "peers.md": text(report, ours, plots=True)}
    written |= {place / _file(field): drawn for field in _PLOTS if (drawn := _drawn(report, field, ours))}
    for path, content in written.items():
        path.write_text(content, "utf-8")
    return list(written)


def _drawn(report: Report, field: str, ours: str) -> str:
    return plot(report.standings, next(each for each in MEASURES if each.field == field), ours)


def _file(field: str) -> str:
    return f"peers-{field}.svg"


def _orders(stored: Stored) -> str:
    notes = "\n".join(f"- {note}" for note in stored.notes)
    return f"""{stored.count:,} orders sent by `.delay`, one by one in one thread, until they are in a table of PostgreSQL whose commits wait for the disk:

{stored.table()}

{notes}"""
