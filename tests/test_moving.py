"""Movers that are killed between any two steps, meet one another, or wait; with workers and producers on both sides."""

import itertools
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from penstock import Penstock
from penstock.brokers.base import Broker
from penstock.brokers.diagnosis import Grade
from penstock.brokers.inspect import Selection
from penstock.brokers.timetable import Timetable
from penstock.brokers.transfer import Left
from penstock.core.job import Failure, Holder, JobRecord, NewJob
from penstock.core.limiter import Limit, gate
from penstock.core.outcome import Ending, Outcome, Step
from penstock.core.schedule import Schedule
from penstock.core.topics import Subscription
from penstock.errors import ConfigError, JobMoved, StoreError, StoreUnavailable
from penstock.handles import Job
from penstock.moving import Mover, Standing
from penstock.testing.contract.harness import ALICE, BOB, beat, claim, end, ids, job, jobs, new_id

KINDS = ("sqlite", "postgresql", "mongodb", "redis")
FULL = os.environ.get("PENSTOCK_CHAOS") == "full"
PAIRS = [("sqlite", "postgresql"), ("postgresql", "sqlite"), ("redis", "mongodb"), ("mongodb", "redis")]
#: Not those that look for a shorter example, which takes minutes on a server.
PHASES = [Phase.explicit, Phase.reuse, Phase.generate]
_numbers = itertools.count(1)


@pytest.fixture
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """The URL of a fresh store of a kind."""

    def make(kind: str) -> str:
        number = next(_numbers)
        match kind:
            case "sqlite":
                return f"sqlite:///{tmp_path}/moving{number}.db"
            case "postgresql":
                return f"{request.getfixturevalue('postgres_server').url()}?schema=moving{number}"
            case "mongodb":
                return f"{request.getfixturevalue('mongo_server').url()}&namespace=moving{number}"
            case _:
                return f"{request.getfixturevalue('redis_server').url()}?namespace=moving{number}"

    return make


class Killed(BaseException):
    """As `kill -9`: nothing that is after it is done."""


class Mortal:
    """A broker whose mover is killed at its n-th step: before it is done or after."""

    def __init__(self, broker: Broker, deaths: Iterator[bool]) -> None:
        self._broker = broker
        self._deaths = deaths

    def transfer(self) -> Any:
        return _MortalTransfer(self._broker.transfer(), self._deaths)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)


class _MortalTransfer:
    def __init__(self, transfer: object, deaths: Iterator[bool]) -> None:
        self._transfer = transfer
        self._deaths = deaths

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._transfer, name)

        def mortal(*values: Any, **named: Any) -> Any:
            if next(self._deaths):
                raise Killed
            result = method(*values, **named)
            if next(self._deaths):
                raise Killed
            return result

        return mortal


def at_step(number: int) -> Iterator[bool]:
    """Death at one step."""
    return (step == number for step in itertools.count())


def nothing(standing: Standing) -> None:
    """Nobody looks."""


def run_some(broker: Broker, ran: Counter[bytes], most: int, holder: Holder = ALICE) -> None:
    """A worker takes some jobs and ends them."""
    for lease in broker.exchange((), ["default"], most, holder).leases:
        if not broker.exchange([Outcome(lease)], (), 0, holder).stale:
            ran[lease.id] += 1


@pytest.mark.parametrize(("source_kind", "destination_kind"), PAIRS)
def test_killed_at_any_step_it_loses_nothing_and_repeats_nothing(
    new_url: Callable[[str], str], opened: Callable[[str], Broker], source_kind: str, destination_kind: str
) -> None:
    origin, target = new_url(source_kind), new_url(destination_kind)
    source, destination = opened(origin), opened(target)
    batch, apples = new_id(), gate("app.task", "AAPL", ordered=True)
    sent = [*jobs(12), *jobs(4, batch=batch), *jobs(6, gate=apples), *jobs(3, run_at=1.0), job(unique="k")]
    for broker in (source, destination):
        broker.declare({"app.task": Limit(ordered=True)})
    source.enqueue(sent)
    ran: Counter[bytes] = Counter()
    fresh: list[NewJob] = []
    for step in itertools.count():
        mover = Mover(Mortal(source, at_step(step)), Mortal(destination, at_step(-1)), "x", at_once=3)
        other = Mover(Mortal(source, at_step(-1)), Mortal(destination, at_step(step)), "x", at_once=3)
        ended = [ends(mover), ends(other)]
        fresh += jobs(1)
        destination.enqueue(fresh[-1:])
        run_some(destination, ran, 2)
        run_some(source, ran, 1)
        if all(ended):
            break
    for broker in (source, destination):
        broker.promote()
        while (before := ran.total()) < len(sent) + len(fresh):
            run_some(broker, ran, 100)
            if ran.total() == before:
                break
    assert ran == Counter(ids([*sent, *fresh]))
    assert source.transfer().left(None) == Left()
    assert list(source.transfer().pending()) == []


