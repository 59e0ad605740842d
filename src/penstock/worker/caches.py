"""The caches that the tasks of a process have made, for its figures."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from penstock.events.meter import CountedCache


def loaded_caches() -> Iterable[CountedCache]:
    """The caches of this process; a task that has one has loaded them."""
    if "penstock.cache" not in sys.modules:
        return ()
    from penstock.cache import caches

    return caches()
