"""How jobs end in a transaction that is somebody else's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from penstock.core.outcome import Outcome

#: Ends jobs in the transaction that it is given; returns the outcomes whose leases are no longer in force.
EndWithin = Callable[[Sequence[Outcome], object], list[Outcome]]

#: Has the broker ready for a transaction of somebody else's, until the context ends.
Joining = Callable[[], AbstractContextManager[EndWithin]]
