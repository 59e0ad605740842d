"""What a look at a store shows."""

from __future__ import annotations

from penstock.brokers.inspect import QueueCounts, of_users
from penstock.core.canary import queue_of


def test_a_canary_is_in_no_queue_of_the_users() -> None:
    mine = QueueCounts("mail", ready=1)
    assert of_users([mine, QueueCounts(queue_of("ff"), ready=1)]) == [mine]
