"""A TCP proxy that does what networks do: cuts connections, also in the middle of an answer, and falls silent."""

import socket
import struct
import threading
from contextlib import suppress

_CHUNK = 65536


class Proxy:
    """Listens on a free port and passes everything on to a server.

    Parameters:
        target: host and port of the server; it need not be there yet.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._pairs: list[Pair] = []
        self._silent = False
        self.accepted = 0
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def connections(self) -> int:
        """How many connections are open."""
        with self._lock:
            return len(self._pairs)

    def cut(self) -> None:
        """Reset every connection, now."""
        for pair in self._taken():
            pair.cut()

    def cut_in_answer(self, after: int) -> None:
        """Reset each connection after so many more bytes from the server, the last of them passed on."""
        with self._lock:
            for pair in self._pairs:
                pair.left = after

    def cut_before_answer(self) -> None:
        """Reset each connection when the server has answered, and pass nothing of that on."""
        self.cut_in_answer(0)

    def fall_silent(self, *, new_ones_too: bool = False) -> None:
        """Hold every connection open, and pass nothing on ever again.

        Parameters:
            new_ones_too: hold those that are made from now on as well, until `speak`.
        """
        self._silent = new_ones_too
        for pair in self._taken():
            pair.silent = True
            pair.keep()

    def speak(self) -> None:
        """Pass new connections on again."""
        self._silent = False

    def close(self) -> None:
        """Cut everything, and listen no more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _taken(self) -> "list[Pair]":
        with self._lock:
            taken, self._pairs = self._pairs, []
        return taken

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            if self._silent:
                _HELD.append(client)
                continue
            try:
                server = socket.create_connection(self._target, 5)
                server.settimeout(None)
            except OSError:
                reset(client)
                continue
            pair = Pair(client, server)
            with self._lock:
                self._pairs.append(pair)
            for way in (pair.to_server, pair.to_client):
                threading.Thread(target=self._serve, args=(pair, way), daemon=True).start()

    def _serve(self, pair: "Pair", way: "object") -> None:
        assert callable(way)
        way()
        if not pair.silent:
            pair.cut()
            with self._lock, suppress(ValueError):
                self._pairs.remove(pair)


#: Connections that were promised an answer and get none; kept, so that nothing closes them.
_HELD: list[socket.socket] = []


class Pair:
    """One connection: the client's half and the server's."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        for half in (client, server):
            half.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client = client
        self._server = server
        self.silent = False
        #: Bytes that the server may still send; None for as many as it likes.
        self.left: int | None = None

    def to_server(self) -> None:
        """Pass on what the client says, until either half ends."""
        with suppress(OSError):
            while (said := self._client.recv(_CHUNK)) and not self.silent:
                self._server.sendall(said)

    def to_client(self) -> None:
        """Pass on what the server says, until either half ends or no more of it is wanted."""
        with suppress(OSError):
            while (said := self._server.recv(_CHUNK)) and not self.silent:
                left = self.left
                if left is None:
                    self._client.sendall(said)
                    continue
                self._client.sendall(said[:left])
                self.left = left - len(said)
                if self.left <= 0:
                    return

    def cut(self) -> None:
        """Reset both halves."""
        reset(self._client)
        reset(self._server)

    def keep(self) -> None:
        """Hold both halves open for as long as this process lives."""
        _HELD.extend((self._client, self._server))


def reset(half: socket.socket) -> None:
    """Close a connection the hard way, so that the other side hears of it at once."""
    with suppress(OSError):
        half.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with suppress(OSError):
        half.shutdown(socket.SHUT_RDWR)
    half.close()
