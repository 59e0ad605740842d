"""What every private server can be told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Server(ABC):
    """Runs for as long as its context lasts, or until it is stopped; its data stay until it is removed."""

    @abstractmethod
    def start(self) -> Self:
        """Start what does not run of it, and return when it takes writes; returns itself."""

    @abstractmethod
    def stop(self) -> None:
        """Shut it down at once but in order."""

    @abstractmethod
    def kill(self) -> None:
        """kill -9."""

    @abstractmethod
    def remove(self) -> None:
        """End it for good, and delete its folder."""

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.remove()
