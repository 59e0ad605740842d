"""Waiting for jobs to end, woken by the store."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from penstock import Job, Penstock, as_completed
from penstock.client import new_ids
from penstock.errors import (
    ConfigError,
    JobCancelled,
    JobFailed,
    MissingFeature,
    ResultTimeout,
    StoreUnavailable,
    UnknownJob,
)
from penstock.waiting import Tell, Waiting


@pytest.fixture(params=["sqlite", "postgresql", "mongodb", "redis", "rabbitmq"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Penstock]:
    servers = {"postgresql": "postgres_server", "mongodb": "mongo_server", "redis": "redis_server"}
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/jobs.db"
    elif request.param == "rabbitmq":
        server = request.getfixturevalue("rabbit_server")
        url = f"{server.url()}?namespace=waiting&backend=sqlite:///{tmp_path}/backend.db"
    else:
        url = request.getfixturevalue(servers[request.param]).url()
        url += f"{'&' if '?' in url else '?'}{'schema' if request.param == 'postgresql' else 'namespace'}=waiting"
    app = Penstock(url)
    yield app
    with app.inspector() as inspector:
        from penstock.brokers.inspect import Selection

        inspector.delete(Selection())
    app.close()


class Work:
    """An app's tasks, and its jobs run by another connection."""

    def __init__(self, app: Penstock) -> None:
        self.app = app
        self.runs = Penstock(app.settings.url)
        for each in (app, self.runs):

            @each.task(name="double", retries=0)
            def double(number: int) -> int:
                if number < 0:
                    raise ValueError("below nothing")
                return 2 * number

        self.double: Any = app.tasks["double"]

    def run(self) -> None:
        self.runs.drain()
        self.runs.close()


@pytest.fixture
def work(app: Penstock) -> Work:
    return Work(app)


def later(act: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=act)
    thread.start()
    return thread


def test_a_result_that_comes_while_one_waits(work: Work) -> None:
    job = work.double.delay(21)
    runs = later(work.run)
    assert job.result(timeout=30) == 42
    runs.join()


def test_a_failure_raises_with_the_remote_traceback(work: Work) -> None:
    job = work.double.delay(-1)
    runs = later(work.run)
    with pytest.raises(JobFailed, match="ValueError: below nothing") as raised:
        job.result(timeout=30)
    assert "in double" in raised.value.traceback
    runs.join()


def test_an_event_loop_goes_on(work: Work) -> None:
    jobs: list[Job[int]] = work.double.delay_many([(1,), (2,), (-3,)])

    async def wait() -> list[Any]:
        return await asyncio.gather(*(job.result_async() for job in jobs), return_exceptions=True)

    runs = later(work.run)
    first, second, third = asyncio.run(wait())
    assert (first, second, str(third)) == (2, 4, "ValueError: below nothing")
    runs.join()


def test_a_batch_that_ends_while_one_waits(work: Work) -> None:
    batch = work.double.map([1, 2, -3], row_items=1)
    runs = later(work.run)
    counts = batch.wait(timeout=30)
    assert (counts.done, counts.failed, counts.left) == (2, 1, 0)
    runs.join()


def test_jobs_as_they_end(work: Work) -> None:
    jobs = work.double.delay_many([(number,) for number in range(-2, 8)])
    runs = later(work.run)
    ended = list(as_completed(jobs, timeout=30))
    assert sorted(job.id for job in ended) == sorted(job.id for job in jobs)
    assert sum(job.result(timeout=0) for job in jobs[2:]) == 56
    runs.join()


def test_what_does_not_end_in_time(queue_url: str) -> None:
    work = Work(Penstock(queue_url))
    first, second = work.double.delay_many([(1,), (2,)])
    with pytest.raises(ResultTimeout, match=r"within 0\.01 s"):
        first.result(timeout=0.01)
    with pytest.raises(ResultTimeout, match=r"batch did not end within 0\.01 s"):
        work.double.map([3]).wait(timeout=0.01)
    with pytest.raises(ResultTimeout, match=r"2 of the jobs did not end within 0\.01 s"):
        list(as_completed([first, second], timeout=0.01))

    async def wait() -> None:
        async with asyncio.timeout(0.01):
            await first

    with pytest.raises(TimeoutError):
        asyncio.run(wait())
    work.app.close()


def test_a_job_that_is_cancelled_while_one_waits(queue_url: str) -> None:
    work = Work(Penstock(queue_url))
    job = work.double.delay(1)
    cancels = later(lambda: Penstock(queue_url).job(job.id).cancel())
    with pytest.raises(JobCancelled):
        job.result(timeout=30)
    cancels.join()
    work.app.close()


