"""The contract, on every broker there is."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.brokers import SCHEMES
from penstock.testing.contract import BrokerContract, check_machine


def sqlite_urls(folder: Path) -> Callable[[], str]:
    numbers = itertools.count()
    return lambda: f"sqlite:///{folder}/queue{next(numbers)}.db"


#: scheme -> what makes the URLs of fresh stores; every scheme that Penstock knows must be here.
STORES = {"sqlite": sqlite_urls}


@pytest.fixture(scope="class", params=list(STORES))
def scheme(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


class TestContract(BrokerContract):
    @pytest.fixture
    def url(self, scheme: str, tmp_path: Path) -> str:
        return STORES[scheme](tmp_path)()


def test_a_broker_does_what_the_model_does(scheme: str, tmp_path: Path) -> None:
    check_machine(STORES[scheme](tmp_path))


def test_every_scheme_is_here() -> None:
    assert STORES.keys() == SCHEMES.keys()
