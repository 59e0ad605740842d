"""What the PostgreSQL broker does beyond the contract: lost connections, installs, listeners, and another's long transaction."""

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from queue import SimpleQueue

import msgspec
import psycopg
import pytest

from penstock.brokers import connect
from penstock.brokers.inspect import Selection
from penstock.brokers.listener import Listener, Waking
from penstock.brokers.postgres import sweeps
from penstock.brokers.postgres.arrays import Array
from penstock.brokers.postgres.broker import PostgresBroker
from penstock.brokers.postgres.holdings import Heads, Holdings
from penstock.core.job import Holder, Lease
from penstock.core.outcome import Ending, Outcome
from penstock.core.states import State
from penstock.errors import ConfigError, SchemaTooNew, StoreError, StoreUnavailable
from penstock.testing.contract.harness import ALICE, BOB, PATIENCE, QUEUE, Told, beat, claim, ids, job, jobs, new_id
from penstock.testing.servers import PostgresServer

_numbers = itertools.count()


@pytest.fixture
def schema() -> str:
    return f"own{next(_numbers)}"


@pytest.fixture
def url(postgres_server: PostgresServer, schema: str) -> str:
    return f"{postgres_server.url()}?schema={schema}"


def opened(url: str) -> PostgresBroker:
    broker = connect(url)
    assert isinstance(broker, PostgresBroker)
    broker.open()
    return broker


@pytest.fixture
def store(url: str) -> Iterator[PostgresBroker]:
    broker = opened(url)
    yield broker
    broker.close()


@pytest.fixture
def raw(postgres_server: PostgresServer) -> Iterator[psycopg.Connection]:
    """A connection of somebody else's."""
    with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
        yield connection


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


def backend(store: PostgresBroker) -> int:
    return store._link.open().info.backend_pid


def end_backend(raw: psycopg.Connection, pid: int) -> None:
    assert raw.execute("select pg_terminate_backend(%s, 10000)", (pid,)).fetchone() == (True,)


# Installing.


def test_the_ddl_is_all_that_install_does(url: str, schema: str, raw: psycopg.Connection) -> None:
    script = connect(url).ddl()
    assert connect(url).schema().installed is None
    raw.execute(script.encode())
    broker = opened(url)
    found = broker.schema()
    assert found.installed == found.known
    broker.enqueue(sent := jobs(2))
    assert ids(claim(broker)) == ids(sent)
    broker.close()


def test_a_script_for_one_schema_touches_no_other(schema: str) -> None:
    script = connect(f"postgresql://nowhere/none?schema={schema}").ddl()
    statements = "\n".join(line.split("--")[0] for line in script.splitlines())
    assert f'"{schema}".job' in statements
    assert "penstock." not in statements
    assert "'penstock'" not in statements


@pytest.mark.parametrize("name", ["Jobs", "a-b", "", "a.b", '"', "1a", "a" * 40])
def test_a_name_that_no_schema_should_have(name: str) -> None:
    with pytest.raises(ConfigError, match="schema"):
        connect(f"postgresql://h/d?schema={name}")


@pytest.mark.parametrize("name", ["order", "user", "select", "default"])
def test_a_schema_may_be_named_like_a_keyword(postgres_server: PostgresServer, name: str) -> None:
    with closing(opened(f"{postgres_server.url()}?schema={name}")) as store:
        store.enqueue(sent := jobs(1))
        woken = threading.Event()
        with store.listen(Waking(woken.set)):
            store.enqueue(jobs(1))
            assert woken.wait(PATIENCE)
        assert ids(claim(store))[:1] == ids(sent)


def test_a_newer_schema_that_this_version_can_work_with(
    store: PostgresBroker, url: str, raw: psycopg.Connection
) -> None:
    schema = store._schema
    raw.execute(f"update {schema}.meta set value = value + 7 where name = 'schema'")
    with closing(opened(url)) as old:
        old.enqueue(sent := jobs(1))
        assert ids(claim(old)) == ids(sent)
        found = old.schema()
        assert found.installed == found.known + 7


