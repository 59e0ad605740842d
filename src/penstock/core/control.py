"""What a task raises to say how its job goes on."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.core.job import NewJob
from penstock.core.outcome import Step


class Control(Exception):
    """The base of the three; not an error."""


class Retry(Control):
    """Count this attempt as failed and run the job again, after `in_` seconds or the task's own backoff."""

    def __init__(self, message: str = "", *, in_: float | None = None) -> None:
        super().__init__(message)
        self.in_ = None if in_ is None else _seconds(in_)


class Snooze(Control):
    """Run the job again in `in_` seconds; no attempt is counted."""

    def __init__(self, in_: float) -> None:
        self.in_ = _seconds(in_)
        super().__init__(f"again in {in_:g} s")


class GiveUp(Control):
    """Make the job a dead letter now, whatever retries are left."""


class Continue(Control):
    """End this run but keep the job, with a new payload and jobs that are stored together with it.

    For jobs that feed others in slices, such as the reader of `penstock load`.
    """

    def __init__(
        self, payload: bytes, follow_ups: Sequence[NewJob] = (), steps: Sequence[Step] = (), in_: float = 0.0
    ) -> None:
        super().__init__("to be continued")
        self.payload = payload
        self.follow_ups = tuple(follow_ups)
        self.steps = tuple(steps)
        self.in_ = in_


def _seconds(in_: float) -> float:
    """A wait that can be stored; anything else is the task's own mistake, and fails it."""
    if not 0 <= in_ < float("inf"):
        raise ValueError(f"in_ is a number of seconds, 0 or more, not {in_!r}")
    return float(in_)
