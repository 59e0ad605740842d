"""Jobs on their way into a shared call, with given times."""

import threading
from collections.abc import Sequence

import pytest

from penstock.batching.collector import SPACING, Collector, Collectors, grouped
from penstock.core.adaptive import Adaptive
from penstock.core.bundle import Bundle, bundle
from penstock.core.job import Lease
from penstock.core.sizing import ByDepth, Fixed, Sizing


def lease(number: int, task: str = "store", **fields: object) -> Lease:
    return Lease(number.to_bytes(16), number, 1, task, b"", **fields)


def leases(count: int, task: str = "store", first: int = 0) -> list[Lease]:
    return [lease(number, task) for number in range(first, first + count)]


def filled(sizing: Sizing, count: int, *, most: int = 1000, slots: int = 4, now: float = 0.0) -> Collector:
    collector = Collector(sizing, most, slots)
    for each in leases(count):
        collector.add(each, now)
    return collector


def numbers(bundles: Sequence[Lease | None]) -> list[list[int]]:
    return [[each.key for each in found.leases] for found in bundles if isinstance(found, Bundle)]


class TestFixed:
    def test_a_full_batch_goes_and_the_rest_waits_for_its_time(self) -> None:
        collector = filled(Fixed(3, wait=0.5, batches=4), 4)
        assert numbers([collector.next(0.0), collector.next(0.0)]) == [[0, 1, 2]]
        assert collector.due_in(0.1) == pytest.approx(0.4)
        assert collector.next(0.49) is None
        assert numbers([collector.next(0.5)]) == [[3]]
        assert (collector.due_in(0.5), len(collector)) == (None, 0)

    def test_the_wait_is_that_of_the_oldest(self) -> None:
        collector = filled(Fixed(3, wait=0.5), 1)
        collector.add(lease(9), 0.4)
        assert collector.due_in(0.4) == pytest.approx(0.1)
        assert numbers([collector.next(0.5)]) == [[0, 9]]

    def test_no_more_calls_at_a_time_than_the_policy_says(self) -> None:
        collector = filled(Fixed(1, batches=2), 3)
        assert len(numbers([collector.next(0.0) for _ in range(3)])) == 2
        # The end of a call decides, and no time.
        assert collector.due_in(9.0) is None
        assert collector.appetite(9.0) == 0
        collector.ended(1, 0.1, 9.0)
        assert numbers([collector.next(9.0)]) == [[2]]

    def test_nor_more_than_there_are_slots(self) -> None:
        collector = filled(Fixed(1, batches=9), 3, slots=2)
        assert len(numbers([collector.next(0.0) for _ in range(3)])) == 2

    def test_max_size_is_a_hard_cap(self) -> None:
        collector = filled(Fixed(100), 25, most=10)
        assert numbers([collector.next(0.0)]) == [list(range(10))]

    def test_one_whose_call_did_not_start_is_not_under_way(self) -> None:
        collector = filled(Fixed(1), 2)
        assert collector.next(0.0) is not None
        assert collector.next(0.0) is None
        collector.called_off()
        assert collector.next(0.0) is not None


class TestByDepth:
    @pytest.mark.parametrize(
        ("held", "behind", "size"), [(1, 0, 1), (99, 0, 1), (100, 0, 100), (120, 800, 100), (600, 600, 500)]
    )
    def test_what_waits_in_the_store_counts(self, held: int, behind: int, size: int) -> None:
        collector = filled(ByDepth(), held)
        collector.behind = behind
        following = collector.next(0.0)
        assert following is not None
        assert len(following.leases) == min(size, held)

    def test_nothing_waits(self) -> None:
        collector = filled(ByDepth(), 1)
        assert collector.due_in(0.0) == 0.0


