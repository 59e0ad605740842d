"""Which lanes a worker has: from --lane, or one from --queues, --pool, -c and their kin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
import msgspec
from click.core import ParameterSource

from penstock.core.extent import LARGEST, Extent, parse_extent
from penstock.errors import ConfigError
from penstock.worker.cores import standard_processes

if TYPE_CHECKING:
    from penstock.worker.lane import Lane

#: The pools, each with the slots that a process of it has when nothing else is said.
POOLS = {"prefork": 1, "threads": 10, "gevent": 100, "asyncio": 100}
#: Takes from every queue that no other lane names.
OTHERS = "*"
_ONE_LANE = ("queues", "pool", "concurrency", "processes", "autoscale")


class LaneSpec(msgspec.Struct, frozen=True):
    """What a lane takes from (None: all that no other lane names), and what it runs jobs in."""

    queues: tuple[str, ...] | None
    pool: str
    extent: Extent


class QueueNames(click.ParamType[tuple[str, ...]]):
    """Queue names with commas between them; they may hold spaces."""

    name = "queues"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Cut at the commas."""
        if isinstance(value, tuple):
            return value
        names = tuple(name.strip() for name in (value if isinstance(value, list) else str(value).split(",")))
        if not all(names):
            self.fail(f"write names with commas between them, as mail,default, not {value!r}", param, ctx)
        return tuple(dict.fromkeys(names))


class LaneText(click.ParamType[LaneSpec]):
    """QUEUES=POOL[:SIZE]; several of them in one environment variable have semicolons between them."""

    name = "lane"
    envvar_list_splitter = ";"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> LaneSpec:
        """Read one."""
        if isinstance(value, LaneSpec):
            return value
        names, equals, how = str(value).rpartition("=")
        pool, _, size = (part.strip() for part in how.partition(":"))
        if not equals or not names.strip():
            self.fail(f"write QUEUES=POOL:SIZE, as cpu=prefork:8 or io,mail=threads:50, not {value!r}", param, ctx)
        if pool not in POOLS:
            self.fail(f"there is no pool {pool!r}; there are {', '.join(POOLS)}", param, ctx)
        queues = None if names.strip() == OTHERS else QueueNames().convert(names, param, ctx)
        try:
            return LaneSpec(
                queues, pool, parse_extent(size, one_slot=_one_slot(pool)) if size else standard_extent(pool)
            )
        except ConfigError as error:
            self.fail(str(error), param, ctx)


class SizeText(click.ParamType[str]):
    """MAX,MIN, which means processes or slots by the pool."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """See that there are two numbers."""
        try:
            extent = parse_extent(str(value), one_slot=False)
        except ConfigError as error:
            self.fail(str(error), param, ctx)
        if extent.least is None:
            self.fail(f"write MAX,MIN, as 8,1, not {value!r}", param, ctx)
        return str(value)


def chosen_lanes(ctx: click.Context) -> list[LaneSpec]:
    """The lanes that a command line asks for.

    Lanes and the options for a single one exclude each other where they come from the same source; else the source
    that comes first decides: `-c 1` on the command line runs one lane, whatever a file says.
    """
    lanes: Sequence[LaneSpec] = ctx.params["lanes"]
    ranks = {name: _rank(ctx, name) for name in _ONE_LANE}
    rival = max(ranks, key=ranks.__getitem__)
    if lanes and ranks[rival] == _rank(ctx, "lanes"):
        flag = next(each.opts[0] for each in ctx.command.params if each.name == rival)
        raise click.UsageError(f"{flag} says what one lane is: write it into each --lane, as io,mail=threads:50", ctx)
    if not lanes or ranks[rival] > _rank(ctx, "lanes"):
        return [_single(ctx.params)]
    if sum(lane.queues is None for lane in lanes) > 1:
        raise click.UsageError(f"two lanes take from {OTHERS}, all other queues: name the queues of one of them", ctx)
    # The one that knows its queues only by the app comes first: the first process says for the worker what they are.
    return sorted(lanes, key=lambda lane: lane.queues is not None)


def running_lanes(target: str, lanes: Sequence[LaneSpec], params: Mapping[str, Any]) -> list[Lane]:
    """The lanes as a supervisor takes them.

    Parameters:
        params: of the command, for what all lanes have in common.
    """
    from penstock.worker.lane import Lane

    named = tuple(name for lane in lanes for name in lane.queues or ())
    return [
        Lane(
            target, lane.extent.processes, lane.pool, lane.extent.slots, lane.queues, others=named,
            least=lane.extent.least, most=None if lane.extent.least is None else lane.extent.most,
            max_jobs_per_process=params["max_jobs_per_process"], max_memory_per_process=params["max_memory_per_process"],
        )
        for lane in lanes
    ]  # fmt: skip


def standard_extent(pool: str) -> Extent:
    """The size where none is given."""
    return Extent(standard_processes()) if _one_slot(pool) else Extent(1, POOLS[pool])


def _single(params: Mapping[str, Any]) -> LaneSpec:
    pool, count, processes = params["pool"], params["concurrency"], params["processes"]
    scale = params.get("autoscale")
    if scale is not None and (count or processes):
        raise click.UsageError("--autoscale says the size already: leave out -c and --processes, or write PxN,MIN")
    try:
        return LaneSpec(params["queues"], pool, _extent(pool, count, processes, scale))
    except ConfigError as error:
        raise click.UsageError(str(error)) from None


def _extent(pool: str, count: int | None, processes: int | None, scale: str | None) -> Extent:
    if scale is not None:
        return parse_extent(scale, one_slot=_one_slot(pool))
    if _one_slot(pool):
        if count and processes:
            raise ConfigError(f"a process of {pool} runs one job at a time: leave out -c or --processes")
        return Extent(count or processes or standard_extent(pool).processes)
    extent = Extent(processes or 1, count or POOLS[pool])
    if extent.most > LARGEST:
        raise ConfigError(f"{processes} processes of {extent.slots} slots are more than {LARGEST:,}")
    return extent


def _one_slot(pool: str) -> bool:
    return POOLS[pool] == 1


def _rank(ctx: click.Context, name: str) -> int:
    """How early a parameter's source comes: 0 for one that nobody has set."""
    order = (ParameterSource.DEFAULT_MAP, ParameterSource.ENVIRONMENT, ParameterSource.COMMANDLINE)
    source = ctx.get_parameter_source(name)
    return order.index(source) + 1 if source in order else 0
