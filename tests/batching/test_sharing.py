"""How the jobs of a task share calls."""

from collections.abc import Sequence

import pytest

from penstock.batching.collector import SPACING
from penstock.batching.sharing import Sharing
from penstock.core.codec import Signature
from penstock.core.decide import Policy
from penstock.core.job import Lease
from penstock.core.joining import Joining
from penstock.core.outcome import Outcome
from penstock.core.sizing import ByDepth, Sizing


class Nowhere:
    """A writer that writes nothing."""

    def bundle(self, leases: Sequence[Lease], joining: Joining | None) -> list[Outcome | Exception]:
        return [Outcome(lease) for lease in leases]

    def row(self, lease: Lease, policy: Policy, joining: Joining | None) -> Outcome:
        return Outcome(lease)

    def settled(self, ids: Sequence[bytes]) -> None: ...

    def close(self) -> None: ...


def store(rows: list[int]) -> None: ...


@pytest.mark.parametrize(
    ("writes", "max_wait", "sizing", "spacing"),
    [
        (True, None, None, 0.025),
        (True, 0.2, None, 0.1),
        (True, 0.001, None, SPACING),
        (True, None, ByDepth(), SPACING),
        (False, 0.2, None, SPACING),
    ],
    ids=["sink", "patient sink", "impatient sink", "sink with sizes of its own", "batch task"],
)
def test_only_a_sink_that_finds_its_sizes_is_claimed_for_less_often(
    writes: bool, max_wait: float | None, sizing: Sizing | None, spacing: float
) -> None:
    sharing = Sharing(Signature("store", store), max_wait=max_wait, sizing=sizing)
    if writes:
        sharing.writer = Nowhere()
    assert sharing.collector(1).spacing == spacing


@pytest.mark.parametrize("writes", [True, False], ids=["sink", "batch task"])
def test_a_sinks_jobs_are_taken_for_more_work_at_once(writes: bool) -> None:
    sharing = Sharing(Signature("store", store), sizing=ByDepth())
    if writes:
        sharing.writer = Nowhere()
    assert (sharing.collector(1).share > SPACING) == writes
