"""What becomes of a job that ran: pure decisions, written down by the broker."""

from __future__ import annotations

import msgspec

from penstock.core.backoff import Backoff
from penstock.core.control import Continue, Control, GiveUp, Retry, Snooze
from penstock.core.job import Failure, Lease
from penstock.core.outcome import Ending, Outcome, Step
from penstock.core.text import storable

DEFAULT_RETRIES = 3
DEFAULT_RESULT_TTL = 24 * 3600.0
DEFAULT_CRASH_LIMIT = 3
_LONGEST_MESSAGE = 10_000
#: Why a job that may not run twice is a dead letter when its worker is gone.
INTERRUPTED = Failure("Interrupted", "its worker died while it held this job, which may not run twice (at_most_once)")


class Policy(msgspec.Struct, frozen=True):
    """How a task's jobs end.

    Parameters:
        retries: attempts after the first one that failed.
        backoff: the wait before each of them.
        give_up: exceptions that no retry will mend.
        result_ttl: seconds for which a return value is kept; None itself is never stored.
        crash_limit: process deaths after which the job becomes a dead letter.
    """

    retries: int = DEFAULT_RETRIES
    backoff: Backoff = Backoff()
    give_up: tuple[type[BaseException], ...] = ()
    result_ttl: float = DEFAULT_RESULT_TTL
    crash_limit: int = DEFAULT_CRASH_LIMIT


class JobOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one job has otherwise than its task: travels with the job."""

    retries: int | None = None
    result_ttl: float | None = None

    def applied_to(self, policy: Policy) -> Policy:
        """The policy with this job's own values in place."""
        return msgspec.structs.replace(
            policy,
            retries=policy.retries if self.retries is None else self.retries,
            result_ttl=policy.result_ttl if self.result_ttl is None else self.result_ttl,
        )


def succeeded(lease: Lease, policy: Policy, result: bytes | None = None) -> Outcome:
    """The outcome of a job that returned."""
    if lease.batch is None:
        if result is None:
            return Outcome(lease)
        return Outcome(lease, result=result, result_ttl=policy.result_ttl)
    steps = (Step(lease.batch, done=lease.items),)
    return Outcome(lease, result=result, result_ttl=policy.result_ttl, steps=steps)


def failed(lease: Lease, policy: Policy, error: BaseException, traceback: str, chance: float) -> Outcome:
    """The outcome of a job that raised.

    Parameters:
        traceback: of the error, as text.
        chance: a random number in [0, 1) for the jitter of the backoff.
    """
    match error:
        case Snooze():
            return Outcome(lease, Ending.SNOOZE, delay=error.in_)
        case Continue():
            return Outcome(
                lease, Ending.SNOOZE, delay=error.in_, payload=error.payload,
                follow_ups=error.follow_ups, steps=error.steps,
            )  # fmt: skip
    failure = Failure(_kind(error), _message(error), traceback)
    final = isinstance(error, GiveUp) or (policy.give_up and isinstance(error, policy.give_up))
    if final or lease.at_most_once or lease.attempt >= policy.retries:
        return dead(lease, failure)
    wait = error.in_ if isinstance(error, Retry) else None
    if wait is None:
        wait = policy.backoff.delay(lease.attempt + 1, chance)
    steps = () if lease.batch is None else (Step(lease.batch, retried=lease.items),)
    return Outcome(lease, Ending.RETRY, delay=wait, failure=failure, steps=steps)


def dead(lease: Lease, failure: Failure) -> Outcome:
    """A dead letter, with the reason."""
    steps = () if lease.batch is None else (Step(lease.batch, failed=lease.items),)
    return Outcome(lease, Ending.DEAD, failure=failure, steps=steps)


def _message(error: BaseException) -> str:
    """The error's own words, as far as it finds any."""
    try:
        text = storable(str(error))
    except Exception as worse:  # noqa: BLE001
        return f"no message: its __str__ raises {type(worse).__name__}"
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]}..."


def _kind(error: BaseException) -> str:
    if isinstance(error, Control):
        return type(error).__name__
    kind = type(error)
    return storable(kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}")
