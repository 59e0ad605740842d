"""Waking the workers of a SQLite file: Unix datagram sockets beside it, instead of polling.

Each listener binds one, and whoever commits new jobs sends a byte to every one of them. A ring is a hint and never
waits: a listener that is busy does not read, its buffer fills, and further rings cost one failed system call. A socket
that nobody holds any more also tells, at once and without a clock, that its worker is dead.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

#: Bytes of a ring, at most.
_LONGEST = 1 << 18
_READY = b"."


class Doorbell:
    """The doorbells beside one file.

    Parameters:
        path: of the database file.
    """

    def __init__(self, path: str) -> None:
        self._folder = os.path.dirname(os.path.abspath(path))
        self._base = os.path.basename(path)
        self._descriptor: int | None = None
        self._sender: socket.socket | None = None
        #: The name of the socket this process listens at, while it does.
        self.name: str | None = None

    def ring(self, name: str, *, ready: bool = False) -> None:
        """Wake a listener, if it is there and has room for one more ring.

        Parameters:
            ready: for jobs that are ready, and for nothing else.
        """
        with suppress(OSError):
            self.send(name, _READY if ready else b"!")

    def send(self, name: str, words: bytes) -> None:
        """Send a few words to a listener; an `OSError` says that it is gone, or has no room for more."""
        if self._sender is None:
            self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._sender.setblocking(False)
        self._sender.sendto(words, self._address(name))

    def is_dead(self, name: str | None) -> bool:
        """True when nobody holds that socket any more; False when there is none to judge by.

        One whose file is gone is none: whoever lives takes it along when it listens elsewhere, and only a kill leaves it behind.
        """
        if name is None:
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(self._address(name))
            except ConnectionRefusedError:
                return True
            except OSError:
                return False
        return False

    def remove(self, name: str | None) -> None:
        """Delete a dead listener's socket."""
        if name is not None:
            with suppress(OSError):
                os.unlink(os.path.join(self._folder, name))

    def listening(
        self, wake: Callable[[], None], ready: Callable[[], None] | None = None, *, leaving: Callable[[], bool]
    ) -> AbstractContextManager[None]:
        """Call `wake` from a thread at every ring while the context is open, or `ready` where it is for ready jobs; `leaving` as in `receiving`."""
        return self.receiving(lambda words: (ready or wake)() if words == _READY else wake(), leaving)

    @contextmanager
    def receiving(self, hear: Callable[[bytes], None], leaving: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Call `hear` from a thread with the words of every ring while the context is open.

        Parameters:
            leaving: asked where the context is left by an error. With True the socket stays, and nobody holds it: that tells others of the end,
                where nothing could be written.
        """
        # Not by `secrets`, which loads OpenSSL. An address has room for 107 bytes, and a name may have 255: what is left over identifies enough.
        name = f".{os.fsdecode(os.fsencode(self._base)[:24])}-{os.urandom(6).hex()}.sock"
        bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        # Linux makes the socket with this mode; elsewhere the change below comes a moment later.
        with suppress(OSError):
            os.fchmod(bell.fileno(), 0o600)
        try:
            bell.bind(self._address(name))
        except OSError:
            # A folder or file system without sockets: the poll that makes up for lost rings has to do.
            bell.close()
            yield
            return
        os.chmod(os.path.join(self._folder, name), 0o600)
        self.name = name
        stopping, removed = threading.Event(), threading.Event()
        arguments = (bell, hear, stopping, removed)
        thread = threading.Thread(target=_listen, args=arguments, name="penstock-listen", daemon=True)
        thread.start()
        stays = False
        try:
            yield
        except BaseException:
            stays = leaving()
            raise
        finally:
            stopping.set()
            self.ring(name)
            self.name = None
            if not stays:
                self.remove(name)
            removed.set()

    def close(self) -> None:
        """Let go of the sending socket."""
        if self._sender is not None:
            self._sender.close()
            self._sender = None
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _address(self, name: str) -> str:
        """A short way to name a socket: an address may have 107 bytes at most, a folder's path many more."""
        direct = os.path.join(self._folder, name)
        if len(os.fsencode(direct)) < 100 or not os.path.isdir("/proc/self/fd"):
            return direct
        if self._descriptor is None:
            self._descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._descriptor}/{name}"


def _listen(
    bell: socket.socket, hear: Callable[[bytes], None], stopping: threading.Event, removed: threading.Event
) -> None:
    with bell:
        while not stopping.is_set():
            words = bell.recv(_LONGEST)
            if not stopping.is_set():
                hear(words)
        # A socket that is there and that nobody holds would tell others that this worker was killed.
        removed.wait()
