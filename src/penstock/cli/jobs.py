"""`penstock jobs` and `penstock show`: what is stored, many jobs at a glance or one of them whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from penstock.cli import output
from penstock.cli.options import examples, filters, job_ids, json_option, only_where, split_where, where_option
from penstock.cli.output import STATE_STYLES, Cell, Column, Row
from penstock.core.text import shown, shown_lines
from penstock.errors import UnknownJob, UnknownWorkflow

if TYPE_CHECKING:
    from penstock.brokers.workflows import WorkflowRecord
    from penstock.cli.place import Place
    from penstock.core.job import JobRecord
    from penstock.core.memo import Progress

_STATES = ["ready", "running", "delayed", "parked", "waiting", "dead", "cancelled"]
_ITEMS_SHOWN = 3


@click.command(
    epilog=examples(
        "jobs shop:app", "jobs shop:app --state dead --queue mail", "jobs sqlite:///jobs.db --json --limit 1000"
    )
)
@click.argument("words", nargs=-1, metavar="[WHERE]")
@where_option
@filters(_STATES)
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many jobs.")
@json_option
def jobs(
    words: tuple[str, ...],
    where: str | None,
    state: str | None,
    queue: str | None,
    task: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List jobs, the oldest first.

    Jobs that ended well are not stored any more.

    JSON: an array of objects of `id`, `task`, `topic` (of an event's job), `queue`, `state`, `priority`, `attempt` (how many have failed), `crashes`
    (how often its process died), `created_at`, `run_at` (while it is delayed), `ended_at` (once it is dead or
    cancelled), `unique`, `gate` (what it is limited by), `worker` (who runs it, as worker/process), `batch` and `item`
    (where it came from), `packed` and `items`, and `failure` (`kind` and `message`). What does not apply is null.
    """
    from penstock.brokers.inspect import Selection
    from penstock.cli.place import find_place
    from penstock.cli.readable import job_fields
    from penstock.core.states import State

    selection = Selection(state=None if state is None else State(state), queue=queue, task=task)
    with find_place(only_where(where, words)).inspector() as inspector:
        found = inspector.list(selection, limit=limit + 1)
    shown = found[:limit]
    if as_json:
        output.print_json([job_fields(record) for record in shown])
    elif not shown:
        click.echo("no jobs" if selection == Selection() else "no such jobs")
    else:
        _list(shown)
    if len(found) > limit:
        click.echo(f"there are more than {limit}: see them with --limit", err=True)


def _list(records: Sequence[JobRecord]) -> None:
    from penstock.cli.readable import duration
    from penstock.core.ids import format_id

    now = _now()
    columns = [
        Column("job"), Column("state"), Column("queue"), Column("task"), Column("age", right=True),
        Column("about", wide=True),
    ]  # fmt: skip
    rows: list[Row] = [
        [
            format_id(record.id),
            Cell(record.state.value, STATE_STYLES[record.state.value]),
            shown(record.queue, 30),
            shown(record.task, 60),
            duration(max(0.0, now - record.created_at)),
            _about(record),
        ]
        for record in records
    ]
    output.print_table(columns, rows)


def _about(record: JobRecord) -> str:
    """What else is worth a word, in a few of them."""
    from penstock.cli.readable import ago, topic

    parts = []
    of = topic(record)
    if of is not None:
        parts.append(of)
    if record.packed:
        parts.append(f"{record.items:,} items")
    if record.run_at is not None:
        parts.append(f"runs {ago(record.run_at)}")
    if record.worker is not None:
        parts.append(f"on {record.worker[:8]}")
    if record.failure is not None:
        parts.append(f"failed {_times(record.attempt)}: {record.failure}" if record.attempt else str(record.failure))
    return shown("; ".join(parts), 100)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _now() -> float:
    import time

    return time.time()


@click.command(
    epilog=examples(
        "show shop:app 0197b3a4-6c1e-7000-8000-000000000000",
        "show 0197b3a4-6c1e-7000-8000-000000000000 --json",
        "show shop:app 0197b3a4-6c1e-7000-8000-000000000000 --mermaid   # of a workflow",
    )
)
@click.argument("words", nargs=-1, metavar="[WHERE] JOB")
@where_option
@click.option("--mermaid", is_flag=True, help="Print a workflow as a Mermaid diagram.")
@json_option
def show(words: tuple[str, ...], where: str | None, mermaid: bool, as_json: bool) -> None:
    """Show a job whole: where it stands, its arguments, and the traceback of its last failure. Or draw a workflow, by its id.

    With an app as WHERE, arguments are shown with their names. Of a job that ended well, the result is shown while it
    is kept.

    JSON: the fields of `penstock jobs`, `traceback` in `failure`, and `arguments` (an array in the order of the
    parameters; of a packed row, one for each item), `progress` (`done`, `total`, `note` and `at`, as the job said last), `parameters` (their names, if WHERE is an app that has the task),
    `problem` (why the arguments can't be decoded) and `payload_bytes`. A job that ended well has `id`, `state` and
    `result` alone.

    JSON of a workflow: `id`, `workflow` (its name), `state`, `created_at`, `total`, `done` and `failed` (jobs; those that were
    cancelled are failed), and `stages`: each has `id`, `task`, `state`, `after` (the ids of those it waits for), `starts_when` (those are "done",
    have "ended", or one has "failed"), `total`, `done`, `failed`, `retried`, `first_job`, `started_at`, `ended_at` and `reason` (why it was cancelled).
    """
    from penstock.cli.place import find_place, find_workflow
    from penstock.cli.progress import progress_fields, read_progress

    where, rest = split_where(where, words)
    if len(rest) != 1:
        raise click.UsageError("name one job by its id")
    (id,) = job_ids(rest)
    place = find_place(where)
    with place.broker() as broker:
        inspector = broker.inspector()
        record = inspector.get(id)
        result = inspector.result(id) if record is None else None
        progress = read_progress(inspector, id) if record is not None else None
        found = find_workflow(broker, id) if record is None else None
    if found is not None:
        _show_workflow(found, as_json=as_json, as_diagram=mermaid)
    elif mermaid:
        raise UnknownWorkflow(f"{rest[0]} is no workflow that is stored")
    elif record is not None:
        names = _names(place, record)
        if as_json:
            output.print_json({**_fields(record, names), "progress": progress_fields(progress)})
        else:
            _show(record, names, progress)
    elif result is not None:
        _show_result(id, result, as_json)
    else:
        raise UnknownJob(f"{rest[0]} is not stored: it ended well and left no result, or it was never here")


