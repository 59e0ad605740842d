"""One connection of a broker, and the running of its scripts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import redis
from redis.exceptions import NoScriptError, RedisError

from penstock.brokers.redis.scripts import script
from penstock.brokers.redis.wire import Wire, pack
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
        # Of two keys, one that is there and one that is not, a cluster that moves them refuses everything (TRYAGAIN) until all are at one
        # place. With fewer, scripts would run where some are missing, and do one half.
        self._keys = (2, self.prefix, f"{self.prefix}layout")
        self._client: store.Client | None = None
        self._call: Callable[..., Any] = self._closed
        #: Sends a command that is packed; None in a cluster, where the client knows which server has the keys.
        self._send: Callable[..., Any] | None = None

    def open(self) -> None:
        """Connect, unless it is."""
        if self._client is None:
            client = self._client = store.connect(self.url)
            if isinstance(client, redis.Redis):
                wire = Wire(client)
                self._call, self._send = wire.call, wire.send
            else:
                self._call = client.execute_command

    def close(self) -> None:
        """Disconnect; may be called twice."""
        if self._client is not None:
            with store.translating(self.url.shown):
                self._client.close()
            self._client, self._call, self._send = None, self._closed, None

    @property
    def client(self) -> store.Client:
        """The open client."""
        return self._closed() if self._client is None else self._client

    def _closed(self, *_: Argument) -> NoReturn:
        raise StoreError(f"the queue {self.url.shown} is closed: call open() first")

    def run(self, name: str, *arguments: Argument) -> Any:
        """Run a script; a server that has forgotten it, or never had it, gets its text."""
        text, digest = script(name)
        # As `translating`, without the generator.
        try:
            try:
                return self._call("EVALSHA", digest, *self._keys, *arguments)
            except NoScriptError:
                return self._call("EVAL", text, *self._keys, *arguments)
        except (RedisError, OSError) as error:
            raise store.translated(error, self.url.shown) from error

    @property
    def is_direct(self) -> bool:
        """Does it lead to one server, so that `send` can be used?"""
        return self._send is not None

    def packed(self, name: str, *arguments: Argument) -> bytes:
        """The command that runs a script."""
        return pack("EVALSHA", script(name).digest, *self._keys, *arguments)

    def send(self, command: bytes) -> bool:
        """Run a script by a command as `packed` makes it; False where the server does not know the script, and nothing was done."""
        assert self._send is not None, "a cluster's client packs by itself"
        try:
            self._send(command)
        except NoScriptError:
            return False
        except (RedisError, OSError) as error:
            raise store.translated(error, self.url.shown) from error
        return True

    def behind(self, command: str, key: str, *arguments: Argument, script: bytes) -> Any:
        """The answer of a script, by a command as `packed` makes it, that is sent along behind a command which the server may be long with; None where it
        does not know the script, and nothing was done.
        """
        assert self._send is not None, "a cluster's client packs by itself"
        try:
            return self._send(pack(command, self.prefix + key, *arguments) + script, 2)
        except NoScriptError:
            return None
        except (RedisError, OSError) as error:
            raise store.translated(error, self.url.shown) from error

    def ask(self, command: str, key: str, *arguments: Argument) -> Any:
        """A single command on the key of a name."""
        with store.translating(self.url.shown):
            return self._call(command, self.prefix + key, *arguments)


def moment(now: float | None) -> str:
    """A time as scripts take it: the server's own where none is given."""
    return "" if now is None else repr(float(now))
