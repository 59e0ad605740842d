"""Running one lease."""

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from penstock import GiveUp, Penstock, Retry, Snooze, current_job
from penstock.core.decide import JobOptions
from penstock.core.job import Lease
from penstock.core.outcome import Ending, Outcome, Step
from penstock.core.packed import Packed, pack
from penstock.task import Task
from penstock.worker.runner import LARGEST_RESULT, Runner

BATCH = b"b" * 16


@pytest.fixture
def app(queue_url: str) -> Penstock:
    return Penstock(queue_url)


class Bench:
    """A runner, and leases for it."""

    def __init__(self, app: Penstock) -> None:
        self.app = app
        self.runner = app.runner()

    def run(self, task: Task[..., Any], *args: Any, **fields: Any) -> Outcome:
        payload = fields.pop("payload", None) or task.signature.encode(args, {})
        return self.runner.run(Lease(b"i" * 16, 1, 1, task.name, payload, **fields))

    def run_row(self, task: Task[..., Any], items: list[Any], **fields: Any) -> Outcome:
        arguments = [task.signature.bind((item,), {}) for item in items]
        payload = pack(arguments, range(len(items)))
        return self.run(task, payload=payload, packed=True, items=len(items), **{"batch": BATCH, **fields})


@pytest.fixture
def bench(app: Penstock) -> Iterator[Bench]:
    bench = Bench(app)
    yield bench
    bench.runner.close()


def reason(outcome: Outcome) -> str:
    assert outcome.ending is Ending.DEAD
    return str(outcome.failure)


class TestASingleJob:
    def test_that_returns(self, bench: Bench) -> None:
        @bench.app.task(result_ttl=9)
        def double(number: int) -> int:
            return 2 * number

        outcome = bench.run(double, 4)
        assert (outcome.ending, outcome.result, outcome.result_ttl) == (Ending.DONE, b"\x08", 9)

    def test_that_returns_nothing(self, bench: Bench) -> None:
        @bench.app.task
        def nothing() -> None: ...

        assert bench.run(nothing).result is None

    def test_that_raises_keeps_its_own_part_of_the_traceback(self, bench: Bench) -> None:
        @bench.app.task
        def fails() -> None:
            raise ValueError("no")

        outcome = bench.run(fails)
        assert outcome.ending is Ending.RETRY
        assert outcome.failure is not None
        assert 'raise ValueError("no")' in outcome.failure.traceback
        assert "worker/runner.py" not in outcome.failure.traceback
        assert "codec.py" not in outcome.failure.traceback

    def test_a_long_traceback_is_cut_in_its_middle(self, bench: Bench) -> None:
        @bench.app.task
        def fails() -> None:
            raise ValueError("x" * 100_000)

        failure = bench.run(fails).failure
        assert failure is not None
        assert len(failure.traceback) < 21_000

    def test_of_a_task_unknown_here_is_parked(self, app: Penstock) -> None:
        assert Runner({}).run(Lease(b"i" * 16, 1, 1, "elsewhere", b"")).ending is Ending.PARKED

    def test_with_bytes_that_are_no_arguments(self, bench: Bench) -> None:
        @bench.app.task(name="double")
        def double(number: int) -> None: ...

        assert "double(): Expected `int`, got `str` - at `number`" in reason(bench.run(double, payload=b"\x91\xa1x"))
        assert "PayloadError" in reason(bench.run(double, payload=b"\xc1"))

    def test_whose_result_cannot_be_kept_does_not_run_again(self, bench: Bench) -> None:
        @bench.app.task(name="odd")
        def odd() -> object:
            return object()

        assert "odd() returned what can't be kept" in reason(bench.run(odd))

    def test_whose_result_is_too_large_for_a_store_does_not_run_again(self, bench: Bench) -> None:
        @bench.app.task(name="large")
        def large() -> bytes:
            return bytes(LARGEST_RESULT)

        assert "results may have 67,108,864: store them elsewhere" in reason(bench.run(large))

    def test_with_options_of_its_own(self, bench: Bench) -> None:
        @bench.app.task
        def fails() -> None:
            raise ValueError

        assert bench.run(fails, options=msgspec.msgpack.encode(JobOptions(retries=0))).ending is Ending.DEAD
        assert "options" in reason(bench.run(fails, options=b"\x01"))

    def test_that_calls_for_the_exit_fails(self, bench: Bench) -> None:
        @bench.app.task
        def leaves() -> None:
            sys.exit("bye")

        outcome = bench.run(leaves)
        assert (outcome.ending, str(outcome.failure)) == (Ending.RETRY, "SystemExit: bye")

    def test_an_interrupt_is_for_the_process(self, bench: Bench) -> None:
        @bench.app.task
        def interrupted() -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            bench.run(interrupted)
        with pytest.raises(RuntimeError, match="inside a task"):
            current_job()

    def test_that_crashed_too_often(self, bench: Bench) -> None:
        @bench.app.task(crash_limit=2)
        def fine() -> None: ...

        assert bench.run(fine, crashes=1).ending is Ending.DONE
        assert "died, 2 times" in reason(bench.run(fine, crashes=2))

    @pytest.mark.parametrize(
        ("error", "ending"),
        [(Retry(in_=5), Ending.RETRY), (Snooze(5), Ending.SNOOZE), (GiveUp(), Ending.DEAD)],
        ids=["retry", "snooze", "give up"],
    )
    def test_that_says_how_it_goes_on(self, bench: Bench, error: Exception, ending: Ending) -> None:
        @bench.app.task
        def says() -> None:
            raise error

        assert bench.run(says).ending is ending