class TestAdaptive:
    def test_a_lone_job_goes_at_once(self) -> None:
        collector = filled(Adaptive(), 1)
        assert collector.due_in(0.0) == 0.0
        assert numbers([collector.next(0.0)]) == [[0]]

    def test_those_that_come_while_a_call_is_under_way_share_the_next(self) -> None:
        collector = filled(Adaptive(max_batches=1), 1)
        assert collector.next(0.0) is not None
        for number in range(1, 5):
            collector.add(lease(number), 0.01)
        assert collector.next(10.0) is None
        collector.ended(1, 0.02, 10.0)
        following = collector.next(10.0)
        assert following is not None
        assert len(following.leases) >= 1

    def test_the_size_grows_where_calls_are_quick(self) -> None:
        collector = Collector(Adaptive(), 1000, 1)
        sizes, now = [], 0.0
        for _ in range(60):
            for each in leases(collector.appetite(now)):
                collector.add(each, now)
            following = collector.next(now)
            assert following is not None
            sizes.append(len(following.leases))
            now += 0.001 + 1e-6 * sizes[-1]
            collector.ended(sizes[-1], 0.001 + 1e-6 * sizes[-1], now)
        assert sizes[0] == 1
        assert max(sizes) > 100


class TestAppetite:
    def test_it_is_what_goes_into_the_calls_that_may_start(self) -> None:
        collector = filled(Fixed(10, batches=3), 4)
        assert collector.appetite(0.0) == 26
        collector = filled(Fixed(10, wait=0.0, batches=3), 4)
        assert collector.next(0.0) is not None
        assert collector.appetite(0.0) == 20

    def test_it_is_never_below_nothing(self) -> None:
        assert filled(Fixed(1), 5).appetite(0.0) == 0


class TaskOf:
    """What the collectors know of a batch task."""

    def __init__(self, size: int = 3, wait: float = 0.05, spacing: float = SPACING, share: float = 0.0) -> None:
        self.max_size = size
        self.wait = wait
        self.spacing = spacing
        self.share = share

    def collector(self, slots: int) -> Collector:
        sizing = Fixed(self.max_size, wait=self.wait, batches=slots)
        return Collector(sizing, self.max_size, slots, spacing=self.spacing, share=self.share)


@pytest.fixture
def two() -> Collectors:
    return Collectors({"store": TaskOf(), "mail": TaskOf()}, 8)


