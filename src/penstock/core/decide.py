"""What becomes of a job that ran: pure decisions, written down by the broker."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from penstock.core.backoff import Backoff
from penstock.core.control import Continue, Control, GiveUp, Retry, Snooze
from penstock.core.handing import NIL
from penstock.core.job import Failure, Lease
from penstock.core.masking import without_passwords
from penstock.core.outcome import Ending, Outcome, Step
from penstock.core.text import storable

DEFAULT_RETRIES = 3
DEFAULT_RESULT_TTL = 24 * 3600.0
DEFAULT_CRASH_LIMIT = 3
DEFAULT_KILL_AFTER = 5.0
_LONGEST_MESSAGE = 10_000
#: Why a job that may not run twice is a dead letter when its worker is gone.
INTERRUPTED = Failure("Interrupted", "its worker died while it held this job, which may not run twice (at_most_once)")


class Terms(msgspec.Struct, frozen=True):
    """What a task's jobs may use, and how those end that used more: all that a supervisor needs to know of a task.

    Parameters:
        retries: attempts after the first one that failed.
        backoff: the wait before each of them.
        result_ttl: seconds for which a return value is kept; None itself is never stored.
        crash_limit: process deaths after which the job becomes a dead letter.
        timeout: seconds after which `TimeLimitExceeded` is raised in the job; None is never.
        kill_after: seconds that it has from then on until its process is killed.
        memory: bytes that the job's process may have while it runs.
        batched: many of its jobs share a call.
        passes: the result is handed on to jobs of the same workflow: None is stored, too.
    """

    retries: int = DEFAULT_RETRIES
    backoff: Backoff = Backoff()
    result_ttl: float = DEFAULT_RESULT_TTL
    crash_limit: int = DEFAULT_CRASH_LIMIT
    timeout: float | None = None
    kill_after: float = DEFAULT_KILL_AFTER
    memory: int | None = None
    batched: bool = False
    passes: bool = False


class Policy(Terms, frozen=True):
    """How a task's jobs end.

    Parameters:
        give_up: exceptions that no retry will mend.
    """

    give_up: tuple[type[BaseException], ...] = ()


AnyTerms = TypeVar("AnyTerms", bound=Terms)


class JobOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one job has otherwise than its task: travels with the job. `due` is when a run of a schedule was due, `expires` by when it is to have
    started, both in epoch seconds.
    """

    retries: int | None = None
    result_ttl: float | None = None
    timeout: float | None = None
    due: float | None = None
    passes: bool | None = None
    expires: float | None = None

    def applied_to(self, terms: AnyTerms) -> AnyTerms:
        """The terms with this job's own values in place."""
        names = ("retries", "result_ttl", "timeout", "passes")
        own = {name: value for name in names if (value := getattr(self, name)) is not None}
        return msgspec.structs.replace(terms, **own)


def succeeded(lease: Lease, policy: Terms, result: bytes | None = None) -> Outcome:
    """The outcome of a job that returned."""
    if lease.batch is None:
        if result is None:
            return Outcome(lease)
        return Outcome(lease, result=result, result_ttl=policy.result_ttl)
    steps = (Step(lease.batch, done=lease.items),)
    if policy.passes:
        kept = NIL if result is None else result
        return Outcome(lease, result=kept, result_ttl=policy.result_ttl, steps=steps, passes=True)
    return Outcome(lease, result=result, result_ttl=policy.result_ttl, steps=steps)


def failed(lease: Lease, policy: Terms, error: BaseException, traceback: str, chance: float) -> Outcome:
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
    give_up = policy.give_up if isinstance(policy, Policy) else ()
    final = isinstance(error, (GiveUp, *give_up))
    if final or lease.at_most_once or lease.attempt >= policy.retries:
        return dead(lease, failure)
    wait = error.in_ if isinstance(error, Retry) else None
    if wait is None:
        wait = policy.backoff.delay(lease.attempt + 1, chance)
    steps = () if lease.batch is None else (Step(lease.batch, retried=lease.items),)
    return Outcome(lease, Ending.RETRY, delay=wait, failure=failure, steps=steps)


def dead(lease: Lease, failure: Failure, crashes: int | None = None) -> Outcome:
    """A dead letter, with the reason.

    Parameters:
        crashes: to count in place of a failed attempt.
    """
    steps = () if lease.batch is None else (Step(lease.batch, failed=lease.items),)
    return Outcome(lease, Ending.DEAD, failure=failure, steps=steps, crashes=crashes)


def expired(lease: Lease, options: JobOptions, now: float) -> Outcome | None:
    """The outcome of a job that is about to start later than it may; None for any other. One that has failed, or whose process died, had started.

    Parameters:
        now: in epoch seconds.
    """
    if options.expires is None or now <= options.expires or lease.attempt or lease.crashes:
        return None
    late = f"it was to start within its time (expires), and its turn came {now - options.expires:,.1f} s later: send it anew"
    return dead(lease, Failure("Expired", late), crashes=0)


def cancelled(lease: Lease) -> Outcome:
    """The outcome of a job that was asked to end as it ran, and did not end well."""
    steps = () if lease.batch is None else (Step(lease.batch, failed=lease.items),)
    return Outcome(lease, Ending.CANCELLED, steps=steps)


def _message(error: BaseException) -> str:
    """The error's own words, as far as it finds any, without the passwords of URLs."""
    try:
        text = without_passwords(storable(str(error)))
    except Exception as worse:  # noqa: BLE001
        return f"no message: its __str__ raises {type(worse).__name__}"
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]}..."


def _kind(error: BaseException) -> str:
    if isinstance(error, Control):
        return type(error).__name__
    kind = type(error)
    return storable(kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}")
