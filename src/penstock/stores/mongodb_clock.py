"""The time of a MongoDB server, without asking for it each time."""

from __future__ import annotations

import time

from penstock.stores.mongodb import Client

#: Seconds for which one answer of the server is good: a step of its clock goes unnoticed for no longer.
_GOOD_FOR = 5.0


class ServerClock:
    """What a server's clock shows, by this machine's monotonic one and how far the two were apart when last asked.

    `$$NOW` is known to updates and not to inserts; this serves both, and costs a job that is sent no round trip.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._ahead = 0.0
        self._asked_at: float | None = None

    def now(self) -> float:
        """The server's time, in epoch seconds."""
        if self._asked_at is None or time.monotonic() - self._asked_at > _GOOD_FOR:
            return self.ask()
        return time.monotonic() + self._ahead

    def ask(self) -> float:
        """The server's time, from the server: for what must not miss that its clock was set."""
        before = time.monotonic()
        theirs: float = self._client.admin.command("hello")["localTime"].timestamp()
        after = time.monotonic()
        # It read its clock about half way; how far off this is at most, half the round trip, does not add up.
        self._ahead = theirs - (before + after) / 2
        self._asked_at = after
        return theirs
