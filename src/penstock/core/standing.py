"""Why a job does not run: what a store tells of it, and the reasons that follow."""

from __future__ import annotations

import msgspec

from penstock.core.ids import format_id
from penstock.core.job import JobRecord
from penstock.core.limiter import OpenGate, opens_at, room
from penstock.core.states import State

#: Jobs before one that are counted, at most.
COUNTED = 10_000
#: Stages that are named, of those that a job waits for.
_NAMED = 5


class GateState(msgspec.Struct, frozen=True):
    """A limit that a job has to pass.

    Parameters:
        name: of the gate: a task's, with a key of its arguments perhaps, or a comma and a queue's.
        running: jobs that passed it and run; told where there is a `concurrency`.
        concurrency: how many may, at most.
        opens_in: seconds until its rate lets the next one start; 0 where it does now.
    """

    name: str
    running: int = 0
    concurrency: int | None = None
    opens_in: float = 0.0

    @property
    def is_full(self) -> bool:
        """Are all places taken?"""
        return self.concurrency is not None and self.running >= self.concurrency


class Awaited(msgspec.Struct, frozen=True):
    """A stage that others wait for, and how many of its jobs have ended."""

    name: str
    ended: int
    total: int


class Standing(msgspec.Struct, frozen=True):
    """Where a job stands that waits.

    Parameters:
        awaits: the stages of its workflow that it waits for; nothing where these have ended.
        ahead: jobs that are ready before it in its queue or, where its task is limited, before the same gate; `COUNTED` + 1 where there are more.
        first: the job of the same key that is ahead of it, where jobs of a key keep their order.
        gates: the limits that it has to pass.
    """

    ahead: int = 0
    first: bytes | None = None
    gates: tuple[GateState, ...] = ()
    awaits: tuple[Awaited, ...] = ()


class Watcher(msgspec.Struct, frozen=True):
    """A worker, as seen from one job.

    Parameters:
        where: its host and process id.
        silent_for: seconds since its last sign of life.
        takes: does it take from the job's queue?
        slots, busy: how many jobs it can run at a time there, and does.
        runs_for: seconds for which it had run the job by its last sign of life; None where it does not run it.
        trouble: why it does no work; nothing where it does.
    """

    id: str
    where: str
    silent_for: float
    takes: bool
    slots: int
    busy: int
    runs_for: float | None = None
    trouble: str = ""


class Facts(msgspec.Struct, frozen=True):
    """All that is known of a job. `first` is the job of the same key that is ahead; `now` is epoch seconds."""

    now: float
    dead_after: float
    record: JobRecord | None = None
    has_result: bool = False
    moved_to: str | None = None
    standing: Standing | None = None
    first: JobRecord | None = None
    workers: tuple[Watcher, ...] = ()


class Reason(msgspec.Struct, frozen=True):
    """One reason: a word for programs, and a sentence for people. `until` is when it ends, in epoch seconds, where that is known."""

    kind: str
    text: str
    until: float | None = None


class Explanation(msgspec.Struct, frozen=True):
    """The state of a job, or None where nothing is known of it, and why it is in it; the first reason is the one to look at."""

    state: State | None
    reasons: tuple[Reason, ...]

    def __str__(self) -> str:
        return "; ".join(reason.text for reason in self.reasons)


def gate_state(name: str, gate: OpenGate, now: float) -> GateState:
    """A gate as it stands; `now` is in epoch seconds, by the store's clock."""
    limit = gate.limit
    passes = limit.every is None or room(msgspec.structs.replace(limit, concurrency=None), gate.paid_until, 0, now) > 0
    opens_in = 0.0 if passes else opens_at(limit, gate.paid_until, now) - now
    return GateState(name, gate.running if limit.concurrency is not None else 0, limit.concurrency, opens_in)


def explain(facts: Facts) -> Explanation:
    """Why a job is where it is."""
    record = facts.record
    if record is None:
        return _gone(facts)
    match record.state:
        case State.DEAD | State.CANCELLED:
            reasons = [_ended(record)]
        case State.RUNNING:
            reasons = [_running(record, facts)]
        case State.PARKED:
            text = f"no worker so far has known its task {record.task}: start one whose app has it"
            reasons = [Reason("parked", text), *_workers(record, facts)]
        case State.WAITING:
            reasons = [_waiting(facts.standing or Standing())]
        case State.DELAYED:
            reasons = [_delayed(record, facts), *_overdue(record, facts)]
        case _:
            reasons = _ready(record, facts)
    return Explanation(record.state, tuple(reasons))


def _waiting(standing: Standing) -> Reason:
    told = [f"{one.name} ({one.ended:,} of {one.total:,} have ended)" for one in standing.awaits[:_NAMED]]
    more = len(standing.awaits) - len(told)
    if more:
        told.append(f"{more:,} more")
    return Reason("workflow", f"it waits for others of its workflow: {', '.join(told) or 'they have ended just now'}")


