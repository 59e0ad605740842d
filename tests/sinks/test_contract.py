"""What every sink does: each batch exactly once, all but the rows that are refused."""

import threading
from typing import Any

import msgspec
import pytest
from places import Place

from penstock.errors import ConfigError, PayloadError, SinkError
from penstock.sinks.base import OnConflict, Written

IGNORE, UPDATE, ADD = OnConflict.IGNORE, OnConflict.UPDATE, OnConflict.ADD


def pack(*records: object) -> bytes:
    return msgspec.msgpack.encode(records)


def order(id: int, n: int | None = 1, note: str | None = None) -> dict[str, Any]:
    return {"id": id, "n": n, "note": note}


def test_rows_go_in_and_a_batch_that_is_handed_in_again_does_not(place: Place) -> None:
    with place.sink() as sink:
        assert sink.exists()
        assert sink.write(b"a", pack(order(1, 5, "ü\u20ac"), order(2, None))) == Written(2, [])
        assert sink.write(b"a", pack(order(1, 5, "ü\u20ac"), order(2, None))) == Written(2, [], repeated=True)
        assert sink.write(b"b", pack(order(3))) == Written(1, [])
    assert place.orders() == [(1, 5, "ü\u20ac"), (2, None, None), (3, 1, None)]
    with place.sink() as sink:
        assert sink.write(b"b", pack(order(3))).repeated


def test_a_missing_field_is_null(place: Place) -> None:
    with place.sink() as sink:
        assert sink.write(b"a", pack({"id": 1}, {"note": "x", "id": 2})) == Written(2, [])
    assert place.orders() == [(1, None, None), (2, None, "x")]


def test_what_the_database_refuses_is_listed_in_its_own_words(place: Place) -> None:
    with place.sink() as sink:
        first = sink.write(b"a", pack(order(1), order(1), order(2, -5), order(3)))
        again = sink.write(b"a", pack(order(1), order(1), order(2, -5), order(3)))
    assert (first.rows, [each.index for each in first.rejected]) == (2, [1, 2])
    assert first.rejected[0].reason.startswith(place.duplicate)
    assert place.negative in first.rejected[1].reason
    assert again == Written(2, first.rejected, repeated=True)
    assert [each[0] for each in place.orders()] == [1, 3]


@pytest.mark.parametrize("bad", [range(7, 1000, 100), range(999, 1000), range(1), range(0, 1000, 2), range(1000)])
def test_exactly_the_bad_rows_are_refused(place: Place, bad: range) -> None:
    with place.sink() as sink:
        written = sink.write(b"a", pack(*(order(n, -1 if n in bad else n) for n in range(1000))))
    assert written.rows == 1000 - len(bad)
    assert [each.index for each in written.rejected] == list(bad)
    assert all(place.negative in each.reason for each in written.rejected)
    assert [each[0] for each in place.orders()] == [n for n in range(1000) if n not in bad]


def test_a_record_that_no_table_can_hold_is_refused_alone(place: Place) -> None:
    with place.sink() as sink:
        written = sink.write(b"a", pack(order(1), 5, ["x"], order(2)))
    assert (written.rows, [each.index for each in written.rejected]) == (2, [1, 2])


def test_a_batch_that_was_forgotten_is_new(place: Place) -> None:
    with place.sink(IGNORE) as sink:
        sink.write(b"load1/a", pack(order(1)))
        sink.write(b"load2/a", pack(order(2)))
        sink.forget(b"load3")
        sink.forget(b"load1")
        assert place.ledger() == 1
        assert not sink.write(b"load1/a", pack(order(1))).repeated
        assert sink.write(b"load2/a", pack(order(2))).repeated


