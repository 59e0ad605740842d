"""Who listens to a broker: what it is told of new work."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable


class Listener(ABC):
    """Told of new work while `Broker.listen` is open, in a thread of the broker's.

    Each call is a hint, and may block for as long as nobody is idle. A store tells what it knows; a listener that makes no difference
    between the kinds of news says only what it does when it wakes.
    """

    #: Does whoever listens end, and listen nowhere else after this? Where that is by an error, a store may show others that it is dead.
    leaving = False

    @abstractmethod
    def wake(self) -> None:
        """There may be work: new, given back, or due; or a delayed job is due sooner now."""

    def ready(self) -> None:
        """All that is new is jobs that are ready: nothing else is due sooner for them, and nobody has asked for anything."""
        self.wake()

    def sent(self) -> None:
        """The same, and these jobs are sent, beside that, to whoever stands by."""
        self.ready()

    def idle(self, seconds: float) -> bool:
        """Wait until somebody is idle, at most so many seconds; is anybody?

        For a store which listens at the cost of all that is written: while nobody is idle it need not, and whatever came
        meanwhile is a `wake` then.
        """
        del seconds
        return True


class Waking(Listener):
    """A listener that calls the same function for whatever it is told."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def wake(self) -> None:
        """See `Listener.wake`."""
        self._call()
