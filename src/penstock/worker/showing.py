"""Tells a store that passes messages which jobs run for long: a store of records knows by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

from penstock.brokers.base import Broker
from penstock.core.bundle import Bundle
from penstock.core.job import Holder, Lease
from penstock.errors import StoreError

#: Seconds that a job has run for when it is told of, and between two looks.
_LONG, _BETWEEN = 1.0, 0.25
#: Seconds after which a store that refused is told again.
_AGAIN = 1.0


class Showing:
    """What the store was told of the jobs of one process.

    Parameters:
        holder: in whose name the leases were taken.
        borrow: gives the broker that took them, for the caller alone while the context is open.
        needed: does the store have to be told?
    """

    def __init__(self, holder: Holder, borrow: Callable[[], AbstractContextManager[Broker]], *, needed: bool) -> None:
        self._holder = holder
        self._borrow = borrow
        self._needed = needed
        self._since: dict[tuple[int, int], float] = {}
        self._told: set[tuple[int, int]] = set()
        self._look_at = 0.0

    def look(self, running: Iterable[Lease], now: float) -> None:
        """Told now and then what runs. Of jobs that share a call the first one stands for all, as it does in heartbeats.

        Parameters:
            now: in monotonic seconds.
        """
        if not self._needed or now < self._look_at:
            return
        self._look_at = now + _BETWEEN
        leases = {(one.key, one.claim): one.leases[0] if isinstance(one, Bundle) else one for one in running}
        self._since = {key: self._since.get(key, now) for key in leases}
        self._told &= leases.keys()
        late = {
            key: lease for key, lease in leases.items() if now - self._since[key] >= _LONG and key not in self._told
        }
        if late:
            try:
                with self._borrow() as broker:
                    broker.show(list(late.values()), self._holder)
            except StoreError:
                # What is wrong with the store, the next exchange tells.
                self._look_at = now + _AGAIN
            else:
                self._told |= late.keys()