def ends(mover: Mover) -> bool:
    """Whether it ends of itself."""
    try:
        return mover.run(nothing).complete
    except Killed:
        return False


@pytest.fixture
def source(new_url: Callable[[str], str], opened: Callable[[str], Broker]) -> Broker:
    return opened(new_url("sqlite"))


@pytest.fixture
def destination(new_url: Callable[[str], str], opened: Callable[[str], Broker]) -> Broker:
    return opened(new_url("sqlite"))


def test_the_summary_tells_what_was_moved(source: Broker, destination: Broker) -> None:
    sent = jobs(10)
    source.enqueue(sent)
    destination.enqueue(sent[:2])
    summary = Mover(source, destination, "x", at_once=4).run(nothing)
    assert (summary.complete, summary.moved, summary.known, summary.left, summary.running) == (True, 10, 2, 0, 0)
    assert sorted(ids(claim(destination))) == sorted(ids(sent))


def test_once_does_not_wait_for_jobs_that_run(source: Broker, destination: Broker) -> None:
    source.enqueue(jobs(3))
    beat(source, ALICE.worker, None)
    claim(source, 1)
    summary = Mover(source, destination, "x", once=True).run(nothing)
    assert (summary.complete, summary.moved, summary.left, summary.running) == (False, 2, 0, 1)


def test_it_waits_for_jobs_that_run_and_takes_those_that_come_back(source: Broker, destination: Broker) -> None:
    source.enqueue(jobs(2))
    beat(source, ALICE.worker, None)
    leases = claim(source)
    done, again = leases

    def show(standing: Standing) -> None:
        if leases and standing.left.held == 2:
            leases.clear()
            end(source, done)
            end(source, again, Ending.RETRY, delay=1000.0, failure=Failure("E", "m"))

    summary = Mover(source, destination, "x").run(show)
    assert (summary.complete, summary.moved) == (True, 1)
    assert ids(destination.inspector().list(Selection())) == [again.id]


def test_what_a_dead_worker_held_is_moved(source: Broker, destination: Broker) -> None:
    sent = jobs(2)
    source.enqueue(sent)
    # It never gave a sign of life, and is not on the list.
    claim(source, 1, holder=Holder("gone", 1))
    source.rescue(dead_after=-1.0)
    assert Mover(source, destination, "x").run(nothing).moved == 2


def test_stopped_it_leaves_nothing_on_its_way(source: Broker, destination: Broker) -> None:
    source.enqueue(jobs(10))
    mover = Mover(source, destination, "x", at_once=4)

    def show(standing: Standing) -> None:
        if standing.moved:
            mover.stop()

    summary = mover.run(show)
    assert (summary.complete, summary.moved, summary.left) == (False, 8, 2)
    assert list(source.transfer().pending()) == []


def test_one_store_is_no_two_places(
    new_url: Callable[[str], str], opened: Callable[[str], Broker], source: Broker
) -> None:
    source.enqueue(jobs(1))
    with pytest.raises(ConfigError, match="same queue: name two"):
        Mover(source, source, "x").run(nothing)


def test_subscriptions_are_copied_and_the_destinations_own_stay(source: Broker, destination: Broker) -> None:
    mail, books = (Subscription(group, f"app.{group}", "orders.*", group) for group in ("mail", "books"))
    theirs = msgspec.structs.replace(mail, priority=9)
    source.subscribe([mail, books])
    destination.subscribe([theirs])
    Mover(source, destination, "x", ["other"]).run(nothing)
    assert destination.subscriptions() == [theirs]
    Mover(source, destination, "x").run(nothing)
    assert destination.subscriptions() == [books, theirs]


def test_what_is_on_its_way_to_one_store_goes_to_no_other(
    new_url: Callable[[str], str], opened: Callable[[str], Broker], source: Broker, destination: Broker
) -> None:
    source.enqueue(jobs(1))
    # Its third step at the destination would be the end of the delivery.
    with pytest.raises(Killed):
        Mover(source, Mortal(destination, at_step(2)), "x").run(nothing)
    third = opened(new_url("sqlite"))
    with pytest.raises(StoreError, match="let that move end first"):
        Mover(source, third, "y").run(nothing)
    assert Mover(source, destination, "x").run(nothing).moved == 1


