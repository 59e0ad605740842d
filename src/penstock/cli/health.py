"""`penstock health`: is there a worker that does its work?"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from penstock.cli import output
from penstock.cli.options import examples, json_option, only_where, where_option
from penstock.core.text import shown

if TYPE_CHECKING:
    from penstock.brokers.inspect import WorkerRecord


@click.command(
    epilog=examples(
        "health shop:app", "health sqlite:///jobs.db --all --json", "health shop:app --here   # in a container"
    )
)
@click.argument("words", nargs=-1, metavar="[WHERE]")
@where_option
@click.option("--all", "everyone", is_flag=True, help="Every live worker has to be ready, not only one.")
@click.option("--here", is_flag=True, help="Look at the workers of this host alone.")
@json_option
def health(words: tuple[str, ...], where: str | None, everyone: bool, here: bool, as_json: bool) -> int:
    """Say whether a worker is ready: its processes are up, and what they take ends. Exit code 0 if so, else 1.

    Each worker says how it is with its heartbeat. Where nothing has ended for some seconds, it sends a job of its own
    through the store, a process and back.

    WHERE is an app (package.module:app) or a queue's URL.

    JSON: an object of `ready`, `why` (one line) and `workers`, each with `id`, `host`, `pid`, `silent_for`, `ready` and
    `trouble`.
    """
    from penstock.cli.place import find_place
    from penstock.worker.upkeep import DEAD_AFTER

    place = find_place(only_where(where, words))
    with place.inspector() as inspector:
        workers = [worker for worker in inspector.workers() if worker.silent_for < DEAD_AFTER]
    if here:
        workers = [worker for worker in workers if worker.host == socket.gethostname()]
    ready = [worker for worker in workers if not worker.trouble]
    well = bool(ready) and (not everyone or len(ready) == len(workers))
    why = _why(workers, ready)
    if as_json:
        output.print_json({"ready": well, "why": why, "workers": [_fields(worker) for worker in workers]})
    else:
        click.echo(f"{'ready' if well else 'not ready'}: {why}")
    return 0 if well else 1


def _why(workers: Sequence[WorkerRecord], ready: Sequence[WorkerRecord]) -> str:
    if not workers:
        return "no worker is alive: start one with penstock worker package.module:app"
    counted = f"{len(ready)} of {len(workers)} workers"
    troubled = next((worker for worker in workers if worker.trouble), None)
    if troubled is None:
        return counted
    return f"{counted}; {shown(f'{troubled.host}:{troubled.pid}')}: {shown(troubled.trouble or '')}"


def _fields(worker: WorkerRecord) -> dict[str, Any]:
    return {
        "id": worker.id,
        "host": worker.host,
        "pid": worker.pid,
        "silent_for": round(worker.silent_for, 3),
        "ready": not worker.trouble,
        "trouble": worker.trouble or None,
    }
