"""Where fresh stores come from, by URL scheme."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest


def sqlite_urls(folder: Path) -> Callable[[], str]:
    numbers = itertools.count()
    return lambda: f"sqlite:///{folder}/queue{next(numbers)}.db"


#: scheme -> what makes the URLs of fresh, empty stores.
STORES: dict[str, Callable[[Path], Callable[[], str]]] = {"sqlite": sqlite_urls}


@pytest.fixture(scope="session")
def stores() -> dict[str, Callable[[Path], Callable[[], str]]]:
    return STORES


@pytest.fixture(params=list(STORES))
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Makes URLs of fresh stores; whatever uses it runs on every broker."""
    return STORES[request.param](tmp_path)
