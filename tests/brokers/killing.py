"""Killing whoever sends a command to MongoDB before it is sent, or the server after it has answered, in tests of what is left then."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pymongo import monitoring

from penstock.brokers.mongodb.broker import MongoBroker


class Killed(BaseException):
    """Ends a connection's owner as a kill does: nothing of the broker catches it."""


def die() -> None:
    """End whoever sends this command; MongoDB does not see it."""
    raise Killed


class Killer(monitoring.CommandListener):
    """Does something before the command of a number is sent."""

    left: int | None = None
    action: Callable[[], object] = staticmethod(die)
    #: Does something after the first command of a name to a collection instead.
    after: tuple[str, str] | None = None
    request: int | None = None

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if self.after is not None and self.after == (event.command_name, event.command.get(event.command_name)):
            self.after, self.request = None, event.request_id
        if self.left is not None and event.command_name in {"insert", "update", "delete", "findAndModify"}:
            self.left -= 1
            if self.left < 0:
                self.left = None
                self.action()

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        if self.request == event.request_id:
            self.request = None
            self.action()

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Of no interest."""


KILLER = Killer()
monitoring.register(KILLER)


@contextmanager
def killed_at(number: int) -> Iterator[list[bool]]:
    """Whether the block was killed is in the list after it."""
    killed: list[bool] = []
    KILLER.left = number
    try:
        yield killed
    except Killed:
        killed.append(True)
    finally:
        KILLER.left = None


def settle(broker: MongoBroker) -> None:
    """What a worker does when a minute has passed."""
    found = broker._opened.storing.intents
    for token in found._begun():
        found.settle(token)


def nothing_is_left_over(broker: MongoBroker) -> bool:
    layout = broker._opened.layout
    begun = {"$or": [{field: {"$exists": True}} for field in ("birth", "mark", "shelf")]}
    return not layout.jobs.count_documents(begun) and not layout.intents.count_documents({"void": None})