def test_two_moves_to_two_places_do_not_wait_for_one_another(
    new_url: Callable[[str], str], opened: Callable[[str], Broker], source: Broker, destination: Broker
) -> None:
    third = opened(new_url("sqlite"))
    sent = jobs(2)
    source.enqueue(sent)
    for other in (destination, third):
        source.transfer().ship(other.transfer().name(), "x", None, 1)
    with pytest.raises(StoreError, match="let that move end first"):
        Mover(source, destination, "x").run(nothing)
    assert ids(claim(destination)) == ids(sent[:1])
    assert Mover(source, third, "y").run(nothing).moved == 1


def test_what_was_bound_for_a_place_that_is_gone_is_adopted(
    new_url: Callable[[str], str], opened: Callable[[str], Broker], source: Broker, destination: Broker
) -> None:
    source.enqueue(jobs(3))
    source.transfer().ship(b"gone for good...", "x", None, 2)
    assert Mover(source, destination, "y", adopt=True).run(nothing).moved == 3
    assert len(claim(destination)) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_the_doctor_tells_of_what_is_on_its_way(
    new_url: Callable[[str], str], opened: Callable[[str], Broker], destination: Broker, kind: str
) -> None:
    source = opened(new_url(kind))
    source.enqueue(jobs(1))
    with pytest.raises(Killed):
        Mover(source, Mortal(destination, at_step(2)), "x").run(nothing)
    for found, grade in (
        ("1 on their way: jobs that have left and not arrived", Grade.WARN),
        ("none on their way", Grade.OK),
    ):
        (check,) = (check for check in source.diagnose() if check.name == "shipments")
        assert (check.found, check.grade) == (found, grade)
        Mover(source, destination, "x").run(nothing)


def test_it_waits_for_a_store_that_is_away(source: Broker, destination: Broker) -> None:
    source.enqueue(jobs(5))
    away = iter([False, False, True, True, False, True])

    class Away(_MortalTransfer):
        def __getattr__(self, name: str) -> Any:
            method = getattr(self._transfer, name)

            def lost(*values: Any, **named: Any) -> Any:
                if next(away, False):
                    raise StoreUnavailable("the store restarts")
                result = method(*values, **named)
                if next(away, False):
                    raise StoreUnavailable("the answer was lost")
                return result

            return lost

    class AwayBroker(Mortal):
        def transfer(self) -> Any:
            return Away(self._broker.transfer(), at_step(-1))

    troubles: set[str | None] = set()
    mover = Mover(AwayBroker(source, at_step(-1)), AwayBroker(destination, at_step(-1)), "x", at_once=2)
    assert mover.run(lambda standing: troubles.add(standing.trouble)).complete
    assert troubles >= {"the store restarts", "the answer was lost"}
    assert len(claim(destination)) == 5


