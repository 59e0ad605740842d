"""The plans of PostgreSQL's hot statements: the same at every size, and never by way of the whole queue."""

import itertools
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg
import pytest

from penstock import Penstock, chain, group
from penstock.brokers import connect
from penstock.brokers.base import COUNTED
from penstock.brokers.inspect import Selection
from penstock.brokers.postgres import census
from penstock.brokers.postgres.broker import PostgresBroker
from penstock.core.job import Dedup, Failure
from penstock.core.limiter import Limit, gate
from penstock.core.outcome import Ending, Outcome, Step
from penstock.core.states import State
from penstock.testing.contract.harness import ALICE, BOB, QUEUE, beat, claim, job, jobs
from penstock.testing.servers import PostgresServer

SIZES = (50, 2_000, 40_000)
#: As many as the largest has, of which PostgreSQL knows nothing: it has looked when the queue was empty.
UNKNOWN = 40_001
_numbers = itertools.count()
_WAYS = re.compile(
    r"(?:Seq|Index|Index Only|Bitmap Heap|Bitmap Index|Tid|Tid Range) Scan.*? on \w+|Sort|Hash Join|Merge Join"
)

_READ = re.compile(r"Scan.*? on \w+.*?actual rows=(\d+) loops=(\d+)")
_IN_VAIN = re.compile(r"Rows Removed by (?:Join )?Filter: (\d+)")


def take(store: PostgresBroker) -> None:
    assert len(claim(store, 10)) == 10


def exchange(store: PostgresBroker) -> None:
    leases = claim(store, 10)
    assert store.exchange([Outcome(lease) for lease in leases], [QUEUE], 10, ALICE).stale == []


def mixed_endings(store: PostgresBroker) -> None:
    endings = itertools.cycle(Ending)
    # None is due while the tests run: when a later one moves it would depend on the clock.
    outcomes = [
        Outcome(lease, next(endings), delay=1e6, result=b"r", result_ttl=9.0, failure=Failure("E", "m"))
        for lease in claim(store, 14)
    ]
    assert store.exchange(outcomes, [QUEUE], 5, ALICE).stale == []


def enqueue(store: PostgresBroker) -> None:
    store.enqueue([*jobs(10), job(unique="a"), job(unique="a")])


def give_back(store: PostgresBroker) -> None:
    claim(store, 10, holder=BOB)
    assert store.abandon(BOB) == 10


def rescue(store: PostgresBroker) -> None:
    beat(store, BOB.worker, 1_000.0)
    # She holds what other tests had her take, and would be dead 5 s after that.
    beat(store, ALICE.worker, time.time())
    claim(store, 10, holder=BOB)
    assert store.rescue(dead_after=5) == 10


def promote(store: PostgresBroker) -> None:
    store.enqueue(jobs(10, run_at=1_000.0))
    store.promote()


def unpark(store: PostgresBroker) -> None:
    store.unpark(["no.such.task"])


def upkeep(store: PostgresBroker) -> None:
    beat(store, "w", 1_000.0)
    store.prune()


def look_after(store: PostgresBroker) -> None:
    claim(store, 10, holder=BOB)
    assert len(store.held(BOB)) == 10
    assert store.cancelled(BOB.worker) == []
    assert store.backlog([QUEUE]).ready > 0
    assert store.abandon(BOB) == 10


def limited(store: PostgresBroker) -> None:
    store.declare({"t": Limit("1000/s", concurrency=20)})
    store.enqueue(jobs(10, gate="t"))
    leases = claim(store, 5) + claim(store, 5)
    assert [lease.gate for lease in leases] == [None] * 5 + ["t"] * 5
    assert store.exchange([Outcome(lease) for lease in leases], [QUEUE], 5, ALICE).stale == []
    store.promote()
    store.declare({"t": None})


def keyed(store: PostgresBroker) -> None:
    store.declare({"t": Limit(ordered=True)})
    store.enqueue([job(gate=gate("t", number % 3, ordered=True)) for number in range(9)])
    leases = claim(store, 5) + claim(store, 5)
    assert [lease.gate is None for lease in leases] == [True] * 5 + [False] * 5
    store.backlog([QUEUE])
    while leases:
        given = store.exchange([Outcome(lease) for lease in leases if lease.gate is not None], [QUEUE], 9, ALICE)
        assert given.stale == []
        leases = [lease for lease in given.leases if lease.gate is not None]