def test_ignored_conflicts_leave_what_is_there(place: Place) -> None:
    with place.sink() as sink:
        sink.write(b"a", pack(order(1, 1, "old"), order(2, 2, "old")))
    with place.sink(IGNORE) as sink:
        written = sink.write(b"b", pack(order(2, 7, "new"), order(3, 3, "first"), order(3, 4), order(4, -1), order(5)))
    assert (written.rows, [each.index for each in written.rejected]) == (4, [3])
    assert place.negative in written.rejected[0].reason
    assert place.orders() == [(1, 1, "old"), (2, 2, "old"), (3, 3, "first"), (5, 1, None)]


def test_updates_write_the_fields_that_are_given_and_the_last_one_counts(place: Place) -> None:
    with place.sink() as sink:
        sink.write(b"a", pack(order(1, 1, "old"), order(2, 2, "old"), order(3, 3, "old")))
    batch = [{"id": 1, "n": 10}, {"id": 2, "note": None}, order(4, 4, "x"), order(4, 5, "y"), {"id": 3, "n": -1}]
    with place.sink(UPDATE) as sink:
        written = sink.write(b"b", pack(*batch, {"id": 4, "n": 6}))
    assert (written.rows, [each.index for each in written.rejected]) == (5, [4])
    assert place.orders() == [(1, 10, "old"), (2, 2, None), (3, 3, "old"), (4, 6, "y")]


def test_numbers_are_added_to_what_is_there_and_the_rest_replaces_it(place: Place) -> None:
    with place.sink() as sink:
        sink.write(b"a", pack(order(1, 1, "old"), order(2, 2, "old"), order(3, None, "old"), order(4, 4, "old")))
    if not place.adds:
        with pytest.raises(ConfigError, match="replica set"):
            place.sink(ADD)
        return
    batch = [
        {"id": 1, "n": 10}, {"id": 2, "note": None, "n": None}, order(3, 5, "new"), order(4, -5), order(4, -6),
        order(5, 1, "x"), order(6, 1, "a"), order(6, None, "b"), order(6, 2, "c"), order(5, 7, "y"), order(7, None),
    ]  # fmt: skip
    with place.sink(ADD) as sink:
        written = sink.write(b"b", pack(*batch))
        assert (written.rows, [each.index for each in written.rejected]) == (9, [3, 4])
        assert place.negative in written.rejected[0].reason
        assert sink.write(b"b", pack(*batch)) == Written(9, written.rejected, repeated=True)
    expected = [
        (1, 11, "old"), (2, 2, None), (3, 5, "new"), (4, 4, "old"), (5, 8, "y"), (6, 3, "c"), (7, None, None),
    ]  # fmt: skip
    assert place.orders() == expected


def test_sums_that_several_write_at_once_miss_nothing(place: Place) -> None:
    if not place.adds:
        return
    errors: list[BaseException] = []

    def write(number: int) -> None:
        try:
            with place.sink(ADD) as sink:
                for turn in range(5):
                    keys = [*range(20), *range(20)]
                    batch = pack(*(order(key) for key in (keys if number % 2 else keys[::-1])))
                    assert sink.write(f"{number} {turn}".encode(), batch).rejected == []
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert place.orders() == [(key, 30, None) for key in range(20)]


@pytest.mark.parametrize("how", [IGNORE, UPDATE])
def test_a_key_can_be_named(place: Place, how: OnConflict) -> None:
    with place.sink(how, key=("id",)) as sink:
        sink.write(b"a", pack(order(1, 1)))
        sink.write(b"b", pack(order(1, 2)))
    assert place.orders() == [(1, 2 if how is UPDATE else 1, None)]


def test_many_updates_at_once_lose_none(place: Place) -> None:
    """Batches that share keys, from several sinks: each goes in whole, in one order or another."""
    errors: list[BaseException] = []

    def write(number: int) -> None:
        try:
            with place.sink(UPDATE) as sink:
                for turn in range(5):
                    keys = range(100) if number % 2 else reversed(range(100))
                    batch = pack(*(order(key, number) for key in keys))
                    assert sink.write(f"{number} {turn}".encode(), batch).rejected == []
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert [each[0] for each in place.orders()] == list(range(100))
    assert place.ledger() == 15


