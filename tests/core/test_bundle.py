"""Jobs of one task that share a call."""

from penstock.core.bundle import bundle, unbundled
from penstock.core.job import Lease


def lease(number: int, **fields: object) -> Lease:
    return Lease(bytes([number]) * 16, number, 1, "store", b"", **fields)


def test_it_is_known_by_the_first_and_holds_them_all() -> None:
    leases = [Lease(b"3" * 16, 3, 1, "store", b"", "orders", crashes=1), lease(1), lease(2)]
    found = bundle(leases)
    assert (found.id, found.key, found.claim, found.task, found.queue) == (leases[0].id, 3, 1, "store", "orders")
    assert (found.items, found.packed, found.crashes, found.batch, found.options) == (3, True, 1, None, None)
    assert found.leases == tuple(leases)


def test_taken_apart_each_is_itself_again_in_order() -> None:
    one, two, row = lease(1), lease(2), lease(3, packed=True)
    assert list(unbundled([row, bundle([one, two])])) == [row, one, two]