def test_one_that_nobody_knows(queue_url: str) -> None:
    app = Penstock(queue_url)
    with pytest.raises(UnknownJob, match="no job's id"):
        app.job("nonsense")
    for id in ("0197b3a4-6c1e-7000-8000-000000000000", "00000000-0000-4000-8000-000000000000", "f" * 32):
        with pytest.raises(UnknownJob, match="stored nowhere"):
            app.job(id).result(timeout=0)
    # It may have left nothing.
    recent: Job[Any] = app.job(new_ids(1)[0].hex())
    assert recent.result(timeout=0) is None
    app.close()


def test_a_result_that_has_expired(queue_url: str) -> None:
    work = Work(Penstock(queue_url))
    short = work.double.options(result_ttl=0)
    job = short.delay(1)
    work.run()
    with pytest.raises(UnknownJob, match="has expired"):
        job.result(timeout=0)
    work.app.close()


def test_jobs_of_two_apps_are_not_waited_for_together(queue_url: str, tmp_path: Path) -> None:
    one, other = Work(Penstock(queue_url)), Work(Penstock(f"sqlite:///{tmp_path}/other.db"))
    with pytest.raises(ConfigError, match="jobs of one app"):
        list(as_completed([one.double.delay(1), other.double.delay(1)]))
    assert list(as_completed([])) == []
    one.app.close()
    other.app.close()


def test_nothing_is_left_beside_the_file(queue_url: str, queue_file: Path) -> None:
    work = Work(Penstock(queue_url))
    job = work.double.delay(1)
    with pytest.raises(ResultTimeout):
        job.result(timeout=0.05)
    work.app.close()
    assert not Path(f"{queue_file}-waits").exists()


def test_who_waits_for_any_hears_of_each() -> None:
    said: list[Tell] = []
    both = threading.Event()

    @contextmanager
    def watch(tell: Tell) -> Iterator[bool]:
        assert both.wait(30)
        said.append(tell)
        yield True

    waiting, any_of_them, another = Waiting(watch), threading.Event(), threading.Event()
    with waiting.waiter(None, any_of_them.set), waiting.waiter([b"2"], another.set):
        both.set()
        # What ended while the watch was set up is looked for by all.
        assert any_of_them.wait(30)
        assert another.wait(30)
        for each in (any_of_them, another):
            each.clear()
        said[0]([b"1"])
        assert any_of_them.is_set()
        assert not another.is_set()
    waiting.close()


def test_it_is_watched_while_somebody_waits() -> None:
    begun, over = threading.Event(), threading.Event()

    class Watch(AbstractContextManager[bool]):
        def __enter__(self) -> bool:
            begun.set()
            return True

        def __exit__(self, *_: object) -> None:
            over.set()

    waiting = Waiting(lambda tell: Watch())
    with waiting.waiter([b"1"], lambda: None):
        assert begun.wait(30)
        assert not over.is_set()
    waiting.close()
    assert over.wait(30)


def test_only_those_who_wait_for_it_are_woken() -> None:
    tells: list[Any] = []
    told: list[str] = []
    began = threading.Event()

    def watch(tell: Any) -> AbstractContextManager[bool]:
        tells.append(tell)
        return nullcontext(True)

    waiting = Waiting(watch)
    with waiting.waiter([b"0"], began.set):
        # What ended as the watch began is looked for.
        assert began.wait(30)
        with (
            waiting.waiter([b"1", b"2"], lambda: told.append("first")) as first,
            waiting.waiter([b"2"], lambda: told.append("second")) as second,
        ):
            tells[0]([b"1", b"3"])
            assert told == ["first"]
            assert waiting.take(first) == {b"1"}
            assert waiting.take(second) == set()
            tells[0](())
            assert sorted(told) == ["first", "first", "second"]
            assert waiting.take(second) is None
    waiting.close()


def test_looks_are_frequent_where_nobody_tells() -> None:
    def watch(tell: Any) -> AbstractContextManager[bool]:
        raise StoreUnavailable("away")

    waiting = Waiting(watch)
    with waiting.waiter([b"1"], lambda: None):
        pauses = waiting.pauses(None)
        assert max(next(pauses) for _ in range(30)) == pytest.approx(0.05)
        assert list(waiting.pauses(0)) == []
    waiting.close()


def test_a_message_that_leaves_nothing_is_not_waited_for(app: Penstock) -> None:
    @app.task(name="nothing")
    def nothing() -> None: ...

    job = nothing.delay()
    if app.settings.url.startswith("amqp"):
        with pytest.raises(MissingFeature):
            list(as_completed([job]))