def stages(store: PostgresBroker) -> None:
    with closing(Penstock(f"{store._link.url.shown}?schema={store._schema}")) as app:
        task = app.task(name="t", queue="stages")(abs)
        chain(group(*[task.si(1)] * 20), group(*[task.si(1)] * 20), task.si(1)).delay()
    for expected in (20, 20, 1):
        leases = store.exchange((), ["stages"], 100, ALICE).leases
        assert len(leases) == expected
        ended = [Outcome(lease, steps=(Step(lease.batch, 1),)) for lease in leases if lease.batch is not None]
        assert store.exchange(ended, (), 0, ALICE).stale == []


def chosen(store: PostgresBroker) -> None:
    store.enqueue(sent := jobs(20, queue="chosen"))
    these = Selection(ids=tuple(each.id for each in sent))
    inspector = store.inspector()
    assert inspector.cancel(these) == 20
    assert inspector.retry(these) == 20
    held = store.exchange((), ["chosen"], 5, BOB).leases
    assert inspector.delete(these) == 15
    assert inspector.cancel(these) == 5
    ended = [Outcome(lease, Ending.DEAD, crashes=1) for lease in held]
    assert store.exchange(ended, (), 0, BOB).stale == []
    assert inspector.delete(these) == 5


def unique(store: PostgresBroker) -> None:
    for _ in range(3):
        store.enqueue([job(queue="unique", unique="k", dedup=Dedup(replace=True))])
    (lease,) = store.exchange((), ["unique"], 5, BOB).leases
    assert store.exchange([Outcome(lease)], (), 0, BOB).stale == []


def due(store: PostgresBroker) -> None:
    assert store.schedules().due(100).rows == []


HOT: list[Callable[[PostgresBroker], None]] = [
    take, exchange, mixed_endings, enqueue, give_back, rescue, promote, unpark, upkeep, look_after, limited, keyed, stages, unique,
]  # fmt: skip


@pytest.fixture(scope="module")
def deep(postgres_server: PostgresServer) -> Iterator[dict[int, PostgresBroker]]:
    """A queue of each size, with as many delayed jobs, and what PostgreSQL then knows of it."""
    stores: dict[int, PostgresBroker] = {}
    for size in (*SIZES, UNKNOWN):
        store = connect(f"{postgres_server.url()}?schema=deep{next(_numbers)}")
        assert isinstance(store, PostgresBroker)
        store.open()
        with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
            # Autovacuum would count the small tables of one size, and not yet those of another.
            tables = connection.execute(
                "select relname from pg_stat_user_tables where schemaname = %s", (store._schema,)
            ).fetchall()
            for (table,) in tables:
                connection.execute(f"alter table {store._schema}.{table} set (autovacuum_enabled = off)")
            if size == UNKNOWN:
                # Of pages with nothing in them it concludes that there is nothing in any others.
                store.enqueue(jobs(size))
                leases = claim(store, size)
                assert store.exchange([Outcome(lease) for lease in leases], (), 0, ALICE).stale == []
                for (table,) in tables:
                    connection.execute(f"vacuum (truncate off, analyze) {store._schema}.{table}")
            store.enqueue(jobs(size))
            store.enqueue(jobs(size, run_at=1e10))
            if size != UNKNOWN:
                connection.execute(f"analyze {store._schema}.job")
        stores[size] = store
    yield stores
    for store in stores.values():
        store.close()


def ways(store: PostgresBroker, work: Callable[[PostgresBroker], None]) -> list[str]:
    """How every statement of some work goes through the tables, in order."""
    return [" ".join(way.split()) for plan in plans(store, work) for way in _WAYS.findall(plan)]


def plans(store: PostgresBroker, work: Callable[[PostgresBroker], None]) -> list[str]:
    """The plan of every statement of some work, with what it came to."""
    plans: list[str] = []
    with closing(PostgresBroker(f"{store._link.url.shown}?schema={store._schema}")) as fresh:
        fresh.open()
        # The smallest is used up by what the tests take out of it.
        fresh.enqueue(jobs(max(0, SIZES[0] - fresh.depth(QUEUE))))
        connection = fresh._link.open()
        connection.add_notice_handler(lambda notice: plans.append(notice.message_primary or ""))
        connection.execute(
            "load 'auto_explain'; set client_min_messages = log; set auto_explain.log_min_duration = 0; "
            "set auto_explain.log_nested_statements = on; set auto_explain.log_analyze = on; set auto_explain.log_timing = off"
        )
        work(fresh)
        connection.execute("set auto_explain.log_min_duration = -1")
    return [plan for plan in plans if "uto_explain" not in plan]


