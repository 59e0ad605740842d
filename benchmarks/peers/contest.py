"""One round of one contestant: what it enqueues, drains, takes and answers, all with one worker."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles

import msgspec

from benchmarks.peers import processes
from benchmarks.peers.brokers import Broker
from benchmarks.peers.peer import URL, Peer, PeerError, last_line
from benchmarks.peers.slots import SLOTS, Slots

_PER_SECOND = 50
_SETTLE = 1.0
#: Seconds for the first job to start, without a job that starts after which the rest are lost, and for a drain in all.
_START, _PATIENCE, _DRAIN = 30.0, 8.0, 90.0


class Sizes(msgspec.Struct, frozen=True):
    """Of a round.

    Parameters:
        one: jobs that are enqueued one by one, at most half of all; the drain is of these and the others together.
        share: that a contestant is given of its jobs.
        paced: jobs that are enqueued at 50 a second.
        idle: seconds for which the idle worker is watched.
        rounds: of each contestant.
        orders: rows that are enqueued one by one into a table.
    """

    one: int
    share: float
    paced: int
    idle: float
    rounds: int
    orders: int

    def jobs(self, full: int) -> int:
        """Their share of so many; 100 at least."""
        return max(100, round(full * self.share))


QUICK = Sizes(one=300, share=0.1, paced=51, idle=1, rounds=1, orders=2_000)
#: More rounds rather than longer ones: what else the host does comes in seconds and minutes, and the median leaves it out. But of 200 waits the 99th percentile is
#: the second longest, and goes from 3.2 to 9.8 ms in six rounds on PostgreSQL; of 400 it is the fourth.
FULL = Sizes(one=2_000, share=0.5, paced=401, idle=2, rounds=5, orders=20_000)


class Round(msgspec.Struct, frozen=True):
    """What was measured: rates in jobs/s, waits in ms, memory in MB, CPU for 1,000 jobs in ms, of the idle worker in % of a core.

    Parameters:
        many: None where the peer has no call for many.
        cpu_all: with the server's.
        lost, doubled: jobs that were never started, and those started more than once.
    """

    one: float
    many: float | None
    drain: float
    cpu: float
    cpu_all: float
    p50: float
    p99: float
    pss: float
    idle: float
    lost: int
    doubled: int
    jobs: int


def contest(peer: Peer, broker: Broker, place: Path, sizes: Sizes) -> Round:
    """Fill a new queue, start the worker, and watch. Raises `PeerError` with the reason where a peer does not do its part."""
    full = sizes.jobs(peer.setups[broker.name].jobs)
    alone = min(sizes.one, full // 2)
    slots = Slots(place / "slots", full + sizes.paced)
    environment, log = {URL: broker.new(), SLOTS: str(place / "slots")}, place / "worker.log"
    filling = peer.enqueue(environment, "fill", alone, full - alone)
    with peer.running(environment, log) as leaders:
        if not slots.wait_any(full, _START):
            told = last_line(log.read_text("utf-8", "replace"))
            raise PeerError(f"started no job in {_START:.0f} s: {told}")
        before, before_server = _used(leaders), _used_by(broker)
        if not slots.wait(full, _PATIENCE, limit=_DRAIN):
            raise PeerError(f"{full - slots.lost(full):,} of {full:,} jobs were started in {_DRAIN:.0f} s")
        time.sleep(0.3)  # for the last endings, which the drain's CPU includes
        spent, spent_server = _used(leaders) - before, _used_by(broker) - before_server
        starts = list(slots.starts(range(full)))
        time.sleep(_SETTLE)
        before, began = _used(leaders), time.monotonic()
        time.sleep(sizes.idle)
        idle = (_used(leaders) - before) / (time.monotonic() - began) * 100
        memory = processes.memory(_members(leaders))
        sent = peer.enqueue(environment, "paced", full, sizes.paced, _PER_SECOND)["sent"]
        slots.wait(full + sizes.paced, _PATIENCE, limit=_DRAIN)
    waits = _waits(sent, slots, full + 1)
    if len(waits) < 2:
        raise PeerError("started none of the jobs that came at 50 a second")
    return Round(
        one=(alone - 1) / filling["one"],
        many=None if filling["many"] is None else (full - alone - 1) / filling["many"],
        drain=(len(starts) - 1) / (max(starts) - min(starts)),
        cpu=spent / full * 1e6,
        cpu_all=(spent + spent_server) / full * 1e6,
        p50=median(waits),
        p99=quantiles(waits, n=100, method="inclusive")[98],
        pss=memory,
        idle=idle,
        lost=slots.lost(slots.count),
        doubled=slots.doubled(),
        jobs=full,
    )


def _members(leaders: Sequence[int]) -> list[int]:
    return [pid for leader in leaders for pid in processes.members(leader)]


def _used(leaders: Sequence[int]) -> float:
    return processes.used(_members(leaders))


def _used_by(broker: Broker) -> float:
    return 0.0 if broker.pid is None else processes.used(processes.family(broker.pid))


def _waits(sent: Sequence[float], slots: Slots, first: int) -> list[float]:
    """Milliseconds from the call that enqueued to the job's first line."""
    started = [slots[first + index] for index in range(len(sent))]
    return [(start - send) * 1000 for (start, times), send in zip(started, sent, strict=True) if times]
