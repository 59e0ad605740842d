"""Jobs of one task that share a call: what a pool runs as if it were one lease, and what everybody else takes apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from penstock.core.job import Lease


class Bundle(Lease, frozen=True, gc=False):
    """Leases of one task that are run by one call. Its own `id` is that of the first, for those who note what runs."""

    leases: tuple[Lease, ...] = ()


def bundle(leases: Sequence[Lease]) -> Bundle:
    """The bundle of one lease or more, all of the same task."""
    first = leases[0]
    return Bundle(
        first.id, first.key, first.claim, first.task, b"", first.queue, items=len(leases), packed=True,
        crashes=first.crashes, at_most_once=first.at_most_once, leases=tuple(leases),
    )  # fmt: skip


def unbundled(leases: Iterable[Lease]) -> Iterator[Lease]:
    """The leases as the store knows them: those in a bundle in its place."""
    for lease in leases:
        if isinstance(lease, Bundle):
            yield from lease.leases
        else:
            yield lease
