"""What becomes of the jobs of a process that died: pure decisions, for a supervisor that loads no user code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from penstock.core.codec import decode_value
from penstock.core.decide import INTERRUPTED, JobOptions, Terms, dead, failed
from penstock.core.job import Failure, Lease
from penstock.core.masking import without_passwords
from penstock.core.outcome import Outcome
from penstock.core.sizes import format_bytes
from penstock.core.text import storable
from penstock.errors import MemoryLimitExceeded, PayloadError, TimeLimitExceeded


class Excess(StrEnum):
    """Why a process was killed for a job."""

    TIME = "time"
    MEMORY = "memory"
    CANCELLED = "cancelled"
    LEFTOVERS = "leftovers"  # over its memory, for what jobs before it had left in the process


class Run(msgspec.Struct, frozen=True):
    """A job that ran when its process died.

    Parameters:
        seconds: for how long it had run.
        excess: what its process was killed for; None where it was not killed for this job.
    """

    id: bytes
    seconds: float
    excess: Excess | None = None


class Death(msgspec.Struct, frozen=True):
    """How a process died.

    Parameters:
        how: in words, to follow "the process".
        peak: the most memory it had, in bytes.
        lines: the last that it logged, or wrote as it crashed.
        runs: the jobs that ran.
        interrupted: its supervisor ended it in order to stop: no job is to blame.
    """

    how: str
    peak: int = 0
    lines: tuple[str, ...] = ()
    runs: tuple[Run, ...] = ()
    interrupted: bool = False


class Verdict(msgspec.Struct, frozen=True):
    """What is to be written: outcomes, and who counts a crash. All else that the process held goes back as it was."""

    outcomes: tuple[Outcome, ...] = ()
    crashed: tuple[bytes, ...] = ()


_BLAMELESS = frozenset({Excess.CANCELLED, Excess.LEFTOVERS})


def judge(death: Death, held: Sequence[Lease], terms: Mapping[str, Terms], chance: float) -> Verdict:
    """Decide about the jobs that a dead process held.

    Who used more than it may has failed. Where nobody did, each job that ran is a suspect, and counts a crash: it runs
    alone from then on, and dies for good at its crash limit. So does each of the jobs whose task was in a call that they
    shared, over a limit or not. A packed row only counts crashes: it is taken apart when it runs again, and each of its
    items is judged by itself.

    Parameters:
        held: its leases.
        terms: of each task, by name; those of a task that is not among them are the defaults.
        chance: a random number in [0, 1) for the jitter of the backoff.
    """
    if death.interrupted:
        return Verdict()
    runs = {run.id: run for run in death.runs}
    killed = any(run.excess for run in death.runs)
    shared = _shared_calls(held, runs, terms)
    outcomes: list[Outcome] = []
    crashed: list[bytes] = []
    for lease in held:
        run = runs.get(lease.id)
        if lease.task in shared and not lease.packed and not lease.crashes:
            if not (killed and shared[lease.task].excess is None) and shared[lease.task].excess not in _BLAMELESS:
                crashed.append(lease.id)
            continue
        if run is None or (killed and run.excess is None) or run.excess in _BLAMELESS:
            # One that was asked to end is cancelled by the store as it goes back.
            continue
        outcome = _outcome(lease, run, death, _terms_of(lease, terms), chance)
        if outcome is None:
            crashed.append(lease.id)
        else:
            outcomes.append(outcome)
    return Verdict(tuple(outcomes), tuple(crashed))


def unseen(death: Death, held: Sequence[Lease]) -> tuple[bytes, ...]:
    """The jobs that a process died of, as far as they were not among its leases: messages have gone back by then.

    Each counts a crash, whether it used more than it may or not: what its task is, nobody knows here.
    """
    if death.interrupted:
        return ()
    seen = {lease.id for lease in held}
    killed = any(run.excess for run in death.runs)
    blamed = (run for run in death.runs if run.excess not in _BLAMELESS and not (killed and run.excess is None))
    return tuple(run.id for run in blamed if run.id not in seen)


def _shared_calls(held: Sequence[Lease], runs: Mapping[bytes, Run], terms: Mapping[str, Terms]) -> dict[str, Run]:
    """The runs that were calls of many jobs together, by task: each of those that it held may be to blame."""
    return {
        lease.task: runs[lease.id]
        for lease in held
        if lease.id in runs and not lease.packed and not lease.crashes and terms.get(lease.task, Terms()).batched
    }


def _outcome(lease: Lease, run: Run, death: Death, terms: Terms, chance: float) -> Outcome | None:
    """How a job ends that its process died of; None when it only counts a crash."""
    if lease.packed:
        return None
    said = without_passwords(storable("\n".join(death.lines)))
    ended = f"after {_shown(run.seconds)} s, with {format_bytes(death.peak)} of memory at most"
    if run.excess is Excess.TIME:
        limit = "no more" if terms.timeout is None else f"{terms.timeout:g} s, and {terms.kill_after:g} s to end"
        return failed(lease, terms, TimeLimitExceeded(f"killed {ended}; it has {limit}"), said, chance)
    if run.excess is Excess.MEMORY and len(death.runs) == 1:
        limit = "" if terms.memory is None else f"; it may have {format_bytes(terms.memory)}"
        return failed(lease, terms, MemoryLimitExceeded(f"killed {ended}{limit}"), said, chance)
    crashes = lease.crashes + 1
    if lease.at_most_once:
        return dead(lease, Failure(INTERRUPTED.kind, f"{INTERRUPTED.message}: it {death.how} {ended}", said))
    if crashes >= terms.crash_limit:
        how = f"the process that ran it died, {crashes} times over; the last {death.how} {ended}"
        return dead(lease, Failure("Crashed", how, said), crashes=1)
    return None


def _shown(seconds: float) -> str:
    return f"{seconds:.2f}" if seconds < 10 else f"{seconds:.0f}"


def _terms_of(lease: Lease, terms: Mapping[str, Terms]) -> Terms:
    own = terms.get(lease.task, Terms())
    if lease.options is None:
        return own
    try:
        options: JobOptions = decode_value(lease.options, JobOptions)
    except PayloadError:
        # The next run says what is wrong with them.
        return own
    return options.applied_to(own)
