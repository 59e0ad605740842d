"""How jobs are sent: unique keys that count in several ways, and jobs that expire."""

from collections.abc import Iterator
from typing import Any

import pytest

from penstock import Penstock, State
from penstock.brokers.inspect import Selection
from penstock.core.job import Dedup
from penstock.errors import ConfigError, JobFailed
from penstock.sending import Sending


@pytest.fixture
def app(queue_url: str) -> Iterator[Penstock]:
    app = Penstock(queue_url)
    yield app
    app.close()


def test_how_a_key_counts() -> None:
    assert Sending().dedup is None
    assert Sending(unique_for=5.0).dedup == Dedup(5.0)
    assert Sending(unique_until="started", replace=True).dedup == Dedup(None, True, True)


def test_a_task_is_debounced(app: Penstock) -> None:
    ran: list[str] = []
    index = app.task(name="index")(ran.append)
    later: Any = index.options(unique="page-7", unique_until="started", replace=True, delay=60)
    jobs = [later.delay(text) for text in ("one", "two", "three")]
    assert len({job.id for job in jobs}) == 1
    assert jobs[0].state() is State.DELAYED
    app.drain(delayed=True)
    assert ran == ["three"]


def test_a_task_is_unique_for_a_time_by_its_arguments(app: Penstock) -> None:
    ran: list[int] = []

    @app.task(unique=True, unique_for=3600)
    def each(number: int) -> None:
        ran.append(number)

    for _ in range(2):
        for number in (1, 2):
            each.delay(number)
        app.drain()
    assert ran == [1, 2]


def test_a_job_that_comes_to_its_turn_too_late_is_a_dead_letter(app: Penstock) -> None:
    ran: list[int] = []

    @app.task(expires=1e-9)
    def quick(number: int) -> None:
        ran.append(number)

    job, in_time = quick.delay(1), quick.options(expires=3600).delay(2)
    app.drain()
    assert ran == [2]
    with pytest.raises(JobFailed, match=r"Expired: it was to start within its time \(expires\)"):
        job.result(timeout=0)
    assert in_time.state() is State.DONE
    with app.inspector() as inspector:
        (dead,) = inspector.list(Selection(state=State.DEAD))
    assert (dead.attempt, dead.failure and dead.failure.kind) == (0, "Expired")


def test_items_and_jobs_that_share_calls_expire_one_by_one(app: Penstock) -> None:
    got: list[int] = []

    @app.batch_task
    def together(numbers: list[int]) -> None:
        got.extend(numbers)

    late: Any = together.options(expires=1e-9)
    jobs = [late.delay(1), together.delay(2), late.delay(3)]
    alone = late.delay(4)
    app.drain()
    assert got == [2]
    assert [job.state() for job in (*jobs, alone)] == [State.DEAD, State.DONE, State.DEAD, State.DEAD]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"unique_for": 5}, "go with unique="),
        ({"replace": True}, "go with unique="),
        ({"unique_until": "started"}, "go with unique="),
        ({"unique": "k", "unique_for": 0}, "unique_for= is a number of seconds, more than 0, not 0"),
        ({"unique": "k", "unique_for": float("inf")}, "more than 0, not inf"),
        ({"unique": "k", "unique_for": 5, "replace": True}, "goes without unique_until= and replace="),
        ({"unique": "k", "unique_until": "later"}, '"started" or "finished", not \'later\''),
        ({"expires": -1}, "expires= is a number of seconds, more than 0, not -1"),
    ],
)
def test_what_makes_no_sense_is_refused(app: Penstock, options: dict[str, Any], said: str) -> None:
    task: Any = app.task(name="any")(lambda: None)
    with pytest.raises(ConfigError) as raised:
        task.options(**options)
    assert said in str(raised.value)
