"""The side of a store that `penstock move` uses: jobs leave it in shipments, and arrive in shipments.

A shipment leaves in one transaction: from then on its jobs are nowhere but in it, and what is in it never changes. It arrives in one transaction, which
notes its id; a second time it changes nothing. Only then is it discarded where it came from. So it does not matter where a mover is killed, or how
many there are, as long as each lets them arrive in the order of their numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from penstock.core.shipment import Shipment

#: Seconds for which a store remembers a shipment that its origin has discarded: longer than any mover can be stopped and go on.
REMEMBERED = 7 * 86_400.0


def beside(name: bytes) -> bytes:
    """The name of a broker that keeps what it can't do itself in the store of this name."""
    return name[:-1] + bytes([name[-1] ^ 1])


#: The stages of workflows that are under way stay, and so must the jobs that they wait for.
WORKFLOWS_STAY = "workflows are under way here, and can't move: let them end, or cancel them, and move then"


class Pending(msgspec.Struct, frozen=True, gc=False):
    """A shipment that has left and was not discarded: its number, which grows, and the `name` of the store it is bound for."""

    number: int
    bound_for: bytes


class Left(msgspec.Struct, frozen=True, gc=False):
    """How many jobs a store has that could leave now, or could not: those that run, and those that must not overtake one that runs."""

    movable: int = 0
    held: int = 0


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """What became of a shipment's jobs: how many were stored, and how many were there already, by their ids or unique keys."""

    stored: int = 0
    known: int = 0


class Transfer(Protocol):
    """What a mover asks of a store; every method may be called while workers run and other movers do the same."""

    def name(self) -> bytes:
        """What tells this store from all others: 16 random bytes, made at the first call."""

    def ship(
        self, bound_for: bytes, place: str, queues: Sequence[str] | None, most: int, *, now: float | None = None
    ) -> tuple[int, Shipment] | None:
        """Let jobs leave that do not run, and with them what belongs to them.

        First ready jobs by their places, then the others. Jobs that keep the order of a key leave together and as long as none of them runs.
        The counters of their batches leave with the first. Results, and counters of batches that have no job here, leave where no queues are named.

        Parameters:
            bound_for: the `name` of the store that they leave for.
            place: how that one is shown to whoever asks here for what has left: a URL without a password.
            queues: only jobs of these; None is all.
            most: jobs, about: those of a key may be more.
            now: in epoch seconds; results that have expired do not leave.

        Returns:
            The number of the shipment and the shipment, or None where there was nothing to leave.
        """

    def pending(self) -> Sequence[Pending]:
        """The shipments that were not discarded, by ascending numbers."""

    def shipment(self, number: int) -> Shipment | None:
        """A shipment that has left, or None where it was discarded."""

    def receive(self, shipment: Shipment) -> Arrival | None:
        """Store what is in a shipment, all or nothing; returns None where it had arrived before.

        A job whose id is stored is left as it is, and one whose unique key is taken is not stored: either is counted as known.
        """

    def discard(self, number: int) -> None:
        """Forget a shipment that has arrived."""

    def settle(self, ids: Sequence[bytes], *, now: float | None = None) -> None:
        """Shipments were discarded where they came from: it need not be remembered for ever that they arrived here."""

    def left(self, queues: Sequence[str] | None, *, now: float | None = None) -> Left:
        """What is left to leave, results and counters as well."""
