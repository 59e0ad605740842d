"""Jobs that are not to be started: they come to their turn too late, or their options can't be read."""

from __future__ import annotations

import time

from penstock.core.codec import decode_value
from penstock.core.decide import JobOptions, dead, expired
from penstock.core.job import Failure, Lease
from penstock.core.outcome import Outcome
from penstock.errors import PayloadError


def refusal(lease: Lease) -> Outcome | None:
    """The outcome of a job that was to have started by now, or of which nobody knows; None for any other, and for a bundle."""
    if lease.options is None:
        return None
    try:
        options: JobOptions = decode_value(lease.options, JobOptions)
    except PayloadError as error:
        return dead(lease, Failure("PayloadError", f"options: {error}"))
    return expired(lease, options, time.time())
