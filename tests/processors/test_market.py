"""A simulated day in real databases: every order once, and every position right, whatever is killed."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pymongo
import pytest

from penstock.errors import StoreUnavailable
from penstock.processors import MarketOrderProcessor
from penstock.testing.servers import MongoServer

PROGRAM = """
import sys
import msgspec
from penstock.processors import MarketOrderProcessor
if __name__ == "__main__":
    processor = MarketOrderProcessor(mongodb_uri=sys.argv[1], postgresql_uri=sys.argv[2])
    result = processor.simulate_market_orders(num_orders=15000, workers=4, accounts=500, symbols=40)
    print(msgspec.json.encode(result).decode())
"""


def children(pid: int) -> list[int]:
    """The processes that a program has started; each thread has a list of its own."""
    found = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (thread / "children").read_text().split()]
    return found


@pytest.fixture
def short_transactions(mongo_server: MongoServer) -> Iterator[None]:
    """MongoDB keeps the transactions of the dead for a minute; here, for less."""
    with pymongo.MongoClient[dict[str, object]](mongo_server.url()) as client:
        client.admin.command("setParameter", 1, transactionLifetimeLimitSeconds=3)
        yield
        client.admin.command("setParameter", 1, transactionLifetimeLimitSeconds=60)


@pytest.mark.usefixtures("short_transactions")
def test_a_day_in_both_databases_while_workers_are_killed(mongo_url: str, postgres_url: str, tmp_path: Path) -> None:
    # Longer than 2 s: processes have to be up to be killed, and others to come up in their place.
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    running = subprocess.Popen([sys.executable, str(program), mongo_url, postgres_url], stdout=subprocess.PIPE)
    gate, kills = threading.Event(), 0
    with running, psycopg.connect(postgres_url, autocommit=True) as connection:
        for least in (1, 4000, 8000):
            while running.poll() is None and written(connection) < least:
                gate.wait(0.01)
            for victim in children(running.pid)[-2:] if running.poll() is None else []:
                os.kill(victim, signal.SIGKILL)
                kills += 1
        assert running.stdout is not None
        result = json.loads(running.stdout.read())
    assert kills >= 2
    assert result["books_match"] is True
    for name in ("mongodb", "postgresql"):
        assert result["databases"][name] == {
            "orders": 15_000, "orders_match": True, "positions_match": True, "note": ""
        }  # fmt: skip
    assert result["work"]["failed"] == 0
    assert result["work"]["deaths"] >= 1


def written(connection: psycopg.Connection[tuple[int]]) -> int:
    try:
        found = connection.execute("select count(*) from market_orders").fetchone()
    except psycopg.errors.UndefinedTable:
        return 0
    return 0 if found is None else found[0]


def test_a_day_follows_another_and_the_cache_is_of_use(postgres_url: str) -> None:
    processor = MarketOrderProcessor(postgresql_uri=postgres_url)
    for _ in range(2):
        result = processor.simulate_market_orders(num_orders=3000, workers=2, use_cache=True, accounts=300, symbols=50)
        assert result.books_match
        assert result.databases["postgresql"].orders == 3000
        assert result.cache_hit_rate is not None
        assert 0.5 < result.cache_hit_rate < 1
        assert set(result.cache_hit_rates) == {"instruments", "accounts"}
    assert "the books match" in str(result)
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("select count(*), max(order_id) from market_orders").fetchone() == (6000, 6000)


def test_without_the_cache_every_order_is_looked_up(mongo_url: str) -> None:
    processor = MarketOrderProcessor(mongodb_uri=mongo_url)
    result = processor.simulate_market_orders(num_orders=500, workers=1, use_cache=False, accounts=20, symbols=5)
    assert result.books_match
    assert (result.cache_hit_rate, result.cache_hit_rates) == (None, {})


def test_a_mongodb_that_stands_alone_keeps_no_positions_and_says_so(lone_mongo_url: str) -> None:
    processor = MarketOrderProcessor(mongodb_uri=lone_mongo_url, queue="sqlite:///queue.db")
    result = processor.simulate_market_orders(num_orders=500, workers=1, accounts=20, symbols=5)
    check = result.databases["mongodb"]
    assert (check.orders, check.orders_match, check.positions_match) == (500, True, None)
    assert "replica set" in check.note
    assert result.books_match
    with pymongo.MongoClient[dict[str, object]](lone_mongo_url) as client:
        assert "market_positions" not in client.get_default_database().list_collection_names()


def test_what_was_changed_behind_its_back_is_found(postgres_url: str) -> None:
    processor = MarketOrderProcessor(postgresql_uri=postgres_url)
    processor.simulate_market_orders(num_orders=200, workers=1, accounts=20, symbols=5)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(
            "create function dearer() returns trigger language plpgsql as $$ begin "
            "if new.order_id = 300 then new.price = new.price + 1; end if; return new; end $$"
        )
        connection.execute(
            "create trigger dearer before insert on market_orders for each row execute function dearer()"
        )
    result = processor.simulate_market_orders(num_orders=200, workers=1, accounts=20, symbols=5)
    assert not result.books_match
    assert result.databases["postgresql"].positions_match
    assert "DO NOT MATCH" in str(result)


def test_a_server_that_is_not_there_is_told_in_one_line() -> None:
    with pytest.raises(StoreUnavailable, match="start it, or check"):
        MarketOrderProcessor(postgresql_uri="postgresql://127.0.0.1:1/market").simulate_market_orders(10)


def test_both_are_written_to_where_none_is_named() -> None:
    assert MarketOrderProcessor().databases == {
        "postgresql": "postgresql://postgres:password@localhost:5432/market_data",
        "mongodb": "mongodb://localhost:27017/market_data",
    }
