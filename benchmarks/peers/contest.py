"""One round of one contestant: what it enqueues, drains, takes and answers, all with one worker."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles

import msgspec

from benchmarks.idle import cpu, family, pss
from benchmarks.peers.brokers import Broker
from benchmarks.peers.peer import URL, Peer
from benchmarks.peers.slots import SLOTS, Slots

_PER_SECOND = 50
_PATIENCE = 30.0
_SETTLE = 2.0


class Sizes(msgspec.Struct, frozen=True):
    """Of a round.

    Parameters:
        one, many: jobs that are enqueued one by one, and in bulk; the drain is of both.
        paced: jobs that are enqueued at 50 a second.
        idle: seconds for which the idle worker is watched.
        rounds: of each contestant.
        orders: rows that are enqueued one by one into a table.
    """

    one: int
    many: int
    paced: int
    idle: float
    rounds: int
    orders: int


QUICK = Sizes(one=2_000, many=18_000, paced=100, idle=3, rounds=2, orders=5_000)
FULL = Sizes(one=5_000, many=45_000, paced=500, idle=10, rounds=3, orders=20_000)


class Round(msgspec.Struct, frozen=True):
    """What was measured: rates in jobs/s, waits in ms, memory in MB, CPU as the unit says."""

    one: float
    many: float
    drain: float
    cpu: float
    cpu_all: float
    p50: float
    p99: float
    pss: float
    idle: float
    lost: int
    doubled: int


def contest(peer: Peer, broker: Broker, place: Path, sizes: Sizes) -> Round:
    """Fill a new queue, start the worker, and watch."""
    full = sizes.one + sizes.many
    slots = Slots(place / "slots", full + sizes.paced)
    environment = {URL: broker.new(), SLOTS: str(place / "slots")}
    one = peer.enqueue(environment, "one", 0, sizes.one)
    many = peer.enqueue(environment, "many", sizes.one, sizes.many)
    with peer.running(environment, place / "worker.log") as process:
        if not slots.wait(1, _PATIENCE, every=0.001):
            told = (place / "worker.log").read_text("utf-8", "replace")[-2000:]
            raise SystemExit(f"{peer.name} on {broker.name} started no job: {told}")
        mine, server = family(process.pid), family(broker.pid)
        before, before_server = cpu(mine), cpu(server)
        slots.wait(full, _PATIENCE)
        time.sleep(0.3)  # for the last endings, which the drain's CPU includes
        spent, spent_server = cpu(mine) - before, cpu(server) - before_server
        starts = list(slots.starts(range(full)))
        time.sleep(_SETTLE)
        before = cpu(mine)
        time.sleep(sizes.idle)
        idle = (cpu(mine) - before) / sizes.idle * 100
        memory = sum(map(pss, mine))
        sent = peer.enqueue(environment, "paced", full, sizes.paced, _PER_SECOND)["sent"]
        slots.wait(full + sizes.paced, _PATIENCE)
    waits = _waits(sent, slots, full + 1)
    return Round(
        one=(sizes.one - 1) / one["seconds"],
        many=(sizes.many - 1) / many["seconds"],
        drain=len(starts) / (max(starts) - min(starts)),
        cpu=spent / full * 1e6,
        cpu_all=(spent + spent_server) / full * 1e6,
        p50=median(waits),
        p99=quantiles(waits, n=100)[98],
        pss=memory,
        idle=idle,
        lost=slots.lost(),
        doubled=slots.doubled(),
    )


def _waits(sent: Sequence[float], slots: Slots, first: int) -> list[float]:
    """Milliseconds from the call that enqueued to the job's first line."""
    started = [slots[first + index] for index in range(len(sent))]
    return [(start - send) * 1000 for (start, times), send in zip(started, sent, strict=True) if times]
