"""Workers in the background, called as users write it."""

import psycopg
import pymongo
import pytest

from penstock.errors import ConfigError
from penstock.processors import ParallelQueueProcessor, PostgreSQLQueueProcessor


def test_workers_write_what_comes_while_the_program_goes_on(postgres_url: str) -> None:
    processor = ParallelQueueProcessor(
        queue_name="market_orders", num_workers=2, db_type="postgresql", connection_string=postgres_url
    ).start()
    try:
        assert processor.running
        assert processor.processed == 0
        with PostgreSQLQueueProcessor(postgres_url) as producer:  # of the same queue
            producer.put_many({"id": number} for number in range(500))
            assert processor.wait(60)
        processor.put({"id": 500})
        assert processor.wait(60)
        with pytest.raises(ConfigError, match="run already"):
            processor.start()
    finally:
        result = processor.stop()
    assert not processor.running
    assert (result.processed, result.remaining, result.workers) == (501, 0, 2)
    assert result.seconds == processor.stats().seconds
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("select count(*), count(distinct id) from orders").fetchone() == (501, 501)


def test_a_context_ends_when_the_queue_is_empty(mongo_url: str) -> None:
    with ParallelQueueProcessor("ticks", 1, "mongodb", mongo_url, collection_name="ticks") as processor:
        processor.put_many({"tick": number} for number in range(300))
    assert processor.stats().processed == 300
    with pymongo.MongoClient[dict[str, object]](mongo_url) as client:
        assert len(client.get_default_database()["ticks"].distinct("tick")) == 300


def test_what_has_not_been_started_can_not_be_stopped() -> None:
    with pytest.raises(ConfigError, match="call start"):
        ParallelQueueProcessor().stop()


def test_a_database_that_there_is_not() -> None:
    with pytest.raises(ConfigError, match="db_type= is 'mongodb' or 'postgresql', not 'oracle'"):
        ParallelQueueProcessor(db_type="oracle")
