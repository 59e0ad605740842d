"""What jobs note as they run: progress, checkpoints and steps, on every pool."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from yard import Yard, until

from penstock import Penstock, current_job
from penstock.brokers import connect
from penstock.brokers.base import Broker
from penstock.brokers.inspect import Selection
from penstock.client import new_ids
from penstock.core.job import Holder, Lease, NewJob
from penstock.core.memo import CHECKPOINT, LARGEST, PROGRESS, Memo, Progress, memo_id
from penstock.core.outcome import Ending, Outcome
from penstock.errors import JobFailed, LeaseLost, StoreFull, StoreUnavailable
from penstock.worker.lane import Lane
from penstock.worker.scribe import Scribe

TASKS = """
import asyncio

@app.task(name="long", retries=3, crash_limit=5)
def long(die: bool) -> list:
    begun = current_job().checkpoint() or 0
    note(f"from-{begun}")
    for number in range(begun, 6):
        current_job().progress(number, 6, f"at {number}")
        current_job().checkpoint(number + 1)
        if number == 2:
            os.kill(os.getpid(), signal.SIGKILL) if die else (_ for _ in ()).throw(OSError("again"))
    return [begun, current_job().checkpoint()]

@app.task(name="async long", retries=3, backoff=0)
async def async_long() -> list:
    async def double(number: int) -> int:
        note(f"double-{number}")
        await asyncio.sleep(0.001)
        return 2 * number
    first = await current_job().step("first", double, 1)
    second = await current_job().step("second", double, 2)
    if current_job().attempt == 1:
        raise OSError("again")
    return [first, second]

@app.task(name="told")
def told() -> None:
    current_job().progress(1, 4, "one of four")
    for number in range(2, 4):
        current_job().progress(number, 4, "more")
    while not (FOLDER / "gate").exists():
        time.sleep(0.01)
