"""What workers have counted: kept, read back, and gone when its time has come."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.brokers.base import Broker
from penstock.core.metrics import COARSE, FINE, KEPT, Figures, Histogram, Point, QueueFigures, Sample, TaskFigures
from penstock.errors import StoreError
from penstock.testing.contract.harness import NOW, ContractBase, with_namespace

FULL = Point(
    10.0,
    Figures(
        (TaskFigures("app.täsk", "mail", (3.0, 1.0), Histogram((0.0, 4.0), 0.25), Histogram((1.0,), 1.0)),),
        queues=(QueueFigures("mail", 12.0, Histogram((1.0,), 0.0)),),
        exchanges=Histogram((2.0,), 0.001),
        deaths=1.0,
    ),
    memory=1e8,
    processes=2.0,
)


def point(done: float) -> Point:
    """One of a worker that ended so many jobs."""
    return Point(10.0, Figures((TaskFigures("app.task", "default", (done,)),)))


class MetricsContract(ContractBase):
    """The points of workers, as a time series."""

    def test_a_point_comes_back_as_it_was(self, store: Broker) -> None:
        assert store.record("alice", FINE, 1, FULL, now=NOW)
        assert list(store.inspector().metrics(NOW - 1)) == [Sample("alice", NOW, FULL)]

    def test_points_are_read_by_span_and_from_a_time_on_oldest_first(self, store: Broker) -> None:
        for number in (2, 1, 3):
            store.record("alice", FINE, number, point(number), now=NOW + 10 * number)
        store.record("bob", FINE, 1, point(7), now=NOW + 25)
        store.record("alice", COARSE, 1, point(6), now=NOW + 60)
        found = store.inspector().metrics(NOW + 10)
        assert [(sample.worker, sample.at - NOW, sample.point.figures.count("done")) for sample in found] == [
            ("alice", 20.0, 2.0), ("bob", 25.0, 7.0), ("alice", 30.0, 3.0),
        ]  # fmt: skip
        (minute,) = store.inspector().metrics(NOW, span=COARSE)
        assert minute.point == point(6)

    def test_a_number_that_comes_again_takes_the_place_of_the_first(self, store: Broker) -> None:
        store.record("alice", FINE, 1, point(1), now=NOW)
        store.record("alice", FINE, 1, point(3), now=NOW + 5)
        assert list(store.inspector().metrics(0.0)) == [Sample("alice", NOW + 5, point(3))]

    def test_points_outlive_their_worker(self, store: Broker) -> None:
        store.record("alice", FINE, 1, point(1), now=NOW)
        store.depart("alice")
        assert len(store.inspector().metrics(0.0)) == 1

    @pytest.mark.parametrize("span", sorted(KEPT))
    def test_old_points_and_those_of_a_clock_set_back_are_pruned(self, store: Broker, span: int) -> None:
        kept = KEPT[span]
        for number, at in enumerate((-kept - 1, -kept + 1, 0, COARSE + 1)):
            store.record("alice", span, number, point(number), now=NOW + at)
        store.prune(now=NOW)
        found = store.inspector().metrics(0.0, span=span)
        assert [sample.point.figures.count("done") for sample in found] == [1.0, 2.0]

    def test_what_a_newer_version_adds_is_skipped(self, store: Broker) -> None:
        class Newest(Point, frozen=True, array_like=True):
            entirely: str = "new"

        store.record("alice", FINE, 1, Newest(10.0, point(2).figures), now=NOW)
        (found,) = store.inspector().metrics(0.0)
        assert found.point == point(2)

    def test_the_store_s_own_clock_counts(self, store: Broker) -> None:
        store.record("alice", FINE, 1, point(1))
        (found,) = store.inspector().metrics(0.0)
        assert found.at > NOW

    def test_namespaces_do_not_see_each_other(self, store: Broker, open_store: Callable[..., Broker], url: str) -> None:
        other = open_store(with_namespace(url, "other"))
        store.record("alice", FINE, 1, point(1), now=NOW)
        assert list(other.inspector().metrics(0.0)) == []

    def test_a_closed_store_says_so(self, store: Broker) -> None:
        store.close()
        with pytest.raises(StoreError, match="closed"):
            store.record("alice", FINE, 1, point(1), now=NOW)
