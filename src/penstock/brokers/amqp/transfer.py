"""How jobs arrive that are moved to RabbitMQ: in the backend, whose jobs the workers run as well. As a source it can't serve."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.brokers.transfer import Arrival, Left, Pending, Transfer
from penstock.core.shipment import Shipment
from penstock.errors import MissingFeature

_REFUSED = (
    "amqp:// can't give its jobs to another store, as it does not list its queues or what is delayed: have your programs enqueue "
    "in the new one, and leave a worker here until penstock status shows nothing that waits"
)


class AmqpTransfer:
    """See `penstock.brokers.transfer.Transfer`.

    Parameters:
        backend: of the backend.
    """

    def __init__(self, backend: Transfer) -> None:
        self._backend = backend

    def name(self) -> bytes:
        """See `Transfer.name`."""
        return self._backend.name()

    def ship(
        self, bound_for: bytes, place: str, queues: Sequence[str] | None, most: int, *, now: float | None = None
    ) -> tuple[int, Shipment] | None:
        """See `Transfer.ship`: refused, whole, since messages would stay behind and nobody be told."""
        raise MissingFeature(_REFUSED)

    def pending(self) -> Sequence[Pending]:
        """See `Transfer.pending`."""
        return self._backend.pending()

    def shipment(self, number: int) -> Shipment | None:
        """See `Transfer.shipment`."""
        return self._backend.shipment(number)

    def receive(self, shipment: Shipment) -> Arrival | None:
        """See `Transfer.receive`."""
        return self._backend.receive(shipment)

    def discard(self, number: int) -> None:
        """See `Transfer.discard`."""
        self._backend.discard(number)

    def settle(self, ids: Sequence[bytes], *, now: float | None = None) -> None:
        """See `Transfer.settle`."""
        self._backend.settle(ids, now=now)

    def left(self, queues: Sequence[str] | None, *, now: float | None = None) -> Left:
        """See `Transfer.left`: refused."""
        raise MissingFeature(_REFUSED)
