"""`penstock status`: queues and workers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from penstock.cli import output
from penstock.cli.options import examples, json_option, only_where, where_option
from penstock.cli.output import STATE_STYLES, Cell, Column, Row
from penstock.cli.values import Seconds
from penstock.core.text import shown

if TYPE_CHECKING:
    from penstock.brokers.inspect import QueueCounts, WorkerRecord

_COUNTS = ("ready", "running", "delayed", "parked", "waiting", "dead")


@click.command(epilog=examples("status shop:app", "status shop:app --watch", "status sqlite:///jobs.db --json"))
@click.argument("words", nargs=-1, metavar="[WHERE]")
@where_option
@click.option("--watch", is_flag=True, help="Show it live, with throughput, delays and memory, until q or Ctrl-C.")
@click.option(
    "--last", type=Seconds(1, 86_400), default=300.0, show_default=True, metavar="SECONDS",
    help="What figures over time cover: an hour in steps of 10 s or more, a day by the minute.",
)  # fmt: skip
@click.option("--exact", is_flag=True, help="Count every job, however many there are and however long it takes.")
@json_option
def status(words: tuple[str, ...], where: str | None, watch: bool, last: float, exact: bool, as_json: bool) -> None:
    """Show the queues that hold jobs, and the workers.

    WHERE is an app (package.module:app) or a queue's URL. A queue where jobs wait and that no live worker takes from is
    marked. A packed row, of many items, counts as one job. Where more than 100,000 jobs are in a state, their number may be an estimate, to be
    read as "about": ~10,000,000.

    JSON: an object of `url`, `queues` and `workers`. Each queue has `queue`, `ready`, `running`, `delayed`, `parked`, `waiting` (in workflows),
    `dead`, `about` (the names of those that are estimates), `workers` (live ones that take from it) and `stranded` (jobs wait, and there is none). Each worker has `id`,
    `host`, `pid`, `pool`, `slots`, `running`, `queues`, `started_at`, `silent_for` (seconds since its last heartbeat)
    `alive`, `trouble` (why it is not ready, as penstock health says) and `lanes`. Each lane has `queues`, `pool`,
    `processes`, `slots` (of each process), `busy` (slots in which a job runs), `least` and `most` (slots in all, where
    the size follows the work) and `why` it has its size. `jobs` are those that run and say how far they are, at most 20: `id`, `worker`, for how many `seconds` it has
    run, and `progress` (`done`, `total`, `note` and `at`). `metrics` is what the workers have counted, and written down every 10
    seconds: docs/how-to/watch-a-queue.md tells what is in it.
    """
    if watch:
        _watch(only_where(where, words), last, exact=exact, as_json=as_json)
        return
    from penstock.brokers.inspect import GLANCE, of_users
    from penstock.cli.place import find_place
    from penstock.cli.progress import running_fields, running_progress, show_progress
    from penstock.core.metrics import COARSE
    from penstock.core.summary import span_for, summarize
    from penstock.worker.upkeep import DEAD_AFTER

    place = find_place(only_where(where, words))
    with place.inspector() as inspector:
        queues = of_users(inspector.count(most=None if exact else GLANCE))
        workers = inspector.workers()
        progress = running_progress(inspector, workers)
        now = time.time()
        metrics = summarize(inspector.metrics(now - last - COARSE, span=span_for(last)), last, now) if as_json else None
    live = [worker for worker in workers if worker.silent_for < DEAD_AFTER]
    if as_json:
        output.print_json(
            {
                "url": place.shown,
                "queues": [_queue_fields(queue, live) for queue in queues],
                "workers": [_worker_fields(worker, worker in live) for worker in workers],
                "jobs": running_fields(progress),
                "metrics": metrics,
            }
        )
        return
    output.print_styled(Cell(place.shown, "bold"))
    click.echo()
    _show_queues(queues, live)
    click.echo()
    _show_workers(workers, live)
    _show_lanes(live)
    if progress:
        click.echo()
        show_progress(progress)
    _show_advice(queues, live, where or (words[0] if words else None))


def _watch(where: str | None, last: float, *, exact: bool, as_json: bool) -> None:
    if as_json:
        raise click.UsageError("--watch is for people and --json for programs: leave one of them out")
    if exact:
        raise click.UsageError("--watch looks again and again, and --exact may take long: leave one of them out")
    from penstock.cli.watch import watch_place

    watch_place(where, last)


def _takers(queue: str, workers: Sequence[WorkerRecord]) -> int:
    return sum(queue in worker.queues for worker in workers)


def _stranded(queue: QueueCounts, live: Sequence[WorkerRecord]) -> bool:
    return queue.ready + queue.delayed + queue.parked > 0 and not _takers(queue.queue, live)


def _queue_fields(queue: QueueCounts, live: Sequence[WorkerRecord]) -> dict[str, Any]:
    return {
        "queue": queue.queue,
        **{name: getattr(queue, name) for name in _COUNTS},
        "about": queue.about,
        "workers": _takers(queue.queue, live),
        "stranded": _stranded(queue, live),
    }


def _worker_fields(worker: WorkerRecord, alive: bool) -> dict[str, Any]:
    from penstock.cli.readable import iso

    return {
        "id": worker.id,
        "host": worker.host,
        "pid": worker.pid,
        "pool": worker.pool,
        "slots": worker.slots,
        "running": worker.running,
        "queues": worker.queues,
        "started_at": iso(worker.started_at),
        "silent_for": round(worker.silent_for, 3),
        "alive": alive,
        "trouble": worker.trouble or None,
        "lanes": worker.lanes,
    }


def _show_queues(queues: Sequence[QueueCounts], live: Sequence[WorkerRecord]) -> None:
    if not queues:
        click.echo("no jobs")
        return
    # Most queues have no workflows: a column for those that wait in one would be in the way.
    names = [name for name in _COUNTS if name != "waiting" or any(queue.waiting for queue in queues)]
    columns = [Column("queue"), *(Column(name, right=True) for name in names), Column("workers", right=True)]
    rows: list[Row] = []
    for queue in queues:
        counts = [_count(getattr(queue, name), STATE_STYLES[name], about=name in queue.about) for name in names]
        takers = Cell("none!", "bold red") if _stranded(queue, live) else _count(_takers(queue.queue, live))
        rows.append([shown(queue.queue), *counts, takers])
    output.print_table(columns, rows)


def _count(number: int, style: str = "", *, about: bool = False) -> Cell:
    from penstock.cli.readable import rough

    if about:
        return Cell(rough(number), style)
    return Cell(f"{number:,}" if output.on_terminal() else str(number), style if number else "dim")


def _show_workers(workers: Sequence[WorkerRecord], live: Sequence[WorkerRecord]) -> None:
    from penstock.cli.readable import duration

    if not workers:
        click.echo("no workers")
        return
    columns = [
        Column("worker"), Column("host:pid"), Column("pool"), Column("slots", right=True), Column("running", right=True),
        Column("up", right=True), Column("silent for", right=True), Column("queues", wide=True),
    ]  # fmt: skip
    rows: list[Row] = []
    for worker in workers:
        silent = duration(worker.silent_for)
        rows.append(
            [
                worker.id[:8],
                shown(f"{worker.host}:{worker.pid}"),
                worker.pool,
                str(worker.slots),
                _count(worker.running, "green"),
                duration(max(0.0, time.time() - worker.started_at)),
                silent if worker in live else Cell(f"{silent} (dead)", "bold red"),
                shown(", ".join(worker.queues)),
            ]
        )
    output.print_table(columns, rows)


def _show_lanes(workers: Sequence[WorkerRecord]) -> None:
    """The lanes of workers that have several, or one whose size changes."""
    telling = [worker for worker in workers if len(worker.lanes) > 1 or any(lane.most for lane in worker.lanes)]
    if not telling:
        return
    click.echo()
    columns = [
        Column("worker"), Column("lane"), Column("pool"), Column("size", right=True), Column("least-most", right=True),
        Column("running", right=True), Column("why", wide=True),
    ]  # fmt: skip
    rows: list[Row] = []
    for worker in telling:
        for lane in worker.lanes:
            slots = "" if lane.slots == 1 and lane.pool == "prefork" else f"x{lane.slots}"
            bounds = "" if lane.most is None else f"{lane.least}-{lane.most}"
            rows.append(
                [
                    worker.id[:8],
                    shown(", ".join(lane.queues), 40),
                    lane.pool,
                    f"{lane.processes}{slots}",
                    bounds,
                    _count(lane.busy, "green"),
                    lane.why,
                ]
            )
    output.print_table(columns, rows)


def _show_advice(queues: Sequence[QueueCounts], live: Sequence[WorkerRecord], where: str | None) -> None:
    """What to do about workers that are not ready, and about jobs that nobody will run."""
    target = where if where is not None and "://" not in where else "package.module:app"
    jobs = "penstock jobs" if where is None else f"penstock jobs {where}"
    stranded = [queue.queue for queue in queues if _stranded(queue, live)]
    parked = sum(queue.parked for queue in queues)
    dead = sum(queue.dead for queue in queues)
    lines = [
        (f"worker {worker.id[:8]} is not ready: {shown(worker.trouble, 200)}", "") for worker in live if worker.trouble
    ]
    if stranded:
        names = shown(", ".join(stranded), 60)
        lines.append((f"no live worker takes from {names}: ", f"penstock worker {target}"))
    if parked:
        lines.append((f"{parked:,} parked, whose task no worker so far has known: ", f"{jobs} --state parked"))
    if dead:
        lines.append((f"{dead:,} dead, which failed for good: ", f"{jobs} --state dead"))
    if lines:
        click.echo()
    for text, command in lines:
        output.print_styled(text, Cell(command, "bold"))