class TestCollectors:
    def test_without_batch_tasks_all_jobs_pass(self) -> None:
        given = leases(3)
        assert Collectors({}, 1).sort(given, 0.0) == given

    def test_rows_and_suspects_go_by_themselves(self, two: Collectors) -> None:
        row, suspect, plain = lease(1, packed=True), lease(2, crashes=1), lease(3, "other")
        passed = two.sort([row, suspect, plain, lease(4)], 0.0)
        assert passed[0] is row
        assert numbers([passed[1]]) == [[2]]
        assert passed[1].crashes == 1
        assert passed[2] is plain
        assert two.waiting == 1

    def test_several_tasks_take_turns(self) -> None:
        two = Collectors({"store": TaskOf(), "mail": TaskOf()}, 1, in_turn=True)
        two.sort([*leases(9), *leases(9, "mail", 100)], 0.0)
        order = []
        for _ in range(6):
            (following,) = two.ready(0.0, 1)
            order.append(following.task)
            two.ended(following.task, 3, 0.01, 0.0)
        assert sorted(order[:2]) == ["mail", "store"]
        assert sorted(order[2:4]) == ["mail", "store"]

    def test_all_that_may_start_do(self, two: Collectors) -> None:
        two.sort([*leases(7), *leases(3, "mail", 100)], 0.0)
        assert sorted(each.task for each in two.ready(0.0)) == ["mail", "store", "store"]
        assert two.waiting == 1
        assert two.due_in(0.0) == pytest.approx(0.05)

    def test_what_is_taken_back_is_forgotten(self, two: Collectors) -> None:
        two.sort([lease(1), lease(2, "mail")], 0.0)
        assert sorted(each.key for each in two.take_back()) == [1, 2]
        assert (two.waiting, two.due_in(0.0), two.ready(9.0)) == (0, None, [])

    def test_a_bundle_that_did_not_start_frees_its_place(self) -> None:
        collectors = Collectors({"store": TaskOf(wait=0.0)}, 1)
        collectors.sort(leases(6), 0.0)
        (first,) = collectors.ready(0.0)
        assert collectors.ready(0.0) == []
        plain = lease(99, "other")
        assert [each.key for each in collectors.unbundled([first, plain])] == [0, 1, 2, 99]
        assert numbers(collectors.ready(0.0)) == [[3, 4, 5]]

    def test_a_suspects_bundle_frees_nobodys(self) -> None:
        collectors = Collectors({"store": TaskOf(wait=0.0)}, 1)
        (suspect,) = collectors.sort([lease(1, crashes=1)], 0.0)
        collectors.sort(leases(6, first=10), 0.0)
        assert len(collectors.ready(0.0)) == 1
        assert [each.key for each in collectors.unbundled([suspect])] == [1]
        assert collectors.ready(0.0) == []

    def test_claims_are_spaced_while_jobs_come_one_by_one(self) -> None:
        collectors = Collectors({"store": TaskOf(spacing=0.025), "mail": TaskOf()}, 1)
        spacings = []
        for came in (leases(2), leases(5), [], [*leases(2), *leases(1, "mail")], [*leases(2), lease(9, "other")]):
            collectors.sort(came, 0.0, room=5)
            spacings.append(collectors.spacing)
        # A claim that is full, empty or of others as well says that there is no waiting for more.
        assert spacings == [0.025, 0.0, 0.0, SPACING, 0.0]

    def test_a_claim_may_take_as_much_work_as_each_that_it_brought_allows(self) -> None:
        collectors = Collectors({"store": TaskOf(share=0.025), "mail": TaskOf()}, 1)
        shares = []
        for came in (leases(5), [], [*leases(2), *leases(1, "mail")], leases(2), [*leases(2), lease(9, "other")]):
            collectors.sort(came, 0.0, room=5)
            shares.append(collectors.share)
        # One that is empty says nothing.
        assert shares == [0.025, 0.025, 0.0, 0.025, 0.0]

    def test_the_store_is_looked_into_for_those_that_ask(self, two: Collectors) -> None:
        two.sort([lease(1)], 0.0)
        assert two.deepest() == 0

    def test_taking_back_beside_starting_loses_no_job_and_doubles_none(self) -> None:
        """As the helper of a process does, and its main thread."""
        collectors = Collectors({"store": TaskOf(size=2), "mail": TaskOf(size=2)}, 10**6)
        count, back = 4000, list[Lease]()
        going = threading.Event()

        def take_back() -> None:
            while not going.is_set():
                back.extend(collectors.take_back())

        helper = threading.Thread(target=take_back)
        helper.start()
        started: list[int] = []
        try:
            for number in range(0, count, 4):
                collectors.sort([*leases(2, first=number), *leases(2, "mail", number + 2)], 0.0)
                collectors.due_in(0.0)
                collectors.room(1, 0.0)
                for each in collectors.ready(0.0, 1):
                    started += [one.key for one in each.leases]
                    collectors.ended(each.task, len(each.leases), 0.001, 0.0)
        finally:
            going.set()
            helper.join()
        back += collectors.take_back()
        assert sorted(started + [each.key for each in back]) == list(range(count))


