"""The processor of MongoDB, called as users write it."""

from pathlib import Path

import pymongo
import pytest

from penstock.errors import ConfigError
from penstock.processors import MongoDBQueueProcessor
from penstock.processors.mongodb import with_database


@pytest.mark.parametrize("server", ["mongo_url", "lone_mongo_url"])
def test_a_queue_is_worked_off(server: str, request: pytest.FixtureRequest, own_folder: Path) -> None:
    url = request.getfixturevalue(server)
    processor = MongoDBQueueProcessor(
        connection_string=url, database_name="processors_market_data", collection_name="orders"
    )
    with processor, pymongo.MongoClient[dict[str, object]](url) as client:
        client.drop_database("processors_market_data")
        processor.put_many({"order": number} for number in range(3000))
        result = processor.process_queue(batch_size=1000, workers=4)
        found = client["processors_market_data"]["orders"].distinct("order")
        client.drop_database("processors_market_data")
    assert (result.processed, result.failed, result.batch_sizes) == (3000, 0, {500: 6})
    assert found == list(range(3000))
    assert (own_folder / "market_orders.penstock.db").exists()


def test_the_server_is_the_users_own_where_none_is_named() -> None:
    plan = MongoDBQueueProcessor().plan
    assert (plan.url, plan.table) == ("mongodb://localhost:27017/market_data", "orders")
    assert (plan.broker, plan.queue) == ("sqlite:///market_orders.penstock.db", "market_orders")


def test_a_database_is_named_by_either() -> None:
    assert with_database("mongodb://h:1,g", None) == "mongodb://h:1,g/market_data"
    assert with_database("mongodb://h/a?replicaSet=r", None) == "mongodb://h/a?replicaSet=r"
    assert with_database("mongodb://h/a", "b") == "mongodb://h/b"
    assert with_database("mongodb://u:p@h/a?w=1", "b") == "mongodb://u:p@h/b?w=1&authSource=a"


def test_another_url_is_refused() -> None:
    with pytest.raises(ConfigError, match="write mongodb://"):
        MongoDBQueueProcessor("postgresql://localhost/market")