"""
LANES = {
    "prefork": Lane("yard_app:app", 2),
    "threads": Lane("yard_app:app", 1, "threads", 4),
    "gevent": Lane("yard_app:app", 1, "gevent", 4),
    "asyncio": Lane("yard_app:app", 1, "asyncio", 4),
}
ALL = [pytest.param(lane, id=name) for name, lane in LANES.items()]


@pytest.mark.parametrize("lane", ALL)
def test_a_job_goes_on_where_it_was(yard: Yard, lane: Lane) -> None:
    yard.write(TASKS.replace("retries=3, crash", "retries=3, backoff=0, crash"))
    failed = yard.app.tasks["long"].delay(False)
    steps = yard.app.tasks["async long"].delay()
    told = yard.app.tasks["told"].delay()
    yard.start(lane)
    assert failed.result(timeout=30) == [3, 6]
    assert steps.result(timeout=30) == [2, 4]
    assert sorted(line.split()[0] for line in yard.notes()) == ["double-1", "double-2", "from-0", "from-3"]
    until(lambda: (told.progress() or Progress(0)).done == 3, "the last progress")
    progress = told.progress()
    assert progress is not None
    assert (progress.total, progress.note, str(progress)) == (4, "more", "75%, 3 of 4: more")
    (yard.folder / "gate").touch()
    told.result(timeout=30)
    # What has ended needs no memos.
    until(lambda: told.progress() is None, "progress is forgotten")
    assert failed.progress() is None


def test_a_job_whose_process_is_killed_goes_on_where_it_was(yard: Yard) -> None:
    yard.write(TASKS)
    job = yard.app.tasks["long"].delay(True)
    yard.start(LANES["prefork"])
    assert job.result(timeout=30) == [3, 6]


@pytest.fixture
def app(queue_url: str) -> Iterator[Penstock]:
    app = Penstock(queue_url)
    yield app
    app.close()


def test_a_dead_letter_that_is_retried_goes_on(app: Penstock) -> None:
    ran: list[str] = []

    @app.task(retries=0)
    def sums(fails: bool) -> list[int]:
        first = current_job().step("first", lambda: ran.append("first") or 7)
        if len(ran) == 1:
            ran.append("failed")
            raise OSError("away")
        return [first, current_job().step("second", len, "abc")]

    job = sums.delay(True)
    app.drain()
    with pytest.raises(JobFailed):
        job.result(timeout=0)
    with app.inspector() as inspector:
        inspector.retry(Selection(ids=(job.key,)))
    app.drain()
    assert job.result(timeout=0) == [7, 3]
    assert ran == ["first", "failed"]


def test_items_of_a_map_have_checkpoints_of_their_own(app: Penstock) -> None:
    seen: list[tuple[int, object]] = []

    @app.task(retries=1, backoff=0)
    def each(number: int) -> None:
        seen.append((number, current_job().checkpoint()))
        current_job().checkpoint({"number": number})
        if number == 2 and len(seen) < 4:
            raise OSError("again")

    each.map([1, 2, 3])
    app.drain(delayed=True)
    assert seen == [(1, None), (2, None), (3, None), (2, {"number": 2})]


def test_what_is_too_large_or_can_not_be_kept(app: Penstock) -> None:
    @app.task(retries=0)
    def large(size: int) -> None:
        current_job().checkpoint(b"x" * size)

    @app.task(retries=0)
    def strange() -> None:
        current_job().step("open", object)

    @app.batch_task(retries=0)
    def together(numbers: list[int]) -> None:
        current_job().checkpoint(1)

    fits, too_large, no_value, shares = (
        large.delay(LARGEST - 10),
        large.delay(LARGEST),
        strange.delay(),
        together.delay(1),
    )
    app.drain()
    assert fits.result(timeout=0) is None
    with pytest.raises(
        JobFailed, match=r"a checkpoint has 1,048,581 bytes, and may have 1,048,576: store it elsewhere"
    ):
        too_large.result(timeout=0)
    with pytest.raises(JobFailed, match=r"what step 'open' returned can't be kept"):
        no_value.result(timeout=0)
    with pytest.raises(JobFailed, match="a batch task has no checkpoints"):
        shares.result(timeout=0)


def test_inline_jobs_keep_nothing(app: Penstock) -> None:
    @app.task
    def whole() -> list[object]:
        current_job().progress(1)
        current_job().checkpoint(1)
        return [current_job().checkpoint(), current_job().step("one", int, "7")]

    with app.elsewhere(inline=True):
        assert whole.delay().result() == [None, 7]


def test_progress_in_numbers_only(app: Penstock) -> None:
    @app.task(retries=0)
    def wrong() -> None:
        current_job().progress(float("nan"))

    job = wrong.delay()
    app.drain()
    with pytest.raises(JobFailed, match="finite numbers"):
        job.result(timeout=0)


class Desk:
    """A broker that is borrowed one by one, and may be away."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.lock = threading.Lock()
        self.troubles: list[Exception] = []
        self.borrowed = 0

    @contextmanager
    def borrow(self) -> Iterator[Broker]:
        with self.lock:
            self.borrowed += 1
            if self.troubles:
                raise self.troubles.pop(0)
            yield self.broker


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    broker = connect(f"sqlite:///{tmp_path}/desk.db")
    broker.open()
    broker.enqueue([NewJob(id, "app.task", b"") for id in new_ids(1)])
    yield Desk(broker)
    broker.close()


@pytest.fixture
def scribe(desk: Desk) -> Iterator[Scribe]:
    scribe = Scribe(desk.borrow)
    yield scribe
    scribe.close()


@pytest.fixture
def lease(desk: Desk) -> Lease:
    (lease,) = desk.broker.exchange((), ["default"], 1, Holder("alice")).leases
    return lease


def test_it_waits_for_a_store_that_is_away(desk: Desk, scribe: Scribe, lease: Lease) -> None:
    desk.troubles = [StoreUnavailable("away"), StoreUnavailable("away")]
    memo = Memo(lease, memo_id(lease.id, CHECKPOINT), b"1")
    scribe.keep(memo)
    assert scribe.read(lease, memo.id) == b"1"
    desk.troubles = [StoreFull("full")]
    with pytest.raises(StoreFull):
        scribe.keep(memo)


