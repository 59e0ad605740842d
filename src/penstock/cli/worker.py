"""`penstock worker`: the processes that run an app's jobs."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import Any

import click

from penstock.cli.options import examples
from penstock.errors import ConfigError

_POOLS = ("prefork", "threads")
_GRACE = 25.0
_THREADS = 10
_PROCESSES_PER_CORE = 2


class QueueNames(click.ParamType[tuple[str, ...]]):
    """Queue names with commas between them; they may hold spaces."""

    name = "queues"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Cut at the commas."""
        if isinstance(value, tuple):
            return value
        names = tuple(name.strip() for name in str(value).split(","))
        if not all(names):
            self.fail(f"write names with commas between them, as mail,default, not {value!r}", param, ctx)
        return tuple(dict.fromkeys(names))


@click.command(
    context_settings={"auto_envvar_prefix": "PENSTOCK_WORKER"},
    epilog=examples(
        "worker shop:app",
        "worker shop:app -q mail,default -c 4",
        "worker shop:app --pool threads -c 50 --grace 60",
        "worker shop:app --burst            # run what is there, then end",
    ),
)
@click.argument("target")
@click.option(
    "-q", "--queues", type=QueueNames(), metavar="A,B", help="Take from these; without, all that the tasks name."
)
@click.option(
    "--pool",
    type=click.Choice(_POOLS),
    default="prefork",
    show_default=True,
    help="Run each job in a process, or in a thread.",
)
@click.option(
    "-c",
    "--concurrency",
    type=click.IntRange(1, 10_000),
    metavar="N",
    help=f"Jobs that run at a time; without, {_PROCESSES_PER_CORE} a core, or {_THREADS} threads.",
)
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=_GRACE,
    show_default=True,
    metavar="SECONDS",
    help="How long running jobs may go on after a first signal to stop.",
)
@click.option("--burst", is_flag=True, help="End when the queues are empty.")
@click.option("-v", "--verbose", is_flag=True, help="Log the jobs that end well, too.")
def worker(
    target: str,
    queues: tuple[str, ...] | None,
    pool: str,
    concurrency: int | None,
    grace: float,
    burst: bool,
    verbose: bool,
) -> int:
    """Run the jobs of TARGET, an app: package.module:app (the name after the colon is app unless you say otherwise).

    TERM or Ctrl-C: take no more jobs, let those that run finish within the grace, leave. Once more: give them back
    at once; no attempt is counted.

    Every option can be set in the environment as well: PENSTOCK_WORKER_QUEUES, PENSTOCK_WORKER_POOL, and so on.
    """
    _check(target)
    from penstock.events.emit import Emitter
    from penstock.events.log import configure, log_events
    from penstock.worker.child import Lane
    from penstock.worker.supervisor import Supervisor

    if pool == "prefork":
        processes, slots = concurrency or _PROCESSES_PER_CORE * _cores(), 1
    else:
        processes, slots = 1, concurrency or _THREADS
    lane = Lane(target, processes, pool, slots, queues)
    configure(verbose)
    emitter = Emitter()
    log_events(emitter)
    return Supervisor("penstock.cli.process", [lane], emitter, grace=grace, burst=burst, verbose=verbose).run()


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check(target: str) -> None:
    """Refuse what no process could load, before any is started; the user's code is not imported for it."""
    if "://" in target:
        raise click.UsageError(f"{target} has no tasks to run: name an app, as package.module:app")
    module = target.partition(":")[0]
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found = find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        found = None
    if found is None:
        raise ConfigError(f"no module {module!r} here: write package.module:app, from the folder it lies in")
