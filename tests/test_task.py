"""Sending: options, uniqueness, order, time, many at once, and what the type checker says."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from penstock import Penstock, State
from penstock.brokers.inspect import Selection
from penstock.errors import ConfigError, UnknownJob

TYPED = Path(__file__).parent / "typing"


@pytest.fixture
def app(queue_url: str) -> Iterator[Penstock]:
    app = Penstock(queue_url)
    yield app
    app.close()


@pytest.fixture
def ran(app: Penstock) -> list[int]:
    ran: list[int] = []

    @app.task(name="note")
    def note(number: int) -> int:
        ran.append(number)
        return number

    return ran


def test_delay_checks_the_call(app: Penstock, ran: list[int]) -> None:
    with pytest.raises(TypeError, match=r"^note\(\): "):
        app.tasks["note"].delay()
    with pytest.raises(TypeError, match=r"argument 'number' can't be encoded"):
        app.tasks["note"].delay(object())
    assert app.drain() == 0


def test_higher_priorities_first_and_older_ones_first_in_each(app: Penstock, ran: list[int]) -> None:
    note = app.tasks["note"]
    for number, priority in enumerate([5, 9, 0, 9, 5]):
        note.options(priority=priority).delay(number)
    app.drain()
    assert ran == [1, 3, 0, 4, 2]


def test_delayed_jobs_wait_for_their_time(app: Penstock, ran: list[int]) -> None:
    note = app.tasks["note"]
    jobs = [
        note.options(delay=60).delay(1),
        note.options(at=datetime.now(UTC) + timedelta(hours=1)).delay(2),
        note.options(at=datetime.now(UTC) - timedelta(hours=1)).delay(3),
        note.options(delay=0).delay(4),
    ]
    assert app.drain() == 2
    assert sorted(ran) == [3, 4]
    assert [job.state() for job in jobs] == [State.DELAYED, State.DELAYED, State.DONE, State.DONE]
    assert app.drain(delayed=True) == 2


def test_of_a_unique_key_one_job_waits_at_a_time(app: Penstock, ran: list[int]) -> None:
    once = app.tasks["note"].options(unique="k")
    first, second = once.delay(1), once.delay(2)
    assert first == second
    assert app.drain() == 1
    assert once.delay(3) != first
    assert app.drain() == 1
    assert ran == [1, 3]


def test_unique_by_its_arguments(app: Penstock) -> None:
    @app.task(unique=True)
    def note(number: int) -> None: ...

    assert note.delay(1) == note.delay(1) == note.delay_many([(1,)])[0]
    assert note.delay(1) != note.delay(2)
    assert note.options(unique=False).delay(1) != note.delay(1)
    assert app.drain() == 3


def test_many_come_back_in_their_order(app: Penstock, ran: list[int]) -> None:
    jobs = app.tasks["note"].delay_many((number,) for number in range(1100))
    assert app.drain() == 1100
    assert ran == list(range(1100))
    assert [job.result(0) for job in jobs[::500]] == [0, 500, 1000]


def test_concurrent_async_sends_share_commits(app: Penstock, ran: list[int]) -> None:
    note = app.tasks["note"]

    async def main() -> list[str]:
        jobs = await asyncio.gather(*(note.delay_async(number) for number in range(200)))
        return [job.id for job in jobs]

    assert len(set(asyncio.run(main()))) == 200
    with app.inspector() as inspector:
        # Jobs that were stored by one call have one time.
        commits = {job.created_at for job in inspector.list(Selection(), limit=1000)}
    assert len(commits) < 20
    assert app.drain() == 200
    assert sorted(ran) == list(range(200))


def test_an_async_send_that_is_refused_spoils_no_other(app: Penstock, ran: list[int]) -> None:
    note = app.tasks["note"]

    async def main() -> list[object]:
        good = [note.delay_async(number) for number in range(20)]
        bad = note.options(unique="\ud800").delay_async(99)
        return await asyncio.gather(*good, bad, *[note.delay_async(20)], return_exceptions=True)

    *_, refused, _ = asyncio.run(main())
    assert isinstance(refused, Exception)
    assert app.drain() == 21


def test_options_change_one_way_of_sending(app: Penstock, ran: list[int]) -> None:
    note = app.tasks["note"]
    other = note.options(queue="other", retries=7, result_ttl=5)
    assert (other.name, other.signature) == (note.name, note.signature)
    assert note.sending.queue == "default"
    other.delay(1)
    assert app.drain() == 0
    assert app.drain(queues=["other"]) == 1


def test_results_live_as_long_as_they_are_to(app: Penstock, ran: list[int]) -> None:
    note = app.tasks["note"]
    kept, gone = note.delay(1), note.options(result_ttl=0).delay(2)
    app.drain()
    assert kept.result(0) == 1
    with pytest.raises(UnknownJob, match="its result has expired"):
        gone.result(0)


def test_a_retry_limit_of_its_own(app: Penstock) -> None:
    @app.task
    def fails() -> None:
        raise ValueError

    job = fails.options(retries=0).delay()
    assert app.drain() == 1
    assert job.state() is State.DEAD


@pytest.mark.parametrize(
    "wrong",
    [
        {"priority": 10},
        {"queue": ""},
        {"queue": "a,b"},
        {"at": datetime(2024, 1, 1)},  # noqa: DTZ001
        {"delay": float("nan")},
        {"delay": float("inf")},
        {"result_ttl": float("nan")},
        {"result_ttl": -1},
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(app: Penstock, ran: list[int], wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        app.tasks["note"].options(**wrong)


def test_the_type_checker_knows_tasks() -> None:
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--no-incremental",
        "--hide-error-context",
        "--no-error-summary",
        "signatures.py",
    ]
    said = subprocess.run(command, cwd=TYPED, capture_output=True, text=True, check=False)
    expected = (TYPED / "signatures.txt").read_text("utf-8").splitlines()
    assert said.stdout.splitlines() == expected, said.stderr


def test_map_waits_while_more_rows_than_it_may_wait_in_the_queue(queue_url: str, app: Penstock, ran: list[int]) -> None:
    read: list[int] = []
    half = threading.Event()

    def items() -> Iterator[int]:
        for number in range(200):
            read.append(number)
            if number == 149:
                half.set()
            yield number

    with_store = Penstock(queue_url)
    note = with_store.task(name="note")(lambda number: None)
    sender = threading.Thread(target=lambda: note.map(items(), row_items=1, max_waiting=60))
    sender.start()
    assert half.wait(10)
    # 100 rows are stored and 50 are read: there is no room until workers have taken some.
    assert app.drain() >= 100
    sender.join(10)
    app.drain()
    assert sorted(ran) == list(range(200))
    with_store.close()


@pytest.mark.parametrize("wrong", [{"row_items": 0}, {"max_waiting": -1}])
def test_map_in_rows_that_make_no_sense(app: Penstock, ran: list[int], wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        app.tasks["note"].map([1], **wrong)
