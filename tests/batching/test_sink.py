"""Jobs that are rows: from a queue into a table, each exactly once."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from places import Place, PostgresPlace, SqlitePlace
from yard import Yard, until

from penstock import Penstock
from penstock.batching.sink import Rows
from penstock.brokers.inspect import Selection
from penstock.core.job import JobRecord, Lease
from penstock.core.joining import EndWithin
from penstock.core.outcome import Ending
from penstock.core.states import State
from penstock.errors import JobFailed
from penstock.events.emit import ProcessDied, WorkerStopped
from penstock.sinks.base import Rejected, Written
from penstock.testing.contract.harness import ALICE, BOB
from penstock.testing.servers import PostgresServer
from penstock.worker.lane import Lane

TASKS = """
import msgspec

class Order(msgspec.Struct):
    id: int
    n: int = 0
    note: str | None = None

plain = app.sink({place!r}, table="orders", name="plain", conflict_key={key!r})
new = app.sink({place!r}, table="new_orders", name="new", create=True, conflict_key=("id",))
ignoring = app.sink({place!r}, table="orders", name="ignoring", on_conflict="ignore", conflict_key={key!r})

def rows(order: Order):
    note(f"row-{{order.id}}")
    if order.note == "none":
        return None
    if order.note == "two":
        return [order, {{"id": order.id + 1000, "n": order.n}}]
    if order.note == "raise":
        raise ValueError(f"no order {{order.id}}")
    if order.note == "number":
        return 5
    if order.note == "kill" and not (FOLDER / "killed").exists():
        (FOLDER / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return order

made = app.sink({place!r}, table="orders", name="made", rows=rows, retries=0, conflict_key={key!r})
"""
WORKER = Lane("yard_app:app", 2)


@pytest.fixture
def yard(yard: Yard, place: Place) -> Yard:
    yard.write(TASKS.format(place=place.url, key=place.key))
    return yard


def order(id: int, **fields: Any) -> dict[str, Any]:
    return {"id": id, "n": id, **fields}


def numbered(number: int) -> dict[str, Any]:
    return order(number)


def left(yard: Yard) -> int:
    """How many jobs are yet to end."""
    with yard.app.inspector() as inspector:
        return sum(each.ready + each.running + each.delayed for each in inspector.count())


def dead(yard: Yard) -> Sequence[JobRecord]:
    with yard.app.inspector() as inspector:
        return inspector.list(Selection(state=State.DEAD), limit=1000)


def reasons(yard: Yard) -> list[str]:
    return sorted(str(each.failure) for each in dead(yard))


def worked(yard: Yard, *lanes: Lane) -> None:
    """Have a worker run until there is nothing left, and stop it in order."""
    supervisor = yard.start(*(lanes or (WORKER,)))
    until(lambda: left(yard) == 0, "all have ended")
    supervisor.stop()
    until(lambda: yard.of(WorkerStopped), "it has stopped")


def ids(place: Place) -> list[int]:
    return sorted(each[0] for each in place.orders())


def test_single_jobs_and_rows_are_in_once_and_the_refused_are_dead_letters(yard: Yard, place: Place) -> None:
    task = yard.app.tasks["plain"]
    for number in range(20):
        task.delay(order(number))
    task.delay_many([(order(number, n=-number if number % 50 == 33 else 0),) for number in range(20, 300)])
    batch = task.map(order(number, n=-number if number % 100 == 77 else 0) for number in range(300, 900))
    worked(yard)
    refused = {33, 83, 133, 183, 233, 283, 377, 477, 577, 677, 777, 877}
    assert ids(place) == sorted(set(range(900)) - refused)
    assert (batch.counts().done, batch.counts().failed) == (594, 6)
    assert len(dead(yard)) == 12
    assert {each.attempt for each in dead(yard)} == {1}
    assert all(text.startswith("Rejected: ") and place.negative in text for text in reasons(yard))


def test_the_ledger_is_empty_at_the_end(yard: Yard, place: Place) -> None:
    task = yard.app.tasks["plain"]
    task.delay_many([(order(number),) for number in range(500)])
    worked(yard)
    assert len(place.orders()) == 500
    if yard.url == place.url:
        return  # rows and endings are one transaction
    assert place.jobs() == 0


def test_what_a_function_makes_of_an_item_is_written(yard: Yard, place: Place) -> None:
    task = yard.app.tasks["made"]
    task.delay_many(
        [(order(number, note=note),) for number, note in enumerate(["ok", "none", "two", "raise", "number", "ok"])]
    )
    task.map([order(number + 10, note=note) for number, note in enumerate(["ok", "none", "two", "raise", "number"])])
    worked(yard)
    assert ids(place) == [0, 2, 5, 10, 12, 1002, 1012]
    assert reasons(yard) == [
        "PayloadError: a row is a dict, a msgspec Struct or a dataclass, with a field for each column",
        "PayloadError: a row is a dict, a msgspec Struct or a dataclass, with a field for each column",
        "ValueError: no order 13",
        "ValueError: no order 3",
    ]
    (failure, *_) = [each.failure for each in dead(yard) if "ValueError" in str(each.failure)]
    assert failure is not None
    assert "in rows" in failure.traceback


def test_what_is_there_already_is_left_alone(yard: Yard, place: Place) -> None:
    yard.app.tasks["ignoring"].delay_many([(order(number % 30),) for number in range(100)])
    worked(yard)
    assert ids(place) == list(range(30))
    assert reasons(yard) == []


def test_the_table_is_made_from_the_first_rows_with_the_key_that_is_named(yard: Yard, place: Place) -> None:
    yard.app.tasks["new"].delay_many([(order(number),) for number in (1, 2, 1)])
    worked(yard, Lane("yard_app:app", 1))
    (text,) = reasons(yard)
    assert text.startswith(f"Rejected: {place.duplicate.partition('orders')[0]}")


def test_a_killed_process_writes_no_row_twice_and_burns_no_attempt(yard: Yard, place: Place) -> None:
    task = yard.app.tasks["made"]
    task.delay_many([(order(number, note="kill" if number == 60 else None),) for number in range(120)])
    worked(yard)
    assert ids(place) == list(range(120))
    assert len(yard.of(ProcessDied)) == 1
    assert reasons(yard) == []


def test_a_packed_row_whose_process_was_killed_is_written_once(yard: Yard, place: Place) -> None:
    batch = yard.app.tasks["made"].map(order(number, note="kill" if number == 60 else None) for number in range(120))
    worked(yard)
    assert ids(place) == list(range(120))
    assert batch.counts().done == 120


@pytest.mark.parametrize("count", [0, 1, 15, 16, 65_535, 65_536])
def test_rows_are_put_together_without_being_decoded(count: int) -> None:
    rows = Rows()
    for number in range(count):
        rows.add(number, [msgspec.msgpack.encode(number)])
    assert msgspec.msgpack.decode(rows.payload) == list(range(count))


def test_rows_know_their_items() -> None:
    rows = Rows()
    rows.add(0, [b"\x01", b"\x02"])
    rows.add(1, [])
    rows.add(2, [b"\x03"])
    written = Written(1, [Rejected(1, "second"), Rejected(0, "first"), Rejected(2, "third")])
    assert rows.refused(written) == {0: "second", 2: "third"}
    part = rows.without({0})
    assert (part.owners, part.payload) == ([2], b"\x91\x03")


class TestADatabaseThatIsAway:
    """The queue is elsewhere."""

    @pytest.fixture
    def place(self, own_server: PostgresServer) -> Place:
        return PostgresPlace(own_server)

    @pytest.fixture
    def queue(self, queue_url: str) -> str:
        return queue_url

    @pytest.fixture
    def own_server(self) -> Iterator[PostgresServer]:
        with PostgresServer() as server:
            yield server

    def test_jobs_wait_for_it_and_burn_no_attempt(self, yard: Yard, place: Place, own_server: PostgresServer) -> None:
        task = yard.app.tasks["plain"]
        own_server.stop()
        sent = [job.key for job in task.delay_many([(order(number),) for number in range(50)])]
        batch = task.map(order(number) for number in range(50, 100))
        yard.start(WORKER)
        found: list[JobRecord | None] = []

        def told() -> bool:
            with yard.app.inspector() as inspector:
                found[:] = [inspector.get(id) for id in sent]
            return all(each is not None and each.failure is not None for each in found)

        until(told, "each has waited for it")
        assert {each.attempt for each in found if each is not None} == {0}
        assert {str(each.failure).partition(":")[0] for each in found if each is not None} == {"StoreUnavailable"}
        own_server.start()
        until(lambda: left(yard) == 0, "it goes on by itself")
        assert ids(place) == list(range(100))
        assert batch.counts().done == 50


class TestInThisProcess:
    """Where a test runs the jobs itself."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> SqlitePlace:
        return SqlitePlace(tmp_path)

    def test_a_drain_writes(self, place: SqlitePlace, queue_url: str) -> None:
        app = Penstock(queue_url)
        task = app.sink(place.url, table="orders")
        task.delay_many([(order(number),) for number in range(2500)])
        task.map(order(number, n=-1 if number == 2600 else 0) for number in range(2500, 3000))
        assert app.drain() == 2500 + 32
        assert ids(place) == [number for number in range(3000) if number != 2600]
        assert place.jobs() == 0
        app.close()

    def test_a_drain_writes_into_the_queues_own_file(self, place: SqlitePlace) -> None:
        app = Penstock(place.url)
        app.sink(place.url, table="orders").delay_many([(order(number),) for number in range(100)])
        assert app.drain() == 100
        assert ids(place) == list(range(100))
        app.close()

    def test_rows_of_a_job_that_is_anothers_by_now_do_not_go_in(self, place: SqlitePlace) -> None:
        app = Penstock(place.url)
        task = app.sink(place.url, table="orders")
        task.delay_many([(order(number),) for number in range(4)])
        with app.client.broker() as broker:
            leases = broker.exchange((), ["default"], 4, ALICE).leases
            assert broker.abandon(ALICE) == 4
            (theirs,) = broker.exchange((), ["default"], 1, BOB).leases
            others = broker.exchange((), ["default"], 4, ALICE).leases

            @contextmanager
            def joining() -> Iterator[EndWithin]:
                yield lambda outcomes, tx: broker.exchange(outcomes, (), 0, ALICE, tx=tx).stale

            found = task.sharing.writer.bundle([leases[0], *others], joining)
            assert [each.ending for each in found] == [Ending.RELEASED, *[Ending.DONE] * 3]
            assert ids(place) == [1, 2, 3]
            assert broker.held(BOB) == [theirs]
            assert broker.held(ALICE) == []
        app.close()

    def test_of_a_key_nothing_goes_in_behind_a_bad_one(self, place: SqlitePlace, queue_url: str) -> None:
        def made(number: int) -> dict[str, object]:
            if number == 1:
                raise ValueError("a bad one")
            return order(number)

        app = Penstock(queue_url)
        task = app.sink(place.url, table="orders", rows=made)
        writer = task.sharing.writer
        gates = ["~a", "~a", "~a", "~b", None]
        leases = [
            Lease(bytes(16), number, 1, task.name, task.signature.encode((number,), {}), "default", 5, 0, gate=gate)
            for number, gate in enumerate(gates)
        ]
        endings = [getattr(each, "ending", type(each)) for each in writer.bundle(leases, None)]
        assert endings == [Ending.DONE, ValueError, Ending.RELEASED, Ending.DONE, Ending.DONE]
        assert ids(place) == [0, 3, 4]
        writer.close()
        app.close()

    def test_inline_a_job_is_written_at_once_and_a_refused_one_raises(self, place: SqlitePlace, queue_url: str) -> None:
        app = Penstock(queue_url, inline=True)
        task = app.sink(place.url, table="orders", rows=numbered)
        task.delay(1)
        task.map([2, 3])
        assert ids(place) == [1, 2, 3]
        with pytest.raises(JobFailed, match="UNIQUE constraint failed"):
            task.delay(1)
        with pytest.raises(JobFailed, match="UNIQUE constraint failed"):
            task.map([4, 2])
        app.close()


@pytest.mark.parametrize(
    "bad",
    [b"\x91\x81", b"\x91\x81\xa2id\x08\x81\xa2id\x09", b"\x91\x82\xa2id\x08", b"\x91\x81\xa2id" + b"\x91" * 50_000 + b"\x01"],
    ids=["cut off", "two in one", "a field less", "deep"],
)  # fmt: skip
def test_a_job_that_is_no_whole_row_spoils_no_others(tmp_path: Path, bad: bytes) -> None:
    place = SqlitePlace(tmp_path)
    app = Penstock(f"sqlite:///{tmp_path}/jobs.db")
    sink = app.sink(place.url, table="orders")
    sink.delay({"id": 1})
    app.client.enqueue([msgspec.structs.replace(sink.job(({"id": 2},), {}), payload=bad)])
    sink.delay({"id": 3})
    app.drain()
    assert [order[0] for order in place.orders()] == [1, 3]
    with app.inspector() as inspector:
        (dead,) = inspector.list(Selection(state=State.DEAD))
    app.close()
    assert dead.failure is not None
    assert dead.failure.kind == "PayloadError"
