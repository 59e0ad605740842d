"""TERM: what runs may finish, the rest goes back, and no attempt is burned."""

import signal
import time

import pytest
from oracle import FULL, KINDS_AND_RABBITMQ, World, until

from penstock.errors import JobFailed

STOPS = 20
JOBS = 8_000 if FULL else 4_000


@pytest.mark.parametrize("pool", ["prefork", "threads", "gevent", "asyncio"] if FULL else ["prefork"])
@pytest.mark.parametrize("world", KINDS_AND_RABBITMQ, indirect=True)
def test_20_stops_in_a_row_lose_nothing_and_burn_nothing(world: World, pool: str) -> None:
    short, item = world.app.tasks["short"], world.app.tasks["item"]
    short.delay_many([(number, 2000) for number in range(JOBS)])
    item.map(range(JOBS, 2 * JOBS))
    for _ in range(STOPS):
        before = len(world.notes())
        worker = world.start(grace=10, pool=pool, slots=1 if pool == "prefork" else 4)
        world.wait_for_runs(before)
        began = time.monotonic()
        assert worker.stop() == 0
        assert time.monotonic() - began < 5
        assert world.counts().running == 0
    assert world.start(burst=True).process.wait(120) == 0
    runs = world.runs()
    assert set(runs) == set(range(2 * JOBS))
    assert [number for number, notes in runs.items() if len(notes) > 1] == []
    assert {note.attempt for note in world.notes()} == {1}
    assert world.notes("died") == []
    assert world.counts().dead == 0


def test_a_running_job_may_finish_within_the_grace(world: World) -> None:
    gate = world.folder / "gate"
    world.app.tasks["held"].delay(0, str(gate))
    worker = world.start()
    until(lambda: len(world.notes("start")) == 1, 20, "the job runs")
    worker.process.terminate()
    until(lambda: len(worker.children()) == 1, 10, "the idle process has left")
    gate.touch()
    assert worker.process.wait(10) == 0
    assert [note.number for note in world.notes()] == [0]
    assert world.live() == 0


def test_after_the_grace_it_goes_back_with_no_attempt_burned(world: World) -> None:
    gate = world.folder / "gate"
    job = world.app.tasks["held"].delay(0, str(gate))
    worker = world.start(grace=0.2)
    until(lambda: len(world.notes("start")) == 1, 20, "the job runs")
    assert worker.stop() == 0
    with world.app.inspector() as inspector:
        record = inspector.get(job.key)
    assert record is not None
    assert (record.state, record.attempt, record.crashes) == ("ready", 0, 0)


def test_a_second_signal_gives_back_at_once_with_no_attempt_burned(world: World) -> None:
    gate = world.folder / "gate"
    held, deaf = world.app.tasks["held"].delay(0, str(gate)), world.app.tasks["deaf"].delay(1)
    worker = world.start(grace=60)
    until(lambda: len(world.notes("start")) == 2, 20, "both run")
    worker.process.terminate()
    began = time.monotonic()
    # Another signal: two of the same may be one, when they come before the first was handled.
    worker.process.send_signal(signal.SIGINT)
    assert worker.process.wait(30) == 0
    # One of them holds the GIL, and can't even be told.
    assert time.monotonic() - began < 5
    with world.app.inspector() as inspector:
        for job in (held, deaf):
            record = inspector.get(job.key)
            assert record is not None
            assert (record.state, record.attempt, record.crashes) == ("ready", 0, 0)


def test_after_the_grace_what_may_run_once_only_does_not_go_back(world: World) -> None:
    job = world.app.tasks["once"].delay(0, str(world.folder / "never"))
    worker = world.start(grace=0.2)
    until(lambda: len(world.notes("start")) == 1, 20, "the job runs")
    assert worker.stop() == 0
    with pytest.raises(JobFailed, match="Interrupted"):
        job.result(0)


def test_a_stop_before_the_processes_are_up_does_not_wait_for_the_grace(world: World) -> None:
    world.app.tasks["short"].delay(0)
    worker = world.start(processes=4, grace=60)
    until(lambda: len(worker.children()) >= 1, 20, "a process is starting")
    assert worker.stop(10) == 0
    assert world.counts().running == 0
