"""Every snippet in the documents runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import documents
import psycopg
import pymongo
import pytest
import redis

from penstock.testing.servers import MongoServer, PostgresServer, RabbitServer, RedisServer


def name(document: Path) -> str:
    return str(document.relative_to(documents.ROOT))


def addresses(document: Path, request: pytest.FixtureRequest) -> dict[str, str]:
    """A database of its own for each document that needs one, on the servers of the test session."""
    database = "docs_" + document.stem.replace("-", "_")
    found: dict[str, str] = {}
    needed = documents.servers(document)
    if "POSTGRES_URL" in needed:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute(f"drop database if exists {database} with (force)")
            connection.execute(f"create database {database}")
        found["POSTGRES_URL"] = server.url(database)
    if "MONGODB_URL" in needed:
        mongo: MongoServer = request.getfixturevalue("mongo_server")
        with pymongo.MongoClient(mongo.url()) as client:
            client.drop_database(database)
        # Without options: a page may add its own.
        found["MONGODB_URL"] = mongo.url(database).partition("?")[0]
    if "REDIS_URL" in needed:
        server_of_redis: RedisServer = request.getfixturevalue("redis_server")
        with redis.Redis.from_url(server_of_redis.url(3)) as redis_client:
            redis_client.flushdb()
        found["REDIS_URL"] = server_of_redis.url(3)
    if "RABBITMQ_URL" in needed:
        server_of_rabbit: RabbitServer = request.getfixturevalue("rabbit_server")
        found["RABBITMQ_URL"] = server_of_rabbit.url()
    return found


@pytest.mark.parametrize("document", list(filter(documents.runs, documents.DOCUMENTS)), ids=name)
def test_snippets_run(document: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PENSTOCK_")}
    ended = subprocess.run(
        [sys.executable, "-W", "error", documents.__file__, str(document)],
        cwd=tmp_path,
        env=environment | addresses(document, request),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr, ended.stderr


def test_the_main_documents_have_snippets() -> None:
    running = {name(document) for document in documents.DOCUMENTS if documents.runs(document)}
    assert running >= {
        "README.md",
        "docs/tutorial/first-queue.md",
        "docs/how-to/load-a-file.md",
        "docs/how-to/test-your-tasks.md",
    }


@pytest.mark.parametrize("document", documents.DOCUMENTS, ids=name)
def test_every_block_names_its_language(document: Path) -> None:
    for block in documents.blocks(document):
        assert block.language in documents.LANGUAGES, f"{document}:{block.line}: {block.language!r}"


@pytest.mark.parametrize("document", documents.DOCUMENTS, ids=name)
def test_no_snippet_is_left_out(document: Path) -> None:
    assert not re.search(r"<!--\s*no-?run", document.read_text("utf-8"))