def test_a_batch_that_two_write_at_once_goes_in_once(place: Place) -> None:
    found: list[Written] = []
    gate = threading.Barrier(2)
    rounds = 5

    def write() -> None:
        with place.sink() as sink:
            for turn in range(rounds):
                batch = pack(*(order(turn * 100 + n) for n in range(100)))
                gate.wait(30)
                found.append(sink.write(b"%d" % turn, batch))

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    # Both may find it repeated: one that was overtaken in its commit looks what has become of it.
    assert len(found) == 2 * rounds
    assert sum(not each.repeated for each in found) <= rounds
    assert all((each.rows, each.rejected) == (100, []) for each in found)
    assert len(place.orders()) == rounds * 100


def test_many_open_at_once_where_nobody_has_been(place: Place) -> None:
    errors: list[BaseException] = []
    gate = threading.Barrier(6)

    def work(number: int) -> None:
        gate.wait(30)
        try:
            with place.sink() as sink:
                assert sink.write(b"%d" % number, pack(order(number))) == Written(1, [])
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert len(place.orders()) == place.ledger() == 6


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x92\x80", msgspec.msgpack.encode({"a": 1})])
def test_a_payload_that_is_no_list_is_an_error(place: Place, payload: bytes) -> None:
    with place.sink() as sink, pytest.raises(PayloadError):
        sink.write(b"a", payload)


def test_an_empty_batch_is_written_once(place: Place) -> None:
    with place.sink() as sink:
        assert sink.write(b"a", pack()) == Written(0, [])
        assert sink.write(b"a", pack()) == Written(0, [], repeated=True)


def test_a_closed_sink_says_so(place: Place) -> None:
    sink = place.sink()
    sink.close()
    sink.close()
    with pytest.raises(SinkError, match="not open"):
        sink.write(b"a", pack())


def test_rows_go_in_with_the_ending_of_their_job_or_not_at_all(place: Place) -> None:
    with place.sink() as sink:
        if not sink.shares(place.url):
            with pytest.raises(ConfigError):
                sink.write_with(pack(), lambda tx, written: True)
            return
        told: list[Written] = []

        def end(tx: object, written: Written) -> bool:
            told.append(written)
            return True

        assert sink.write_with(pack(order(1), order(2, -1)), end) == told[0]
        assert sink.write_with(pack(order(3)), lambda tx, written: False) is None
        with pytest.raises(ZeroDivisionError):
            sink.write_with(pack(order(4)), lambda tx, written: bool(1 // 0))
        assert sink.write_with(pack(order(5)), end) == Written(1, [])
    assert [each.index for each in told[0].rejected] == [1]
    assert [each[0] for each in place.orders()] == [1, 5]
    assert place.ledger() == 0


def test_a_bundle_in_which_a_job_is_stale_goes_in_without_it(place: Place) -> None:
    """What the caller does: `end` ends every job of the bundle in the transaction, and finds one that has another holder."""
    stale = {2}
    with place.sink(IGNORE) as sink:
        if not sink.shares(place.url):
            return

        def written(jobs: list[int]) -> Written | None:
            batch = pack(*(order(job, -1 if job == 3 else 1) for job in jobs))
            return sink.write_with(batch, lambda tx, found: stale.isdisjoint(jobs) and len(found.rejected) == 1)

        assert written([1, 2, 3, 4]) is None
        assert place.orders() == []
        found = written([1, 3, 4])
    assert found is not None
    assert (found.rows, [each.index for each in found.rejected]) == (2, [1])
    assert [each[0] for each in place.orders()] == [1, 4]


def test_no_other_database_shares_a_transaction(place: Place) -> None:
    with place.sink() as sink:
        for url in ("sqlite:///elsewhere.db", "postgresql://elsewhere/x", "mongodb://elsewhere/x", "redis://x"):
            assert not sink.shares(url)