def most_read(plan: str) -> int:
    """The most rows that one step of a plan has read, or read in vain."""
    read = [int(rows) * int(loops) for rows, loops in _READ.findall(plan)]
    return max([0, *read, *map(int, _IN_VAIN.findall(plan))])


def test_a_claim_reads_the_head_of_the_ready_set_in_its_order(deep: dict[int, PostgresBroker]) -> None:
    through = [way for way in ways(deep[SIZES[-1]], take) if way.endswith(" job")]
    # Before it comes the look whether any job keeps an order.
    assert through[1:] == ["Index Scan using job_ready on job", "Tid Scan on job"]


def test_the_next_due_schedule_is_found_by_its_index(deep: dict[int, PostgresBroker]) -> None:
    store = deep[SIZES[0]]
    for known in (False, True):
        with psycopg.connect(store._link.url.shown, autocommit=True) as connection:
            connection.execute(
                f"insert into {store._schema}.schedule select 'schedule ' || n || %s, n, 1e10 + n, 'body' from generate_series(1, 5000) n",
                (str(known),),
            )
            if known:
                connection.execute(f"analyze {store._schema}.schedule")
        through = ways(store, due)
        assert set(through) == {
            "Index Only Scan using schedule_next on schedule",
            "Index Scan using schedule_next on schedule",
            "Sort",
        }


@pytest.mark.parametrize("work", HOT)
def test_a_hot_statement_has_one_plan_for_all_sizes(
    deep: dict[int, PostgresBroker], work: Callable[[PostgresBroker], None]
) -> None:
    # Whether anything is limited is asked by the clock.
    small, middle, large = (
        [way for way in ways(deep[size], work) if not way.endswith((" on limits", " on line"))] for size in SIZES
    )
    assert small
    assert small == middle == large


@pytest.mark.parametrize("work", HOT)
def test_a_hot_statement_never_reads_all_jobs(
    deep: dict[int, PostgresBroker], work: Callable[[PostgresBroker], None]
) -> None:
    through = [way for way in ways(deep[SIZES[-1]], work) if way.startswith(("Seq", "Bitmap")) and way.endswith(" job")]
    assert through == []


@pytest.mark.parametrize("work", HOT)
def test_a_hot_statement_reads_little_of_a_queue_of_which_nothing_is_known(
    deep: dict[int, PostgresBroker], work: Callable[[PostgresBroker], None]
) -> None:
    for plan in plans(deep[UNKNOWN], work):
        assert most_read(plan) <= COUNTED + 1_000, plan


def test_a_command_for_many_jobs_reads_the_queue_once_at_most_for_all_of_them(deep: dict[int, PostgresBroker]) -> None:
    for plan in plans(deep[UNKNOWN], chosen):
        assert most_read(plan) <= 3 * UNKNOWN, plan


def test_a_look_at_a_deep_queue_reads_a_part_of_it(deep: dict[int, PostgresBroker]) -> None:
    def look(store: PostgresBroker) -> None:
        (counts,) = store.inspector().count(most=1_000)
        assert counts.about == ("delayed", "ready")
        assert all(0.8 * SIZES[-1] < count < 1.3 * SIZES[-1] for count in (counts.ready, counts.delayed))
        store.inspector().list(Selection(state=State.RUNNING))

    through = [way for way in ways(deep[SIZES[-1]], look) if way.startswith(("Seq", "Bitmap")) and way.endswith(" job")]
    assert through == []


def test_an_exact_count_of_a_large_table_reads_each_part_of_it_once(
    deep: dict[int, PostgresBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = deep[SIZES[-1]]
    whole = store.inspector().count()
    # A statement for the whole of ten million jobs took longer than any may.
    monkeypatch.setattr(census, "_AT_ONCE", 7)
    assert store.inspector().count() == whole
    through = [way for way in ways(store, lambda store: store.inspector().count()) if way.endswith(" job")]
    assert set(through) == {"Tid Range Scan on job"}


def test_a_claim_reads_no_more_of_a_deep_queue(deep: dict[int, PostgresBroker]) -> None:
    pages = []
    for store in deep.values():
        with closing(PostgresBroker(f"{store._link.url.shown}?schema={store._schema}")) as fresh:
            fresh.open()
            connection = fresh._link.open()
            index = f"select pg_stat_get_xact_tuples_returned('{store._schema}.job_ready'::regclass)"
            with connection.transaction():
                claim(fresh, 10)
                read = connection.execute(index).fetchone()
            assert read is not None
            pages.append(read[0])
    assert max(pages) <= 200