def test_a_newer_schema_that_this_version_can_not_work_with(
    store: PostgresBroker, url: str, raw: psycopg.Connection
) -> None:
    raw.execute(f"update {store._schema}.meta set value = value + 100")
    with pytest.raises(SchemaTooNew, match="upgrade"):
        opened(url)


def test_a_half_done_upgrade_is_undone(url: str, schema: str, raw: psycopg.Connection) -> None:
    raw.execute(f"create schema {schema}")
    raw.execute(f"create sequence {schema}.claim")
    with pytest.raises(StoreError, match="claim"):
        opened(url)
    assert raw.execute("select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = %s", (schema,)).fetchone() == (1,)  # fmt: skip
    raw.execute(f"drop sequence {schema}.claim")
    opened(url).close()


def test_a_user_who_may_only_use_the_queue(
    store: PostgresBroker, postgres_server: PostgresServer, raw: psycopg.Connection
) -> None:
    raw.execute("create role worker_role login")
    try:
        theirs = f"{postgres_server.url(user='worker_role')}?schema={store._schema}"
        with pytest.raises(StoreError, match="grant"):
            opened(theirs)
        raw.execute(f"grant usage on schema {store._schema} to worker_role")
        raw.execute(f"grant select, insert, update, delete on all tables in schema {store._schema} to worker_role")
        raw.execute(f"grant usage, select on all sequences in schema {store._schema} to worker_role")
        with closing(opened(theirs)) as worker:
            worker.enqueue(sent := jobs(2))
            assert ids(claim(worker)) == ids(sent)
        with pytest.raises(StoreError, match=r"permission denied for database.*grant"):
            opened(f"{postgres_server.url(user='worker_role')}?schema=not_theirs")
    finally:
        raw.execute("drop owned by worker_role")
        raw.execute("drop role worker_role")


# Lost connections.


def test_a_connection_that_was_cut_while_idle_is_not_noticed(store: PostgresBroker, raw: psycopg.Connection) -> None:
    store.enqueue(sent := jobs(3))
    (first, *_) = claim(store, 1)
    end_backend(raw, backend(store))
    assert store.exchange([Outcome(first)], (), 0, ALICE).stale == []
    end_backend(raw, backend(store))
    assert ids(claim(store)) == ids(sent[1:])


def blocked(raw: psycopg.Connection, pid: int) -> bool:
    row = raw.execute("select wait_event_type = 'Lock' from pg_stat_activity where pid = %s", (pid,)).fetchone()
    return row == (True,)


def test_what_an_exchange_took_without_an_answer_comes_back(
    store: PostgresBroker, url: str, raw: psycopg.Connection, postgres_server: PostgresServer
) -> None:
    sent = jobs(6)
    store.enqueue(sent)
    known = claim(store, 2)
    pid = backend(store)
    failed: list[StoreError] = []

    def exchange() -> None:
        try:
            store.exchange([], [QUEUE], 2, ALICE)
        except StoreError as error:
            failed.append(error)

    with psycopg.connect(postgres_server.url()) as other:
        other.execute(f"lock table {store._schema}.job in access exclusive mode")
        thread = threading.Thread(target=exchange)
        thread.start()
        while not blocked(raw, pid):
            pass
        end_backend(raw, pid)
        thread.join()
    assert [type(error) for error in failed] == [StoreUnavailable]
    # The same as if it had committed, and its answer had been lost.
    with closing(opened(url)) as unseen:
        assert ids(claim(unseen, 2, holder=ALICE)) == ids(sent[2:4])
        assert ids(claim(unseen, 1, holder=BOB)) == ids(sent[4:5])
    again = claim(store, 10)
    assert ids(again) == [sent[2].id, sent[3].id, sent[5].id]
    assert store.exchange([Outcome(lease) for lease in (*known, *again)], (), 0, ALICE).stale == []
    assert [one.id for one in store.inspector().list(Selection())] == [sent[4].id]


def test_outcomes_that_were_in_doubt_are_stale_when_they_had_gone_through(store: PostgresBroker, url: str) -> None:
    store.enqueue(jobs(2))
    first, second = claim(store)
    with closing(opened(url)) as unseen:
        assert unseen.exchange([Outcome(first)], (), 0, ALICE).stale == []
    again = store.exchange([Outcome(first), Outcome(second)], [QUEUE], 5, ALICE)
    assert [outcome.lease for outcome in again.stale] == [first]


