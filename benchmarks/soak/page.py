"""The page of the documentation, and its plots: written from the samples of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.peers.table import markdown, number
from benchmarks.soak.marks import ANSWERS, DOOMED, EACH
from benchmarks.soak.plot import panels, plot
from benchmarks.soak.samples import Plan, Sample, Soak

_HEAD = """# Soak

One run of `{command}`, written by it: {machine}.
`make soak` runs it anew, and writes this page; why lines are as they are is told in [Benchmarks](benchmarks.md#what-an-hour-showed).

For {time} a program enqueues {rate:,.0f} jobs a second on each of these stores, all of them on one machine and at the same time, {jobs:,} in all; `penstock worker -c 2`
runs them as they come. One in {each:,} fails the first time and is retried, one in {each:,} is delayed by five seconds, one in {doomed:,} becomes a dead letter,
and one in {answers} returns a value that is kept for five minutes. Another program enqueues {probes} jobs a second one by one, whose wait from the call of `.delay` to
the first line of the task is measured. Each job marks its byte in a shared file, so what is lost and what runs twice is counted from outside.
From {held} (grey in the plots) somebody else holds a transaction open: a reader of the SQLite file, because of whom the write-ahead log can't be begun anew;
a snapshot in PostgreSQL, because of which vacuum removes nothing that ended since.
"""


class Window(msgspec.Struct, frozen=True):
    """A part of the run: from one share of its time to another."""

    name: str
    first: float
    last: float

    def of(self, samples: Sequence[Sample], plan: Plan) -> list[Sample]:
        """The samples of it."""
        return [each for each in samples if self.first * plan.seconds < each.at <= self.last * plan.seconds]


#: Before, while and after the transaction is held open, and at the end; the beginning is left out, in which the worker starts.
_BEFORE, _END = Window("before", 1 / 6, 1 / 3), Window("the end", 5 / 6, 1)
_WINDOWS = (_BEFORE, Window("held open", 1 / 3, 1 / 2), Window("after", 1 / 2, 2 / 3), _END)


def text(soak: Soak, *, plots: bool) -> str:
    """The page as Markdown."""
    begun, plan = soak.begun, soak.begun.plan
    held = f"minute {plan.held[0] / 60:.2g} to {plan.held[1] / 60:.2g}"
    head = _HEAD.format(
        command=begun.command,
        machine=begun.machine,
        time="an hour" if plan.seconds == 3600 else f"{plan.seconds / 60:.3g} minutes",
        rate=plan.jobs / plan.seconds,
        jobs=plan.jobs,
        each=EACH,
        doomed=DOOMED,
        answers=ANSWERS,
        probes=plan.probes,
        held=held,
    )
    parts = [head, _account(soak), ""]
    for store, settings in begun.settings.items():
        if samples := soak.of(store):
            parts += [f"## {store}\n\n{settings}.\n", _table(samples, plan), ""]
            if plots:
                parts += [f"![{store} over time: rate, wait, memory, CPU, sizes]({_file(store)})\n"]
    return "\n".join(parts)


def write(soak: Soak, place: Path) -> list[Path]:
    """Write the page and its plots into a folder; returns what was written."""
    written = {place / "soak.md": text(soak, plots=True)}
    plan = soak.begun.plan
    for store in soak.begun.settings:
        if samples := soak.of(store):
            written[place / _file(store)] = plot(panels(samples), max(plan.seconds, samples[-1].at), plan.held)
    for path, content in written.items():
        path.write_text(content, "utf-8")
    return list(written)


def _file(store: str) -> str:
    return f"soak-{store.lower()}.svg"


def _account(soak: Soak) -> str:
    rows = [["store", "jobs", "lost", "twice", "left in the queue", "dead letters"]]
    for each in soak.ended:
        counts = [each.jobs + each.probes, each.lost, each.doubled, each.left, each.kept.dead]
        rows.append([each.store, *(f"{count:,}" for count in counts)])
    cut = [store for store in soak.begun.settings if store not in {each.store for each in soak.ended}]
    return "\n".join([markdown(rows), *(f"\nThe run on {store} was cut short." for store in cut)])


def _table(samples: Sequence[Sample], plan: Plan) -> str:
    """The median of each measure in each window, and how many times the first the last is."""
    rows = [["median", *(window.name for window in _WINDOWS), "end / before"]]
    for name, find in _MEASURES.items():
        values = [find(window.of(samples, plan)) for window in _WINDOWS]
        if not any(values):
            continue
        before, end = values[0], values[-1]
        ratio = number(end / before) if before and end is not None else ""
        rows.append([name, *("" if value is None else number(value) for value in values), ratio])
    return markdown(rows)


Find = Callable[[Sequence[Sample]], float | None]


def _of(read: Callable[[Sample], float | None]) -> Find:
    def find(samples: Sequence[Sample]) -> float | None:
        found = [value for each in samples if (value := read(each)) is not None]
        return median(found) if found else None

    return find


def _rate(field: str, scale: float = 1.0) -> Find:
    def find(samples: Sequence[Sample]) -> float | None:
        found = [(getattr(b, field) - getattr(a, field)) / (b.at - a.at) * scale for a, b in pairwise(samples)]
        return median(found) if found else None

    return find


_MEASURES: dict[str, Find] = {
    "jobs started per second": _rate("started"),
    "sent and not yet started": _of(lambda each: each.sent - each.started),
    "wait, p50, ms": _of(lambda each: each.p50),
    "wait, p99, ms": _of(lambda each: each.p99),
    "memory of the worker, MB": _of(lambda each: each.memory),
    "memory of who enqueues, MB": _of(lambda each: each.memory_senders or None),
    "CPU of the worker, % of a core": _rate("cpu", 100),
    "CPU of the server, % of a core": _rate("cpu_server", 100),
    "file or tables, MB": _of(lambda each: each.kept.size / 1e6),
    "write-ahead log, MB": _of(lambda each: each.kept.wal / 1e6),
    "free pages, or rows to be vacuumed": _of(lambda each: each.kept.garbage),
    "results that are kept": _of(lambda each: each.kept.results),
    "load of the machine": _of(lambda each: each.load),
}