def _gone(facts: Facts) -> Explanation:
    if facts.moved_to is not None:
        return Explanation(None, (Reason("moved", f"it was moved to {facts.moved_to}: ask there"),))
    if facts.has_result:
        return Explanation(State.DONE, (Reason("done", "it has ended well, and its result is kept"),))
    text = "it is stored nowhere: it ended well and left no result, its result has expired, or it never was here"
    return Explanation(None, (Reason("unknown", text),))


def _ended(record: JobRecord) -> Reason:
    if record.state is State.CANCELLED:
        return Reason("cancelled", "it was cancelled: penstock retry makes it ready again")
    why = "" if record.failure is None else f": {record.failure}"
    return Reason("dead", f"it failed for good{why}: penstock retry makes it ready again")


def _running(record: JobRecord, facts: Facts) -> Reason:
    id, _, process = (record.worker or "").partition("/")
    worker = next((worker for worker in facts.workers if worker.id == id), None)
    if worker is None:
        text = f"worker {id[:8]} holds it, which is not on the list of workers any more: another gets it soon"
        return Reason("worker_lost", text)
    left = facts.dead_after - worker.silent_for
    at = f"worker {id[:8]} ({worker.where}), process {process}"
    if left <= 0:
        text = f"{at} holds it, and has been silent for {worker.silent_for:.1f} s: the next live worker gives it to another"
        return Reason("worker_silent", text)
    if worker.silent_for > facts.dead_after / 2:
        text = f"{at} holds it, and has been silent for {worker.silent_for:.1f} s: unless it gives a sign of life, it is rescued in {left:.1f} s"
        return Reason("worker_silent", text, facts.now + left)
    if worker.runs_for is None:
        return Reason("held", f"{at} holds it, and starts it when one of those before it has ended")
    return Reason("running", f"it has run for {worker.runs_for + worker.silent_for:.1f} s, at {at}")


def _delayed(record: JobRecord, facts: Facts) -> Reason:
    due = facts.now if record.run_at is None else record.run_at
    wait = f"in {due - facts.now:,.1f} s" if due > facts.now else f"{facts.now - due:,.1f} s ago"
    if record.attempt and record.failure is not None:
        return Reason("retry", f"attempt {record.attempt} failed ({record.failure}), and the next is due {wait}", due)
    return Reason("delayed", f"it is due {wait}", due)


def _overdue(record: JobRecord, facts: Facts) -> list[Reason]:
    """A job that is due is made ready by any worker that lives."""
    if record.run_at is not None and record.run_at > facts.now:
        return []
    if not any(worker.silent_for < facts.dead_after for worker in facts.workers):
        return [Reason("no_worker", "no worker lives that would make it ready: start one")]
    return []


def _ready(record: JobRecord, facts: Facts) -> list[Reason]:
    standing = facts.standing or Standing()
    reasons = _workers(record, facts)
    first = facts.first
    if first is not None and first.id != record.id:
        held = f"{format_id(first.id)} is ahead of it in the order of their key, and is {first.state.value}"
        reasons.append(Reason("order", held, first.run_at))
    for gate in standing.gates:
        whose = f"queue {gate.name[1:]}" if gate.name.startswith(",") else gate.name
        if gate.is_full:
            reasons.append(
                Reason("concurrency", f"{gate.running} of {gate.concurrency} jobs run that {whose} may have at a time")
            )
        if gate.opens_in > 0:
            text = f"the rate of {whose} lets the next job start in {gate.opens_in:,.2f} s"
            reasons.append(Reason("rate", text, facts.now + gate.opens_in))
    if standing.ahead:
        many = (
            f"more than {COUNTED:,} jobs are"
            if standing.ahead > COUNTED
            else f"{standing.ahead:,} job{'s are' if standing.ahead > 1 else ' is'}"
        )
        where = (
            f"queue {record.queue}" if record.gate is None else f"queue {record.queue}, at {record.gate.lstrip('=')}"
        )
        reasons.append(Reason("ahead", f"{many} before it in {where}"))
    takers = [worker for worker in facts.workers if worker.takes and worker.silent_for < facts.dead_after]
    if takers and all(worker.busy >= worker.slots for worker in takers):
        reasons.append(
            Reason(
                "busy",
                f"all {sum(worker.slots for worker in takers):,} slots of the workers that take from {record.queue} are busy",
            )
        )
    return reasons or [Reason("next", "nothing holds it up: it is the next one, and about to start")]


def _workers(record: JobRecord, facts: Facts) -> list[Reason]:
    """What is wrong with those that would run it."""
    live = [worker for worker in facts.workers if worker.takes and worker.silent_for < facts.dead_after]
    if not live:
        return [Reason("no_worker", f"no live worker takes from queue {record.queue}: start one that does")]
    return [
        Reason("trouble", f"worker {worker.id[:8]} ({worker.where}) is not ready: {worker.trouble}")
        for worker in live
        if worker.trouble
    ]
