"""What is written down every ten seconds, line by line, so that a run which is cut short leaves what it saw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.soak.stores import Kept


class Plan(msgspec.Struct, frozen=True):
    """What a run is to be.

    Parameters:
        stores: names.
        seconds: for which jobs are enqueued.
        jobs: on each store, in that time.
        probes: jobs a second, besides, that are enqueued one by one and timed.
        every: seconds between two samples.
    """

    stores: tuple[str, ...]
    seconds: float
    jobs: int
    probes: int = 20
    every: float = 10.0

    @property
    def held(self) -> tuple[float, float]:
        """From when to when a transaction is held open: a sixth of the time, after a third of it."""
        return self.seconds / 3, self.seconds / 2


class Begun(msgspec.Struct, frozen=True, tag="begun"):
    """A run begins.

    Parameters:
        command: that it was, as it was called.
        machine: the date and what it is measured on.
        settings: of each store, in words.
    """

    plan: Plan
    command: str
    machine: str
    settings: dict[str, str]


class Sample(msgspec.Struct, frozen=True, tag="sample"):
    """Of one store. Counts are since the beginning, CPU in seconds since then, memory in MB (PSS).

    Parameters:
        at: seconds since the beginning.
        held: is a transaction held open?
        sent, started: jobs.
        probes: that started since the last sample; the waits are theirs, in ms, None where there are none.
        cpu, memory: of all processes of the worker.
        cpu_server: of the server's; 0 where there is none.
        memory_senders: of the two programs that enqueue.
        load: of the machine, jobs of the system that run or want to.
    """

    store: str
    at: float
    held: bool
    sent: int
    started: int
    probes: int
    p50: float | None
    p99: float | None
    cpu: float
    cpu_server: float
    memory: float
    memory_senders: float
    load: float
    kept: Kept


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """What came out on one store.

    Parameters:
        jobs, probes: that were sent.
        lost, doubled: of both, that were started less often than they had to be, and more often.
        left: jobs that the store still holds, but for dead letters.
    """

    store: str
    jobs: int
    probes: int
    lost: int
    doubled: int
    left: int
    kept: Kept


Line = Begun | Sample | Ended


class Soak(msgspec.Struct, frozen=True):
    """A whole run, as far as it came."""

    begun: Begun
    samples: Sequence[Sample]
    ended: Sequence[Ended]

    def of(self, store: str) -> list[Sample]:
        """The samples of one store, in their order."""
        return [sample for sample in self.samples if sample.store == store]


def write(path: Path, line: Line) -> None:
    """Add a line."""
    with path.open("ab") as file:
        file.write(msgspec.json.encode(line) + b"\n")


def read(path: Path) -> Soak:
    """What a file holds. Raises `ValueError` where it does not begin with the beginning."""
    lines = [msgspec.json.decode(line, type=Line) for line in path.read_bytes().splitlines()]
    if not lines or not isinstance(lines[0], Begun):
        raise ValueError(f"{path} holds no run: it was not written by benchmarks.soak")
    samples = [line for line in lines if isinstance(line, Sample)]
    return Soak(lines[0], samples, [line for line in lines if isinstance(line, Ended)])
