"""Schedules: each due run once, however many make jobs of it, and whoever dies as he does."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence

import pytest
from msgspec.structs import replace

from penstock.brokers.base import Broker, Feature
from penstock.brokers.schedules import ABSENT, Change, Row
from penstock.brokers.timetable import Timetable
from penstock.core.limiter import Limit
from penstock.core.outcome import Outcome
from penstock.core.schedule import CatchUp, Entry, Schedule, encode_entry, run_of
from penstock.errors import ConfigError, StoreUnavailable, UnknownSchedule
from penstock.testing.contract.harness import (
    ALICE,
    NOW,
    QUEUE,
    ContractBase,
    claim,
    ids,
    job,
    with_namespace,
)
from penstock.testing.contract.processes import Child, ProcessContract, together

#: A moment at which schedules of 10, 30, 60 and 120 seconds are due.
START = NOW - NOW % 600
HALF_MINUTE = Schedule("half a minute", "app.task", b"payload", every=30.0)
MINUTELY = Schedule("minutely", "app.other", b"\x90", cron="* * * * *", tz="Europe/Paris")


def due_ids(schedule: Schedule, *moments: float) -> list[bytes]:
    """The ids of the runs that are due then."""
    return [run_of(schedule, moment).id for moment in moments]


def row(name: str, version: int, next_at: float | None = None, body: bytes = b"body") -> Row:
    """A row as it is stored."""
    return Row(name, version, next_at, body)


def rounded(seconds: float | None) -> float | None:
    """To milliseconds."""
    return None if seconds is None else round(seconds, 3)


class ScheduleContract(ProcessContract, ContractBase):
    """Runs of schedules become jobs, each once."""

    @pytest.fixture
    def timetable(self, store: Broker) -> Timetable:
        """The schedules of the store."""
        if Feature.SCHEDULES not in store.features:
            pytest.skip("this broker keeps no schedules")
        return Timetable(store.schedules())

    @pytest.fixture
    def another(self, open_store: Callable[..., Broker], timetable: Timetable) -> Timetable:
        """The same, on a connection of its own."""
        return Timetable(open_store().schedules())

    def test_a_due_run_becomes_a_job_once(self, store: Broker, timetable: Timetable, another: Timetable) -> None:
        assert timetable.declare([HALF_MINUTE], now=START + 1) == 1
        early = timetable.fire(now=START + 29.5)
        assert (early.runs, rounded(early.next_in)) == (0, 0.5)
        fired = timetable.fire(now=START + 30)
        assert (fired.runs, rounded(fired.next_in)) == (1, 30)
        assert [each.fire(now=START + 30.1).runs for each in (timetable, another)] == [0, 0]
        (lease,) = claim(store, now=START + 31)
        assert [lease.id] == due_ids(HALF_MINUTE, START + 30)
        assert (lease.task, lease.payload, lease.queue) == ("app.task", b"payload", QUEUE)
        # Not even when its job has ended, and is forgotten.
        assert store.exchange([Outcome(lease)], (), 0, ALICE, now=START + 32).stale == []
        assert [each.fire(now=START + 33).runs for each in (timetable, another)] == [0, 0]
        assert claim(store, now=START + 33) == []

    def test_a_run_has_the_terms_of_its_schedule(self, store: Broker, timetable: Timetable) -> None:
        told = replace(HALF_MINUTE, queue="mail", priority=8, at_most_once=True)
        timetable.declare([told], now=START)
        timetable.fire(now=START + 30)
        (lease,) = claim(store, queues=["mail"], now=START + 31)
        job = run_of(told, START + 30)
        assert (lease.queue, lease.priority, lease.at_most_once, lease.options) == ("mail", 8, True, job.options)

    def test_limits_hold_for_runs(self, store: Broker, timetable: Timetable) -> None:
        store.declare({"app.task": Limit(concurrency=1)})
        limited = replace(HALF_MINUTE, gate="app.task", catch_up=CatchUp.ALL)
        timetable.declare([limited], now=START)
        assert timetable.fire(now=START + 100).runs == 3
        assert ids(claim(store, now=START + 101)) == due_ids(limited, START + 30)

    def test_a_unique_key_that_is_taken_drops_a_run(self, store: Broker, timetable: Timetable) -> None:
        timetable.declare([replace(HALF_MINUTE, unique="key")], now=START)
        timetable.fire(now=START + 30)
        timetable.fire(now=START + 60)
        (lease,) = claim(store, now=START + 61)
        store.exchange([Outcome(lease)], (), 0, ALICE, now=START + 62)
        timetable.fire(now=START + 90)
        assert ids(claim(store, now=START + 91)) == due_ids(HALF_MINUTE, START + 90)

    def test_many_are_due_at_once(self, store: Broker, timetable: Timetable) -> None:
        many = [replace(HALF_MINUTE, name=f"schedule {n}") for n in range(350)]
        assert timetable.declare([*many, MINUTELY], now=START) == 351
        assert timetable.declare([*many, MINUTELY], now=START) == 0
        assert timetable.fire(now=START + 30).runs == 350
        assert sorted(ids(claim(store, now=START + 31))) == sorted(due_ids(one, START + 30)[0] for one in many)
        assert timetable.fire(now=START + 31).next_in == pytest.approx(29)

    @pytest.mark.parametrize(("catch_up", "expected"), [("skip", ()), ("once", (480,)), ("all", (120, 240, 360, 480))])
    def test_runs_that_were_missed(
        self, store: Broker, timetable: Timetable, catch_up: str, expected: Sequence[float]
    ) -> None:
        schedule = replace(HALF_MINUTE, every=120.0, catch_up=CatchUp(catch_up))
        timetable.declare([schedule], now=START)
        fired = timetable.fire(now=START + 599.5)
        assert (fired.runs, rounded(fired.next_in)) == (len(expected), 0.5)
        found = ids(claim(store, now=START + 599.6))
        assert sorted(found) == sorted(due_ids(schedule, *(START + seconds for seconds in expected)))
        timetable.fire(now=START + 600)
        assert ids(claim(store, now=START + 601)) == due_ids(schedule, START + 600)

    def test_a_clock_that_is_set_back_brings_nothing_again(self, store: Broker, timetable: Timetable) -> None:
        timetable.declare([HALF_MINUTE], now=START)
        assert [timetable.fire(now=START + now).runs for now in (30, 10, 30, 59, 31, 60)] == [1, 0, 0, 0, 0, 1]
        timetable.pause([HALF_MINUTE.name], now=START + 61)
        timetable.resume([HALF_MINUTE.name], now=START + 20)
        assert [timetable.fire(now=START + now).runs for now in (31, 60, 90)] == [0, 0, 1]
        assert ids(claim(store, now=START + 91)) == due_ids(HALF_MINUTE, START + 30, START + 60, START + 90)

    def test_what_is_paused_starts_nothing(self, store: Broker, timetable: Timetable, another: Timetable) -> None:
        # Not even one that makes up for all that it missed does so for a pause.
        half_minute = replace(HALF_MINUTE, catch_up=CatchUp.ALL)
        timetable.declare([half_minute, MINUTELY], now=START)
        assert another.pause([half_minute.name, MINUTELY.name], now=START) == 2
        assert another.pause([half_minute.name], now=START) == 0
        fired = timetable.fire(now=START + 600)
        assert (fired.runs, fired.next_in) == (0, None)
        # A worker that starts does not undo it, whatever else its code says now.
        assert timetable.declare([half_minute, replace(MINUTELY, payload=b"\x91\x01")], now=START + 600) == 1
        assert timetable.fire(now=START + 600).next_in is None
        assert timetable.resume([half_minute.name, MINUTELY.name], now=START + 601) == 2
        fired = timetable.fire(now=START + 601)
        assert (fired.runs, rounded(fired.next_in)) == (0, 29)
        assert [timetable.fire(now=START + now).runs for now in (630, 660)] == [1, 2]
        assert {lease.payload for lease in claim(store, now=START + 661)} == {b"payload", b"\x91\x01"}

    def test_what_changes_just_before_it_is_due_counts(
        self, store: Broker, timetable: Timetable, another: Timetable
    ) -> None:
        timetable.declare([HALF_MINUTE], now=START)
        fired = timetable.fire(now=START + 29.6)
        assert (fired.runs, rounded(fired.next_in)) == (0, 0.4)
        another.pause([HALF_MINUTE.name], now=START + 29.7)
        assert timetable.fire(now=START + 30).runs == 0
        another.resume([HALF_MINUTE.name], now=START + 30)
        timetable.fire(now=START + 59.6)
        another.change(HALF_MINUTE.name, lambda found: replace(found, payload=b"\x91\x01"), now=START + 59.7)
        assert [timetable.fire(now=START + now).runs for now in (60, 89.6, 90)] == [1, 0, 1]
        assert [lease.payload for lease in claim(store, now=START + 91)] == [b"\x91\x01"] * 2

    def test_one_that_sleeps_just_before_runs_are_due_has_missed_them(
        self, store: Broker, timetable: Timetable
    ) -> None:
        timetable.declare([HALF_MINUTE], now=START)
        timetable.fire(now=START + 29.6)
        assert timetable.fire(now=START + 3015).runs == 1
        assert ids(claim(store, now=START + 3015)) == due_ids(HALF_MINUTE, START + 3000)

    def test_what_was_changed_at_run_time_stays(self, timetable: Timetable, another: Timetable) -> None:
        timetable.declare([HALF_MINUTE], now=START)
        timetable.change(HALF_MINUTE.name, lambda old: replace(old, every=600.0), now=START)
        assert another.fire(now=START + 30).runs == 0
        assert another.declare([HALF_MINUTE], now=START + 31) == 0
        assert another.declare([replace(HALF_MINUTE, every=10.0)], now=START + 31) == 0
        entry = another.get(HALF_MINUTE.name)
        assert (entry.schedule.every, entry.changed, entry.declared) == (600.0, True, True)
        # Until it is removed, or the code says the same.
        assert another.declare([replace(HALF_MINUTE, every=600.0)], now=START + 31) == 1
        assert timetable.declare([HALF_MINUTE], now=START + 31) == 1
        assert timetable.get(HALF_MINUTE.name).schedule == HALF_MINUTE
        timetable.change(HALF_MINUTE.name, lambda old: replace(old, every=600.0), now=START)
        assert (timetable.remove([HALF_MINUTE.name]), timetable.remove([HALF_MINUTE.name, "other"])) == (1, 0)
        assert timetable.declare([HALF_MINUTE], now=START + 31) == 1
        assert timetable.get(HALF_MINUTE.name).schedule == HALF_MINUTE

    def test_what_was_added_at_run_time_needs_no_code(self, store: Broker, timetable: Timetable) -> None:
        timetable.add(HALF_MINUTE, now=START)
        with pytest.raises(ConfigError, match="there is a schedule"):
            timetable.add(replace(HALF_MINUTE, every=1.0), now=START)
        assert timetable.declare([MINUTELY], now=START) == 1
        assert timetable.fire(now=START + 30).runs == 1
        assert ids(claim(store, now=START + 31)) == due_ids(HALF_MINUTE, START + 30)
        assert [(name, entry and entry.declared) for name, entry in timetable.entries()] == [
            (HALF_MINUTE.name, False), (MINUTELY.name, True),
        ]  # fmt: skip
        for wrong in (timetable.get, lambda name: timetable.pause([name]), lambda name: timetable.resume([name])):
            with pytest.raises(UnknownSchedule, match="'nothing'"):
                wrong("nothing")

    def test_one_that_cannot_be_worked_out_is_in_nobodys_way(self, store: Broker, timetable: Timetable) -> None:
        rows = store.schedules()
        timetable.declare([HALF_MINUTE, replace(MINUTELY, name="far", tz="Europe/Paris")], now=START)
        (far,) = rows.read(["far"])
        strange = far.body.replace(b"Europe/Paris", b"Mars/Olympus")
        senseless = encode_entry(Entry(replace(HALF_MINUTE, every=0.0), due=START + 1))
        broken = [row(f"broken {n}", n + 1, START + 1, (strange, b"\xc1", senseless)[n % 3]) for n in range(120)]
        assert all(rows.change([Change(one.name, ABSENT, one) for one in broken], now=START))
        fired = timetable.fire(now=START + 60)
        assert (fired.runs, len(fired.troubles), rounded(fired.next_in)) == (2, 120, 30)
        assert {trouble.name for trouble in fired.troubles} == {one.name for one in broken}
        # It is left as it was, for whoever can work it out.
        assert {one.name: one.body for one in rows.read() if "broken" in one.name} == {
            one.name: one.body for one in broken
        }
        assert len(timetable.fire(now=START + 60 + 60).troubles) == 120
        assert timetable.declare([replace(HALF_MINUTE, name=broken[1].name)], now=START) == 0
        assert timetable.remove([one.name for one in broken]) == 120

    def test_of_several_changes_of_a_row_one_succeeds(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        if Feature.SCHEDULES not in store.features:
            pytest.skip("this broker keeps no schedules")
        mine, others = store.schedules(), open_store().schedules()
        assert mine.change([]) == []
        first, second = job(), job()
        assert mine.change([Change("a", ABSENT, row("a", 1, START)), Change("b", ABSENT, row("b", 2))]) == [True, True]
        assert others.change([Change("a", ABSENT, row("a", 3), (first,))]) == [False]
        assert others.change(
            [Change("a", 1, row("a", 4, START + 1, b"new"), (first,)), Change("b", 1, None, (second,))], now=START
        ) == [True, False]  # fmt: skip
        # What was read before that is out of date.
        assert mine.change([Change("a", 1, row("a", 7, START, b"old"), (second,))], now=START) == [False]
        assert mine.change([Change("b", 1, row("b", 8))]) == [False]
        assert (
            mine.change([Change("a", 1, None), Change("none", 5, None), Change("none", 5, row("none", 6))])
            == [False] * 3
        )
        assert mine.read() == [row("a", 4, START + 1, b"new"), row("b", 2)]
        assert mine.read(["b", "none"]) == [row("b", 2)]
        assert mine.read([]) == []
        assert (mine.due(10, now=START).rows, rounded(mine.due(10, now=START).next_in)) == ([], 1)
        assert mine.due(10, now=START + 1).rows == [row("a", 4, START + 1, b"new")]
        assert mine.due(0, now=START + 5).next_in is None
        assert others.change([Change("a", 4, None), Change("b", 2, None)]) == [True, True]
        assert mine.read() == []
        assert ids(claim(store)) == [first.id]

    def test_time_is_the_stores_own(self, store: Broker, timetable: Timetable) -> None:
        timetable.declare([replace(HALF_MINUTE, every=0.1)])
        woken = threading.Event()
        fired = timetable.fire()
        while not fired.runs:
            assert fired.next_in is not None
            assert fired.next_in <= 0.1
            woken.wait(max(0.001, fired.next_in))
            fired = timetable.fire()
        assert store.depth(QUEUE) >= 1

    @pytest.mark.parametrize("text", ["почта/📦", "quote'\"\\%_", "{}[],$.", "a b"])
    def test_a_schedule_may_have_any_name(self, store: Broker, timetable: Timetable, text: str) -> None:
        odd = replace(HALF_MINUTE, name=text, task=text)
        timetable.declare([odd], now=START)
        assert timetable.get(text).schedule == odd
        assert timetable.fire(now=START + 30).runs == 1
        assert timetable.remove([text]) == 1
        assert ids(claim(store, now=START + 31)) == due_ids(odd, START + 30)

    def test_namespaces_have_schedules_of_their_own(
        self, url: str, store: Broker, timetable: Timetable, open_store: Callable[..., Broker]
    ) -> None:
        shop = open_store(with_namespace(url, "shop"))
        Timetable(shop.schedules()).declare([HALF_MINUTE], now=START)
        assert timetable.entries() == []
        assert timetable.fire(now=START + 30).runs == 0
        assert Timetable(shop.schedules()).fire(now=START + 30).runs == 1
        assert (store.depth(QUEUE), shop.depth(QUEUE)) == (0, 1)

    def test_schedules_are_kept(self, store: Broker, timetable: Timetable, open_store: Callable[..., Broker]) -> None:
        timetable.declare([HALF_MINUTE, MINUTELY], now=START)
        store.close()
        again = Timetable(open_store().schedules())
        assert [name for name, _ in again.entries()] == [HALF_MINUTE.name, MINUTELY.name]
        assert again.fire(now=START + 60).runs == 2

    def test_a_change_wakes_who_waits(self, url: str, timetable: Timetable, start: Callable[..., Child]) -> None:
        child = start("listen", url)
        child.wait_until_ready()
        child.go()
        timetable.declare([HALF_MINUTE])
        assert child.line() == "woken"

    def test_many_declare_at_once(self, timetable: Timetable, open_store: Callable[..., Broker]) -> None:
        many = [replace(HALF_MINUTE, name=f"schedule {n}") for n in range(20)]
        tables = [Timetable(open_store().schedules()) for _ in range(4)]
        begun = threading.Barrier(len(tables))
        counts: list[int] = []

        def start(one: Timetable, order: int) -> None:
            begun.wait()
            counts.append(one.declare(many[::order], now=START))

        threads = [threading.Thread(target=start, args=(one, 1 - 2 * (n % 2))) for n, one in enumerate(tables)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(counts) == 20
        assert len(counts) == 4
        assert len(timetable.entries()) == 20

    def test_workers_that_are_killed_leave_each_run_once(
        self, url: str, store: Broker, timetable: Timetable, start: Callable[..., Child]
    ) -> None:
        chance = random.Random(7)
        schedules = [replace(HALF_MINUTE, name=f"schedule {n}", every=10.0, catch_up=CatchUp.ALL) for n in range(5)]
        timetable.declare(schedules, now=START)
        children = [start("fire", url, START, 10, 1000) for _ in range(2)]
        together(children)
        for child in children:
            child.go(1000)
        seen = [int(child.line()) for child in children for _ in range(chance.randrange(1, 6))]
        for child in children:
            seen += [int(line) for line in child.kill()]
        end = START + 10 * (max(seen) + 10)
        self._settled(timetable, end)
        moments = [START + 10 * n for n in range(1, int((end - START) // 10) + 1)]
        expected = sorted(id for one in schedules for id in due_ids(one, *moments))
        got: list[bytes] = []
        while leases := claim(store, 5000, now=end):
            got += ids(leases)
        assert sorted(got) == expected

    def _settled(self, timetable: Timetable, now: float) -> None:
        """Fire until nothing is due: what a killed process had begun may take a moment to be given up."""
        while True:
            try:
                next_in = timetable.fire(now=now).next_in
            except StoreUnavailable:
                continue
            if next_in is not None and next_in > 1:
                return
