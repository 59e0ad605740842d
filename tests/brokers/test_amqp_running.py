"""Messages that run for long: they are listed, and can be cancelled, as jobs of other stores are."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from penstock import Penstock
from penstock.brokers.amqp.broker import AmqpBroker
from penstock.brokers.base import WorkerInfo
from penstock.brokers.inspect import RunningJob, Selection
from penstock.core.job import Failure, Holder, Lease
from penstock.core.outcome import AGAIN, Ending, Outcome
from penstock.core.states import State
from penstock.errors import JobCancelled, StoreUnavailable
from penstock.testing.contract.harness import ids, job, jobs

HOLDER = Holder("w", 3)
PATIENCE = 60.0
APP = """
import os
from penstock import Penstock

app = Penstock(os.environ["RUNNING_URL"])

@app.task(name="hold", kill_after=5)
def hold(gate: str) -> str:
    with open(gate) as pipe:
        return pipe.read()
"""


@pytest.fixture
def process(open_rabbit: Callable[[], AmqpBroker]) -> AmqpBroker:
    """The connection of a worker's process."""
    return open_rabbit()


@pytest.fixture
def upkeep(open_rabbit: Callable[[], AmqpBroker]) -> AmqpBroker:
    """The connection of its supervisor."""
    return open_rabbit()


@pytest.fixture
def other(open_rabbit: Callable[[], AmqpBroker]) -> AmqpBroker:
    """Who looks and cancels."""
    return open_rabbit()


def take(process: AmqpBroker, upkeep: AmqpBroker, limit: int = 100) -> list[Lease]:
    """Take what there is, and run it for long."""
    leases = process.exchange((), ["default"], limit, HOLDER).leases
    assert process.show(leases, HOLDER) == len(leases)
    beat(upkeep, ids(leases))
    return leases


def beat(upkeep: AmqpBroker, running: list[bytes]) -> None:
    told = tuple(RunningJob(id, 2.0) for id in running)
    upkeep.heartbeat(WorkerInfo("w", "host", 1, "prefork", 4, ("default",), time.time(), told))


def cancel(store: AmqpBroker, *sent: bytes) -> int:
    return store.inspector().cancel(Selection(ids=sent))


def state(store: AmqpBroker, id: bytes) -> State | None:
    record = store.inspector().get(id)
    return None if record is None else record.state


def test_what_runs_is_listed_and_found(process: AmqpBroker, upkeep: AmqpBroker, other: AmqpBroker) -> None:
    sent = [*jobs(2, task="a", attempt=1), job(task="b", priority=9)]
    process.enqueue(sent)
    take(process, upkeep)
    inspector = other.inspector()
    listed = inspector.list(Selection(state=State.RUNNING))
    assert ids(listed) == sorted(ids(sent))
    assert [(one.task, one.priority, one.attempt, one.payload, one.worker) for one in listed] == [
        ("a", 5, 1, b"payload", "w"), ("a", 5, 1, b"payload", "w"), ("b", 9, 0, b"payload", "w"),
    ]  # fmt: skip
    assert ids(inspector.list(Selection(task="a"), limit=1)) == ids(sent[:1])
    assert ids(inspector.list(Selection(task="a"), after=sent[0].id)) == ids(sent[1:2])
    assert inspector.list(Selection(queue="mail")) == inspector.list(Selection(state=State.DEAD)) == []
    assert inspector.get(sent[2].id) == listed[2]
    assert [(one.queue, one.ready, one.running) for one in inspector.count()] == [("default", 0, 3)]


def test_what_has_ended_is_not(process: AmqpBroker, upkeep: AmqpBroker, other: AmqpBroker) -> None:
    process.enqueue(jobs(2))
    done, goes_on = take(process, upkeep)
    process.exchange([Outcome(done)], (), 0, HOLDER)
    assert ids(other.inspector().list(Selection())) == [goes_on.id]
    # Ended between two heartbeats, it may be told of for a moment and is nobody's.
    process.close()
    beat(upkeep, [])
    assert other.inspector().list(Selection()) == []
    assert state(other, goes_on.id) is None


def test_only_what_is_held_is_told_of(process: AmqpBroker, upkeep: AmqpBroker, other: AmqpBroker) -> None:
    process.enqueue([job(), job(unique="k")])
    leases = process.exchange((), ["default"], 10, HOLDER).leases
    (message,) = [lease for lease in leases if lease.key == -1]
    process.exchange([Outcome(message)], (), 0, HOLDER)
    assert process.show(leases, HOLDER) == 0
    beat(upkeep, ids(leases))
    # The other is the backend's, which has it once.
    assert ids(other.inspector().list(Selection())) == [lease.id for lease in leases if lease is not message]


