"""What a worker has counted, from all its processes."""

import os
import time

from penstock.brokers.base import Backlog
from penstock.core.job import Lease
from penstock.core.metrics import COARSE, FINE
from penstock.core.outcome import Ending, Outcome
from penstock.events.emit import Emitter, JobEnded, ProcessDied, ProcessKilled, StoreBack, StoreTrouble
from penstock.worker.board import Board
from penstock.worker.crews import Crews
from penstock.worker.lane import Lane
from penstock.worker.meters import Meters


class Someone:
    """As much of a process as its figures need."""

    lane = 0
    pid = os.getpid()
    booted = True
    resting = leaving = False
    booted_at = 0.0
    slots = 1

    def __init__(self, number: int) -> None:
        self.number = number
        self.board = Board.create(1)


def setup() -> tuple[Crews, Emitter, Meters]:
    crews, emitter = Crews([Lane("app:app", 2)]), Emitter()
    return crews, emitter, Meters(crews, emitter)


def test_processes_add_up_also_those_that_are_gone() -> None:
    crews, _, meters = setup()
    first, second = Someone(1), Someone(2)
    crews.add(first)
    crews.add(second)
    first.board.counters.count("app.task", "q", 0, 3)
    second.board.counters.count("app.task", "q", 0, 4)
    first.board.counters.cached("c", (1, 1, 0), (5, 50))
    second.board.counters.cached("c", (1, 1, 0), (5, 50))
    assert meters.total().count("done") == 7
    assert meters.total().caches[0].items == 10
    crews.remove(first)
    assert meters.total().count("done") == 7
    (cache,) = meters.total().caches
    assert (cache.hits, cache.items) == (2, 5)
    crews.remove(second)
    assert meters.total().count("done") == 7


def test_what_the_supervisor_sees_itself_counts_as_well() -> None:
    _, emitter, meters = setup()
    lease = Lease(b"1" * 16, 1, 1, "app.task", b"", "q")
    emitter.emit(JobEnded(Outcome(lease, Ending.DEAD), 1.0))
    emitter.emit(JobEnded(Outcome(lease, Ending.RETRY), 1.0))
    emitter.emit(ProcessDied(7, "was killed", (lease.id,), 0.0))
    emitter.emit(ProcessKilled(7, {}))
    emitter.emit(StoreTrouble("away"))
    emitter.emit(StoreBack())
    total = meters.total()
    assert (total.count("dead"), total.count("retried")) == (1, 1)
    assert (total.deaths, total.kills, total.troubles) == (1, 1, 1)


def test_a_point_has_what_came_since_the_last_that_the_store_has() -> None:
    crews, _, meters = setup()
    child = Someone(1)
    crews.add(child)
    child.board.counters.count("app.task", "q", 0, 3)
    start = time.monotonic()
    number, point = meters.point(FINE, start + 10)
    assert (number, point.figures.count("done"), point.processes, point.slots) == (1, 3, 1, 1)
    assert 9.9 < point.seconds <= 10.1
    child.board.counters.count("app.task", "q", 0, 1)
    # It was not stored: the same number again, with all of it.
    number, point = meters.point(FINE, start + 20)
    assert (number, point.figures.count("done")) == (1, 4)
    child.board.counters.count("app.task", "q", 0, 5)
    meters.stored(FINE, start + 20)
    number, point = meters.point(FINE, start + 30)
    assert (number, point.figures.count("done"), round(point.seconds)) == (2, 5, 10)
    number, point = meters.point(COARSE, start + 60)
    assert (number, point.figures.count("done"), round(point.seconds)) == (1, 9, 60)
    crews.remove(child)


def test_a_point_is_due_when_its_time_has_passed() -> None:
    _, _, meters = setup()
    start = time.monotonic()
    assert not meters.is_due(FINE, start + 9)
    assert meters.is_due(FINE, start + 10)
    assert not meters.is_due(COARSE, start + 59)


def test_queues_are_told_of_as_they_were_seen_last() -> None:
    _, _, meters = setup()
    meters.saw("q", Backlog(10, 2.0))
    meters.saw("q", Backlog(7, 0.0))
    (queue,) = meters.total().queues
    assert (queue.name, queue.ready, queue.waits.count, queue.waits.total) == ("q", 7, 2, 2.0)


def test_memory_is_that_of_all_processes() -> None:
    crews, _, meters = setup()
    alone = meters.memory()
    crews.add(Someone(1))
    assert meters.memory() >= 1.9 * alone > 0
