"""How a helping is divided among the lanes that have something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from penstock.brokers.amqp.names import Lane


def divided(ready: Mapping[Lane, int], queues: Sequence[str], limit: int, turn: int) -> dict[Lane, int]:
    """How many to take from each lane: no queue starves another, and in a queue higher priorities come first.

    Parameters:
        ready: how many wait in each lane.
        turn: which queue's turn it is to come first.
    """
    left = {queue: sum(count for lane, count in ready.items() if lane.queue == queue) for queue in queues}
    waiting = [queue for queue, count in left.items() if count]
    start = turn % len(waiting) if waiting else 0
    waiting = waiting[start:] + waiting[:start]
    given = dict.fromkeys(waiting, 0)
    while limit and waiting:
        each = max(1, limit // len(waiting))
        for queue in waiting:
            more = min(each, left[queue] - given[queue], limit)
            given[queue] += more
            limit -= more
        waiting = [queue for queue in waiting if given[queue] < left[queue]]
    shares: dict[Lane, int] = {}
    for queue in given:
        for lane in sorted((lane for lane in ready if lane.queue == queue), key=lambda lane: -lane.priority):
            taken = min(given[queue], ready[lane])
            if taken:
                shares[lane] = taken
                given[queue] -= taken
    return shares
