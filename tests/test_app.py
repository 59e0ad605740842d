"""The whole way of a job, in one process, through a temporary SQLite file."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from penstock import Backoff, GiveUp, Penstock, Retry, Snooze, State, current_job
from penstock.app import load_app
from penstock.brokers.inspect import Selection
from penstock.core.job import Holder, JobRecord
from penstock.errors import ConfigError, JobCancelled, JobFailed, ResultTimeout, StoreError, UnknownTask
from penstock.handles import Job


@pytest.fixture
def app(queue_url: str) -> Iterator[Penstock]:
    app = Penstock(queue_url)
    yield app
    app.close()


def record(app: Penstock, job: Job[object]) -> JobRecord:
    with app.inspector() as inspector:
        found = inspector.get(job.key)
    assert found is not None
    return found


class TestOneJob:
    def test_runs_and_its_result_comes_back(self, app: Penstock) -> None:
        @app.task
        def at(day: datetime) -> datetime:
            return day + timedelta(days=1)

        job = at.delay(datetime(2024, 2, 28, tzinfo=UTC))
        assert job.state() is State.READY
        with pytest.raises(ResultTimeout, match="within 0 s"):
            job.result(0)
        assert app.drain() == 1
        assert job.state() is State.DONE
        assert job.result(0) == datetime(2024, 2, 29, tzinfo=UTC)

    def test_a_plain_call_runs_here(self, app: Penstock) -> None:
        @app.task
        def double(number: int) -> int:
            return 2 * number

        assert double(4) == 8
        assert app.drain() == 0

    def test_may_send_others_while_it_runs(self, app: Penstock) -> None:
        ran: list[int] = []

        @app.task
        def countdown(number: int) -> None:
            ran.append(number)
            if number:
                countdown.delay(number - 1)

        countdown.delay(3)
        assert app.drain() == 4
        assert ran == [3, 2, 1, 0]

    def test_may_be_async(self, app: Penstock) -> None:
        @app.task
        async def who(number: int) -> str:
            await asyncio.sleep(0)
            return current_job().id

        jobs = [who.delay(number) for number in range(3)]
        assert app.drain() == 3
        assert [job.result(0) for job in jobs] == [job.id for job in jobs]

    def test_is_cancelled_before_it_starts(self, app: Penstock) -> None:
        @app.task
        def never() -> None: ...

        job = never.delay()
        assert job.cancel()
        assert not job.cancel()
        assert app.drain() == 0
        assert job.state() is State.CANCELLED
        with pytest.raises(JobCancelled):
            job.result(0)


class TestFailure:
    def test_is_tried_again_and_then_a_dead_letter(self, app: Penstock) -> None:
        attempts: list[int] = []

        @app.task(retries=2)
        def fails() -> None:
            attempts.append(current_job().attempt)
            raise ValueError("no")

        job = fails.delay()
        assert app.drain() == 1
        assert job.state() is State.DELAYED
        assert app.drain(delayed=True) == 2
        assert attempts == [1, 2, 3]
        assert job.state() is State.DEAD
        with pytest.raises(JobFailed, match="ValueError: no") as caught:
            job.result(0)
        assert 'raise ValueError("no")' in caught.value.traceback

    def test_that_no_retry_mends_is_a_dead_letter_at_once(self, app: Penstock) -> None:
        @app.task(give_up=[LookupError])
        def missing() -> None:
            raise KeyError("k")

        @app.task
        def gives_up() -> None:
            raise GiveUp("enough")

        jobs = [missing.delay(), gives_up.delay()]
        assert app.drain() == 2
        assert [job.state() for job in jobs] == [State.DEAD, State.DEAD]

    def test_retry_and_snooze_choose_their_time(self, app: Penstock) -> None:
        @app.task
        def again() -> None:
            raise Retry("later", in_=1000)

        @app.task
        def later() -> None:
            raise Snooze(1000)

        before = datetime.now(UTC).timestamp()
        jobs = [again.delay(), later.delay()]
        app.drain()
        records = [record(app, job) for job in jobs]
        assert [record.attempt for record in records] == [1, 0]
        assert all(record.run_at is not None and 999 < record.run_at - before < 1060 for record in records)

    def test_backoff_is_the_tasks_own(self, app: Penstock) -> None:
        @app.task(backoff=Backoff(first=1000, factor=1))
        def fails() -> None:
            raise ValueError

        job = fails.delay()
        before = datetime.now(UTC).timestamp()
        app.drain()
        run_at = record(app, job).run_at
        assert run_at is not None
        assert 499 < run_at - before < 1060

    def test_of_what_may_run_once_only_is_final(self, app: Penstock) -> None:
        @app.task(at_most_once=True)
        def fails() -> None:
            raise ValueError

        job = fails.delay()
        app.drain()
        assert job.state() is State.DEAD

    def test_a_job_that_may_run_once_only_does_not_outlive_its_worker(self, app: Penstock) -> None:
        @app.task(at_most_once=True)
        def once() -> None: ...

        job = once.delay()
        with app.client.broker() as broker:
            broker.exchange((), ("default",), 1, Holder("dead"))
            broker.abandon(Holder("dead"))
        assert app.drain() == 0
        with pytest.raises(JobFailed, match="Interrupted"):
            job.result(0)

    def test_what_a_task_raises_can_always_be_stored(self, app: Penstock) -> None:
        @app.task(retries=0)
        def fails() -> None:
            raise OSError("\udcff.txt")

        job = fails.delay()
        assert app.drain() == 1
        with pytest.raises(JobFailed, match="udcff"):
            job.result(0)

    def test_an_interrupted_drain_gives_its_job_back(self, app: Penstock) -> None:
        @app.task
        def interrupted() -> None:
            raise KeyboardInterrupt

        job = interrupted.delay()
        with pytest.raises(KeyboardInterrupt):
            app.drain()
        assert job.state() is State.READY


class TestMap:
    def test_calls_once_for_each_item(self, app: Penstock) -> None:
        ran: list[tuple[int, int | None]] = []

        @app.task
        def item(number: int) -> None:
            ran.append((number, current_job().item))

        batch = item.map(number * 10 for number in range(2500))
        assert batch.counts().total == 2500
        app.drain()
        assert sorted(ran) == [(number * 10, number) for number in range(2500)]
        assert batch.wait(0).done == 2500

    def test_items_fail_alone(self, app: Penstock) -> None:
        @app.task(retries=1)
        def item(number: int) -> None:
            if number % 10 == 0:
                raise ValueError(number)

        batch = item.map(range(100))
        app.drain(delayed=True)
        counts = batch.wait(0)
        assert (counts.done, counts.failed, counts.retried) == (90, 10, 10)
        with app.inspector() as inspector:
            dead = inspector.list(Selection(state=State.DEAD, batch=batch.key), limit=100)
        assert sorted(job.item or 0 for job in dead) == list(range(0, 100, 10))

    def test_star_args_take_one_item_each(self, app: Penstock) -> None:
        ran: list[object] = []

        @app.task
        def item(*args: int) -> None:
            ran.append(args)

        item.map([1, 2])
        app.drain()
        assert ran == [(1,), (2,)]

    def test_cancel_and_timeout(self, app: Penstock) -> None:
        @app.task
        def item(number: int) -> None: ...

        batch = item.map(range(10))
        with pytest.raises(ResultTimeout, match="the batch"):
            batch.wait(0)
        assert batch.cancel() > 0
        assert batch.wait(0).failed == 10
        assert app.drain() == 0

    def test_a_task_of_two_arguments_has_no_map(self, app: Penstock) -> None:
        @app.task(name="two")
        def two(a: int, b: int) -> None: ...

        with pytest.raises(TypeError, match=r"two\(\) must take one argument for .map"):
            two.map([1])

    def test_an_item_that_cannot_be_encoded_is_named(self, app: Penstock) -> None:
        @app.task(name="one")
        def one(thing: object) -> None: ...

        with pytest.raises(TypeError, match=r"one\(\): argument 'thing' can't be encoded"):
            one.map([1, object()])
        assert app.drain() == 0


class TestInline:
    def test_runs_at_once_and_stores_nothing(self, tmp_path: Path) -> None:
        app = Penstock(f"sqlite:///{tmp_path}/never.db", inline=True)

        @app.task
        def double(number: int) -> int:
            return 2 * number

        @app.task
        async def triple(number: int) -> int:
            await asyncio.sleep(0)
            return 3 * number

        async def sends() -> int:
            return (await triple.delay_async(3)).result(0)

        job = double.delay(4)
        assert job.result(0) == 8
        assert job.state() is State.DONE
        assert [job.result(0) for job in double.delay_many([(1,), (2,)])] == [2, 4]
        assert triple.delay(1).result(0) == 3
        assert asyncio.run(sends()) == 9
        assert list(tmp_path.iterdir()) == []

    def test_raises_what_fails(self, queue_url: str) -> None:
        app = Penstock(queue_url, inline=True)

        @app.task
        def fails(number: int) -> None:
            if number:
                raise ValueError("no")

        with pytest.raises(JobFailed, match="ValueError: no"):
            fails.delay(1)
        with pytest.raises(JobFailed, match="ValueError: no"):
            fails.map([0, 1])


class TestElsewhere:
    def test_sends_to_another_store_and_back(self, app: Penstock, tmp_path: Path) -> None:
        @app.task
        def double(number: int) -> int:
            return 2 * number

        urgent = double.options(priority=9)
        with app.elsewhere(f"sqlite:///{tmp_path}/other.db"):
            urgent.delay(1)
            assert app.drain() == 1
            urgent.delay(1)
        assert app.drain() == 0
        urgent.delay(1)
        assert app.drain() == 1


class TestTheApp:
    def test_names_its_tasks_and_queues(self, app: Penstock) -> None:
        @app.task(queue="mail", name="shop.send")
        def send() -> None: ...

        assert app.queues == ("default", "mail")
        assert app.find("send") is app.find("shop.send") is send
        with pytest.raises(UnknownTask, match=r"shop\.send"):
            app.find("nothing")

    def test_has_one_task_of_a_name(self, app: Penstock) -> None:
        app.task(name="a")(print)
        with pytest.raises(ConfigError, match="another name="):
            app.task(name="a")(print)

    def test_takes_its_url_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PENSTOCK_URL", "sqlite:///there.db")
        assert Penstock().settings.url == "sqlite:///there.db"
        assert Penstock("sqlite:///here.db").settings.url == "sqlite:///here.db"

    def test_a_store_that_is_not_there_is_one_clear_error(self) -> None:
        app = Penstock("sqlite:////nowhere/at/all.db")
        with pytest.raises(StoreError, match="there is no folder /nowhere/at"):
            app.task(print).delay()

    @pytest.mark.parametrize(
        ("target", "says"),
        [
            ("no.such.module:app", "no module"),
            ("json:app", "has no 'app'"),
            ("json:dumps", "not a Penstock app"),
            ("json", "'app'"),
        ],
    )
    def test_is_loaded_by_name_or_says_what_is_wrong(self, target: str, says: str) -> None:
        with pytest.raises(ConfigError, match=says):
            load_app(target)
