"""A proxy that counts what clients ask of a server, and harms one of these exchanges: before the server hears of it, or when it has done it and nobody has been told."""

import os
import selectors
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import Enum

from penstock.chaos.proxy import reset

_CHUNK = 1 << 20


class Fault(Enum):
    """What is done at an exchange."""

    #: The connection breaks before the server hears of it.
    CUT_BEFORE = "cut before"
    #: The server does it, and its answer is lost with the connection.
    CUT_AFTER = "cut after"
    #: The connection breaks, and the server hears of it only when the client has gone on by another one.
    CUT_LATE = "cut late"
    #: The answer is lost with the connection, and so is that to the next exchange, whatever it is.
    CUT_TWICE = "cut twice"
    #: The process that asks is killed; the server never hears of it.
    KILLED_BEFORE = "killed before"
    #: The process that asks is killed when the server has done it.
    KILLED_AFTER = "killed after"
    #: The server never hears of it, and the connection stays open.
    HUNG_BEFORE = "hung before"
    #: The server does it, and its answer never comes; the connection stays open.
    HUNG_AFTER = "hung after"

    @property
    def kills(self) -> bool:
        """Is it the end of a process?"""
        return self in _KILLS

    @property
    def hangs(self) -> bool:
        """Does the connection stay open?"""
        return self in _HUNG


#: Those for which the server does what it is asked before anything happens.
_AFTER = {Fault.CUT_AFTER, Fault.CUT_TWICE, Fault.KILLED_AFTER, Fault.HUNG_AFTER}
_KILLS = {Fault.KILLED_BEFORE, Fault.KILLED_AFTER}
_HUNG = {Fault.HUNG_BEFORE, Fault.HUNG_AFTER}
#: Exchanges after which the server hears of what was to come late.
_LATE = 3


class _Half:
    """The proxy's connection to one end, and the state of what goes on between the two."""

    def __init__(self, half: socket.socket, *, is_client: bool) -> None:
        half.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = half
        self.is_client = is_client
        self.other: _Half
        #: Has the client asked since the server said something? Only its own end knows.
        self.asks = False
        #: Is the server's next word the moment of the harm?
        self.doomed = False
        #: Is nothing passed on, from either end?
        self.hung = False
        self.gone = False


class Exchanges:
    """Listens on a free port, passes everything on to a server, and counts: what a client says after the server spoke begins another exchange.

    Parameters:
        target: host and port of the server.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._wake, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._lock = threading.Lock()
        self._late: tuple[int, _Half, bytes] | None = None
        self.watch(0, None, lambda: None)
        self._thread = threading.Thread(target=self._serve, name="exchanges", daemon=True)
        self._thread.start()

    def watch(self, at: int, fault: Fault | None, harmed: Callable[[], None]) -> None:
        """Count from 1 again, and do harm at one exchange; at none where it is 0.

        Parameters:
            harmed: called in the proxy's thread, right before the harm is done.
        """
        with self._lock:
            self._forget_late()
            self.count = 0
            #: The process to kill.
            self.victim: int | None = None
            self._harms = 0
            self._at, self.fault, self._tell = at, fault, harmed

    @property
    def harmed(self) -> bool:
        """Has the harm been done?"""
        return self._harms > 0

    def close(self) -> None:
        """Break every connection, and listen no more."""
        self._wake.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._woken:
                    self._end()
                    return
                if key.fileobj is self._listener:
                    self._accept()
                elif not key.data.gone:
                    self._pass_on(key.data)

    def _end(self) -> None:
        for key in list(self._selector.get_map().values()):
            if isinstance(key.data, _Half):
                reset(key.data.socket)
        self._forget_late()
        self._listener.close()
        self._woken.close()
        self._selector.close()

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(self._target, 5)
        except OSError:
            reset(client)
            return
        server.settimeout(None)
        near, far = _Half(client, is_client=True), _Half(server, is_client=False)
        near.other, far.other = far, near
        for half in (near, far):
            self._selector.register(half.socket, selectors.EVENT_READ, half)

    def _pass_on(self, half: _Half) -> None:
        said = b""
        with suppress(OSError):
            said = half.socket.recv(_CHUNK)
        if not said:
            self._break(half)
            return
        with self._lock:
            passes = not half.hung and (self._asked(half, said) if half.is_client else self._answered(half))
        if passes:
            with suppress(OSError):
                half.other.socket.sendall(said)

    def _asked(self, client: _Half, said: bytes) -> bool:
        """A client said something: is it passed on?"""
        if client.asks:
            return True
        client.asks = True
        self.count += 1
        self._deliver_late()
        if self.count == self._at and self.fault not in _AFTER:
            self._harm(client, said)
            return False
        client.other.doomed = self.count == self._at or (self.fault is Fault.CUT_TWICE and self._harms == 1)
        return True

    def _answered(self, server: _Half) -> bool:
        """A server said something: is it passed on?"""
        server.other.asks = False
        if server.doomed:
            self._harm(server.other, b"")
        return not server.doomed

    def _harm(self, client: _Half, said: bytes) -> None:
        self._harms += 1
        self._tell()
        if self.fault in _HUNG:
            # Until the client gives up.
            client.hung = client.other.hung = True
        elif self.fault is Fault.CUT_LATE:
            self._late = self.count + _LATE, client.other, said
            self._selector.unregister(client.other.socket)
            client.other.gone = True
            self._break(client)
        else:
            if self.victim is not None and self.fault in _KILLS:
                os.kill(self.victim, signal.SIGKILL)
            self._break(client)

    def _deliver_late(self) -> None:
        """Have the server hear, at last, of what a client said that is long gone."""
        if self._late is None or self.count < self._late[0]:
            return
        _, server, said = self._late
        with suppress(OSError):
            server.socket.sendall(said)
            server.socket.shutdown(socket.SHUT_WR)
            # It hangs up when it has done it, unless what it is to do waits for somebody.
            server.socket.settimeout(2)
            while server.socket.recv(_CHUNK):
                pass
        self._forget_late()

    def _forget_late(self) -> None:
        if self._late is not None:
            reset(self._late[1].socket)
            self._late = None

    def _break(self, half: _Half) -> None:
        for one in (half, half.other):
            if not one.gone:
                one.gone = True
                self._selector.unregister(one.socket)
                reset(one.socket)
