"""What a store and its workers tell of one job: all that an explanation of where it is needs."""

from __future__ import annotations

from penstock.brokers.inspect import Inspector, WorkerRecord
from penstock.core.job import JobRecord
from penstock.core.standing import Facts, Watcher
from penstock.core.states import State
from penstock.worker.upkeep import DEAD_AFTER


def facts_of(inspector: Inspector, id: bytes, now: float) -> Facts:
    """Ask for all of it.

    Parameters:
        now: in epoch seconds.
    """
    record = inspector.get(id)
    if record is None:
        has_result = inspector.result(id) is not None
        return Facts(now, DEAD_AFTER, has_result=has_result, moved_to=None if has_result else inspector.moved_to(id))
    standing = inspector.standing(id) if record.state in (State.READY, State.WAITING) else None
    first = None if standing is None or standing.first is None else inspector.get(standing.first)
    workers = tuple(_watcher(worker, record) for worker in inspector.workers())
    return Facts(now, DEAD_AFTER, record, standing=standing, first=first, workers=workers)


def _watcher(worker: WorkerRecord, record: JobRecord) -> Watcher:
    lanes = [lane for lane in worker.lanes if record.queue in lane.queues]
    return Watcher(
        worker.id,
        f"{worker.host}:{worker.pid}",
        worker.silent_for,
        record.queue in worker.queues,
        sum(lane.processes * lane.slots for lane in lanes) if worker.lanes else worker.slots,
        sum(lane.busy for lane in lanes) if worker.lanes else len(worker.jobs),
        next((job.seconds for job in worker.jobs if job.id == record.id), None),
        worker.trouble or "",
    )
