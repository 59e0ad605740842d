"""Processes that are started, counted, replaced and told to leave."""

from yard import Yard, until

from penstock.events.emit import ProcessDied
from penstock.worker.lane import Lane


def test_a_lane_grows_and_shrinks_as_it_is_told(yard: Yard) -> None:
    supervisor = yard.start(Lane("yard_app:app", 1))
    until(lambda: supervisor.lanes()[0].booted == 1, "the first is up")
    supervisor.resize(0, 3)
    until(lambda: supervisor.lanes()[0].booted == 3, "two more are up")
    supervisor.resize(0, 1)
    until(lambda: supervisor.lanes()[0].running == 1, "two have left")
    supervisor.resize(0, 0)
    until(lambda: supervisor.lanes()[0].running == 0, "the last has left")
    supervisor.resize(0, 1)
    until(lambda: supervisor.lanes()[0].booted == 1, "one is up again")
    assert yard.of(ProcessDied) == []