class TestRoom:
    """How many jobs to claim."""

    def test_of_others_as_many_as_there_are_slots_for(self, two: Collectors) -> None:
        assert two.room(5, 0.0) == 5
        two.sort([lease(1, "other")], 0.0)
        assert two.room(5, 0.0) == 5

    def test_of_batch_tasks_as_many_as_go_into_the_next_calls(self) -> None:
        collectors = Collectors({"store": TaskOf(size=100)}, 1)
        collectors.sort(leases(1), 0.0)
        assert collectors.room(1, 0.0) == 99

    def test_of_both_no_more_than_twice_as_many_as_the_last_time(self) -> None:
        collectors = Collectors({"store": TaskOf(size=100)}, 1)
        collectors.sort([*leases(4), lease(9, "other")], 0.0)
        assert collectors.room(3, 0.0) == 1 + 8
        assert collectors.room(10, 0.0) == 10 - 4 + 8

    def test_beside_others_those_that_wait_do_not_pile_up(self) -> None:
        collectors = Collectors({"store": TaskOf(size=100)}, 1)
        collectors.sort([*leases(500), lease(999, "other")], 0.0)
        assert collectors.room(500, 0.0) == 1

    def test_with_others_in_full_claims_a_call_waits_for_more_of_its_own(self) -> None:
        collectors = Collectors({"store": TaskOf(size=3)}, 1)
        collectors.sort([lease(1), lease(8, "other")], 0.0, room=2)
        assert collectors.ready(0.01) == []
        assert collectors.due_in(0.01) == pytest.approx(0.04)
        collectors.sort([lease(2), lease(3), lease(9, "other")], 0.02, room=3)
        assert [len(each.leases) for each in collectors.ready(0.02)] == [3]

    def test_and_no_longer_than_a_while_or_to_the_end_of_the_queue(self) -> None:
        collectors = Collectors({"store": TaskOf(size=3, wait=0.0)}, 1)
        collectors.sort([lease(1), lease(8, "other")], 0.0, room=2)
        assert [len(each.leases) for each in collectors.ready(0.05)] == [1]
        collectors.ended("store", 1, 0.01, 0.06)
        collectors.sort([lease(2), lease(9, "other")], 0.06, room=2)
        assert collectors.ready(0.06) == []
        collectors.sort([], 0.07, room=5)
        assert [len(each.leases) for each in collectors.ready(0.07)] == [1]

    def test_none_beside_those_that_wait_for_the_end_of_a_call(self) -> None:
        collectors = Collectors({"store": TaskOf(size=2)}, 1)
        collectors.sort(leases(3), 0.0)
        assert len(collectors.ready(0.0)) == 1
        assert collectors.room(0, 0.0) == 0


class TestInTurn:
    """Calls that a process makes one after another between two claims."""

    def test_as_many_as_the_pool_has_room_for(self) -> None:
        collectors = Collectors({"store": TaskOf(size=2)}, 1, in_turn=True)
        collectors.sort(leases(9), 0.0)
        assert [len(each.leases) for each in collectors.ready(0.0, 3)] == [2, 2, 2]
        assert collectors.ready(0.0, 3) == []

    def test_but_one_where_there_is_an_order(self) -> None:
        collector = Collector(Fixed(2, wait=0.0, batches=4), 2, 4, ordered=True)
        for each in leases(9):
            collector.add(each, 0.0)
        assert collector.next(0.0, 3) is not None
        assert collector.next(0.0, 3) is None

    def test_for_which_jobs_are_claimed_together(self) -> None:
        collectors = Collectors({"store": TaskOf(size=2)}, 1, in_turn=True)
        collectors.sort(leases(1), 0.0)
        assert (collectors.room(1, 0.0), collectors.room(5, 0.0)) == (1, 9)


class TestHostages:
    """Jobs behind a slow call."""

    def stuck(self) -> Collectors:
        collectors = Collectors({"store": TaskOf(size=2)}, 1)
        collectors.sort(leases(3), 0.0)
        assert len(collectors.ready(0.0)) == 1
        return collectors

    def test_they_are_given_back_after_a_while_and_no_others_are_claimed(self) -> None:
        collectors = self.stuck()
        assert collectors.hostages(0.09) == []
        assert [each.key for each in collectors.hostages(0.1)] == [2]
        assert (collectors.room(5, 1.0), collectors.room(5, 1.2)) == (0, 1)

    def test_the_end_of_the_call_ends_that(self) -> None:
        collectors = self.stuck()
        assert collectors.hostages(0.1) != []
        collectors.ended("store", 2, 0.2, 0.2)
        assert collectors.room(5, 0.2) == 2

    def test_those_that_wait_for_others_are_none(self) -> None:
        collectors = Collectors({"store": TaskOf(size=2, wait=60)}, 1)
        collectors.sort(leases(1), 0.0)
        assert collectors.hostages(9.0) == []


class Sized:
    max_size = 4


def test_grouping_makes_bundles_as_large_as_may_be() -> None:
    plain, row = lease(50, "other"), lease(51, packed=True)
    found = grouped([*leases(6), plain, row], {"store": Sized()})
    assert found[:2] == [plain, row]
    assert numbers(found[2:]) == [[0, 1, 2, 3], [4, 5]]


def test_a_bundle_is_known_by_its_first_job() -> None:
    found = bundle(leases(3, first=7))
    assert (found.id, found.key, found.items, found.packed) == (lease(7).id, 7, 3, True)
