"""What a store tells of a job's end, and what is to be said of one that it does not know."""

from __future__ import annotations

import time

from penstock.brokers.inspect import Ended, Inspector
from penstock.core.ids import format_id, made_at
from penstock.core.job import JobRecord
from penstock.errors import ResultTimeout, UnknownJob

#: Seconds by which another's clock may be ahead.
_AHEAD = 3600.0


def looked_up(id: bytes, inspector: Inspector) -> tuple[bytes | None, JobRecord | None]:
    """The result of a job, and where there is none the job."""
    # The result first: it is what those wait for who are woken by a job's end.
    value = inspector.result(id)
    record = inspector.get(id) if value is None else None
    # It may have ended between the two.
    return inspector.result(id) if value is None and record is None else value, record


def refuse_unknown(id: bytes, kept: float) -> None:
    """Raise `UnknownJob` for the id of a job that is stored nowhere, and would be only if it were younger."""
    made = made_at(id)
    age = None if made is None else time.time() - made
    if age is None or age > kept or age < -_AHEAD:
        raise UnknownJob(
            f"{format_id(id)} is stored nowhere: its result has expired, it left none, or it never was here. "
            "result_ttl= says how long results are kept"
        )


def value_of(ended: Ended | None, timeout: float | None) -> bytes | None:
    """The encoded result of a job that has ended; `ResultTimeout` where it did not within so many seconds."""
    if ended is None:
        raise ResultTimeout(f"the job did not end within {timeout:g} s")
    return ended.value