def test_who_waits_when_it_closes_is_refused(desk: Desk, scribe: Scribe, lease: Lease) -> None:
    memo = Memo(lease, memo_id(lease.id, CHECKPOINT), b"1")
    refused: list[str] = []

    def ask(act: Callable[[], object]) -> threading.Thread:
        def run() -> None:
            try:
                act()
            except LeaseLost as error:
                refused.append(str(error))

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    with desk.lock:
        # One is being written, and is tried again; the other waits for it.
        desk.troubles = [StoreUnavailable("away")] * 1000
        threads = [ask(lambda: scribe.keep(memo)), ask(lambda: scribe.read(lease, memo.id))]
    until(lambda: desk.borrowed >= 1, "the first was tried")
    scribe.close()
    for thread in threads:
        thread.join(20)
    assert refused == ["the worker has stopped, and this job goes to another: it goes on there"] * 2
    with pytest.raises(LeaseLost, match="the worker has stopped"):
        scribe.keep(memo)


def test_who_lost_the_lease_is_told(desk: Desk, scribe: Scribe, lease: Lease) -> None:
    with desk.borrow() as broker:
        broker.abandon(Holder("alice"))
    with pytest.raises(LeaseLost, match="another worker"):
        scribe.keep(Memo(lease, memo_id(lease.id, CHECKPOINT), b"1"))


def test_progress_is_written_now_and_then(
    desk: Desk, scribe: Scribe, lease: Lease, until_equal: Callable[..., None]
) -> None:
    id = memo_id(lease.id, PROGRESS)
    for number in range(1000):
        scribe.progress(Memo(lease, id, str(number).encode()))

    def stored() -> bytes | None:
        with desk.lock:
            return desk.broker.inspector().result(id)

    until_equal(stored, b"999")
    assert desk.borrowed < 10


@pytest.fixture
def until_equal() -> Callable[..., None]:
    def wait(what: Callable[[], object], value: object) -> None:
        until(lambda: what() == value, f"{value!r}")

    return wait


@pytest.mark.parametrize(
    ("ending", "left"), [(Ending.DONE, None), (Ending.CANCELLED, None), (Ending.DEAD, b"1"), (Ending.RETRY, b"1")]
)
def test_memos_go_with_their_jobs(desk: Desk, scribe: Scribe, lease: Lease, ending: Ending, left: bytes | None) -> None:
    id = memo_id(lease.id, CHECKPOINT)
    scribe.keep(Memo(lease, id, b"1"))
    outcome = Outcome(lease, ending)
    with desk.borrow() as broker:
        scribe.settled(broker, [outcome], broker.exchange([outcome], (), 0, Holder("alice")).stale)
        assert broker.inspector().result(id) == left


def test_memos_go_with_a_job_that_added_others(desk: Desk, scribe: Scribe, lease: Lease) -> None:
    id = memo_id(lease.id, CHECKPOINT)
    scribe.keep(Memo(lease, id, b"1"))
    outcome = Outcome(lease, follow_ups=(NewJob(new_ids(1)[0], "more", b""),))
    with desk.borrow() as broker:
        scribe.settled(broker, [outcome], broker.exchange([outcome], (), 0, Holder("alice")).stale)
        assert broker.inspector().result(id) is None


def test_what_ended_too_late_leaves_the_memos_to_others(desk: Desk, scribe: Scribe, lease: Lease) -> None:
    id = memo_id(lease.id, CHECKPOINT)
    scribe.keep(Memo(lease, id, b"1"))
    outcome = Outcome(lease)
    with desk.borrow() as broker:
        broker.abandon(Holder("alice"))
        stale = broker.exchange([outcome], (), 0, Holder("alice")).stale
        assert stale == [outcome]
        scribe.settled(broker, [outcome], stale)
        assert broker.inspector().result(id) == b"1"
