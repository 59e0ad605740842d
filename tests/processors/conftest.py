"""Fixtures of the processors' tests: a database of its own for each, on the shared servers."""

import sys
from itertools import count
from pathlib import Path

import psycopg
import pymongo
import pytest

from penstock.testing.servers import MongoServer, PostgresServer

sys.path.insert(0, str(Path(__file__).parent))

_numbers = count(1)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    name = f"processors_{next(_numbers)}"
    with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
        connection.execute(f"drop database if exists {name}")
        connection.execute(f"create database {name}")
    return postgres_server.url(name)


@pytest.fixture
def mongo_url(mongo_server: MongoServer) -> str:
    return fresh(mongo_server)


@pytest.fixture
def lone_mongo_url(lone_mongo_server: MongoServer) -> str:
    return fresh(lone_mongo_server)


def fresh(server: MongoServer) -> str:
    name = f"processors_{next(_numbers)}"
    with pymongo.MongoClient[dict[str, object]](server.url(name)) as client:
        client.drop_database(name)
    return server.url(name)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Queues that are files in the working folder are each test's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
