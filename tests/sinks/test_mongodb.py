"""The MongoDB sink: the `_id` of a document, what BSON can't hold, and what others do at the same time."""

import threading
from typing import Any

import msgspec
import pymongo
import pytest
from bson import ObjectId
from places import MongoPlace

from penstock.errors import ConfigError, SinkError
from penstock.sinks.base import OnConflict, Rejected, Target, Written
from penstock.sinks.mongodb.sink import MongoSink
from penstock.testing.servers import MongoServer

UPDATE, IGNORE = OnConflict.UPDATE, OnConflict.IGNORE


@pytest.fixture(params=["mongo_server", "lone_mongo_server"])
def place(request: pytest.FixtureRequest) -> MongoPlace:
    server: MongoServer = request.getfixturevalue(request.param)
    return MongoPlace(server)


def pack(*records: object) -> bytes:
    return msgspec.msgpack.encode(records)


def sink(place: MongoPlace, table: str = "things", **options: Any) -> MongoSink:
    made = MongoSink(place.url, Target(table, **options))
    made.open()
    return made


def things(place: MongoPlace, table: str = "things") -> list[dict[str, Any]]:
    with place.client() as client:
        return list(client[place.database][table].find())


def test_an_id_is_the_records_own_or_the_keys_or_made(place: MongoPlace) -> None:
    with sink(place) as writing:
        writing.write(b"a", pack({"_id": "own", "n": 1}, {"n": 2}))
    with sink(place, key=("n",)) as writing:
        writing.write(b"b", pack({"n": 3}, {"_id": "mine", "n": 4}))
    with sink(place, key=("day", "n")) as writing:
        written = writing.write(b"c", pack({"n": 5, "day": "mon"}, {"n": 6}))
    ids = {each["n"]: each["_id"] for each in things(place)}
    assert isinstance(ids.pop(2), ObjectId)
    assert ids == {1: "own", 3: 3, 4: "mine", 5: {"day": "mon", "n": 5}}
    assert written.rejected == [Rejected(1, "no field day to make the _id of")]


def test_ids_that_are_made_differ_between_batches_but_not_between_tries(place: MongoPlace) -> None:
    with sink(place) as writing:
        for _ in range(2):
            writing.write(b"a", pack({"n": 1}, {"n": 2}))
            writing.write(b"b", pack({"n": 3}))
        first = {each["_id"] for each in things(place)}
        writing.forget(b"")
        writing.write(b"a", pack({"n": 1}, {"n": 2}))
    assert len(first) == 3
    assert {each["_id"] for each in things(place)} == first


@pytest.mark.parametrize("note", ["x", "x" * 700_000], ids=["one message", "any number"])
def test_a_batch_of_any_size_goes_in_but_for_what_is_refused(place: MongoPlace, note: str) -> None:
    with sink(place) as writing:
        records = [{"_id": number, "note": note} for number in (1, 2, 1, 3)]
        written = writing.write_jobs([bytes(15) + bytes([number]) for number in range(4)], pack(*records))
    assert (written.rows, [each.index for each in written.rejected]) == (3, [2])
    assert written.rejected[0].reason.startswith("E11000 duplicate key error")
    assert sorted(each["_id"] for each in things(place)) == [1, 2, 3]


def test_a_row_in_the_way_of_a_unique_index_is_refused_and_not_taken_for_known(place: MongoPlace) -> None:
    with place.client() as client:
        there = client[place.database].things
        there.create_index("n", unique=True)
        there.insert_one({"n": 2})
    with sink(place) as writing:
        for _ in range(2):
            jobs = writing.write_jobs([bytes(15) + b"1", bytes(15) + b"2"], pack({"n": 1}, {"n": 2}))
            assert [each.index for each in jobs.rejected] == [1]
            batch = writing.write(b"a", pack({"n": 2}, {"n": 3}))
            assert [each.index for each in batch.rejected] == [0]
    assert sorted(each["n"] for each in things(place)) == [1, 2, 3]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"n": 2**64 - 1}, "MongoDB can only handle up to 8-byte ints"),
        ({"a\0b": 1}, "NULL"),
        ({"_id": [1]}, "array"),
        ({"text": "x" * (17 << 20)}, "bytes"),
        ({"n": msgspec.msgpack.Ext(5, b"")}, "Ext"),
        ({"_id": {"$bad": 1}}, "$bad"),
    ],
)
def test_a_record_that_no_collection_can_hold_is_refused_alone(place: MongoPlace, record: Any, reason: str) -> None:
    for how in [each for each in OnConflict if place.adds or each is not OnConflict.ADD]:
        with sink(place, how.value, on_conflict=how) as writing:
            written = writing.write(b"a" + how.encode(), pack({"_id": 1}, record, {"_id": 2}))
        assert [each.index for each in written.rejected] == [1], how
        assert reason in written.rejected[0].reason
        assert [each["_id"] for each in things(place, how.value)] == [1, 2]


