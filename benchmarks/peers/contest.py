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


#: Of each field of a `Round`: what it is, its unit, whether more is better, and how many times better than a peer Penstock is to be.
MEASURES: dict[str, tuple[str, str, bool, float | None]] = {
    "one": ("enqueue, one by one", "jobs/s", True, None),
    "many": ("enqueue, in bulk", "jobs/s", True, None),
    "drain": ("drain of {count:,}, prefork 2, first start to last", "jobs/s", True, 10.0),
    "cpu": ("CPU of the worker, for 1,000 jobs", "ms", False, None),
    "cpu_all": ("CPU of the worker and the broker, for 1,000 jobs", "ms", False, None),
    "p50": ("enqueue to start, {paced} jobs at 50/s, p50", "ms", False, None),
    "p99": ("enqueue to start, {paced} jobs at 50/s, p99", "ms", False, None),
    "pss": ("memory (PSS) of the idle worker", "MB", False, None),
    "idle": ("CPU of the idle worker", "% of a core", False, None),
}


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
        before, before_server = _used(process.pid), _used(broker.pid)
        slots.wait(full, _PATIENCE)
        time.sleep(0.3)  # for the last endings, which the drain's CPU includes
        spent, spent_server = _since(before, process.pid), _since(before_server, broker.pid)
        starts = list(slots.starts(range(full)))
        time.sleep(_SETTLE)
        before = _used(process.pid)
        time.sleep(sizes.idle)
        idle = _since(before, process.pid) / sizes.idle * 100
        memory = sum(map(pss, family(process.pid)))
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


def _used(pid: int | None) -> dict[int, float]:
    """Seconds on a core so far, of each process that a process has started and of itself."""
    return {} if pid is None else {each: cpu([each]) for each in family(pid)}


def _since(before: dict[int, float], pid: int | None) -> float:
    """Seconds on a core since then, of all of them together, those that have come since included."""
    return sum(used - before.get(each, 0.0) for each, used in _used(pid).items())


def _waits(sent: Sequence[float], slots: Slots, first: int) -> list[float]:
    """Milliseconds from the call that enqueued to the job's first line."""
    started = [slots[first + index] for index in range(len(sent))]
    return [(start - send) * 1000 for (start, times), send in zip(started, sent, strict=True) if times]