def test_a_worker_learns_what_is_to_be_cancelled(process: AmqpBroker, upkeep: AmqpBroker, other: AmqpBroker) -> None:
    process.enqueue(jobs(3))
    first, second, third = take(process, upkeep)
    assert upkeep.cancelled("w") == upkeep.held(HOLDER) == []
    assert cancel(other, first.id, third.id) == 2
    assert sorted(upkeep.cancelled("w")) == sorted([(3, first.id), (3, third.id)])
    assert {(one.id, one.task, one.claim) for one in upkeep.held(HOLDER)} == {
        (one.id, one.task, one.claim) for one in (first, third)
    }
    assert upkeep.held(Holder("w", 2)) == []
    process.exchange([Outcome(first, Ending.CANCELLED), Outcome(second)], (), 0, HOLDER)
    beat(upkeep, [third.id])
    assert upkeep.cancelled("w") == [(3, third.id)]
    assert state(other, first.id) is State.CANCELLED
    assert cancel(other, first.id, second.id) == 0


def test_who_hears_of_a_job_after_its_mark_finds_it(
    process: AmqpBroker, upkeep: AmqpBroker, open_rabbit: Callable[[], AmqpBroker]
) -> None:
    process.enqueue(jobs(1))
    (lease,) = take(process, upkeep)
    cancel(open_rabbit(), lease.id)
    upkeep.close()
    anew = open_rabbit()
    assert anew.cancelled("w") == []
    beat(anew, [lease.id])
    assert anew.cancelled("w") == [(3, lease.id)]


@pytest.mark.parametrize("ending", sorted(AGAIN))
def test_what_would_run_again_is_cancelled(
    process: AmqpBroker, upkeep: AmqpBroker, other: AmqpBroker, ending: Ending
) -> None:
    process.enqueue(jobs(2))
    marked, free = take(process, upkeep)
    cancel(other, marked.id)
    outcomes = [Outcome(each, ending, delay=9.0, failure=Failure("E", "m")) for each in (marked, free)]
    assert process.exchange(outcomes, (), 0, HOLDER).stale == []
    assert state(other, marked.id) is State.CANCELLED
    assert state(other, free.id) is not State.CANCELLED
    # The mark is gone with it: it may be retried.
    assert other.inspector().retry(Selection(ids=(marked.id,))) == 1
    assert marked.id in ids(process.exchange((), ["default"], 10, HOLDER).leases)


def test_a_mark_survives_the_worker(process: AmqpBroker, upkeep: AmqpBroker, other: AmqpBroker) -> None:
    process.enqueue(jobs(2))
    marked, free = take(process, upkeep)
    cancel(other, marked.id)
    process.close()
    deadline = time.monotonic() + PATIENCE
    while not (leases := other.exchange((), ["default"], 10, Holder("v")).leases):
        assert time.monotonic() < deadline
    assert ids(leases) == [free.id]
    assert state(other, marked.id) is State.CANCELLED


def test_the_end_of_a_job_does_not_wait_for_a_backend_that_is_away(
    process: AmqpBroker, upkeep: AmqpBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    process.enqueue(jobs(1))
    (lease,) = take(process, upkeep)

    def away() -> None:
        raise StoreUnavailable("the backend restarts: try again")

    with monkeypatch.context() as patch:
        patch.setattr(process._keeper.open(), "memos", away)
        assert process.exchange([Outcome(lease)], (), 0, HOLDER).stale == []
    assert process.depth("default") == 0


def test_a_worker_ends_a_job_that_is_cancelled(rabbit_url: str, tmp_path: Path) -> None:
    """Takes three seconds: a job is told of when it has run for one, and a worker tells every two."""
    (tmp_path / "held.py").write_text(APP)
    os.mkfifo(tmp_path / "gate")
    environment = {**os.environ, "RUNNING_URL": rabbit_url, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    command = [sys.executable, "-m", "penstock", "worker", "held:app", "-c", "1"]
    with closing(Penstock(rabbit_url)) as app, subprocess.Popen(command, cwd=tmp_path, env=environment) as worker:
        try:
            job = app.task(name="hold")(_hold).delay(str(tmp_path / "gate"))
            # It is open on both sides when the job runs.
            with open(tmp_path / "gate", "w"):
                with app.client.broker() as broker:
                    deadline, pause = time.monotonic() + PATIENCE, threading.Event()
                    while not broker.inspector().list(Selection(state=State.RUNNING)):
                        assert time.monotonic() < deadline
                        pause.wait(0.1)
                assert job.state() is State.RUNNING
                assert job.cancel()
                with pytest.raises(JobCancelled):
                    job.result(timeout=PATIENCE)
        finally:
            worker.terminate()
            worker.wait(20)


def _hold(gate: str) -> str:
    """Stands for the task of that name that the worker runs."""
    return gate