def test_a_plain_job_rings_as_one_that_is_ready(store: PostgresBroker) -> None:
    told = Told()
    with store.listen(told):
        store.enqueue(jobs(1))
        assert told.next() == "ready"


def test_a_server_that_restarts(own_server: PostgresServer) -> None:
    with closing(opened(own_server.url())) as store:
        store.enqueue(sent := jobs(4))
        first, second = claim(store, 2)
        woken = threading.Event()
        with store.listen(Waking(woken.set)):
            own_server.stop()
            for call in (lambda: store.enqueue(jobs(1)), lambda: claim(store), lambda: store.depth(QUEUE)):
                with pytest.raises(StoreUnavailable):
                    call()
            own_server.start()
            assert store.exchange([Outcome(first)], (), 0, ALICE).stale == []
            assert ids(claim(store, 1)) == [sent[2].id]
            assert woken.wait(PATIENCE)
        own_server.kill()
        own_server.start()
        assert store.exchange([Outcome(second)], (), 0, ALICE).stale == []
        assert ids(claim(store)) == [sent[3].id]


def test_whether_anything_is_limited_is_asked_when_nothing_waits(store: PostgresBroker) -> None:
    claim(store)
    store._gates._ask_at = soon = time.monotonic() + 0.3
    store.enqueue(jobs(1))
    assert len(claim(store)) == 1
    assert store._gates._ask_at == soon
    assert claim(store) == []
    assert store._gates._ask_at > soon + 0.3


# Listening.


def heard(raw: psycopg.Connection) -> int:
    """How many notifications have come so far; the query before makes sure that those of earlier commits are here."""
    raw.execute("select 1")
    return len(list(raw.notifies(timeout=0.05)))


def test_nobody_waits_so_nothing_is_sent(store: PostgresBroker, raw: psycopg.Connection) -> None:
    raw.execute(f'listen "{store._schema}"')
    for _ in range(20):
        store.enqueue(jobs(5))
    assert heard(raw) == 0


def test_a_busy_listener_gets_one_notification_for_many_commits(store: PostgresBroker, raw: psycopg.Connection) -> None:
    raw.execute(f'listen "{store._schema}"')
    busy, free = threading.Event(), threading.Event()
    rings = itertools.count()

    class Busy(Listener):
        def wake(self) -> None:
            next(rings)
            busy.set()
            free.wait(PATIENCE)

        def idle(self, seconds: float) -> bool:
            return free.is_set()

    with store.listen(Busy()):
        store.enqueue(jobs(1))
        assert busy.wait(PATIENCE)
        for _ in range(200):
            store.enqueue(jobs(1))
        assert heard(raw) == 1
        busy.clear()
        free.set()
        # What came while it was busy is made up for, without a notification.
        assert busy.wait(PATIENCE)
    assert next(rings) <= 4


@pytest.mark.parametrize("is_idle", [True, False], ids=["idle", "busy"])
def test_whoever_is_idle_is_told_before_the_server_is_asked(
    store: PostgresBroker, raw: psycopg.Connection, *, is_idle: bool
) -> None:
    armed: SimpleQueue[int] = SimpleQueue()
    locks = "select count(*) from pg_locks where locktype = 'advisory' and objid = 1 and classid::text::bigint = hashtext(%s)::bigint & x'ffffffff'::bigint"

    class Asking(Listener):
        def wake(self) -> None:
            raise AssertionError("it is a job")

        def ready(self) -> None:
            found = raw.execute(locks, (store._schema,)).fetchone()
            armed.put(0 if found is None else found[0])

        def idle(self, seconds: float) -> bool:
            return is_idle

    with store.listen(Asking()):
        # What comes while it is not armed is made up for, not heard.
        for _ in range(3 if is_idle else 1):
            store.enqueue(jobs(1))
            assert armed.get(timeout=PATIENCE) == is_idle


