"""Rows of single jobs: each job once, however they come together, on every sink."""

import threading
from collections.abc import Callable, Sequence

import msgspec
import pytest
from places import Place

from penstock.core.ids import uuid7s
from penstock.errors import PayloadError, SinkError
from penstock.sinks.base import OnConflict, Written

A, B, C, D, E, *_ = IDS = uuid7s(1000, 1_790_000_000_000, b"0123456789")
NOW = 1_790_000_000.0


def pack(*records: object) -> bytes:
    return msgspec.msgpack.encode(records)


def orders(*numbers: int) -> bytes:
    return pack(*({"id": number, "n": 1} for number in numbers))


def ids_of(place: Place) -> list[int]:
    return [each[0] for each in place.orders()]


def test_a_job_goes_in_once_however_it_comes_back(place: Place) -> None:
    with place.sink() as sink:
        assert sink.write_jobs([A, B], orders(1, 2)) == Written(2, [])
        assert sink.write_jobs([B, C], orders(2, 3)) == Written(1, [], known=1)
    with place.sink() as sink:
        assert sink.write_jobs([C, A, B], orders(3, 1, 2)) == Written(0, [], known=3)
        assert sink.write_jobs([D], orders(4)) == Written(1, [])
        assert sink.write_jobs([], pack()) == Written(0, [])
    assert ids_of(place) == [1, 2, 3, 4]
    assert place.jobs() == 4


def test_what_a_job_adds_is_added_once(place: Place) -> None:
    if not place.adds:
        return
    with place.sink(OnConflict.ADD) as sink:
        assert sink.write_jobs([A, B], orders(1, 2)) == Written(2, [])
        assert sink.write_jobs([A, C], orders(1, 1)) == Written(1, [], known=1)
    assert [(id, n) for id, n, _ in place.orders()] == [(1, 2), (2, 1)]


def test_what_is_refused_leaves_nothing_in_the_ledger(place: Place) -> None:
    with place.sink() as sink:
        first = sink.write_jobs([A, B, C], pack({"id": 1, "n": 1}, {"id": 2, "n": -1}, 5))
        assert (first.rows, [each.index for each in first.rejected], first.known) == (1, [1, 2], 0)
        assert place.negative in first.rejected[0].reason
        assert place.jobs() == 1
        assert sink.write_jobs([B, A, C], orders(2, 1, 3)) == Written(2, [], known=1)
        refused = sink.write_jobs([D, E], pack({"id": 1, "n": 2}, {"id": 5})).rejected
        assert [each.index for each in refused] == [0]
        assert refused[0].reason.startswith(place.duplicate)
    assert ids_of(place) == [1, 2, 3, 5]


def test_the_rows_of_a_job_are_known_together_but_for_those_refused(place: Place) -> None:
    batch = pack({"id": 1, "n": 1}, {"id": 2, "n": -1}, {"id": 3}, {"id": 4}, {"id": 5, "n": -1}, {"id": 6, "n": -2})
    ids = [A, B, A, A, A, B]
    with place.sink() as sink:
        first = sink.write_jobs(ids, batch)
        assert (first.rows, [each.index for each in first.rejected]) == (3, [1, 4, 5])
        assert place.jobs() == 1
        again = sink.write_jobs(ids, batch)
    assert (again.rows, again.known) == (0, 3)
    assert again.rejected == first.rejected
    assert ids_of(place) == [1, 3, 4]


def test_jobs_that_have_ended_leave_the_ledger(place: Place) -> None:
    with place.sink() as sink:
        sink.write_jobs([A, B, C], orders(1, 2, 3))
        sink.write_jobs([D], orders(4), ended=[A, C])
        assert place.jobs() == 2
        # One that is being written has not ended, whatever is said.
        assert sink.write_jobs([B, E], orders(2, 5), ended=[B, D]).known == 1
        assert place.jobs() == 2
        sink.forget_jobs([A, B])
        assert place.jobs() == 1
        sink.forget_jobs([E, D])
        sink.forget_jobs([])
        assert place.jobs() == 0
        # Jobs of one call end one after another, and in another sink.
        sink.write_jobs(IDS[5:105], orders(*range(5, 105)))
        for id in IDS[5:10]:
            sink.forget_jobs([id])
        assert place.jobs() == 95
        with place.sink() as other:
            other.write_jobs([A], orders(200), ended=IDS[50:100])
        sink.forget_jobs([*IDS[5:105], A])
        assert place.jobs() == 0


