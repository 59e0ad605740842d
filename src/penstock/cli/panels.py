"""What `penstock status --watch` shows of a queue, drawn for a terminal of some size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from penstock.brokers.inspect import QueueCounts, WorkerRecord
from penstock.cli.output import STATE_STYLES
from penstock.cli.readable import duration, rough
from penstock.core.metrics import SECONDS
from penstock.core.sizes import format_bytes
from penstock.core.summary import CacheSummary, QueueSummary, Summary, TaskSummary, WorkerSummary
from penstock.core.text import shown

#: Columns from which on there is room for everything.
WIDE = 110
#: Columns below which some are left out.
_NARROW = 78
_DISPENSABLE = frozenset({"95 %", "running", "retried", "evicted", "processes", "misses"})
#: Columns of what is shown over time, at most.
_COURSE = 30
_BLOCKS = "▁▂▃▄▅▆▇█"
_PLAIN = "_.:-=+*#"
#: The part of attempts that fail from which on it is red.
_BAD = 0.05
#: Rows that each part has on a small terminal, at least.
_LEAST = 2


class View(msgspec.Struct, frozen=True):
    """What there is to show.

    Parameters:
        title: which queue.
        clock: the time of day.
        trouble: why this is not the present; nothing where it is.
    """

    title: str
    clock: str
    queues: Sequence[QueueCounts]
    workers: Sequence[WorkerRecord]
    summary: Summary
    dead_after: float
    trouble: str = ""


class _Part(msgspec.Struct, frozen=True):
    """A table: its columns (a name, and whether it is of numbers) and its rows, the most important first."""

    columns: Sequence[tuple[str, bool]]
    rows: Sequence[Sequence[RenderableType]]
    noun: str


def draw(view: View, width: int, height: int, *, unicode: bool = True) -> Group:
    """The whole screen. Tables are cut to fit the height, the quietest rows first."""
    wide = width >= WIDE
    course = max(8, min(_COURSE, width - 66))
    parts = [
        _queues(view, course, wide=wide, unicode=unicode),
        _tasks(view.summary.tasks, wide=wide),
        _caches(view.summary.caches),
        _workers(view, wide=wide),
    ]
    parts = [part for part in parts if part.rows]
    head = _head(view, width, unicode=unicode)
    room = height - len(head) - 1 - sum(2 for _ in parts)
    lines: list[RenderableType] = [*head]
    for part, rows in zip(parts, _shares([len(part.rows) for part in parts], room), strict=True):
        lines += [Text(), _table(part if width >= _NARROW else _without(part, _DISPENSABLE), rows)]
    if not view.summary.workers:
        told = "no figures yet: workers write them every 10 s" if view.workers else "no workers, and so no figures"
        lines += [Text(), Text(told, "dim")]
    return Group(*lines)


def _head(view: View, width: int, *, unicode: bool) -> list[Text]:
    summary = view.summary
    right = f"{view.clock}  q quits"
    title = shown(view.title, max(10, width - len(right) - 2))
    lines = [Text.assemble((title, "bold"), " " * max(2, width - len(title) - len(right)), (right, "dim"))]
    told = [
        (f"{_rate(summary.per_second)} jobs/s ", "bold green"),
        (f"  {_percent(summary.error_rate)} failed", "red" if summary.error_rate > _BAD else "dim"),
        (f"  {duration(summary.seconds)}: {_count(summary.done)} done", ""),
        (f"  {_count(summary.retried)} retried", "yellow" if summary.retried else "dim"),
        (f"  {_count(summary.dead)} dead", "red" if summary.dead else "dim"),
    ]
    left = width - sum(len(text) for text, _ in told)
    told.insert(1, (sparkline(summary.done_per_second, max(1, min(left, _COURSE)), unicode=unicode), "green"))
    lines.append(Text.assemble(*told))
    exchange = summary.exchange_seconds
    store = [f"store: exchange {_seconds(exchange.p50)} (95 %: {_seconds(exchange.p95)})" if exchange.count else ""]
    store += [
        f"{_count(number)} {what}" if number else ""
        for number, what in (
            (summary.store_troubles, "times in trouble"),
            (summary.process_deaths, "processes died"),
            (summary.process_kills, "processes killed for a limit"),
        )
    ]
    shown_store = "  ".join(filter(None, store))
    if shown_store:
        lines.append(Text(shown_store, "dim" if len(list(filter(None, store))) == 1 else "yellow"))
    if view.trouble:
        lines.append(Text(shown(view.trouble, width), "bold red"))
    for line in lines:
        line.truncate(width)
    return lines


def _queues(view: View, course: int, *, wide: bool, unicode: bool) -> _Part:
    figures = {queue.queue: queue for queue in view.summary.queues}
    counts = {queue.queue: queue for queue in view.queues}
    names = sorted(
        counts.keys() | figures.keys(),
        key=lambda name: (-_waiting(counts.get(name)), -_now(figures.get(name)), name),
    )
    rows: list[list[RenderableType]] = []
    for name in names:
        count, told = counts.get(name, QueueCounts(name)), figures.get(name)
        # What is counted now is the last of what was.
        depth: list[float | None] = [*(told.depth if told else []), count.ready]
        states = ["ready", "running", *(["delayed", "parked"] if wide else []), "dead"]
        rows.append(
            [
                Text(shown(name, 24), "bold"),
                *(_in_state(count, state) for state in states),
                Text(sparkline(depth, course, unicode=unicode), "cyan"),
                _rate(_now(told)),
                _seconds(told.delay.p50 if told else None),
                _seconds(told.delay.p95 if told else None),
            ]
        )
    columns = [("queue", False), ("ready", True), ("running", True)]
    columns += [("delayed", True), ("parked", True)] if wide else []
    columns += [("dead", True), ("depth", False), ("/s", True), ("delay", True), ("95 %", True)]
    return _Part(columns, rows, "queues")


def _tasks(tasks: Sequence[TaskSummary], *, wide: bool) -> _Part:
    batches = any(task.batch_size.count for task in tasks)
    rows: list[list[RenderableType]] = []
    for task in sorted(tasks, key=lambda each: (-each.done, each.task, each.queue)):
        row: list[RenderableType] = [
            Text(shown(task.task, 40 if wide else 24)),
            _count(task.done),
            _number(task.retried, "yellow"),
            _number(task.dead, "red"),
            _seconds(task.seconds.p50),
            _seconds(task.seconds.p95),
        ]
        if batches:
            size, call = task.batch_size, task.batch_seconds
            row += [_count(size.mean) if size.mean else "", _seconds(call.p50), _seconds(call.p95)]
        rows.append(row)
    columns = [("task", False), ("done", True), ("retried", True), ("dead", True), ("run", True), ("95 %", True)]
    columns += [("batch", True), ("call", True), ("95 %", True)] if batches else []
    return _Part(columns, rows, "tasks")


def _caches(caches: Sequence[CacheSummary]) -> _Part:
    rows: list[list[RenderableType]] = [
        [
            Text(shown(cache.name, 24)),
            "" if cache.hit_rate is None else Text(_percent(cache.hit_rate), "green"),
            _count(cache.hits),
            _count(cache.misses),
            _count(cache.evictions),
            _count(cache.items),
            format_bytes(cache.bytes),
        ]
        for cache in caches
    ]
    names = ("cache", "hit rate", "hits", "misses", "evicted", "items", "memory")
    return _Part([(name, name != "cache") for name in names], rows, "caches")


def _workers(view: View, *, wide: bool) -> _Part:
    figures = {worker.worker: worker for worker in view.summary.workers}
    rows: list[list[RenderableType]] = []
    for worker in view.workers:
        told: WorkerSummary | None = figures.get(worker.id)
        silent = Text(duration(worker.silent_for))
        if worker.silent_for >= view.dead_after:
            silent = Text("dead", "bold red")
        elif worker.trouble:
            silent = Text("not ready", "yellow")
        rows.append(
            [
                worker.id[:8],
                *([Text(shown(f"{worker.host}:{worker.pid}", 30))] if wide else []),
                worker.pool,
                f"{sum(job.seconds >= 0 for job in worker.jobs)}/{worker.slots}",
                str(told.processes) if told else "",
                format_bytes(told.memory) if told else "",
                _rate(told.per_second) if told else "",
                silent,
            ]
        )
    columns = [("worker", False), *([("host:pid", False)] if wide else []), ("pool", False)]
    columns += [("busy", True), ("processes", True), ("memory", True), ("/s", True), ("silent", True)]
    return _Part(columns, rows, "workers")


def _without(part: _Part, names: frozenset[str]) -> _Part:
    """A part without some columns."""
    kept = [index for index, (name, _) in enumerate(part.columns) if name not in names]
    return _Part(
        [part.columns[index] for index in kept], [[row[index] for index in kept] for row in part.rows], part.noun
    )


def _table(part: _Part, rows: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name, right in part.columns:
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    for row in part.rows[:rows]:
        table.add_row(*row)
    left = len(part.rows) - rows
    if left > 0:
        table.add_row(Text(f"and {left:,} more {part.noun}", "dim"))
    return table


def _shares(wanted: Sequence[int], room: int) -> list[int]:
    """How many rows each table has where not all of them fit; one line of each that is cut says so."""
    if sum(wanted) <= room:
        return list(wanted)
    shares = [min(rows, _LEAST) for rows in wanted]
    while sum(shares) + sum(share < rows for share, rows in zip(shares, wanted, strict=True)) < room:
        hungry = [index for index, (share, rows) in enumerate(zip(shares, wanted, strict=True)) if share < rows]
        if not hungry:
            break
        shares[min(hungry, key=lambda index: shares[index])] += 1
    return shares


def sparkline(values: Iterable[float | None], width: int, *, unicode: bool = True) -> str:
    """Values over time in so many columns, oldest first; where there are more, the largest of each few."""
    known = list(values)
    if len(known) > width:
        edges = [round(index * len(known) / width) for index in range(width + 1)]
        known = [
            max((value for value in known[start:end] if value is not None), default=None)
            for start, end in pairwise(edges)
        ]
    blocks = _BLOCKS if unicode else _PLAIN
    most = max((value for value in known if value is not None), default=0.0) or 1.0
    return "".join(
        " " if value is None else blocks[min(len(blocks) - 1, int(value / most * len(blocks)))] for value in known
    )


def _waiting(queue: QueueCounts | None) -> int:
    return 0 if queue is None else queue.ready + queue.running


def _now(queue: QueueSummary | None) -> float:
    return queue.done_per_second[-1] if queue and queue.done_per_second else 0.0


def _number(number: int, style: str) -> Text:
    return Text(_count(number), style if number else "dim")


def _in_state(queue: QueueCounts, state: str) -> Text:
    number = getattr(queue, state)
    return Text(rough(number), STATE_STYLES[state]) if state in queue.about else _number(number, STATE_STYLES[state])


def _count(number: float) -> str:
    """A count, in thousands and millions where it is long."""
    for unit, size in (("G", 1e9), ("M", 1e6)):
        if number >= 10 * size:
            return f"{number / size:,.1f} {unit}"
    return f"{number:,.0f}"


def _rate(number: float) -> str:
    return f"{number:.1f}" if 0 < number < 10 else _count(number)


def _percent(part: float) -> str:
    return f"{part * 100:.1f} %" if 0 < part < 0.995 else f"{part * 100:.0f} %"


def _seconds(seconds: float | None) -> str:
    """Seconds in a few characters."""
    if seconds is None:
        return ""
    if seconds < SECONDS[0]:
        return "<0.1 ms"  # what lies within the first bucket is not told apart
    if seconds < 1:
        return f"{seconds * 1e3:.{0 if seconds >= 0.01 else 1 if seconds >= 0.001 else 2}f} ms"
    return duration(seconds)
