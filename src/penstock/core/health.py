"""Whether a worker does its work: a pure decision on what it shows."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

#: Seconds without an answer from the store after which a worker is not ready.
STORE_SECONDS = 6.0
#: Seconds for which nothing may end though something should have, until a worker is not ready.
STALLED_SECONDS = 10.0


class LaneVitals(msgspec.Struct, frozen=True):
    """A lane: processes that there should be, those that have come up, and whether the latest one failed to."""

    name: str
    wanted: int
    booted: int
    failing: bool = False


class Vitals(msgspec.Struct, frozen=True):
    """What a worker shows.

    Parameters:
        lanes: how its processes do.
        silent_for: seconds since the store last answered; None when it never has.
        proven: a job has ended here, and the store knows.
        occupied: every process runs a job, so that none can end before they do.
        stalled_for: seconds for which nothing has ended though a canary was sent.
        stopping: it was told to stop.
    """

    lanes: Sequence[LaneVitals]
    silent_for: float | None = None
    proven: bool = False
    occupied: bool = False
    stalled_for: float = 0.0
    stopping: bool = False


def trouble(vitals: Vitals) -> str:
    """Why a worker is not ready, in one line; nothing when it is."""
    if vitals.stopping:
        return "it is stopping"
    for lane in vitals.lanes:
        if lane.failing:
            return f"processes of the lane {lane.name} do not come up; its log says why"
        if lane.wanted and not lane.booted:
            return f"no process of the lane {lane.name} has come up yet"
    if vitals.silent_for is None:
        return "the store has not answered yet"
    if vitals.silent_for > STORE_SECONDS:
        return f"the store has not answered for {vitals.silent_for:.0f} s"
    if vitals.occupied or not any(lane.wanted for lane in vitals.lanes):
        return ""
    if vitals.stalled_for > STALLED_SECONDS:
        return f"nothing it takes has ended for {vitals.stalled_for:.0f} s, a job of its own included"
    if not vitals.proven:
        return "no job has ended yet, nor one of its own that it sent"
    return ""
