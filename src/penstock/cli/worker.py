"""`penstock worker`: the processes that run an app's jobs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import click

from penstock.cli.config import ConfiguredCommand, setting
from penstock.cli.lanes import POOLS, LaneSpec, LaneText, QueueNames, SizeText, chosen_lanes, running_lanes
from penstock.cli.options import examples
from penstock.cli.parent import RELOADER, die_with
from penstock.cli.values import Address, Bytes, Seconds
from penstock.core.extent import LARGEST
from penstock.errors import ConfigError
from penstock.settings import SETTINGS

if TYPE_CHECKING:
    from penstock.events.emit import Emitter
    from penstock.worker.supervisor import Supervisor

#: Seconds that whoever asks first waits for an answer, at most.
_LOOK = 0.25


@click.command(
    cls=ConfiguredCommand,
    epilog=examples(
        "worker shop:app",
        "worker shop:app -q mail,default -c 4",
        "worker shop:app --pool threads -c 50 --grace 60",
        'worker shop:app --lane "cpu=prefork:4" --lane "*=threads:50"',
        "worker shop:app --burst            # run what is there, then end",
    ),
)
@click.argument("app", metavar="[TARGET]", required=False, envvar=SETTINGS["app"].variable)
@setting("worker.queues", "-q", "--queues", type=QueueNames(), metavar="A,B")
@setting("worker.pool", type=click.Choice(tuple(POOLS)))
@setting("worker.concurrency", "-c", "--concurrency", type=click.IntRange(1, LARGEST), metavar="N")
@setting("worker.processes", type=click.IntRange(1, LARGEST), metavar="P")
@setting("worker.lanes", "--lane", type=LaneText(), multiple=True, metavar="QUEUES=POOL:SIZE")
@setting("worker.autoscale", type=SizeText(), metavar="MAX,MIN")
@setting("worker.memory", type=Bytes(), metavar="SIZE")
@setting("worker.max_jobs_per_process", type=click.IntRange(1), metavar="N")
@setting("worker.max_memory_per_process", type=Bytes(), metavar="SIZE")
@setting("worker.probe", type=Address(), metavar="[HOST:]PORT")
@setting("worker.metrics_port", type=Address(), metavar="[HOST:]PORT")
@setting("worker.grace", type=Seconds(0), metavar="SECONDS")
@setting("worker.burst")
@setting("worker.reload", "--reload/--no-reload")
@setting("worker.verbose", "-v", "--verbose")
@click.pass_context
def worker(
    ctx: click.Context,
    /,
    app: str | None,
    memory: int | None,
    grace: float,
    burst: bool,
    reload: bool,
    verbose: bool,
    **_: Any,
) -> int:
    """Run the jobs of TARGET, an app: package.module:app (the name after the colon is app unless you say otherwise).

    TERM or Ctrl-C: take no more jobs, let those that run finish within the grace, leave. Once more: give them back
    at once; no attempt is counted.

    A worker of several lanes runs some queues in one pool, others in another. A lane is QUEUES=POOL:SIZE, with * for
    all queues that no other lane names; SIZE counts processes of prefork, else slots of one process, or is PxN.

    Every option can be set in the environment as well, as PENSTOCK_WORKER_GRACE, and in penstock.toml or pyproject.toml:
    docs/reference/configuration.md has them all.
    """
    if app is None:
        raise click.UsageError(
            "TARGET is missing: name an app, as package.module:app, here, in PENSTOCK_APP or in penstock.toml", ctx
        )
    lanes = chosen_lanes(ctx)
    if memory is not None and all(lane.extent.least is None for lane in lanes):
        raise click.UsageError("--memory bounds a size that changes: say --autoscale MAX,MIN, or 8,1 in a lane", ctx)
    if reload and burst:
        raise click.UsageError("--reload waits for changes and --burst ends: leave one of them out", ctx)
    addresses = {f"--{name.replace('_', '-')}": ctx.params[name] for name in ("probe", "metrics_port")}
    for flag, address in addresses.items():
        if reload and address is not None:
            # The old worker has the port until it has ended what it runs.
            raise click.UsageError(
                f"--reload is for development, where nobody asks a {flag}: leave one of them out", ctx
            )
    _check(app)
    if reload:
        from penstock.cli.reload import Reloader

        # Whatever else says so, that one is not to reload by itself.
        return Reloader([sys.executable, "-m", "penstock", *sys.argv[1:], "--no-reload"]).run()
    if RELOADER in os.environ:
        die_with(int(os.environ.pop(RELOADER)), signal.SIGTERM)
    from penstock.cli.process import program
    from penstock.events.emit import Emitter
    from penstock.events.log import configure, log_events
    from penstock.worker.supervisor import Supervisor

    configure(verbose)
    emitter = Emitter()
    log_events(emitter)
    running = running_lanes(app, lanes, ctx.params)
    supervisor = Supervisor(program(), running, emitter, grace=grace, burst=burst, verbose=verbose, canaries=not burst)
    with _scaling(supervisor, lanes, emitter, memory), _answering(supervisor, addresses) as look:
        return supervisor.run() if look is None else supervisor.run(look, _LOOK)


@contextmanager
def _scaling(supervisor: Supervisor, lanes: Sequence[LaneSpec], emitter: Emitter, memory: int | None) -> Iterator[None]:
    """Have the lanes follow their queues that are to, until the context ends."""
    changing = {index: lane.extent for index, lane in enumerate(lanes) if lane.extent.least is not None}
    if not changing:
        yield
        return
    from penstock.worker.scaler import Scaler

    scaler = Scaler(supervisor, changing, emitter, budget=memory)
    supervisor.registered = scaler.start
    try:
        yield
    finally:
        scaler.stop()


@contextmanager
def _answering(
    supervisor: Supervisor, addresses: Mapping[str, tuple[str, int] | None]
) -> Iterator[Callable[[], None] | None]:
    """Answer over HTTP how the worker is and what it has counted, until the context ends; gives what is to be called again and again."""
    if not any(addresses.values()):
        yield None
        return
    from penstock.worker.probe import Endpoint, Page, health_pages, metrics_pages

    # By address: one server where both are at the same.
    pages: dict[tuple[str, int], dict[str, Page]] = {}
    flags: dict[tuple[str, int], str] = {}
    for flag, address in addresses.items():
        if address is None:
            continue
        flags.setdefault(address, flag)
        if flag == "--probe":
            found = health_pages(supervisor.report)
        else:
            from penstock.events.prometheus import Exporter

            found = metrics_pages(Exporter(supervisor.id, supervisor.figures).page)
        pages.setdefault(address, {}).update(found)
    endpoints: list[Endpoint] = []

    def look() -> None:
        for endpoint in endpoints:
            endpoint.look()

    with ExitStack() as stack:
        for address, answers in pages.items():
            endpoints.append(Endpoint(*address, answers, flags[address]))
            stack.callback(endpoints[-1].close)
        yield look


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
