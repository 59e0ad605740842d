"""Which jobs are slow, what waits behind them, and when that is looked at."""

import pytest
from msgspec.structs import replace

from penstock.core.job import Lease
from penstock.pools import load_pool
from penstock.pools.base import Pool
from penstock.worker.relief import Relief

LEASE = Lease(bytes(16), 1, 1, "app.task", b"")


def pool(kind: str) -> Pool:
    """One that nothing is run in."""
    return load_pool(kind)(1, None, lambda outcome: None, lambda slot, lease: False)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "leases", "beside", "soon"),
    [
        ("prefork", [LEASE], False, False),
        ("prefork", [LEASE], True, True),
        ("prefork", [LEASE, LEASE], False, True),
        ("prefork", [replace(LEASE, packed=True)], False, True),
        ("threads", [LEASE], False, True),
    ],
)
def test_it_is_looked_soon_where_something_may_wait_for_a_slow_job(
    kind: str, leases: list[Lease], beside: bool, soon: bool
) -> None:
    relief = Relief(pool(kind), lambda running, now: None)
    relief.begin(leases, beside=beside)
    assert relief._hurries.is_set() == soon
    relief.rest()
    assert not relief._hurries.is_set()