def test_batches_and_jobs_do_not_meet_in_the_ledger(place: Place) -> None:
    with place.sink() as sink:
        sink.write(b"load/1", orders(1))
        sink.write_jobs([A], orders(2))
        sink.forget(b"load")
        assert place.jobs() == 1
        sink.write(b"load/2", orders(3))
        sink.forget_jobs([A])
        assert sink.write(b"load/2", orders(3)).repeated


def test_what_has_been_there_for_too_long_is_pruned(place: Place) -> None:
    day = 86400.0
    old, young = (uuid7s(1, int((NOW - days * day) * 1000), b"0123456789")[0] for days in (31, 29))
    with place.sink() as sink:
        sink.write(b"load", orders(1), now=NOW - 31 * day)
        sink.write_jobs([old, A], orders(2, 3), now=NOW - 31 * day)
        sink.write_jobs([young], orders(4), now=NOW - 29 * day)
        # Made long ago, and late: it was written just now.
        late = uuid7s(1, int((NOW - 60 * day) * 1000), b"0123456789")[0]
        sink.write_jobs([late], orders(5), now=NOW)
    with place.sink() as sink:
        sink.write_jobs([B], orders(6), now=NOW)
        assert sink.write_jobs([young, late], orders(4, 5), now=NOW).known == 2
        assert sink.write(b"load", orders(1)).repeated
        sink.forget_jobs([A, B, young, late])
        assert place.jobs() == 0


@pytest.mark.parametrize("how", list(OnConflict))
def test_a_bundle_with_bad_rows_goes_in_but_for_those(place: Place, how: OnConflict) -> None:
    bad = range(7, 1000, 250)
    if how is OnConflict.ADD and not place.adds:
        return
    with place.sink(how) as sink:
        batch = pack(*({"id": n, "n": -1 if n in bad else n} for n in range(1000)))
        written = sink.write_jobs(IDS, batch)
        assert (written.rows, [each.index for each in written.rejected]) == (996, list(bad))
        assert place.jobs() == 996
        assert sink.write_jobs(IDS[::-1], pack(*({"id": n} for n in reversed(range(1000))))) == Written(
            4, [], known=996
        )
    assert ids_of(place) == list(range(1000))


def test_jobs_that_two_write_at_once_go_in_once(place: Place) -> None:
    """The bundles of a worker and of the one that took it for dead: they overlap, and come in other orders."""
    found: list[Written] = []
    errors: list[BaseException] = []
    gate = threading.Barrier(2)
    rounds = 5

    def write(number: int) -> None:
        try:
            with place.sink() as sink:
                for turn in range(rounds):
                    first = turn * 150 + number * 50
                    rows = list(range(first, first + 100))[:: 1 if number else -1]
                    gate.wait(30)
                    found.append(sink.write_jobs([IDS[row] for row in rows], orders(*rows)))
        except BaseException as error:
            errors.append(error)
            gate.abort()
            raise

    run_both(write)
    assert errors == []
    assert sum(each.rows for each in found) == rounds * 150
    assert sum(each.known for each in found) == rounds * 50
    assert all(each.rejected == [] for each in found)
    assert ids_of(place) == list(range(rounds * 150))
    assert place.jobs() == rounds * 150


def run_both(work: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


@pytest.mark.parametrize(("ids", "payload"), [([A], orders(1, 2)), ([A, B], orders(1)), ([b"short"], orders(1))])
def test_ids_that_do_not_go_with_the_rows_are_an_error(place: Place, ids: Sequence[bytes], payload: bytes) -> None:
    with place.sink() as sink, pytest.raises(ValueError, match="id"):
        sink.write_jobs(ids, payload)
    assert ids_of(place) == []


def test_a_sink_says_what_is_wrong(place: Place) -> None:
    with place.sink() as sink, pytest.raises(PayloadError):
        sink.write_jobs([A], b"\xc1")
    closed = place.sink()
    closed.close()
    with pytest.raises(SinkError, match="not open"):
        closed.write_jobs([A], orders(1))
