"""What a process is told: the lane that it belongs to, and its orders. All that it loads of the supervisor's half."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

#: The environment variable of a process that has its lane's arguments: others can read a command line, and a URL may have a password.
ARGUMENTS = "_PENSTOCK_ARGUMENTS"


class Lane(msgspec.Struct, frozen=True):
    """A kind of process, and how many of them run.

    Parameters:
        target: "package.module:attribute" of an app, or of a function that makes one when called with `arguments`.
        queues: to take from; None for all that the app's tasks name, but for those of `others`.
        others: queues that other lanes of the worker take from.
        least, most: slots in all between which the lane's size follows the work; None where it does not.
        stdin: the process inherits standard input.
        quiet: the process logs nothing; whoever started it shows what happens.
        max_jobs_per_process: after so many a process leaves, and another takes its place.
        max_memory_per_process: bytes; the same when it has more after a job.
    """

    target: str
    processes: int
    pool: str = "prefork"
    slots: int = 1
    queues: tuple[str, ...] | None = None
    arguments: dict[str, str] | None = None
    stdin: bool = False
    quiet: bool = False
    others: tuple[str, ...] = ()
    least: int | None = None
    most: int | None = None
    max_jobs_per_process: int | None = None
    max_memory_per_process: int | None = None

    @property
    def name(self) -> str:
        """What it takes from, in words."""
        return "all others" if self.queues is None else ", ".join(self.queues)

    @property
    def shape(self) -> str:
        """Its pool and its size, in words."""
        if self.most is not None:
            return f"{self.pool}, {self.least} to {self.most} {'processes' if self.slots == 1 else 'slots'}"
        return f"{self.pool}, {self.processes} processes of {self.slots} slots"

    def takes(self, known: Sequence[str]) -> tuple[str, ...]:
        """The queues to take from, where the app's tasks name those that are `known`."""
        return tuple(name for name in known if name not in self.others) if self.queues is None else self.queues


class Orders(msgspec.Struct, frozen=True):
    """What a process is told when it starts.

    `patient` says that the store was there before: if it is away, it comes back. `slots` may be used for now. `stderr`
    is the worker's own standard error, where that of the process leads to its board until it has booted; else -1.
    """

    worker: str
    process: int
    link: int
    board: int
    lane: Lane
    burst: bool
    verbose: bool
    patient: bool
    slots: int
    stderr: int = -1
