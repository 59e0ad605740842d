"""Events as log lines; the only place in Penstock that logs."""

from __future__ import annotations

import logging
from collections.abc import Callable

from penstock.core.ids import format_id
from penstock.core.masking import without_passwords
from penstock.core.outcome import Ending
from penstock.core.sizes import format_bytes
from penstock.core.text import shown, shown_lines
from penstock.events.emit import (
    Emitter,
    Event,
    JobEnded,
    LaneResized,
    ListenerDeaf,
    ProcessDeaf,
    ProcessDied,
    ProcessKilled,
    ProcessRecycled,
    ProcessRefused,
    Rescued,
    ScheduleTrouble,
    StoreBack,
    StoreTrouble,
    WorkerStarted,
    WorkerStopped,
    WorkerStopping,
)

_log = logging.getLogger("penstock")
_EXCESSES = {
    "time": "over its time",
    "memory": "over its memory",
    "cancelled": "cancelled",
    "leftovers": "memory left by others",
}


def log_events(emitter: Emitter) -> None:
    """Log what an emitter emits, to the logger `penstock`."""
    for kind, listener in _LINES.items():
        emitter.subscribe(kind, listener)


def configure(verbose: bool) -> None:
    """Log to standard error, for programs whose main module is Penstock's own."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S")
    # When it can't clear up behind a connection that was lost it says so with fifty lines of its own code. The server clears up by itself, and the loss is told of here.
    logging.getLogger("pymongo.client").setLevel(logging.CRITICAL)
    if verbose:
        # Ours alone: a database's driver tells of every command.
        _log.setLevel(logging.DEBUG)


def _job_ended(event: Event) -> None:
    assert isinstance(event, JobEnded)
    outcome, took = event.outcome, f"{event.seconds * 1000:.1f} ms"
    lease = outcome.lease
    job = f"{shown(lease.task)} {format_id(lease.id)}{f' and {event.alike:,} more' if event.alike else ''}"
    failure = "" if outcome.failure is None else shown(str(outcome.failure))
    items = f" ({lease.items} items, {len(outcome.follow_ups)} failed)" if lease.packed else ""
    match outcome.ending:
        case Ending.DONE:
            # Of a single job they are what it added to its workflow.
            failed = lease.packed and outcome.follow_ups
            _log.log(logging.WARNING if failed else logging.DEBUG, "done     %s in %s%s", job, took, items)
        case Ending.RETRY:
            _log.warning("retry    %s in %.1f s, after attempt %d: %s", job, outcome.delay, lease.attempt + 1, failure)
        case Ending.DEAD:
            if outcome.crashes is None:
                _log.error("dead     %s after attempt %d: %s", job, lease.attempt + 1, failure)
            else:
                _log.error("dead     %s after %d crashes: %s", job, lease.crashes + outcome.crashes, failure)
            if outcome.failure is not None and outcome.failure.traceback:
                _log.error("%s", shown_lines(outcome.failure.traceback))
        case Ending.SNOOZE if outcome.failure is not None:
            _log.warning("waits    %s, for %.1f s at first: %s", job, outcome.delay, failure)
        case Ending.PARKED:
            _log.warning("parked   %s: no task of that name here", job)
        case _:
            _log.debug("%-8s %s", outcome.ending.name.lower(), job)


def _started(event: Event) -> None:
    assert isinstance(event, WorkerStarted)
    _log.info(
        "worker %s takes %s from %s: %s",
        event.worker[:8], ", ".join(event.queues), event.url, "; ".join(event.lanes),
    )  # fmt: skip


def _stopping(event: Event) -> None:
    assert isinstance(event, WorkerStopping)
    _log.info("stopping: %s", event.how)


def _stopped(event: Event) -> None:
    assert isinstance(event, WorkerStopped)
    _log.info("stopped")


def _died(event: Event) -> None:
    assert isinstance(event, ProcessDied)
    running = ", ".join(format_id(id) for id in event.crashed) or "nothing"
    _log.error(
        "process %d %s while it ran %s; the next one starts in %.1f s", event.pid, event.how, running, event.again_in
    )
    if event.words:
        _log.error("%s", shown_lines(without_passwords(event.words.rstrip())))


def _refused(event: Event) -> None:
    assert isinstance(event, ProcessRefused)
    _log.error(
        "no process could be started: %s; it is tried again in %.1f s", without_passwords(event.reason), event.again_in
    )


def _killed(event: Event) -> None:
    assert isinstance(event, ProcessKilled)
    jobs = ", ".join(f"{format_id(id)} ({_EXCESSES.get(excess, excess)})" for id, excess in event.excess.items())
    _log.warning("killed process %d for what it ran: %s", event.pid, jobs)


def _recycled(event: Event) -> None:
    assert isinstance(event, ProcessRecycled)
    _log.info("process %d has %s of memory: another takes its place", event.pid, format_bytes(event.memory))


def _resized(event: Event) -> None:
    assert isinstance(event, LaneResized)
    _log.info(
        "%s: now %d processes of %d slots; %s",
        shown(", ".join(event.queues), 60),
        event.processes,
        event.slots,
        event.why,
    )


def _deaf_process(event: Event) -> None:
    assert isinstance(event, ProcessDeaf)
    _log.error("killed process %d: it took no work, and ran none; another takes its place", event.pid)


def _deaf_listener(event: Event) -> None:
    assert isinstance(event, ListenerDeaf)
    if event.lasting:
        _log.error(
            "this worker still does not hear of new work, and looks for it about once a second: where a pooler such as PgBouncer "
            "is in between, give it a URL that leads past that"
        )
    else:
        _log.error("this worker did not hear of new work: it has connected to the store anew")


def _rescued(event: Event) -> None:
    assert isinstance(event, Rescued)
    _log.warning("gave back %d jobs of workers that are dead", event.jobs)


def _schedule_trouble(event: Event) -> None:
    assert isinstance(event, ScheduleTrouble)
    _log.error("schedule %s does not run: %s", shown(event.name, 60), shown(without_passwords(event.reason)))


def _trouble(event: Event) -> None:
    assert isinstance(event, StoreTrouble)
    _log.error("%s", without_passwords(event.reason))


def _back(event: Event) -> None:
    _log.info("the store answers again")


_LINES: dict[type[Event], Callable[[Event], None]] = {
    JobEnded: _job_ended,
    WorkerStarted: _started,
    WorkerStopping: _stopping,
    WorkerStopped: _stopped,
    ProcessDied: _died,
    ProcessRefused: _refused,
    ProcessKilled: _killed,
    ProcessRecycled: _recycled,
    LaneResized: _resized,
    ProcessDeaf: _deaf_process,
    ListenerDeaf: _deaf_listener,
    Rescued: _rescued,
    ScheduleTrouble: _schedule_trouble,
    StoreTrouble: _trouble,
    StoreBack: _back,
}
