"""Messages that are looked for, to be cancelled or deleted: RabbitMQ finds none, so all that wait are gone through.

What runs is not among them. A message that is cancelled becomes a job of the backend before it is acknowledged.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from penstock.brokers.amqp.drawing import Drawing, Drawn, Wires
from penstock.brokers.amqp.keeper import Keeper
from penstock.brokers.amqp.layout import Layout
from penstock.brokers.amqp.message import Message, lease_of
from penstock.brokers.amqp.names import Lane
from penstock.brokers.inspect import Selection
from penstock.core.outcome import Ending, Outcome
from penstock.core.states import State


class Sifting:
    """What is looked for by this connection.

    Parameters:
        drawing: takes messages.
        wires: the channels.
        layout: what is declared.
        keeper: the backend.
    """

    def __init__(self, drawing: Drawing, wires: Wires, layout: Layout, keeper: Keeper) -> None:
        self._drawing = drawing
        self._wires = wires
        self._layout = layout
        self._keeper = keeper

    def cancel(self, selection: Selection) -> int:
        """Cancel messages that wait; returns how many."""
        return self._sift(self._unknown(selection), self._cancel)

    def delete(self, selection: Selection) -> int:
        """Delete messages that wait; returns how many."""
        return self._sift(self._unknown(selection), lambda _: None)

    def purge(self, queue: str) -> int:
        """Delete the messages of a queue; returns how many."""
        return self._drawing.purge(queue) + self.delete(Selection(queue=queue, state=State.DELAYED))

    def _unknown(self, selection: Selection) -> Selection:
        """Without the jobs that the backend has: these are no messages."""
        if selection.ids is None:
            return selection
        known = self._keeper.open().inspector().list(Selection(ids=selection.ids), limit=len(selection.ids))
        return replace(selection, ids=tuple(set(selection.ids) - {one.id for one in known}))

    def _sift(self, selection: Selection, act: Callable[[Sequence[Drawn]], None]) -> int:
        if selection.batch is not None or selection.ids == ():
            return 0
        most = sys.maxsize if selection.ids is None else len(selection.ids)
        return self._drawing.sift(self._places(selection), _fitting(selection), act, most)

    def _places(self, selection: Selection) -> list[Lane]:
        places: list[Lane] = []
        if selection.state in (None, State.READY):
            lanes = self._drawing.all_lanes()
            places += [lane for lane in lanes if selection.queue is None or lane.queue == selection.queue]
        if selection.state in (None, State.DELAYED):
            places += self._layout.all_levels(self._wires()[1])
        return places

    def _cancel(self, drawn: Sequence[Drawn]) -> None:
        outcomes = [Outcome(lease_of(one.message, 0, 0), Ending.CANCELLED) for one in drawn]
        if outcomes:
            self._keeper.take_over(outcomes, None)


def _fitting(selection: Selection) -> Callable[[Message], bool]:
    ids, queue, task = selection.ids and frozenset(selection.ids), selection.queue, selection.task

    def fits(message: Message) -> bool:
        return (
            (ids is None or message.id in ids)
            and (queue is None or message.queue == queue)
            and (task is None or message.task == task)
        )

    return fits