def test_a_listener_survives_its_connection(store: PostgresBroker, raw: psycopg.Connection) -> None:
    mine = backend(store)
    woken = threading.Event()
    with store.listen(Waking(woken.set)):
        listens = "select pid from pg_stat_activity where pid <> %s and (query like %s or query like %s)"
        found = raw.execute(listens, (raw.info.backend_pid, "%pg_advisory_lock_shared%", f'%listen "{store._schema}"%'))
        for (pid,) in found.fetchall():
            if pid != mine:
                raw.execute("select pg_terminate_backend(%s, 10000)", (pid,))
        assert woken.wait(PATIENCE)
        woken.clear()
        store.enqueue(jobs(1))
        assert woken.wait(PATIENCE)


def test_the_first_job_of_all_is_heard_that_comes_while_nobody_is_notified(
    store: PostgresBroker, raw: psycopg.Connection
) -> None:
    told: SimpleQueue[int] = SimpleQueue()

    def wake() -> None:
        # Until it returns, those who enqueue spare themselves the notification.
        if not store.depth(QUEUE):
            store.enqueue(jobs(1))
        told.put(store.depth(QUEUE))

    with store.listen(Waking(wake)):
        raw.execute(f'notify "{store._schema}"')
        assert [told.get(timeout=PATIENCE), told.get(timeout=PATIENCE)] == [1, 1]


def test_what_is_given_back_is_heard_of_that_comes_while_nobody_is_notified(
    store: PostgresBroker, raw: psycopg.Connection
) -> None:
    told: SimpleQueue[int] = SimpleQueue()
    store.enqueue(jobs(1))
    claim(store)

    def wake() -> None:
        # As above; and what is given back gets no new place.
        told.put(store.abandon(ALICE))

    with store.listen(Waking(wake)):
        raw.execute(f'notify "{store._schema}"')
        assert [told.get(timeout=PATIENCE), told.get(timeout=PATIENCE)] == [1, 0]


def test_a_listener_ends_in_order(store: PostgresBroker, raw: psycopg.Connection) -> None:
    before = {thread.name for thread in threading.enumerate()}
    with store.listen(Waking(lambda: None)):
        assert "penstock-listen" in {thread.name for thread in threading.enumerate()}
    assert {thread.name for thread in threading.enumerate()} <= before


# Another's long transaction.


def many_dead_entries(store: PostgresBroker, count: int = 1500) -> None:
    store.enqueue(jobs(count))
    outcomes: list[Outcome] = []
    while leases := store.exchange(outcomes, [QUEUE], 500, ALICE).leases:
        outcomes = [Outcome(lease) for lease in leases]


@contextmanager
def uncommitted(store: PostgresBroker, server: PostgresServer) -> Iterator[tuple[bytes, psycopg.Connection]]:
    """A job that another session has stored behind many dead entries, which stay while the context is open, and has still to commit; its id, and that session."""
    with psycopg.connect(server.url()) as reader, psycopg.connect(server.url()) as late:
        reader.execute("set transaction isolation level repeatable read")
        reader.execute("select 1")
        many_dead_entries(store)
        (sent,) = store.enqueue(jobs(1), tx=late)
        yield sent, late
        reader.rollback()


def test_a_late_commit_is_found_though_claims_have_gone_past_it(
    store: PostgresBroker, postgres_server: PostgresServer
) -> None:
    with uncommitted(store, postgres_server) as (sent, late):
        assert claim(store) == []
        assert store._heads._sweeps.next_at > time.monotonic()
        store.enqueue(after := jobs(3))
        leases = claim(store)
        assert ids(leases) == ids(after)
        late.commit()
        deadline = time.monotonic() + PATIENCE
        while not (found := claim(store)):
            assert time.monotonic() < deadline
        assert ids(found) == [sent]


def test_what_was_committed_late_is_looked_for_when_nothing_else_is_left(
    store: PostgresBroker, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "_EVERY", 3600.0)
    with uncommitted(store, postgres_server) as (sent, late):
        assert claim(store) == []
        store.enqueue(after := jobs(2))
        first = claim(store, 2)
        assert ids(first) == ids(after)
        late.commit()
        ended = [Outcome(lease) for lease in first]
        # It is not time yet, and then it is.
        assert store.exchange(ended[:1], [QUEUE], 5, ALICE).leases == []
        store._heads._sweeps.next_at = time.monotonic()
        store.enqueue(waiting := jobs(1))
        assert ids(claim(store, 1)) == ids(waiting)
        assert ids(store.exchange(ended[1:], [QUEUE], 5, ALICE).leases) == [sent]


