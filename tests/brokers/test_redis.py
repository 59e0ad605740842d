"""What only a Redis queue can suffer, or do."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
from redis_servers import ask, wait_for

from penstock.brokers import connect
from penstock.brokers.diagnosis import Grade, Schema
from penstock.brokers.inspect import Selection
from penstock.brokers.listener import Waking
from penstock.brokers.redis.broker import RedisBroker
from penstock.brokers.redis.scripts import script
from penstock.core.job import Holder, Lease
from penstock.core.limiter import Limit, gate
from penstock.core.metrics import Figures, Point
from penstock.core.outcome import Ending, Outcome
from penstock.core.states import State
from penstock.errors import ConfigError, SchemaTooNew, StoreError, StoreFull, StoreReadOnly, StoreUnavailable
from penstock.testing.contract.harness import (
    ALICE,
    NOW,
    PATIENCE,
    QUEUE,
    beat,
    claim,
    claim_one,
    hand_in,
    ids,
    job,
    jobs,
)
from penstock.testing.servers import RedisServer
from penstock.testing.servers.process import LOOPBACK, ServerProcess, free_port

#: What is left of a queue in which nothing is left: numbers, and which lists there may be.
LEFT = {"layout", "claim", "pos", "rings"}


@pytest.fixture
def url(redis_url: str) -> str:
    return redis_url


@pytest.fixture
def store(url: str, opened: Callable[[str], RedisBroker]) -> RedisBroker:
    return opened(url)


def names(url: str) -> set[str]:
    """The keys of a queue, without their prefix."""
    address, _, namespace = url.partition("?namespace=")
    prefix = f"{{{namespace or 'penstock'}}}:"
    with redis.Redis.from_url(address) as client:
        return {key.decode().removeprefix(prefix) for key in client.keys(f"{prefix}*")}


# What is kept


def test_all_keys_have_the_hash_tag_of_the_namespace(url: str, store: RedisBroker) -> None:
    ask(url, "FLUSHDB")
    store.enqueue([*jobs(3), job(unique="k", batch=b"b" * 16, run_at=NOW + 5), job(gate="t,k")], now=NOW)
    claim(store)
    tag = "{" + url.partition("?namespace=")[2] + "}:"
    assert {key.decode().partition("}:")[0] + "}:" for key in ask(url, "KEYS", "*")} == {tag}


def test_nothing_is_left_of_what_has_ended(url: str, store: RedisBroker) -> None:
    store.declare({"t": Limit(concurrency=2)})
    keyed = [job(gate=gate("s", "k", ordered=True)) for _ in range(3)]
    plain = [job(unique="k", batch=b"b" * 16), job(run_at=NOW + 5), *jobs(5), job(gate="t"), *keyed]
    store.enqueue(plain, now=NOW)
    store.inspector().cancel(Selection(ids=(plain[3].id, keyed[1].id)))
    for turn in range(6):
        store.promote(now=NOW + 10 + turn)
        leases = claim(store, now=NOW + 10 + turn)
        retried = [Outcome(lease, Ending.RETRY if turn == 0 else Ending.DONE) for lease in leases]
        assert hand_in(store, *retried, now=NOW + 10 + turn) == []
    store.inspector().delete(Selection())
    for day in range(3):
        store.prune(now=NOW + day * 100_000)
    store.declare({"t": None})
    store.depart(ALICE.worker)
    store.prune(now=NOW + 400_000)
    assert names(url) - LEFT == set()


def test_a_waiting_job_takes_little_memory(url: str, store: RedisBroker) -> None:
    before = ask(url, "INFO", "memory")["used_memory_dataset"]
    store.enqueue(jobs(20_000))
    # What scripts leave for their collector is no job's; Redis 8 counts it in `used_memory`.
    each = (ask(url, "INFO", "memory")["used_memory_dataset"] - before) / 20_000
    assert each < 256


def test_jobs_cancelled_in_a_deep_queue_are_skipped(url: str, store: RedisBroker) -> None:
    sent = jobs(1500)
    store.enqueue(sent, now=NOW)
    assert store.inspector().cancel(Selection(ids=tuple(ids(sent[:700] + sent[710:])))) == 1490
    assert store.depth(QUEUE) == store.backlog([QUEUE], now=NOW).ready == 10
    assert ids(claim(store, 5)) == ids(sent[700:705])
    assert store.inspector().retry(Selection(ids=(sent[0].id,))) == 1
    assert ids(claim(store)) == ids([*sent[705:710], sent[0]])
    assert "ghosts" not in names(url)


def test_what_comes_back_stands_where_it_stood_among_many(store: RedisBroker) -> None:
    sent = jobs(900)
    store.enqueue(sent, now=NOW)
    holders = [Holder("w", number) for number in range(6)]
    for holder in holders:
        claim(store, 100, holder=holder)
    for holder in (holders[4], holders[0], holders[2], holders[5], holders[3], holders[1]):
        assert store.abandon(holder) == 100
    assert ids(claim(store)) == ids(sent)


# Scripts, servers and connections


@pytest.mark.parametrize(
    "name",
    sorted(
        path.name[:-4]
        for path in files("penstock.brokers.redis").joinpath("lua").iterdir()
        if path.name.endswith(".lua")
    ),
)
def test_every_script_is_known_to_the_server_by_its_digest(url: str, name: str) -> None:
    text, digest = script(name)
    header = files("penstock.brokers.redis").joinpath("lua", f"{name}.lua").read_text("utf-8")
    assert "-- Keys: the prefix." in header
    assert text.startswith("#!lua")
    assert ask(url, "SCRIPT", "LOAD", text) == digest.encode()


def test_scripts_that_a_server_forgot_are_sent_again(url: str, store: RedisBroker) -> None:
    sent = jobs(2)
    store.enqueue(sent, now=NOW)
    first = claim(store, 1)
    ask(url, "SCRIPT", "FLUSH")
    given = store.exchange([Outcome(first[0])], [QUEUE], 5, ALICE, now=NOW)
    assert (given.stale, ids(given.leases)) == ([], [sent[1].id])


def test_a_claim_number_is_not_given_again_by_a_server_that_missed_the_last(url: str, store: RedisBroker) -> None:
    store.enqueue(jobs(2), now=NOW)
    (first,) = claim(store, 1)
    ask(url, "DEL", "{" + url.partition("?namespace=")[2] + "}:claim")
    assert claim_one(store).claim > first.claim


def test_of_what_was_told_nothing_is_lost_by_a_kill(opened: Callable[[str], RedisBroker]) -> None:
    with RedisServer(appendfsync="always") as server:
        stored, ended, asked, begun = set[bytes](), set[bytes](), set[bytes](), threading.Event()

        def send() -> None:
            store = opened(server.url())
            with suppress(StoreUnavailable):
                while True:
                    stored.update(store.enqueue(jobs(50)))

        def work() -> None:
            store, leases = opened(server.url()), list[Lease]()
            with suppress(StoreUnavailable):
                while True:
                    asked.clear()
                    asked.update(ids(leases))
                    given = store.exchange([Outcome(lease) for lease in leases], [QUEUE], 20, ALICE)
                    ended.update(asked)
                    leases = given.leases
                    if len(ended) > 200:
                        begun.set()

        threads = [threading.Thread(target=target) for target in (send, work)]
        for thread in threads:
            thread.start()
        assert begun.wait(PATIENCE)
        server.kill()
        for thread in threads:
            thread.join()
        server.start()
        store, left = opened(server.url()), set[bytes]()
        store.depart(ALICE.worker)
        while leases := claim(store):
            left.update(ids(leases))
        # What was asked for last may have been done; nobody was told.
        assert stored - ended - asked <= left
        assert not left & (ended - asked)


def test_a_unix_socket_will_do(opened: Callable[[str], RedisBroker], tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    with RedisServer(options=["--unixsocket", str(path)]):
        store, woken = opened(f"redis://{quote(str(path), safe='')}/3"), threading.Event()
        with store.listen(Waking(woken.set)):
            store.enqueue([job()], now=NOW)
            assert woken.wait(PATIENCE)
        assert hand_in(store, Outcome(claim_one(store))) == []
        assert "off, on this machine" in {check.found for check in store.diagnose()}
    with pytest.raises(StoreUnavailable, match="start it"):
        opened(f"redis://{quote(str(path), safe='')}/3")


def test_leases_outlive_a_kill(opened: Callable[[str], RedisBroker]) -> None:
    with RedisServer(appendfsync="always") as server:
        store = opened(server.url())
        store.enqueue(jobs(10), now=NOW)
        leases = claim(store, 4)
        assert hand_in(store, Outcome(leases[0]), Outcome(leases[1], Ending.DEAD)) == []
        server.kill()
        with pytest.raises(StoreUnavailable):
            store.depth(QUEUE)
        server.start()
        assert hand_in(store, *map(Outcome, leases)) == [Outcome(lease) for lease in leases[:2]]
        assert len(claim(store)) == 6


def test_a_replica_that_takes_over_knows_the_leases(opened: Callable[[str], RedisBroker]) -> None:
    with RedisServer() as master, RedisServer(options=["--replicaof", LOOPBACK, str(master.port)]) as replica:
        store = opened(master.url())
        store.enqueue(jobs(5), now=NOW)
        leases = claim(store, 2)
        wait_for(lambda: master.is_copied_to(replica))
        follower = opened(replica.url())
        with pytest.raises(StoreReadOnly, match="redis\\+sentinel"):
            follower.enqueue(jobs(1))
        with pytest.raises(StoreReadOnly):
            claim(follower)
        assert follower.depth(QUEUE) == 3
        master.kill()
        ask(replica.url(), "REPLICAOF", "NO", "ONE")
        assert hand_in(follower, *map(Outcome, leases)) == []
        assert len(claim(follower)) == 3


def test_a_full_server_takes_no_jobs_and_lets_workers_drain_it(opened: Callable[[str], RedisBroker]) -> None:
    with RedisServer(options=["--maxmemory", "8mb"]) as server:
        store = opened(server.url())

        def fill() -> None:
            while True:
                store.enqueue(jobs(100, payload=b"x" * 1000))

        with pytest.raises(StoreFull, match="maxmemory"):
            fill()
        depth = store.depth(QUEUE)
        assert depth % 100 == 0
        # All that a worker does beside, it can do as well.
        beat(store, ALICE.worker)
        store.declare({"t": Limit("1/s")})
        assert store.record(ALICE.worker, 10, 1, Point(10.0, Figures()))
        store.promote()
        store.prune()
        drained = 0
        while leases := claim(store, 500):
            assert hand_in(store, *map(Outcome, leases)) == []
            drained += len(leases)
        assert drained == depth
        store.enqueue(jobs(100))


def test_what_an_answer_that_was_lost_took_is_given_back(opened: Callable[[str], RedisBroker]) -> None:
    with RedisServer() as server:
        store = opened(f"{server.url()}?timeout=0.3")
        once, sent = job(at_most_once=True), jobs(5)
        store.enqueue([once, *sent])
        # From now on the server knows the script.
        assert store.exchange((), [QUEUE], 0, ALICE).leases == []
        server.process.freeze()
        with pytest.raises(StoreUnavailable, match="in time"):
            store.exchange((), [QUEUE], 6, ALICE)
        server.process.thaw()
        watcher = opened(server.url())
        # The server reads the command, whose connection is closed, when it goes on.
        assert any(any(row.running for row in watcher.inspector().count()) for _ in range(10_000))
        assert sorted(ids(store.exchange((), [QUEUE], 10, ALICE).leases)) == sorted(ids([once, *sent]))


def test_a_listener_hears_again_when_its_server_is_back(opened: Callable[[str], RedisBroker]) -> None:
    with RedisServer() as server:
        store, woken = opened(server.url()), threading.Event()
        with store.listen(Waking(woken.set)):
            server.restart()
            sender = opened(server.url())
            # It connects again within half a second, and takes it that it missed something.
            assert woken.wait(PATIENCE)
            woken.clear()
            sender.enqueue([job()])
            assert woken.wait(PATIENCE)


def test_rings_do_not_pile_up_at_a_busy_listener(url: str, store: RedisBroker) -> None:
    entered, free, count = threading.Event(), threading.Event(), list[int]()

    def wake() -> None:
        count.append(1)
        entered.set()
        free.wait(PATIENCE)

    with store.listen(Waking(wake)):
        store.enqueue([job()])
        assert entered.wait(PATIENCE)
        for _ in range(100):
            store.enqueue([job()])
        tag = "{" + url.partition("?namespace=")[2] + "}:"
        assert sum(ask(url, "LLEN", f"{tag}{name}") for name in names(url) if name.startswith("bell:")) <= 1
        assert "armed" not in names(url)
        free.set()
    assert len(count) <= 3


def test_a_cluster_is_found_out_and_served(opened: Callable[[str], RedisBroker]) -> None:
    with RedisServer(options=["--cluster-enabled", "yes", "--cluster-port", str(free_port())]) as server:
        ask(server.url(), "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        wait_for(lambda: b"cluster_state:ok" in ask(server.url(), "CLUSTER", "INFO"))
        store, woken = opened(server.url()), threading.Event()
        with store.listen(Waking(woken.set)):
            sent = [*jobs(5), job(unique="k", run_at=NOW + 5)]
            store.enqueue(sent, now=NOW)
            assert woken.wait(PATIENCE)
        ask(server.url(), "SCRIPT", "FLUSH")
        leases = claim(store)
        assert hand_in(store, *map(Outcome, leases)) == []
        assert store.promote(now=NOW) == 5
        assert len(store.inspector().list(Selection())) == 1
        with pytest.raises(StoreError, match="namespace"):
            opened(server.url(3))


def test_sentinels_lead_to_the_new_master(opened: Callable[[str], RedisBroker]) -> None:
    sentinel = ServerProcess("sentinel")
    with RedisServer() as master, RedisServer(options=["--replicaof", LOOPBACK, str(master.port)]) as replica:
        settings = sentinel.folder / "sentinel.conf"
        settings.write_text(
            f"port {sentinel.port}\nbind {LOOPBACK}\nsentinel monitor main {LOOPBACK} {master.port} 1\n"
            "sentinel down-after-milliseconds main 300\nsentinel failover-timeout main 1000\n"
        )
        try:
            where = f"redis://{LOOPBACK}:{sentinel.port}"
            sentinel.start([master.program, str(settings), "--sentinel"], lambda: _answers(where))
            store = opened(f"redis+sentinel://{LOOPBACK}:{sentinel.port}/main?timeout=5")
            store.enqueue(jobs(5), now=NOW)
            leases = claim(store, 2)
            pause = threading.Event()
            wait_for(lambda: master.is_copied_to(replica) and ask(where, "SENTINEL", "REPLICAS", "main"))
            master.kill()
            for _ in range(1000):
                try:
                    stale = hand_in(store, *map(Outcome, leases))
                    break
                except (StoreUnavailable, StoreReadOnly):
                    pause.wait(0.02)
            else:
                pytest.fail("no new master within 20 s")
            assert stale == []
            assert len(claim(store)) == 3
            assert opened(replica.url()).depth(QUEUE) == 0
        finally:
            sentinel.remove()


def _answers(url: str) -> bool:
    try:
        return bool(ask(url, "PING"))
    except redis.RedisError:
        return False


# Users, and what is said


def test_the_rights_that_the_documentation_names_are_enough(opened: Callable[[str], RedisBroker]) -> None:
    with RedisServer() as server:
        rights = "on >pw ~{penstock}:* +@all -@dangerous -@admin +info"
        ask(server.url(), "ACL", "SETUSER", "worker", *rights.split())
        store, woken = opened(f"redis://worker:pw@{LOOPBACK}:{server.port}/0"), threading.Event()
        with store.listen(Waking(woken.set)):
            store.enqueue([job()], now=NOW)
            assert woken.wait(PATIENCE)
        assert hand_in(store, Outcome(claim_one(store))) == []
        assert list(store.inspector().list(Selection())) == []
        assert "appendonly no" in {check.found for check in store.diagnose()}
        with pytest.raises(StoreError, match="ACL SETUSER") as caught:
            opened(f"redis://worker:pw@{LOOPBACK}:{server.port}/0?namespace=other")
        assert "pw" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_keys_of_a_newer_version_are_left_alone(url: str, opened: Callable[[str], RedisBroker]) -> None:
    broker = connect(url)
    assert broker.schema() == Schema(None, 1)
    opened(url)
    assert broker.schema() == Schema(1, 1)
    ask(url, "SET", "{" + url.partition("?namespace=")[2] + "}:layout", "2")
    with pytest.raises(SchemaTooNew, match="upgrade"):
        opened(url)


def test_there_is_no_transaction_to_join(store: RedisBroker) -> None:
    with pytest.raises(ConfigError, match="no transaction to join"):
        store.enqueue([job()], tx=object())
    with pytest.raises(ConfigError, match="no transaction to join"):
        store.exchange([], (), 0, ALICE, tx=object())


def test_the_doctor_says_what_a_dead_server_loses() -> None:
    found: dict[str, dict[str, tuple[Grade, str]]] = {}
    for appendfsync in (None, "everysec", "always"):
        with RedisServer(appendfsync=appendfsync) as server:
            checks = list(connect(server.url()).diagnose())
            found[str(appendfsync)] = {check.name: (check.grade, f"{check.found} {check.advice}") for check in checks}
    assert [found[name]["durability"][0] for name in found] == [Grade.WARN, Grade.WARN, Grade.OK]
    assert "every job" in found["None"]["durability"][1]
    assert "seconds" in found["everysec"]["durability"][1]
    good = found["always"]
    assert {name for name, (grade, _) in good.items() if grade is not Grade.OK} == {"memory"}
    assert "set maxmemory" in good["memory"][1]


def test_the_doctor_fails_a_server_that_throws_jobs_away() -> None:
    with RedisServer(options=["--maxmemory", "1gb", "--maxmemory-policy", "allkeys-lru"]) as server:
        checks = {check.name: check for check in connect(server.url()).diagnose()}
    assert checks["maxmemory-policy"].grade is Grade.FAIL
    assert "noeviction" in checks["maxmemory-policy"].advice
    assert checks["memory"].grade is Grade.OK


def test_the_doctor_names_a_replica(redis_server: RedisServer) -> None:
    with RedisServer(options=["--replicaof", LOOPBACK, str(redis_server.port)]) as server:
        # While it loads what the master sent, it answers nothing else.
        wait_for(lambda: ask(server.url(), "INFO", "replication")["master_link_status"] == "up")
        checks = {check.name: check for check in connect(server.url()).diagnose()}
    assert checks["role"].grade is Grade.FAIL


def test_nobody_is_rescued_after_a_step_of_the_servers_clock(
    store: RedisBroker, url: str, opened: Callable[[str], RedisBroker]
) -> None:
    store.enqueue(jobs(1))
    seconds, _ = ask(url, "TIME")
    beat(store, ALICE.worker, int(seconds) - 60)
    claim(store)
    store._steady.observe(int(seconds) - 3600, time.monotonic())
    assert store.rescue(dead_after=6) == 0
    assert [one.state for one in store.inspector().list(Selection())] == [State.RUNNING]
    assert opened(url).rescue(dead_after=6) == 1
