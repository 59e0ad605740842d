"""Whether the server takes messages: low on memory or disk, it reads nothing more from a connection that publishes, be it an acknowledgement.

Who consumes and publishes by one connection would then take and end nothing, though that is what makes room. So a broker whose connection was stopped publishes
nothing by the next one, until a message that went by a connection of its own was taken.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from penstock.brokers.amqp.frames import Post
from penstock.brokers.amqp.link import Link
from penstock.brokers.amqp.url import AmqpUrl
from penstock.brokers.amqp.wire import PASSING, Wire
from penstock.errors import StoreError, StoreFull

#: Seconds in which the server takes a message, if it takes any; between those of one try; and between two tries.
_PATIENCE, _PAUSE, _BETWEEN = 0.5, 0.05, 5.0


class Fullness:
    """Knows of one connection whether it may publish.

    Parameters:
        link: the connection.
        recovered: called when it may again.
    """

    def __init__(self, link: Link, recovered: Callable[[], None]) -> None:
        self._link = link
        self._recovered = recovered
        self._try_at = 0.0

    def is_full(self) -> bool:
        """Does the server take no messages? Asked anew now and then, if it did not."""
        if self._link.was_blocked and time.monotonic() >= self._try_at:
            if _takes(self._link.url):
                self._link.was_blocked = False
                self._recovered()
            self._try_at = time.monotonic() + _BETWEEN
        return self._link.was_blocked

    def check(self) -> None:
        """Refuse to publish: `StoreFull`, with nothing sent, where the server takes no messages."""
        if self.is_full():
            raise StoreFull(
                f"{self._link.url.shown}: the server takes no messages, for want of memory or disk: let workers drain the queue, or make room there"
            )


def _takes(url: AmqpUrl) -> bool:
    wires: list[Wire] = []
    link = Link(url, lambda: wires.append(Wire(link, link.gave_up)), lambda: None, patience=_PATIENCE)
    try:
        link.open()
        with link.held():
            # By its first messages a connection is stopped, and those are taken in any case: more than one, where it has not heard of the alarm yet.
            for _ in range(4):
                wires[-1].publish([Post("", "", b"", PASSING, mandatory=False)])
                link.turn(lambda: False, _PAUSE)
    except StoreError:
        return False
    finally:
        link.close()
    return True
