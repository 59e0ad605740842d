"""Workflows in inline mode: every job at once, in the caller's thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from penstock.core import handing
from penstock.core.job import NewJob
from penstock.core.workflow import NewWorkflow, Rule


def run_inline(workflow: NewWorkflow, run: Callable[[NewJob], None], results: Mapping[bytes, bytes | None]) -> None:
    """Run a workflow, stage after stage. A job that fails raises, so nothing is there to run for failures.

    Parameters:
        run: runs a job.
        results: of those that ran, by id.
    """
    ids = {stage.id: [job.id for job in stage.jobs] for stage in workflow.stages}
    for stage in workflow.stages:
        if stage.rule is Rule.FAILED:
            continue
        given = handing.results([[results.get(id) or handing.NIL for id in ids[taken]] for taken in stage.takes])
        for job in stage.jobs:
            run(replace(job, payload=job.payload + given) if handing.takes_results(job.payload) else job)
