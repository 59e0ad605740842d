"""Writing what a worker has counted."""

import os
import signal
import time
from collections.abc import Iterator

import pytest
from yard import Yard, until

from penstock.brokers import connect
from penstock.brokers.base import COUNTED, Broker
from penstock.client import new_ids
from penstock.core.job import NewJob
from penstock.core.metrics import COARSE, FINE, Sample
from penstock.events.emit import Emitter, ProcessDied
from penstock.worker.crews import Crews
from penstock.worker.lane import Lane
from penstock.worker.meters import Meters
from penstock.worker.recorder import Recorder


@pytest.fixture
def broker(queue_url: str) -> Iterator[Broker]:
    broker = connect(queue_url)
    broker.open()
    yield broker
    broker.close()


def recorder(*queues: str) -> tuple[Recorder, Meters]:
    meters = Meters(Crews([Lane("app:app", 1)]), Emitter())
    return Recorder("ab12", queues, meters), meters


def test_queues_are_looked_at_in_turns(broker: Broker) -> None:
    names = [f"q{number}" for number in range(10)]
    broker.enqueue([NewJob(id, "app.task", b"", queue="q0") for id in new_ids(3)])
    ours, meters = recorder(*names)
    now = time.monotonic()
    ours.round(broker, now=now)
    assert [(queue.name, queue.ready) for queue in meters.total().queues] == [
        ("q0", 3), *((name, 0) for name in names[1:8])
    ]  # fmt: skip
    ours.round(broker, now=now + 1.0)
    assert len(meters.total().queues) == 8
    ours.round(broker, now=now + 2.0)
    assert sorted(queue.name for queue in meters.total().queues) == names


def test_a_deep_queue_is_counted_to_its_end(broker: Broker) -> None:
    count = COUNTED + 5
    broker.enqueue([NewJob(id, "app.task", b"") for id in new_ids(count)])
    ours, meters = recorder("default")
    now = time.monotonic()
    ours.round(broker, now=now)
    assert meters.total().queues[0].ready == count
    broker.purge("default")
    ours.round(broker, now=now + 2)
    assert meters.total().queues[0].ready == 0


def test_points_are_written_when_they_are_due_and_at_the_end(broker: Broker) -> None:
    ours, _ = recorder("default")
    now = time.monotonic()

    def written(span: int) -> int:
        return len(broker.inspector().metrics(0.0, span=span))

    for after, fine, coarse in [(0, 0, 0), (11, 1, 0), (14, 1, 0), (22, 2, 0), (61, 3, 1)]:
        ours.round(broker, now=now + after)
        assert (written(FINE), written(COARSE)) == (fine, coarse)
    ours.round(broker, now=now + 62, last=True)
    assert (written(FINE), written(COARSE)) == (4, 2)


def test_what_could_not_be_written_goes_with_the_next(broker: Broker, queue_url: str) -> None:
    ours, _ = recorder("default")
    now = time.monotonic()
    away = connect(queue_url)
    ours.round(away, now=now + 11)
    ours.round(broker, now=now + 25)
    (sample,) = broker.inspector().metrics(0.0)
    assert round(sample.point.seconds) == 25


def samples(yard: Yard, span: int = FINE) -> list[Sample]:
    with yard.app.inspector() as inspector:
        return list(inspector.metrics(0.0, span=span))


TASKS = """
from penstock import Cache
names = Cache(str.upper, name="names")

@app.task(name="good", retries=1, backoff=0.01)
def good(name: str) -> None:
    names.get(name)
    if name == "bad":
        raise ValueError(name)
    note(name)
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mongodb"])
def test_a_worker_leaves_its_figures_behind(yard: Yard, kind: str, request: pytest.FixtureRequest) -> None:
    match kind:
        case "postgresql":
            yard.url = f"{request.getfixturevalue('postgres_server').url()}?schema=recorder"
        case "mongodb":
            yard.url = f"{request.getfixturevalue('mongo_server').url()}&namespace=recorder"
    yard.write(TASKS)
    for name in ("a", "a", "b", "bad"):
        yard.send("good", name)
    supervisor = yard.start(Lane("yard_app:app", 1))
    until(lambda: len(yard.notes()) == 3, "they ran")
    until(lambda: [one.dead for one in counts(yard)] == [1], "the last is dead")
    supervisor.stop()
    until(lambda: samples(yard) and samples(yard, COARSE), "it has left")
    (sample,) = samples(yard)
    figures = sample.point.figures
    (task,) = figures.tasks
    assert (task.task, task.queue) == ("good", "default")
    assert {name: task.count(name) for name in ("done", "retried", "dead")} == {"done": 3, "retried": 1, "dead": 1}
    assert task.runs.count == 5
    assert figures.exchanges.count >= 2
    (cache,) = figures.caches
    assert (cache.name, cache.hits, cache.misses) == ("names", 2, 3)
    assert sample.point.memory > 10 << 20
    assert [queue.name for queue in figures.queues] == ["default"]
    (minute,) = samples(yard, COARSE)
    assert minute.point.figures.count("done") == 3


def test_what_a_killed_process_had_counted_is_not_lost(yard: Yard) -> None:
    yard.write(TASKS)
    supervisor = yard.start(Lane("yard_app:app", 1))
    for name in ("a", "b", "c"):
        yard.send("good", name)
    until(lambda: supervisor.figures().figures.count("done") == 3, "they are counted")
    (pid,) = supervisor.lanes()[0].pids
    os.kill(pid, signal.SIGKILL)
    until(lambda: yard.of(ProcessDied), "it is dead")
    yard.send("good", "d")
    until(lambda: supervisor.figures().figures.count("done") == 4, "the next one counts on")
    assert supervisor.figures().figures.deaths == 1


def counts(yard: Yard) -> list[object]:
    with yard.app.inspector() as inspector:
        return list(inspector.count())
