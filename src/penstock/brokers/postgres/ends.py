"""Hearing of jobs that end: LISTEN at a channel of its own, for which endings look whether anybody holds a lock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from penstock.brokers.postgres.listen import Ear
from penstock.brokers.postgres.wire import Wire
from penstock.stores import postgres
from penstock.stores.statements import Statements

#: Hexadecimal digits of an id.
_DIGITS = 32


@contextmanager
def watching(url: postgres.PostgresUrl, sql: Statements, tell: Callable[[Sequence[bytes]], None]) -> Iterator[bool]:
    """See `Broker.watch_ends`."""
    ear = _EndsEar(url, sql, tell)
    ear.start()
    try:
        yield True
    finally:
        ear.stop()


class _EndsEar(Ear):
    def __init__(self, url: postgres.PostgresUrl, sql: Statements, tell: Callable[[Sequence[bytes]], None]) -> None:
        super().__init__(url, sql)
        self._tell = tell

    def _hear(self, wire: Wire, *, again: bool) -> None:
        for name in ("ends_listen", "ends_arm"):
            wire.run(self._sql[name], {})
        self._listens.set()
        if again:
            # What ended while there was no connection was not heard.
            self._tell(())
        while not self._stopping.is_set():
            for said in self._notified(wire):
                self._tell([bytes.fromhex(said[at : at + _DIGITS]) for at in range(0, len(said), _DIGITS)])
