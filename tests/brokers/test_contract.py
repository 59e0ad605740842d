"""The contract, on every broker there is."""

import os
from collections.abc import Callable

import pytest

from penstock.testing.contract import BrokerContract, check_machine

#: Runs of the state machine, each of which takes a tenth of a second to a whole one.
_EXAMPLES = {"sqlite": 25, "postgresql": 12, "redis": 25, "rabbitmq": 10, "mongodb": 12, "mongodb alone": 12}
FULL = os.environ.get("PENSTOCK_CHAOS") == "full"


class TestContract(BrokerContract):
    @pytest.fixture
    def url(self, new_url: Callable[[], str]) -> str:
        return new_url()


# What fails is made shorter for five minutes before it is told.
@pytest.mark.timeout(900)
def test_a_broker_does_what_the_model_does(kind: str, only_url: Callable[[], str]) -> None:
    check_machine(only_url, examples=60 if FULL else _EXAMPLES[kind])
