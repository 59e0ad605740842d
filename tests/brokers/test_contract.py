"""The contract, on every broker there is."""

from collections.abc import Callable

import pytest

from penstock.testing.contract import BrokerContract, check_machine

#: Runs of the state machine, where sixty take too long: on RabbitMQ each declares quorum queues of its own, on MongoDB a run takes a second.
_EXAMPLES = {"sqlite": 40, "postgresql": 20, "rabbitmq": 15, "mongodb": 20, "mongodb alone": 20}


class TestContract(BrokerContract):
    @pytest.fixture
    def url(self, new_url: Callable[[], str]) -> str:
        return new_url()


def test_a_broker_does_what_the_model_does(kind: str, only_url: Callable[[], str]) -> None:
    check_machine(only_url, examples=_EXAMPLES.get(kind, 60))