def test_one_process_at_a_time_looks_from_the_beginning(
    store: PostgresBroker, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that do at once are both away for as long as it takes, and what comes meanwhile waits for them."""
    monkeypatch.setattr(sweeps, "_EVERY", 3600.0)
    with uncommitted(store, postgres_server) as (sent, late):
        assert claim(store) == []
        store.enqueue(after := jobs(1))
        assert ids(claim(store)) == ids(after)
        late.commit()
        store._heads._sweeps.next_at = time.monotonic()
        with psycopg.connect(postgres_server.url()) as another:
            another.execute("select pg_advisory_xact_lock(hashtext(%s), 3)", [store._schema])
            assert claim(store) == []
        # It goes on from where it was, and has its turn later.
        assert store._heads._sweeps.next_at > time.monotonic() + 60
        assert claim(store) == []
        store._heads._sweeps.next_at = time.monotonic()
        assert ids(claim(store)) == [sent]


def test_claims_do_not_begin_where_all_entries_are_known_to_be_dead(store: PostgresBroker) -> None:
    many_dead_entries(store, 500)
    assert claim(store) == []
    assert store._heads._sweeps.next_at == 0
    for _ in range(5):
        many_dead_entries(store, 10_000)
    for _ in range(2):
        assert claim(store) == []
    assert store._heads._sweeps.next_at > 0
    store.enqueue(sent := jobs(2))
    assert ids(claim(store)) == ids(sent)


def lease(queue: str, priority: int, key: int, number: int = 1) -> Lease:
    return Lease(new_id(), key, number, "t", b"", queue, priority)


def lows(heads: Heads, now: float) -> bytes:
    return heads.ahead(["a"], now)["lows"].data


def test_heads_are_looked_for_from_the_beginning_unless_that_is_far() -> None:
    heads = Heads()
    beginning = lows(heads, 0.0)
    heads.found([lease("a", 5, 42)], False, 0.01)
    assert lows(heads, 0.02) == beginning
    heads.found([lease("a", 5, 43)], True, 0.03)
    assert lows(heads, 0.04) != beginning
    heads.found([lease("a", 5, 44)], False, 0.05)
    assert lows(heads, 0.9) != beginning
    assert lows(heads, 1.1) == beginning
    # A sweep that takes long has to wait for longer: it may take a twentieth of the time.
    heads.found([], True, 1.6)
    assert lows(heads, 11.0) != beginning
    assert lows(heads, 11.7) == beginning


def test_a_look_that_somebody_waits_for_leaves_a_sweep_to_one_that_finds_nothing() -> None:
    heads = Heads()
    beginning = lows(heads, 0.0)
    assert not heads.sweep_waits(0.01)
    heads.found([lease("a", 5, 42)], True, 0.0)
    assert heads.ahead(["a"], 1.1, may_wait=True)["lows"].data != beginning
    heads.found([], False, 1.1)
    assert heads.sweep_waits(1.1)
    assert lows(heads, 1.1) == beginning
    heads.found([], True, 1.1)
    assert not heads.sweep_waits(1.2)
    # Where there is always something it is not put off for ever.
    assert heads.ahead(["a"], 3.0, may_wait=True)["lows"].data != beginning
    assert heads.ahead(["a"], 3.2, may_wait=True)["lows"].data == beginning
    assert not heads.sweep_waits(3.2)


def test_a_look_goes_on_where_the_last_one_was_once_that_is_far() -> None:
    heads = Heads()
    beginning = lows(heads, 0.0)
    heads.went_on([7] * 10, False, 0.01)
    assert lows(heads, 0.02) == beginning
    heads.went_on([7] * 10, True, 0.03)
    assert lows(heads, 0.04) == Array("int8", [7] * 10).data
    heads.went_on([9] * 10, False, 0.05)
    assert lows(heads, 0.06) == Array("int8", [9] * 10).data
    assert lows(heads, 1.1) == beginning


def test_what_waits_is_counted_past_what_another_session_may_still_see(
    store: PostgresBroker, raw: psycopg.Connection, url: str, schema: str, postgres_server: PostgresServer
) -> None:
    look = f"select ready, lows, far from {schema}.backlog_after(%s, %s, %s, 100, 100, null)".encode()
    ranks, beginning = list(range(10)), [0] * 10
    with psycopg.connect(postgres_server.url()) as watching, psycopg.connect(postgres_server.url()) as late:
        watching.execute("set transaction isolation level repeatable read")
        watching.execute(f"select count(*) from {schema}.job".encode())
        # Its place lies before those of all the others.
        store.enqueue(jobs(1), tx=late)
        for _ in range(2):
            store.enqueue(jobs(1000))
            assert store.exchange([Outcome(lease) for lease in claim(store, 1000)], (), 0, ALICE).stale == []
        store.enqueue(jobs(3, priority=2))
        assert store.backlog([QUEUE]).ready == 3
        store.enqueue(jobs(4))
        assert store.backlog([QUEUE]).ready == 7
        ready, lows, far = raw.execute(look, ([QUEUE] * 10, ranks, beginning)).fetchone() or (None, None, None)
        assert (ready, far) == (7, True)
        assert raw.execute(look, ([QUEUE] * 10, ranks, lows)).fetchone() == (7, lows, False)
        late.commit()
        with closing(opened(url)) as newcomer:
            assert newcomer.backlog([QUEUE]).ready == 8


def test_what_is_due_is_found_past_what_another_session_may_still_see(
    store: PostgresBroker, raw: psycopg.Connection, schema: str, postgres_server: PostgresServer
) -> None:
    look = f"select moved, next_in, next_from, far from {schema}.promote_from(%s, 100, %s)".encode()
    with psycopg.connect(postgres_server.url()) as watching:
        watching.execute("set transaction isolation level repeatable read")
        watching.execute(f"select count(*) from {schema}.job".encode())
        store.enqueue(jobs(2000, run_at=100.0))
        assert store.promote(now=100.0) is None
        store.enqueue([job(run_at=300.0), job(run_at=150.0)])
        assert store.promote(now=140.0) == 10.0
        assert store.promote(now=150.0) == 150.0
        assert store.backlog([QUEUE]).ready == 2001
        # What became ready is out of the way of whoever begins where the last look left off.
        assert raw.execute(look, (200.0, None)).fetchone() == (0, 100.0, 199.0, True)
        assert raw.execute(look, (300.0, 199.0)).fetchone() == (1, None, 299.0, False)
        assert raw.execute(look, (400.0, 299.0)).fetchone() == (0, None, 399.0, False)


def test_holdings_know_which_claims_are_spent() -> None:
    holdings = Holdings()
    holder = Holder("w", 1)
    two, one = [lease("a", 5, n, 7) for n in range(2)], lease("a", 5, 3, 8)
    holdings.take(holder, [*two, one])
    first = [Outcome(two[0]), Outcome(one)]
    assert holdings.spent(first) == [8]
    holdings.end(first)
    assert holdings.spent([Outcome(two[1])]) == [7]
    assert holdings.in_doubt(holder) is None
    holdings.doubt(holder)
    assert holdings.in_doubt(holder) == 8
    holdings.take(holder, [])
    assert holdings.in_doubt(holder) is None


# What is left behind.


def left(raw: psycopg.Connection, schema: str, table: str) -> int:
    row = raw.execute(f"select count(*) from {schema}.{table}").fetchone()
    assert row is not None
    return int(row[0])


def test_an_ended_claim_leaves_no_note(store: PostgresBroker, raw: psycopg.Connection) -> None:
    store.enqueue([*jobs(4), *jobs(4, queue="b", priority=2)])
    leases = claim(store, queues=[QUEUE, "b"])
    assert left(raw, store._schema, "lease") == 2
    assert store.exchange([Outcome(lease) for lease in leases[:5]], (), 0, ALICE).stale == []
    assert left(raw, store._schema, "lease") == 2
    assert store.exchange([Outcome(lease, Ending.RELEASED) for lease in leases[5:]], (), 0, ALICE).stale == []
    assert left(raw, store._schema, "lease") == 0


def test_notes_of_claims_that_a_sink_ended_are_pruned(
    store: PostgresBroker, raw: psycopg.Connection, postgres_server: PostgresServer
) -> None:
    store.enqueue(jobs(3))
    long_ago = 1_600_000_000.0
    (first, second, held) = (claim(store, 1, now=long_ago)[0] for _ in range(3))
    with psycopg.connect(postgres_server.url()) as sink:
        assert store.exchange([Outcome(first), Outcome(second)], (), 0, ALICE, tx=sink).stale == []
    assert left(raw, store._schema, "lease") == 3
    store.prune()
    assert left(raw, store._schema, "lease") == 1
    assert store.exchange([Outcome(held)], (), 0, ALICE).stale == []


@pytest.mark.parametrize("priority", [-1, 10])
def test_a_priority_that_nobody_would_look_at_is_refused(store: PostgresBroker, priority: int) -> None:
    with pytest.raises(StoreError):
        store.enqueue([job(), job(priority=priority)])
    assert store.depth(QUEUE) == 0


def test_a_claim_writes_no_index(store: PostgresBroker, raw: psycopg.Connection) -> None:
    store.enqueue(jobs(2000, payload=b"x" * 60))
    while claim(store, 100):
        pass
    raw.execute("select pg_stat_clear_snapshot()")
    store._link.open().execute("select pg_stat_force_next_flush()")
    store._link.open().execute("select 1")
    changed, in_place = raw.execute(
        "select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where schemaname = %s and relname = 'job'",
        (store._schema,),
    ).fetchone() or (0, 0)
    assert changed >= 2000
    assert in_place == changed


# The server's clock.


def test_nobody_is_rescued_after_a_step_of_the_servers_clock(store: PostgresBroker, raw: psycopg.Connection) -> None:
    store.enqueue(jobs(1))
    info_at = raw.execute("select extract(epoch from clock_timestamp())::float8").fetchone()
    assert info_at is not None
    beat(store, ALICE.worker, info_at[0] - 60)
    claim(store, now=info_at[0] - 60)
    store._steady.observe(info_at[0] - 3600, time.monotonic())
    assert store.rescue(dead_after=6) == 0
    assert [one.state for one in store.inspector().list(Selection())] == [State.RUNNING]
    with closing(opened(store._link.url.shown + f"?schema={store._schema}")) as other:
        assert other.rescue(dead_after=6) == 1


def test_two_sessions_that_take_keys_crosswise_both_get_through(url: str, store: PostgresBroker) -> None:
    stores = [opened(url) for _ in range(2)]
    barrier = threading.Barrier(2)
    failed: list[StoreError] = []

    def work(number: int) -> None:
        barrier.wait(PATIENCE)
        try:
            for turn in range(10):
                keys = [f"{turn}/{n}" for n in range(50)]
                stores[number].enqueue([job(unique=key) for key in (keys if number else keys[::-1])])
        except StoreError as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in stores:
        one.close()
    assert failed == []
    assert store.depth(QUEUE) == 500


def test_a_message_about_the_queue_has_no_password(store: PostgresBroker, postgres_server: PostgresServer) -> None:
    place = postgres_server.url().replace("postgres@", "postgres:s3cr3t@")
    with closing(opened(f"{place}?schema={store._schema}")) as other:
        with pytest.raises(StoreError) as caught:
            other.enqueue([job(task="a\0b")])
        assert "s3cr3t" not in str(caught.value)
        assert "***" in str(caught.value)
        other.close()
        with pytest.raises(StoreError, match="closed") as closed:
            other.depth(QUEUE)
        assert "s3cr3t" not in str(closed.value)


def test_failures_are_read_by_other_tools_as_msgpack(store: PostgresBroker, raw: psycopg.Connection) -> None:
    store.enqueue([job(at_most_once=True)])
    claim(store)
    assert store.abandon(ALICE) == 1
    row = raw.execute(f"select failure from {store._schema}.job").fetchone()
    assert row is not None
    assert msgspec.msgpack.decode(row[0])["kind"] == "Interrupted"
