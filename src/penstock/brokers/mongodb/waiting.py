"""Jobs that wait for their stage to start, as documents, and what becomes of them: pure.

Such a job has the name of its stage's turn in `waits`: a stage that was cancelled and waits again does so in another turn, so whoever comes too late with what
he was to do in the one before finds nothing to do. `takes` says that it is yet to be handed results, `fate` in which turn it was cancelled with its stage.
"""

from __future__ import annotations

from typing import Any

from penstock.brokers.mongodb.documents import Update, document, encoded, to_the_back
from penstock.core.handing import takes_results
from penstock.core.job import Failure, NewJob
from penstock.core.states import State
from penstock.core.workflow import CALLED_OFF

#: The states of jobs that have ended and are kept.
ENDED = [State.DEAD.value, State.CANCELLED.value]


def turn(stage: bytes, number: int) -> str:
    """The name of a turn of a stage."""
    return f"{stage.hex()}/{number}"


def waiting(job: NewJob, stage: bytes, now: float) -> dict[str, Any]:
    """A job as it is stored that waits for the first turn of its stage.

    Raises:
        StoreError: it is larger than a document may be.
    """
    stored = document(job, 0, now)
    for name in ("place", "due", "turn"):
        stored.pop(name, None)
    stored.update(state=State.WAITING.value, waits=turn(stage, 0))
    if job.run_at is not None:
        stored["then"] = job.run_at
    elif job.delay:
        stored["delay"] = job.delay
    if takes_results(job.payload):
        stored["takes"] = True
    return stored


def begun(place: int, now: float) -> Update:
    """Make jobs ready whose stage starts, or delayed from now on.

    Parameters:
        place: their number in the order of arrival; jobs of one number come in the order of their ids.
    """
    delayed = {"$gt": ["$due", now]}
    moved = to_the_back(place, now)
    assert isinstance(moved, list)
    return [
        *moved,
        {"$set": {"due": {"$ifNull": ["$then", {"$add": [now, "$delay"]}]}}},
        {
            "$set": {
                "state": {"$cond": [delayed, State.DELAYED.value, State.READY.value]},
                "place": {"$cond": [delayed, "$$REMOVE", "$place"]},
                "turn": {"$cond": [delayed, "$$REMOVE", "$turn"]},
                "due": {"$cond": [delayed, "$due", "$$REMOVE"]},
            }
        },
        {"$unset": ["waits", "then", "delay"]},
    ]


def called_off(reason: str, its_turn: str, now: float) -> Update:
    """Cancel jobs with their stage."""
    failure = encoded(Failure(CALLED_OFF, reason))
    ended = {"state": State.CANCELLED.value, "ended": now, "failure": failure, "fate": its_turn}
    return {"$set": ended, "$unset": {"waits": 1}}


def again(its_turn: str) -> Update:
    """Have jobs that ended wait."""
    fresh = {"state": State.WAITING.value, "waits": its_turn, "attempt": 0, "crashes": 0}
    return {"$set": fresh, "$unset": {"ended": 1, "failure": 1, "fate": 1}}
