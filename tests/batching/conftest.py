"""Workers, and databases for them to write into."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "worker"))
sys.path.insert(0, str(Path(__file__).parents[1] / "sinks"))

from places import MongoPlace, Place, PostgresPlace, SqlitePlace
from yard import Yard


@pytest.fixture(params=["sqlite", "mongodb", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A fresh place; whatever uses it runs on every sink."""
    if request.param == "sqlite":
        return SqlitePlace(tmp_path)
    if request.param == "mongodb":
        return MongoPlace(request.getfixturevalue("mongo_server"))
    return PostgresPlace(request.getfixturevalue("postgres_server"))


@pytest.fixture(params=["another", "the same"])
def queue(request: pytest.FixtureRequest, place: Place, queue_url: str) -> str:
    """The URL of a queue, in another database than the sink or in the same."""
    return place.url if request.param == "the same" else queue_url


@pytest.fixture
def yard(tmp_path: Path, queue: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Yard]:
    monkeypatch.chdir(tmp_path)
    yard = Yard(tmp_path, queue)
    yield yard
    yard.close()
