"""Two workers, killed and started again at random through simulated time in which the clocks are set back: each due run once, and none lost."""

import random
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime

import pytest
from oracle import FULL, KINDS_IN_FULL, SEED

from penstock.brokers import connect
from penstock.brokers.base import Broker
from penstock.brokers.timetable import Timetable
from penstock.core.job import Holder
from penstock.core.outcome import Outcome
from penstock.core.schedule import CatchUp, Schedule, next_due, run_of
from penstock.errors import StoreUnavailable
from penstock.testing.contract.processes import Child, together

SECONDS = 3600 if FULL else 900
KILLS = 20 if FULL else 4
STEP = 5
#: In Paris the clocks go from 3:00 back to 2:00 at 1:00 UTC.
START = datetime(2026, 10, 25, 0, 50, tzinfo=UTC).timestamp()
QUEUE = "default"
#: So many that are due at once that MongoDB begins them half a second before, looked at as often.
MANY = [Schedule(f"of many {n}", "app.task", b"\x90", every=10.0, catch_up=CatchUp.ALL) for n in range(120)]
OFTEN, SHORT = 0.5, 240 if FULL else 60
SCHEDULES = [
    Schedule("often", "app.task", b"\x90", every=10.0, catch_up=CatchUp.ALL),
    Schedule("spread", "app.task", b"\x90", every=30.0, jitter=20.0, catch_up=CatchUp.ALL),
    Schedule("minutely", "app.task", b"\x90", cron="* * * * *", tz="Europe/Paris", catch_up=CatchUp.ALL),
    Schedule("thrice", "app.task", b"\x90", cron="*/20 2 * * *", tz="Europe/Paris", catch_up=CatchUp.ALL),
]


def expected(schedules: list[Schedule], until: float) -> Counter[bytes]:
    """The ids of all runs that are due by then."""
    ids: list[bytes] = []
    for one in schedules:
        due = next_due(one, START - one.offset)
        while due is not None and due + one.offset <= until:
            ids.append(run_of(one, due).id)
            due = next_due(one, due)
    return Counter(ids)


def run(store: Broker, holder: Holder, now: float) -> list[bytes]:
    """Run and end what there is: a run that came a second time would not meet the first one's job any more."""
    leases = store.exchange((), [QUEUE], 1000, holder, now=now).leases
    assert store.exchange([Outcome(lease) for lease in leases], (), 0, holder, now=now).stale == []
    return [lease.id for lease in leases]


@pytest.mark.parametrize("kind", [*KINDS_IN_FULL, "rabbitmq"] if FULL else ["sqlite"])
def test_two_workers_that_are_killed_run_each_due_time_once(kind: str, new_place: Callable[[str], str]) -> None:
    done = killed(new_place(kind), SCHEDULES, STEP, SECONDS)
    assert [count for count in done.values() if count != 1] == []
    assert done == expected(SCHEDULES, START + SECONDS)


@pytest.mark.parametrize("kind", KINDS_IN_FULL if FULL else ["mongodb"])
def test_runs_that_are_begun_before_they_are_due_come_once_as_well(kind: str, new_place: Callable[[str], str]) -> None:
    done = killed(new_place(kind), MANY, OFTEN, SHORT)
    assert [count for count in done.values() if count != 1] == []
    assert done == expected(MANY, START + SHORT)


def killed(url: str, schedules: list[Schedule], step: float, seconds: int) -> Counter[bytes]:
    """Have two workers look at the schedules, killed at random and started again; returns how often each run was run.

    Parameters:
        step: seconds of simulated time between two looks.
        seconds: of simulated time in all.
    """
    dice, holder = random.Random(SEED), Holder("runner")
    done: Counter[bytes] = Counter()
    times = [START, START]
    with closing(connect(url)) as store:
        store.open()
        timetable = Timetable(store.schedules())
        timetable.declare(schedules, now=START)
        for _ in range(KILLS // 2):
            share = int(seconds / step) // (KILLS // 2)
            workers = [Child("fire", url, time, step, share) for time in times]
            try:
                together(workers)
                for worker in workers:
                    worker.go(share)
                for worker in workers:
                    for _ in range(dice.randrange(share)):
                        worker.line()
                done.update(run(store, holder, max(times)))
                for worker in workers:
                    worker.process.kill()
                last = [max((int(line) for line in worker.rest()), default=0) for worker in workers]
            finally:
                for worker in workers:
                    worker.close()
            # Each goes on somewhat before the moment at which it was killed: its clock was set back.
            times = [time + step * max(0, made - dice.randrange(5)) for time, made in zip(times, last, strict=True)]
        end = START + seconds
        settle(timetable, end)
        while ids := run(store, holder, end):
            done.update(ids)
    return done


def settle(timetable: Timetable, now: float) -> None:
    """Fire until nothing is due: what a killed process had begun is given up after some seconds."""
    while True:
        try:
            fired = timetable.fire(now=now)
        except StoreUnavailable:
            continue
        if fired.next_in is not None and fired.next_in > 0.1:
            return
