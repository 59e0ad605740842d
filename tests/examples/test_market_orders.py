"""examples/market_orders: the day's books match, and the table is printed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.testing.servers import MongoServer, PostgresServer

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "market_orders"


def call(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run one of the example's programs; the databases of whoever runs the tests are none of its business."""
    inherited = {name: value for name, value in os.environ.items() if name not in {"POSTGRESQL_URL", "MONGODB_URL"}}
    return subprocess.run(
        [sys.executable, "-W", "error", str(FOLDER / program), *map(str, arguments)],
        env=inherited,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_the_books_of_a_day_match(postgres_server: PostgresServer, mongo_server: MongoServer) -> None:
    urls = "--postgresql", postgres_server.url(), "--mongodb", mongo_server.url("market_example")
    ended = call("simulate.py", "--orders", 2000, "--workers", 2, *urls)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "the books match: every order once" in ended.stdout
    assert "cache hit rate" in ended.stdout


@pytest.mark.parametrize("name", ["postgresql", "mongodb"])
def test_the_table_is_printed(name: str, postgres_server: PostgresServer, mongo_server: MongoServer) -> None:
    url = {"postgresql": postgres_server.url(), "mongodb": mongo_server.url("market_example")}[name]
    options = "--only", name, f"--{name}", url, "--seconds", 0.1, "--orders", 5000, "--workers", 2
    ended = call("performance_test.py", *options)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for depth in "< 100", "100 - 1,000", "1,000 - 10,000", "> 10,000":
        assert f"| {depth} |" in ended.stdout


def test_a_server_that_is_not_there_is_told_in_one_line() -> None:
    ended = call("simulate.py", "--only", "postgresql", "--postgresql", "postgresql://ada:secret@127.0.0.1:1/market")
    assert ended.returncode == 1
    assert "no server answers" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "secret" not in ended.stderr
