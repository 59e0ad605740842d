"""Every sink, each with a place of its own to write into."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from places import MongoPlace, Place, PostgresPlace, SqlitePlace

PLACES: dict[str, Callable[[pytest.FixtureRequest, Path], Place]] = {
    "sqlite": lambda _, folder: SqlitePlace(folder),
    "mongodb": lambda request, _: MongoPlace(request.getfixturevalue("mongo_server")),
    "mongodb alone": lambda request, _: MongoPlace(request.getfixturevalue("lone_mongo_server")),
    "postgresql": lambda request, _: PostgresPlace(request.getfixturevalue("postgres_server")),
}


@pytest.fixture(params=list(PLACES))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A fresh place; whatever uses it runs on every sink."""
    return PLACES[request.param](request, tmp_path)
