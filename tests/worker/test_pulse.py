"""Whether work moves, and who does not react."""

import os
import signal

import pytest
from yard import Yard, until

from penstock.events.emit import ProcessDeaf, ProcessDied
from penstock.worker import pulse
from penstock.worker.lane import Lane

TASKS = """
@app.task(name="good", queue="default")
def good() -> None:
    note("good")
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mongodb", "redis"])
def test_a_worker_is_ready_when_a_job_of_its_own_has_come_back(
    yard: Yard, kind: str, request: pytest.FixtureRequest
) -> None:
    match kind:
        case "postgresql":
            yard.url = f"{request.getfixturevalue('postgres_server').url()}?schema=pulse"
        case "mongodb":
            yard.url = f"{request.getfixturevalue('mongo_server').url()}&namespace=pulse"
        case "redis":
            yard.url = f"{request.getfixturevalue('redis_server').url()}?namespace=pulse"
    yard.write(TASKS)
    supervisor = yard.start(Lane("yard_app:app", 2), canaries=True)
    assert supervisor.report().trouble == "no process of the lane prefork has come up yet"
    until(lambda: not supervisor.report().trouble, "it is ready")
    with yard.app.inspector() as inspector:
        until(lambda: [worker.trouble for worker in inspector.workers()] == [""], "its heartbeat says so")
        assert [counts.queue for counts in inspector.count()] == []
    supervisor.stop()
    until(lambda: supervisor.report().trouble == "it is stopping", "it stops")


def test_without_canaries_a_job_that_ends_will_do(yard: Yard) -> None:
    yard.write(TASKS)
    supervisor = yard.start(Lane("yard_app:app", 1))
    until(lambda: supervisor.report().trouble == "no job has ended yet, nor one of its own that it sent", "it is up")
    yard.send("good")
    until(lambda: not supervisor.report().trouble, "it is ready")


def test_a_process_that_does_not_react_is_replaced(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "BEARER_SECONDS", 0.5)
    yard.write(TASKS)
    supervisor = yard.start(Lane("yard_app:app", 1), canaries=True)
    until(lambda: not supervisor.report().trouble, "it is ready")
    (child,) = supervisor._crews.children
    # In the midst of its canary it would be one that runs a job.
    until(lambda: child.resting, "it has nothing to do")
    pid = child.pid
    # As a process does whose claim hangs for ever.
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr(pulse, "EVERY", 0.2)
    until(lambda: yard.of(ProcessDeaf), "it is found")
    assert [event.pid for event in yard.of(ProcessDeaf)] == [pid]
    yard.send("good")
    until(yard.notes, "another works")
    assert yard.of(ProcessDied) == []
