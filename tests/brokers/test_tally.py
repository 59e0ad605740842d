"""Counts of jobs by queue and state."""

from penstock.brokers.inspect import QueueCounts
from penstock.brokers.tally import Tally


def test_lines_are_counted_with_their_queue():
    tally = Tally()
    tally.add("mail", "ready", 3)
    tally.add(",mail,gate", "ready", 4)
    tally.add("a", "dead", 1, about=True)
    assert list(tally.queues()) == [QueueCounts("a", dead=1, about=("dead",)), QueueCounts("mail", ready=7)]


def test_what_is_shared_out_is_an_estimate():
    tally = Tally()
    tally.share("delayed", 1000, {"a": 3.0, ",b,gate": 1.0})
    tally.share("ready", 0, {})
    assert list(tally.queues()) == [
        QueueCounts("a", delayed=750, about=("delayed",)),
        QueueCounts("b", delayed=250, about=("delayed",)),
    ]
