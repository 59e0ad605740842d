"""What is left to do about the stages of workflows, after a script that had no time for all of it."""

from __future__ import annotations

from penstock.brokers.redis.link import Link, moment


def go_on(link: Link, now: float | None = None, *stages: bytes) -> None:
    """See to all stages that earlier scripts left, and to these; some with each script, so that others need not wait."""
    while int(link.run("flow_go", moment(now), *stages)):
        stages = ()
