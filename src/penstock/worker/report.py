"""How a worker is, as its supervisor tells it."""

from __future__ import annotations

import msgspec

from penstock.brokers.inspect import LaneRecord


class Report(msgspec.Struct, frozen=True):
    """How a worker is.

    Parameters:
        trouble: why it does no work; nothing where it does.
        running: jobs that run.
        idle_for: seconds since the supervisor took a step.
    """

    worker: str
    trouble: str
    running: int
    lanes: tuple[LaneRecord, ...]
    idle_for: float