def test_names_with_dots_and_dollars_are_names(place: MongoPlace) -> None:
    with sink(place, on_conflict=UPDATE) as writing:
        writing.write(b"a", pack({"_id": 1, "a": {"b": 1}, "a.b": 2, "$x": 3}))
        writing.write(b"b", pack({"_id": 1, "a.b": 4, "c": {"$y": 5}}))
    assert things(place) == [{"_id": 1, "a": {"b": 1}, "a.b": 4, "$x": 3, "c": {"$y": 5}}]


def test_another_unique_index_counts_as_well(place: MongoPlace) -> None:
    with place.client() as client:
        client[place.database]["things"].create_index("code", unique=True)
    with sink(place) as writing:
        written = writing.write(b"a", pack({"_id": 1, "code": "x"}, {"_id": 2, "code": "x"}, {"_id": 3, "code": "y"}))
        assert [each.index for each in written.rejected] == [1]
        assert "index: code_1" in written.rejected[0].reason
    with sink(place, on_conflict=IGNORE) as writing:
        assert writing.write(b"b", pack({"_id": 4, "code": "x"}, {"_id": 5, "code": "z"})) == Written(2, [])
    with sink(place, on_conflict=UPDATE) as writing:
        written = writing.write(b"c", pack({"_id": 1, "code": "y"}, {"_id": 3, "n": 1}, {"_id": 6, "code": "z"}))
        assert [each.index for each in written.rejected] == [0, 2]
    assert sorted(each["_id"] for each in things(place)) == [1, 3, 5]


def test_the_reason_of_a_schema_says_what_is_wrong(place: MongoPlace) -> None:
    schema = {"$jsonSchema": {"properties": {"n": {"bsonType": "int"}}}}
    with place.client() as client:
        client[place.database].create_collection("things", validator=schema)
    with sink(place) as writing:
        (refused,) = writing.write(b"a", pack({"n": "x"})).rejected
    assert "Document failed validation" in refused.reason
    assert '"consideredValue":"x"' in refused.reason


def test_a_try_that_broke_off_is_gone_on_with(place: MongoPlace) -> None:
    """What a kill between two writes leaves behind: the ledger's mark, and some of the rows."""
    batch = [{"_id": n, "n": n} for n in range(10)]
    with sink(place) as writing:
        writing.write(b"b", pack({"_id": 3, "n": "another's"}))
        with place.client() as client:
            database = client[place.database]
            if not writing.shares(place.url):
                database["penstock_ledger"].insert_one({"_id": b"a".hex(), "tries": 1})
                database["things"].insert_many(batch[:3])
            else:
                database["penstock_ledger"].insert_one(
                    {"_id": b"a".hex(), "upto": 3, "rows": 3, "done": False, "rejected": b"\x90"}
                )
                database["things"].insert_many(batch[:3])
        written = writing.write(b"a", pack(*batch))
    assert (written.rows, [each.index for each in written.rejected]) == (9, [3])
    assert len(things(place)) == 10


def test_many_rows_that_are_there_already_take_no_longer_than_they_must(place: MongoPlace) -> None:
    batch = [{"_id": n} for n in range(1000)]
    with sink(place) as writing:
        writing.write(b"a", pack(*batch))
        assert len(writing.write(b"b", pack(*batch)).rejected) == 1000
    with sink(place, on_conflict=IGNORE) as writing:
        assert writing.write(b"c", pack(*batch)) == Written(1000, [])


def test_rows_that_are_in_each_others_way_end_with_their_job(mongo_server: MongoServer) -> None:
    place = MongoPlace(mongo_server)
    for how, rejected in [(OnConflict.ERROR, [1, 3]), (IGNORE, [3]), (UPDATE, [3])]:
        with place.sink(how) as writing:
            written = writing.write_with(
                pack({"id": 1, "n": 1}, {"id": 1, "n": 2}, {"id": 2}, {"id": 3, "n": -1}), lambda tx, told: True
            )
        assert written is not None
        assert [each.index for each in written.rejected] == rejected
        assert written.rows == 4 - len(rejected)
        assert place.orders() == [(1, 2 if how is UPDATE else 1, None), (2, None, None)]
        with place.client() as client:
            client[place.database]["orders"].delete_many({})


def test_a_transaction_that_is_interrupted_is_begun_again(mongo_server: MongoServer) -> None:
    place = MongoPlace(mongo_server)
    calls: list[object] = []

    def end(session: Any, written: Written) -> bool:
        calls.append(session)
        if len(calls) == 1:
            with place.client() as client:
                client.admin.command("killSessions", [session.session_id])
        return True

    with place.sink() as writing:
        assert writing.write_with(pack({"id": 1}), end) == Written(1, [])
    assert len(calls) == 2
    assert place.orders() == [(1, None, None)]