def _show_workflow(record: WorkflowRecord, *, as_json: bool, as_diagram: bool) -> None:
    from penstock.cli import workflow

    if as_diagram:
        click.echo(workflow.mermaid(record))
    elif as_json:
        output.print_json(workflow.fields(record))
    else:
        workflow.show(record)


def _names(place: Place, record: JobRecord) -> list[str] | None:
    """The parameters' names, where the app knows the task."""
    if place.app is None or record.task not in place.app.tasks:
        return None
    return place.app.tasks[record.task].signature.names


def _fields(record: JobRecord, names: list[str] | None) -> dict[str, Any]:
    from penstock.cli.readable import arguments, job_fields, plain

    decoded = arguments(record)
    fields = job_fields(record)
    if record.failure is not None:
        fields["failure"]["traceback"] = record.failure.traceback
    return {
        **fields,
        "parameters": names,
        "arguments": plain(decoded.values),
        "problem": decoded.problem,
        "payload_bytes": len(record.payload),
    }


def _show(record: JobRecord, names: list[str] | None, progress: Progress | None) -> None:
    from penstock.cli.progress import progress_text
    from penstock.cli.readable import moment
    from penstock.core.ids import format_id

    rows: list[tuple[str, Cell | str]] = [
        ("job", Cell(format_id(record.id), "bold")),
        ("task", shown(record.task)),
        *_topic(record),
        ("state", Cell(record.state.value, STATE_STYLES[record.state.value])),
        ("queue", f"{shown(record.queue)}, priority {record.priority}"),
        ("created", moment(record.created_at)),
    ]
    if record.gate is not None:
        rows.append(("gate", shown(record.gate)))
    if record.run_at is not None:
        rows.append(("runs", moment(record.run_at)))
    if record.ended_at is not None:
        rows.append(("ended", moment(record.ended_at)))
    if record.worker is not None:
        rows.append(("worker", f"{record.worker.replace('/', ', process ')}"))
    if progress is not None:
        rows.append(("progress", progress_text(progress)))
    rows.append(("attempts", f"{record.attempt} failed{f', {record.crashes} crashed' if record.crashes else ''}"))
    if record.unique is not None:
        rows.append(("unique", shown(record.unique)))
    if record.batch is not None:
        rows.append(("batch", format_id(record.batch) + ("" if record.item is None else f", item {record.item}")))
    rows.extend(_call(record, names))
    if record.failure is not None:
        rows.append(("failure", Cell(shown(str(record.failure)), "red")))
    output.print_fields(rows)
    if record.failure is not None and record.failure.traceback:
        click.echo()
        click.echo(shown_lines(record.failure.traceback))


def _topic(record: JobRecord) -> list[tuple[str, Cell | str]]:
    from penstock.cli.readable import topic

    found = topic(record)
    return [] if found is None else [("topic", shown(found))]


def _call(record: JobRecord, names: list[str] | None) -> list[tuple[str, Cell | str]]:
    from penstock.cli.readable import arguments, call

    decoded = arguments(record)
    if decoded.values is None:
        return [("arguments", Cell(shown(decoded.problem or ""), "yellow"))]
    if not record.packed:
        return [("arguments", call(decoded.values, names) or Cell("none", "dim"))]
    first = decoded.first
    rows: list[tuple[str, Cell | str]] = [("items", f"{len(decoded.values):,}, from number {first}")]
    rows += [(f"  {first + index}", call(item, names)) for index, item in enumerate(decoded.values[:_ITEMS_SHOWN])]
    return [*rows, ("  …", "")] if len(decoded.values) > _ITEMS_SHOWN else rows


def _show_result(id: bytes, result: bytes, as_json: bool) -> None:
    """A job that ended well leaves its result, and nothing else."""
    from penstock.cli.readable import plain, readable
    from penstock.core.codec import decode_value
    from penstock.core.ids import format_id

    value = decode_value(result)
    if as_json:
        output.print_json({"id": format_id(id), "state": "done", "result": plain(value)})
        return
    output.print_fields(
        [
            ("job", Cell(format_id(id), "bold")),
            ("state", Cell("done", STATE_STYLES["done"])),
            ("result", readable(value)),
        ]
    )
