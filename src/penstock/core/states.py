"""The states of a job."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a job is on its way.

    A job that succeeded and left no result has no row any more, and counts as `DONE`.
    """

    READY = "ready"
    RUNNING = "running"
    DELAYED = "delayed"
    PARKED = "parked"
    WAITING = "waiting"
    DEAD = "dead"
    CANCELLED = "cancelled"
    DONE = "done"


#: Jobs in these states will run, or are running.
LIVE = frozenset({State.READY, State.RUNNING, State.DELAYED, State.PARKED, State.WAITING})