def test_a_transaction_that_a_dead_program_left_is_ended(mongo_server: MongoServer) -> None:
    """MongoDB keeps it for a minute, and it is in the way of those who write the same rows. Takes two looks, of 1 s."""
    place = MongoPlace(mongo_server)
    with (
        pymongo.MongoClient[dict[str, Any]](place.url, appname="penstock") as dead,
        dead.start_session() as session,
        place.sink() as writing,
    ):
        session.start_transaction()
        dead[place.database]["orders"].insert_one({"_id": 1, "id": 1}, session=session)
        assert writing.write_jobs([b"j" * 16], pack({"id": 1, "n": 2})) == Written(1, [])
    assert place.orders() == [(1, 2, None)]


def test_documents_without_a_key_are_known_by_their_job(place: MongoPlace) -> None:
    """Their `_id` is made of the job and the place among its rows, whatever stands beside them."""
    one, two = b"1" * 16, b"2" * 16
    with sink(place) as writing:
        writing.write_jobs([one, two, one], pack({"n": 1}, {"n": 2}, {"n": 3}))
        first = {each["n"]: each["_id"] for each in things(place)}
        # As after a kill before the ledger's entry, where there are no transactions.
        writing.forget_jobs([one, two])
        again = writing.write_jobs([two, one, one], pack({"n": 2}, {"n": 1}, {"n": 3}))
    assert (again.rows, again.known + len(again.rejected)) == (0, 3)
    assert {each["n"]: each["_id"] for each in things(place)} == first


def test_jobs_that_two_sinks_forget_at_once_are_gone(place: MongoPlace) -> None:
    ids = [bytes([number]) * 16 for number in range(20)]
    with sink(place) as writing:
        for start in range(0, 20, 2):
            writing.write_jobs(ids[start : start + 2], pack({"n": 1}, {"n": 2}))
    gate = threading.Barrier(2)

    def forget(number: int) -> None:
        with sink(place) as writing:
            gate.wait(30)
            writing.forget_jobs(ids[number::2])

    threads = [threading.Thread(target=forget, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert place.jobs() == 0
    with sink(place) as writing:
        assert writing.write_jobs(ids[:1], pack({"n": 1, "_id": "new"})).rows == 1


def test_names_with_dots_are_added_as_well(mongo_server: MongoServer) -> None:
    place = MongoPlace(mongo_server)
    with sink(place, on_conflict=OnConflict.ADD) as writing:
        writing.write(b"a", pack({"_id": 1, "a.b": 1, "$x": 2, "yes": True, "big": 2**62}))
        writing.write(b"b", pack({"_id": 1, "a.b": 4, "$x": 0.5, "yes": True, "new": 1, "big": 2**62}, {"_id": 1}))
    assert things(place) == [{"_id": 1, "a.b": 5, "$x": 2.5, "yes": True, "new": 1, "big": 2.0**63}]


def test_many_jobs_are_found_behind_many_that_were_taken_out(place: MongoPlace) -> None:
    """The greatest id is entered first, by a document of its own; both are found, and go, as one."""
    every = [number.to_bytes(16) for number in range(1, 7)]
    late, before = every[:3], every[3:]
    with sink(place) as writing:
        writing.write_jobs(before, pack(*({"n": n} for n in range(3))))
        writing.write_jobs(late, pack(*({"n": n} for n in range(3, 6))), ended=before)
        bundles = [sorted(each["ids"]) for each in things(place, "penstock_ledger_jobs")]
        assert bundles == [[late[2]], late[:2]]
        again = writing.write_jobs(late[::-1], pack(*({"n": n} for n in range(3))))
        assert (again.rows, again.known) == (0, 3)
        writing.forget_jobs(late)
    assert place.jobs() == 0


def test_a_collection_is_created_once(place: MongoPlace) -> None:
    with sink(place, "market.orders") as writing:
        assert not writing.exists()
        writing.create([{"any": 1}])
        writing.create([])
        assert writing.exists()


@pytest.mark.parametrize("table", ["", "a\0b", "$x", ".a", "a..b"])
def test_a_name_that_no_collection_can_have_is_an_error(place: MongoPlace, table: str) -> None:
    with pytest.raises(SinkError, match="can't be the name"):
        sink(place, table)


@pytest.mark.parametrize(
    ("url", "table"),
    [
        ("mongodb://h/x?colour=red", "t"),
        ("mongodb://h/x", "penstock_ledger"),
        ("mongodb://h/x", "penstock_ledger_jobs"),
    ],
)
def test_a_setting_that_can_not_be_used_is_an_error(url: str, table: str) -> None:
    with pytest.raises(ConfigError):
        MongoSink(url, Target(table))


def test_sharing_takes_a_replica_set(mongo_server: MongoServer, lone_mongo_server: MongoServer) -> None:
    with sink(MongoPlace(mongo_server)) as writing:
        assert writing.shares(mongo_server.url("elsewhere") + "&namespace=jobs")
        assert not writing.shares(lone_mongo_server.url())
    with sink(MongoPlace(lone_mongo_server)) as writing:
        assert not writing.shares(lone_mongo_server.url())