class TestAsync:
    def test_each_job_sees_itself(self, bench: Bench) -> None:
        @bench.app.task
        async def who() -> int:
            await asyncio.sleep(0)
            return current_job().attempt

        assert [bench.run(who, attempt=attempt).result for attempt in range(3)] == [b"\x01", b"\x02", b"\x03"]

    def test_a_cancelled_one_has_failed(self, bench: Bench) -> None:
        @bench.app.task
        async def cancelled() -> None:
            raise asyncio.CancelledError

        outcome = bench.run(cancelled)
        assert outcome.ending is Ending.RETRY
        assert "coroutine was cancelled" in str(outcome.failure)

    def test_where_a_loop_runs_already(self, bench: Bench) -> None:
        @bench.app.task
        async def who() -> int:
            await asyncio.sleep(0)
            return current_job().attempt

        async def main() -> bytes | None:
            return bench.run(who, attempt=6).result

        assert asyncio.run(main()) == b"\x07"


class TestAPackedRow:
    def test_runs_every_item_and_counts_them(self, bench: Bench) -> None:
        ran: list[tuple[int, int | None]] = []

        @bench.app.task
        def item(number: int) -> None:
            ran.append((number, current_job().item))

        outcome = bench.run_row(item, [10, 11, 12])
        assert outcome.ending is Ending.DONE
        assert outcome.steps == (Step(BATCH, done=3),)
        assert ran == [(10, 0), (11, 1), (12, 2)]

    def test_items_that_fail_leave_it(self, bench: Bench) -> None:
        @bench.app.task(name="item")
        def item(number: int) -> None:
            match number:
                case 1:
                    raise ValueError("one")
                case 2:
                    raise GiveUp("two")
                case 3:
                    raise Snooze(60)

        outcome = bench.run_row(item, [0, 1, 2, 3, 4], queue="mail", priority=7)
        assert outcome.ending is Ending.DONE
        assert outcome.steps == (Step(BATCH, done=2, failed=1, retried=1),)
        again, gone, later = outcome.follow_ups
        assert [job.item for job in outcome.follow_ups] == [1, 2, 3]
        assert {(job.task, job.queue, job.priority, job.batch, job.packed) for job in outcome.follow_ups} == {
            ("item", "mail", 7, BATCH, False)
        }
        assert (again.dead, again.attempt, str(again.failure)) == (False, 1, "ValueError: one")
        assert again.delay is not None
        assert again.delay > 0
        assert (gone.dead, gone.attempt, str(gone.failure)) == (True, 1, "GiveUp: two")
        assert (later.dead, later.attempt, later.delay) == (False, 0, 60)
        assert item.signature.decode(again.payload) == item.signature.bind((1,), {})

    def test_an_item_that_does_not_fit_leaves_it_alone(self, bench: Bench) -> None:
        ran: list[int] = []

        @bench.app.task
        def item(number: int) -> None:
            ran.append(number)

        outcome = bench.run(item, payload=msgspec.msgpack.encode(([[1], ["two"], [3]], 0, None)), packed=True, items=3)
        (bad,) = outcome.follow_ups
        assert ran == [1, 3]
        assert (bad.dead, bad.item) == (True, 1)
        assert "got `str` - at `number`" in str(bad.failure)

    @pytest.mark.parametrize(
        "payload",
        [
            b"",
            b"\xc1",
            b"\x90",
            msgspec.msgpack.encode(([[1]], 0, [1, 2])),
            msgspec.msgpack.encode(([[1]], 2**63, None)),
        ],
        ids=["empty", "no msgpack", "no items", "too many numbers", "too large a number"],
    )
    def test_that_is_none_becomes_a_dead_letter(self, bench: Bench, payload: bytes) -> None:
        @bench.app.task
        def item(number: int) -> None: ...

        assert "PayloadError" in reason(bench.runner.run(Lease(b"i" * 16, 1, 1, item.name, payload, packed=True)))

    def test_is_cut_short_after_the_present_item(self, bench: Bench) -> None:
        @bench.app.task
        def item(number: int) -> None:
            if number == 1:
                bench.runner.cut(Lease(b"i" * 16, 1, 1, item.name, b""))

        outcome = bench.run_row(item, [0, 1, 2, 3])
        assert (outcome.ending, outcome.items) == (Ending.RELEASED, 2)
        assert outcome.steps == (Step(BATCH, done=2),)
        assert outcome.payload is not None
        rest = msgspec.msgpack.decode(outcome.payload, type=Packed[Any])
        assert [(rest.number(index), number) for index, number in enumerate(rest.items)] == [(2, [2]), (3, [3])]

    def test_that_is_cut_always_gets_on(self, bench: Bench) -> None:
        @bench.app.task
        def item(number: int) -> None:
            bench.runner.cut(Lease(b"i" * 16, 1, 1, item.name, b""))

        assert bench.run_row(item, [0, 1]).items == 1
        assert bench.run_row(item, [1]).ending is Ending.DONE

    def test_that_crashed_is_taken_apart(self, bench: Bench) -> None:
        ran: list[int] = []

        @bench.app.task(crash_limit=1)
        def item(number: int) -> None:
            ran.append(number)

        outcome = bench.run_row(item, [5, 6], crashes=1, attempt=2)
        assert outcome.ending is Ending.DONE
        assert outcome.steps == ()
        assert [(job.item, job.attempt, job.dead) for job in outcome.follow_ups] == [(0, 2, False), (1, 2, False)]
        assert len({job.id for job in outcome.follow_ups}) == 2
        assert ran == []


def test_it_says_what_runs(bench: Bench) -> None:
    @bench.app.task(name="who", queue="mail")
    def who() -> list[Any]:
        job = current_job()
        job.progress(1, 2)
        return [job.id, job.task, job.queue, job.attempt, job.item]

    outcome = bench.run(who, queue="mail", attempt=2, item=9)
    assert outcome.result is not None
    assert msgspec.msgpack.decode(outcome.result) == ["69696969-6969-6969-6969-696969696969", "who", "mail", 3, 9]
