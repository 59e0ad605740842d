"""What is said of the jobs that a pool runs."""

from collections.abc import Iterator

import pytest

from penstock import BatchError, Fixed, Penstock
from penstock.core.bundle import bundle
from penstock.core.job import Lease
from penstock.core.outcome import Ending
from penstock.events.emit import BatchEnded, Emitter, Event, JobEnded
from penstock.worker.limits import Limits
from penstock.worker.work import Work


class Bench:
    """Work for the batch tasks of an app, and what is said of it."""

    def __init__(self, app: Penstock, *, verbose: bool = False) -> None:
        self.app = app
        self.said: list[Event] = []
        self.calls: list[tuple[str, int]] = []
        emitter = Emitter()
        emitter.subscribe(Event, self.said.append)
        limits = Limits(lambda *_: None, lambda *_: False, None)
        self.runner = app.runner()
        self.work = Work(
            self.runner, limits, emitter, lambda slot: 0.5, lambda task, size, *_: self.calls.append((task, size)),
            verbose=verbose,
        )  # fmt: skip

    def run(self, task: str, items: list[object], **fields: object) -> list[tuple[Ending, int, str]]:
        """Run a call; returns what is said of its jobs: the ending, how many more came to it, and the error."""
        signature = self.app.tasks[task].signature
        leases = [
            Lease(bytes([number]) * 16, number, 1, task, signature.encode((item,), {}), **fields)
            for number, item in enumerate(items)
        ]
        before = len(self.said)
        self.work.run(bundle(leases), 0)
        return [
            (event.outcome.ending, event.alike, str(event.outcome.failure or ""))
            for event in self.said[before:]
            if isinstance(event, JobEnded)
        ]


@pytest.fixture
def app(queue_url: str) -> Iterator[Penstock]:
    app = Penstock(queue_url)

    @app.batch_task(name="store", sizing=Fixed(100), retries=1)
    def store(items: list[int]) -> None:
        if 99 in items:
            raise ConnectionError("gone")
        kinds = {7: ValueError, 8: LookupError}
        if errors := {at: kinds[item % 10](f"no {item}") for at, item in enumerate(items) if item % 10 in kinds}:
            raise BatchError(errors)

    app.sink("sqlite:////nowhere/at/all.db", table="t", name="away")
    yield app
    app.close()


def test_of_those_that_shared_a_call_each_kind_of_end_is_said_once(app: Penstock) -> None:
    bench = Bench(app)
    assert bench.run("store", list(range(50))) == [
        (Ending.RETRY, 4, "ValueError: no 7"),
        (Ending.RETRY, 4, "LookupError: no 8"),
    ]
    assert bench.run("store", [99, *range(10)], attempt=1) == [(Ending.DEAD, 10, "ConnectionError: gone")]
    assert bench.run("store", [1, 2]) == []
    assert bench.calls == [("store", 50), ("store", 11), ("store", 2)]
    assert [event.ok for event in bench.said if isinstance(event, BatchEnded)] == [False, False, True]


def test_a_verbose_one_says_what_went_well_too(app: Penstock) -> None:
    bench = Bench(app, verbose=True)
    assert bench.run("store", [1, 2, 7]) == [(Ending.DONE, 1, ""), (Ending.RETRY, 0, "ValueError: no 7")]


def test_that_a_database_is_away_is_said_once_in_a_while(app: Penstock) -> None:
    bench = Bench(app)
    ((ending, alike, error),) = bench.run("away", [{"id": 1}, {"id": 2}])
    assert (ending, alike) == (Ending.SNOOZE, 1)
    assert error.startswith("StoreError: there is no folder")
    assert bench.run("away", [{"id": 3}]) == []


def test_a_suspect_tells_nothing_of_sizes(app: Penstock) -> None:
    bench = Bench(app)
    bench.run("store", [1], crashes=1)
    assert bench.calls == []
