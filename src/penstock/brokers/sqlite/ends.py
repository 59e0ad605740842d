"""Who waits for jobs of a SQLite file to end: sockets in a folder beside it, which is there while somebody waits.

So one look for a folder is all that endings cost while nobody does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress

from penstock.stores.doorbell import Doorbell

_ID = 16
_SOCKET = ".sock"
#: Beside a socket that had no room: whoever reads from it has missed something.
_MISSED = ".missed"


class Ends:
    """The ends of jobs of one file.

    Parameters:
        path: of the database file.
    """

    def __init__(self, path: str) -> None:
        self._folder = f"{path}-waits"

    def is_watched(self) -> bool:
        """Does anybody wait?"""
        return os.path.exists(self._folder)

    def tell(self, ids: Sequence[bytes]) -> None:
        """Tell those who wait that jobs have ended; with no ids, any may have. Called after the commit."""
        try:
            names = [name for name in os.listdir(self._folder) if name.endswith(_SOCKET)]
        except OSError:
            return
        # The folder may be another one than the last time: a bell keeps hold of its own.
        with closing(self._bell()) as bell:
            for name in names:
                self._send(bell, name, b"".join(ids))

    def _bell(self) -> Doorbell:
        return Doorbell(os.path.join(self._folder, "end"))

    def _send(self, bell: Doorbell, name: str, words: bytes) -> None:
        try:
            bell.send(name, words)
        except ConnectionRefusedError:
            # Whoever waited there was killed.
            bell.remove(name)
            with suppress(OSError):
                os.unlink(self._missed(name))
            with suppress(OSError):
                os.rmdir(self._folder)
        except FileNotFoundError:
            return
        except OSError:
            with suppress(OSError):
                os.close(os.open(self._missed(name), os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))

    def _missed(self, name: str) -> str:
        return os.path.join(self._folder, name + _MISSED)

    @contextmanager
    def watching(self, tell: Callable[[Sequence[bytes]], None]) -> Iterator[bool]:
        """See `Broker.watch_ends`."""

        def hear(words: bytes) -> None:
            tell([words[start : start + _ID] for start in range(0, len(words), _ID)])
            if bell.name is not None:
                with suppress(OSError):
                    os.unlink(self._missed(bell.name))
                    tell(())

        with suppress(OSError):
            os.mkdir(self._folder, 0o700)
        try:
            with closing(self._bell()) as bell, bell.receiving(hear):
                name = bell.name
                yield name is not None
                if name is not None:
                    with suppress(OSError):
                        os.unlink(self._missed(name))
        finally:
            with suppress(OSError):
                os.rmdir(self._folder)
