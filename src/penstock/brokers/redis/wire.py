"""One connection to one server, kept: a command goes out packed, its answer is read, and nothing comes between."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

import hiredis
from redis.connection import DefaultParser
from redis.exceptions import ConnectionError as Unreachable
from redis.exceptions import ReadOnlyError, RedisError, ResponseError
from redis.exceptions import TimeoutError as Late

if TYPE_CHECKING:
    import redis

#: Seconds without use after which the pool looks whether the connection still stands. In use, a broken one is found out soon enough.
_IDLE = 0.1
#: Bytes that are read at once.
_READ = 65536
_NOTHING_YET = object()
#: Their types say that a command is one word, and that a reader gives what it was told to.
_pack: Callable[[Any], bytes] = hiredis.pack_command
_Reader: Any = hiredis.Reader


def pack(*words: bytes | str | float) -> bytes:
    """A command as it goes out."""
    return _pack(words)


class Wire:
    """Sends commands by one connection, for one thread at a time.

    The client's own way, with all that it looks at and counts, took 75 us of processor time for a command, and its connections' 26; a bare socket takes 19.

    Parameters:
        client: whose pool makes the connection: it knows about TLS, passwords and sentinels.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._pool = client.connection_pool
        #: Of the client's library, whose connections have no types.
        self._connection: Any = None
        self._socket: socket.socket
        self._reader: Any = None
        self._used_at = 0.0

    def call(self, *words: bytes | str | float) -> Any:
        """Send a command, and return its answer as the server gives it; raises what `send` does."""
        return self.send(pack(*words))

    def send(self, command: bytes, count: int = 1) -> Any:
        """Send a command that is packed, or several; return the last one's answer.

        Raises:
            redis.RedisError: as the client would; what is no answer of the server's ends the connection, and the next call makes another.
            OSError: the connection is broken, and ended likewise.
        """
        now = time.monotonic()
        if now - self._used_at > _IDLE:
            self.close()
        self._used_at = now
        if self._connection is None:
            self._connect()
        reader, answer = self._reader, None
        try:
            self._socket.sendall(command)
            while count:
                answer = reader.gets()
                while answer is _NOTHING_YET:
                    data = self._socket.recv(_READ)
                    if not data:
                        raise Unreachable("Connection closed by server.")  # noqa: TRY301 - as what else may happen to it here
                    reader.feed(data)
                    answer = reader.gets()
                count -= 1
        except BlockingIOError:
            self._drop()
            raise Late("the server's answer timed out") from None
        except BaseException:
            # Its answer may come yet, and is not that of the next command.
            self._drop()
            raise
        if isinstance(answer, RedisError):
            self._refused(answer)
        return answer

    def _refused(self, error: RedisError) -> NoReturn:
        if isinstance(error, ReadOnlyError) or not isinstance(error, ResponseError):
            # A master that became a replica: its name, or the sentinels, may lead to the new one by now.
            self._drop()
        if isinstance(error, ReadOnlyError) and getattr(self._pool, "is_master", False):
            raise Unreachable("the sentinels' master has become a replica")
        raise error

    def _connect(self) -> None:
        connection: Any = self._pool.get_connection()
        self._connection, self._socket = connection, connection._sock
        self._reader = _Reader(
            protocolError=Unreachable, replyError=DefaultParser.parse_error, notEnoughData=_NOTHING_YET
        )
        if type(self._socket).__module__ == "socket" and connection.socket_timeout:
            _have_kernel_wait(self._socket, connection.socket_timeout)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.disconnect()
        self.close()

    def close(self) -> None:
        """Hand the connection back; the next call asks for one again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            if connection._sock is not None:
                # As the client knows it.
                connection._sock.settimeout(connection.socket_timeout)
            self._pool.release(connection)


def _have_kernel_wait(plain: socket.socket, seconds: float) -> None:
    """Have the system watch the time that an answer takes: Python asks it before each `recv` and `send` whether there is anything, 3 us for both.

    Parameters:
        plain: neither TLS, which waits by itself, nor a loop's, which never blocks.
    """
    whole, part = divmod(seconds, 1)
    limit = struct.pack("ll", int(whole), int(part * 1e6))
    with suppress(OSError):
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        plain.settimeout(None)
