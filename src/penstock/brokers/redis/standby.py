"""A process with nothing to do waits at the server, with its next claim sent along: that is made in the moment in which the process is rung.

A ring to the worker, that is passed on, and the claim thereafter, took four threads and two more ways to the server.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue

import msgspec

from penstock.brokers.redis.link import Link, moment
from penstock.brokers.redis.messages import Endings, encode
from penstock.brokers.redis.record import leases
from penstock.core.job import Holder, Lease
from penstock.core.outcome import Ending, Outcome
from penstock.errors import StoreError
from penstock.stores.redis import RedisUrl

#: Seconds for which the server waits; then it looks for a job in any case.
_WAIT = 30
#: Seconds in which an answer must come, that much longer.
_ANSWER = 45.0
#: Seconds for the thread to end.
_END = 1.0
#: One: should the process be frozen by then, or its machine be gone, no more wait until that is found out.
_MOST = 1


class Order(msgspec.Struct, frozen=True):
    """What a process waits for.

    Parameters:
        heard: the number of the last ring that it knows of.
        turn: of its claims.
    """

    holder: Holder
    queues: tuple[str, ...]
    heard: int
    turn: int

    @property
    def name(self) -> str:
        """That of the process, where it waits."""
        return f"{self.holder.worker}\0{self.holder.process}"


class Standby:
    """A connection beside the broker's, with a thread that waits at it from the first order on.

    Parameters:
        url: of the broker.
        doubtful: is told of a connection by its name, and of the last of its claims that was heard of, when others may have been made.
    """

    def __init__(self, url: RedisUrl, doubtful: Callable[[str, int], None]) -> None:
        self._link = Link(msgspec.structs.replace(url, timeout=_ANSWER))
        self._doubtful = doubtful
        self._lock = threading.Lock()
        self._orders: SimpleQueue[tuple[Order, Callable[[], None]] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._waiting: Order | None = None
        self._wanted = self._closed = False
        self._found: list[Lease] = []
        #: Names the claims of this connection.
        self._name, self._heard = secrets.token_hex(4), 0

    def begin(self, order: Order, wake: Callable[[], None]) -> None:
        """Wait for a job, unless it does so already; `wake` is called when `take` may have one, or it has given up."""
        with self._lock:
            self._wanted = True
            if self._waiting is not None:
                return
            self._waiting = order
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="penstock-standby", daemon=True)
            self._thread.start()
        self._orders.put((order, wake))

    def take(self, *, still: bool) -> list[Lease]:
        """What has come; where the process has work by now, whatever comes from now on goes back.

        Parameters:
            still: it has none.
        """
        with self._lock:
            self._wanted = self._wanted and still
            found, self._found = self._found, []
            return found

    def put_back(self, found: Sequence[Lease]) -> None:
        """What was taken has not been run, and is to be taken again."""
        with self._lock:
            self._found = [*found, *self._found]

    def close(self) -> Order | None:
        """Wait no more; returns what it waited for."""
        with self._lock:
            self._wanted, self._closed = False, True
        self._orders.put(None)
        # Ends the reading of an answer, too.
        with suppress(StoreError):
            self._link.close()
        if self._thread is not None:
            self._thread.join(_END)
        return self._waiting

    def _run(self) -> None:
        while (given := self._orders.get()) is not None:
            order, wake = given
            is_lost = False
            try:
                found = self._wait(order)
            except StoreError:
                # A claim may have been made all the same. What is wrong the next exchange tells, and it comes here again if that is wanted.
                is_lost, found = True, []
                self._doubtful(self._name, self._heard)
                self._name, self._heard = secrets.token_hex(4), 0
                with suppress(StoreError):
                    self._link.close()
            with self._lock:
                if not self._closed:
                    self._waiting = None
                if self._wanted:
                    self._found, found = [*self._found, *found], []
            if found:
                self._give_back(order, found)
            if not is_lost:
                wake()

    def _wait(self, order: Order) -> list[Lease]:
        """The lease that a ring brought, or nothing where that is not wanted any more."""
        self._link.open()
        heard = order.heard
        while self._wanted:
            self._link.run("stand_by", order.name, heard, *order.queues)
            claim = self._link.packed("exchange", *self._words(order, _MOST, Endings(())))
            answer = self._link.behind("BLPOP", f"bell:{order.name}", _WAIT, script=claim)
            if answer is None:
                break
            _, taken, _, rung = answer
            if taken:
                self._heard = int(taken[0])
                return leases(self._heard, *taken[1:])
            heard = int(rung)
        return []

    def _give_back(self, order: Order, found: Sequence[Lease]) -> None:
        endings = Endings([Outcome(lease, Ending.RELEASED) for lease in found])
        try:
            self._link.run("exchange", *self._words(order, 0, endings))
        except StoreError:
            # What was heard of is given back by the next exchange as what was not.
            self._doubtful(self._name, self._heard - 1)

    def _words(self, order: Order, most: int, endings: Endings) -> tuple[bytes | str | int, ...]:
        return exchange_words(order.holder, order.queues, most, self._name, order.turn, endings)


def exchange_words(
    holder: Holder,
    queues: Sequence[str],
    most: int,
    connection: str,
    turn: int,
    endings: Endings,
    now: float | None = None,
) -> tuple[bytes | str | int, ...]:
    """The arguments of `lua/exchange.lua`."""
    return (
        moment(now), turn, most, holder.worker, holder.process, connection, encode(list(queues)), endings.others, *endings.words,
    )  # fmt: skip
