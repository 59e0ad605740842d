"""One connection of a broker, and the running of its scripts."""

from __future__ import annotations

from typing import Any

from redis.exceptions import NoScriptError

from penstock.brokers.redis.scripts import script
from penstock.errors import StoreError
from penstock.stores import redis as store

Argument = bytes | str | int | float


class Link:
    """A connection that knows the prefix of all keys. They have one hash tag, so that a cluster keeps them together.

    Parameters:
        url: where to connect to.
    """

    def __init__(self, url: store.RedisUrl) -> None:
        self.url = url
        self.prefix = f"{{{url.namespace}}}:"
        self._client: store.Client | None = None

    def open(self) -> None:
        """Connect, unless it is."""
        if self._client is None:
            self._client = store.connect(self.url)

    def close(self) -> None:
        """Disconnect; may be called twice."""
        if self._client is not None:
            with store.translating(self.url.shown):
                self._client.close()
            self._client = None

    @property
    def client(self) -> store.Client:
        """The open client."""
        if self._client is None:
            raise StoreError(f"the queue {self.url.shown} is closed: call open() first")
        return self._client

    def run(self, name: str, *arguments: Argument) -> Any:
        """Run a script with the prefix as its key; a server that has forgotten it, or never had it, gets its text."""
        client = self.client
        with store.translating(self.url.shown):
            text, digest = script(name)
            try:
                return store.command(client, "EVALSHA", digest, 1, self.prefix, *arguments)
            except NoScriptError:
                return store.command(client, "EVAL", text, 1, self.prefix, *arguments)

    def ask(self, command: str, key: str, *arguments: Argument) -> Any:
        """A single command on the key of a name."""
        client = self.client
        with store.translating(self.url.shown):
            return store.command(client, command, self.prefix + key, *arguments)


def moment(now: float | None) -> str:
    """A time as scripts take it: the server's own where none is given."""
    return "" if now is None else repr(float(now))