def test_two_movers_keep_the_order_of_a_key(
    new_url: Callable[[str], str], opened: Callable[[str], Broker], source: Broker, destination: Broker
) -> None:
    apples, pears = (gate("app.task", key, ordered=True) for key in ("AAPL", "PEAR"))
    sent = [job(gate=(apples, pears)[number % 2]) for number in range(60)]
    source.enqueue(sent)
    origin, target = source._path, destination._path
    movers = [Mover(opened(f"sqlite:///{origin}"), opened(f"sqlite:///{target}"), "x", at_once=2) for _ in range(2)]
    threads = [threading.Thread(target=mover.run, args=(nothing,)) for mover in movers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen: dict[str | None, list[bytes]] = {apples: [], pears: []}
    while leases := claim(destination, 7):
        for lease in leases:
            seen[lease.gate].append(lease.id)
            end(destination, lease)
    for key, found in seen.items():
        assert found == [one.id for one in sent if one.gate == key]


WORDS = st.sampled_from(["", "a", "b,c", "é"])
new_jobs = st.builds(
    job,
    queue=st.sampled_from(["a", "b"]),
    priority=st.sampled_from([0, 5, 9]),
    unique=st.sampled_from([None, None, "k1", "k2"]),
    payload=st.binary(max_size=30),
    options=st.none() | st.binary(min_size=1, max_size=3),
    at_most_once=st.booleans(),
    attempt=st.integers(0, 3),
    failure=st.none() | st.builds(Failure, WORDS, WORDS, WORDS),
    item=st.none() | st.integers(0, 1 << 40),
    packed=st.booleans(),
    items=st.integers(1, 1000),
    gate=st.sampled_from([None, None, "t", "t,1"]),
    run_at=st.none() | st.just(2_000_000_000.5),
    dead=st.sampled_from([False, False, False, True]),
)
ENDINGS = st.sampled_from([Ending.RETRY, Ending.SNOOZE, Ending.DEAD, Ending.CANCELLED, Ending.PARKED, Ending.RELEASED])


def shown(broker: Broker) -> list[JobRecord]:
    """All that the inspector tells of the jobs, with times that every store can keep."""
    found = broker.inspector().list(Selection(), limit=1000)
    return [
        msgspec.structs.replace(
            one, created_at=0.0, worker=None, run_at=one.run_at and round(one.run_at, 3), ended_at=one.ended_at and round(one.ended_at, 2)
        )
        for one in found
    ]  # fmt: skip


# An example costs 0.05 s with the first pair, and 0.6 s with the second.
@pytest.mark.parametrize(
    ("source_kind", "destination_kind", "examples"), [("sqlite", "postgresql", 8), ("redis", "mongodb", 3)]
)
def test_there_and_back_all_is_as_it_was(
    new_url: Callable[[str], str],
    opened: Callable[[str], Broker],
    source_kind: str,
    destination_kind: str,
    examples: int,
) -> None:
    source, destination = opened(new_url(source_kind)), opened(new_url(destination_kind))

    @settings(phases=PHASES, max_examples=100 if FULL else examples, suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.lists(new_jobs, min_size=1, max_size=12), st.lists(ENDINGS, max_size=6), st.integers(1, 5), st.integers(0, 9)
    )
    def go(sent: list[NewJob], endings: list[Ending], at_once: int, done: int) -> None:
        for broker in (source, destination):
            broker.inspector().delete(Selection())
        batch = new_id()
        source.enqueue([msgspec.structs.replace(one, batch=batch) for one in sent])
        source.enqueue([job(queue="counted", batch=batch, items=done + 1)])
        leases = claim(source, len(endings), queues=["a", "b"], holder=BOB)
        outcomes = [
            Outcome(lease, ending, delay=1e9, failure=Failure("E", "m")) for lease, ending in zip(leases, endings, strict=False)
        ]  # fmt: skip
        source.exchange(outcomes, (), 0, BOB)
        (counted,) = claim(source, queues=["counted"])
        source.exchange([Outcome(counted, result=b"7", result_ttl=1e6, steps=(Step(batch, done=done),))], (), 0, ALICE)
        before, counters = shown(source), source.inspector().batch(batch)
        for one, other in ((source, destination), (destination, source)):
            assert Mover(one, other, "x", at_once=at_once).run(nothing).complete
            assert shown(other) == before
            assert other.inspector().batch(batch) == counters
            assert other.inspector().result(counted.id) == b"7"
            assert shown(one) == []

    go()


def test_who_waits_at_the_old_place_is_told_the_new_one(
    new_url: Callable[[str], str], opened: Callable[[str], Broker]
) -> None:
    origin, target = new_url("sqlite"), new_url("sqlite")
    old, new = Penstock(origin), Penstock(target)

    @old.task(name="double")
    def double(number: int) -> int:
        return 2 * number

    mine, batch = double.delay(4), double.map([1, 2, 3])
    assert Mover(opened(origin), opened(target), "the new place").run(nothing).complete
    for ask in (mine.state, mine.result, batch.counts, batch.wait):
        with pytest.raises(JobMoved, match="was moved to the new place: ask for it there"):
            ask()
    there = Job[int](new.client, mine.key, int)
    broker = opened(target)
    lease = next(lease for lease in claim(broker) if lease.id == mine.key)
    broker.exchange([Outcome(lease, result=b"\x08", result_ttl=60.0)], (), 0, ALICE)
    assert there.result(timeout=5) == 8
    for app in (old, new):
        app.close()


def test_schedules_go_with_all_queues_and_not_with_some(
    new_url: Callable[[str], str], opened: Callable[[str], Broker]
) -> None:
    source, destination = opened(new_url("sqlite")), opened(new_url("sqlite"))
    Timetable(source.schedules()).add(Schedule("nightly", "app.task", b"\x90", cron="0 2 * * *"))
    source.enqueue(jobs(2))
    assert Mover(source, destination, "there", ["default"]).run(lambda standing: None).schedules == 0
    summary = Mover(source, destination, "there").run(lambda standing: None)
    assert (summary.schedules, summary.complete) == (1, True)
    assert Timetable(source.schedules()).entries() == []
    assert Timetable(destination.schedules()).get("nightly").next_at is not None
