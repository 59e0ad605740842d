"""How far jobs say they are, as commands show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from penstock.cli import output
from penstock.cli.output import Column
from penstock.cli.readable import ago, duration, iso
from penstock.core.codec import decode_value
from penstock.core.ids import format_id
from penstock.core.memo import PROGRESS, Progress, memo_id
from penstock.core.text import shown

if TYPE_CHECKING:
    from penstock.brokers.inspect import Inspector, RunningJob, WorkerRecord

#: Jobs that are looked up, at most: those that have run longest.
_MOST = 20


def read_progress(inspector: Inspector, id: bytes) -> Progress | None:
    """How far a job said it was, last."""
    value = inspector.result(memo_id(id, PROGRESS))
    return None if value is None else decode_value(value, Progress)


def progress_fields(progress: Progress | None) -> dict[str, Any] | None:
    """The same as JSON."""
    if progress is None:
        return None
    return {"done": progress.done, "total": progress.total, "note": progress.note, "at": iso(progress.at)}


def progress_text(progress: Progress) -> str:
    """The same in words."""
    return f"{shown(str(progress), 200)} ({ago(progress.at)})"


def running_progress(
    inspector: Inspector, workers: Sequence[WorkerRecord]
) -> list[tuple[WorkerRecord, RunningJob, Progress]]:
    """The jobs that run and say how far they are, those that have run longest first."""
    telling = [(worker, job) for worker in workers for job in worker.jobs if job.total or job.done]
    telling.sort(key=lambda pair: -pair[1].seconds)
    found = [(worker, job, read_progress(inspector, job.id)) for worker, job in telling[:_MOST]]
    return [(worker, job, progress) for worker, job, progress in found if progress is not None]


def running_fields(found: Sequence[tuple[WorkerRecord, RunningJob, Progress]]) -> list[dict[str, Any]]:
    """The same jobs as JSON."""
    return [
        {
            "id": format_id(job.id),
            "worker": worker.id,
            "seconds": round(job.seconds, 3),
            "progress": progress_fields(progress),
        }
        for worker, job, progress in found
    ]


def show_progress(found: Sequence[tuple[WorkerRecord, RunningJob, Progress]]) -> None:
    """A table of them."""
    columns = [Column("job"), Column("worker"), Column("runs for", right=True), Column("progress", wide=True)]
    output.print_table(
        columns,
        [
            [format_id(job.id), worker.id[:8], duration(job.seconds + worker.silent_for), progress_text(progress)]
            for worker, job, progress in found
        ],
    )
