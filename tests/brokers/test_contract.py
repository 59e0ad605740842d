"""The contract, on every broker there is."""

from collections.abc import Callable

import pytest

from penstock.testing.contract import BrokerContract, check_machine


class TestContract(BrokerContract):
    @pytest.fixture
    def url(self, new_url: Callable[[], str]) -> str:
        return new_url()


def test_a_broker_does_what_the_model_does(kind: str, only_url: Callable[[], str]) -> None:
    # On RabbitMQ each run declares quorum queues of its own: sixty took 80 s.
    check_machine(only_url, examples=15 if kind == "rabbitmq" else 60)
