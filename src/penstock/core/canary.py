"""A job that does nothing, sent through broker, pool and ending to see whether work moves."""

from __future__ import annotations

from penstock.core.job import NewJob

#: The task of a canary, which every worker knows.
TASK = "penstock.canary"
#: How many queues canaries have. A few, since stores keep a row or two for each queue they have seen; and more than
#: one, so that workers seldom take each other's.
_QUEUES = 16


def queue_of(worker: str) -> str:
    """The queue of a worker's canaries; nobody takes from it unasked.

    Parameters:
        worker: its id, in hexadecimal digits.
    """
    return f"{TASK}:{int(worker, 16) % _QUEUES}"


def is_canary(queue: str) -> bool:
    """Is it a queue of canaries?"""
    return queue.startswith(f"{TASK}:")


def canary(id: bytes, worker: str) -> NewJob:
    """A canary, to be enqueued."""
    return NewJob(id, TASK, b"\x90", queue=queue_of(worker))
