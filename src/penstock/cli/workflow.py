"""Workflows as `penstock show` draws them: a tree of stages, JSON, or a Mermaid diagram."""

from __future__ import annotations

import time
from typing import Any

import click

from penstock.brokers.workflows import StageRecord, WorkflowRecord
from penstock.cli import output
from penstock.cli.output import Cell, Column, Row
from penstock.cli.readable import duration, iso, moment
from penstock.core.ids import format_id
from penstock.core.text import shown
from penstock.core.workflow import Rule, StageState, Verdict

_STYLES = {
    "waiting": "blue", "running": "green", "done": "green", "failing": "red", "failed": "red", "cancelled": "dim", "skipped": "dim",
}  # fmt: skip
_VERDICTS = {Verdict.OPEN: "running", Verdict.DONE: "done", Verdict.FAILING: "failing", Verdict.FAILED: "failed"}
_RULES = {Rule.DONE: "done", Rule.ENDED: "ended", Rule.FAILED: "failed"}
_COLOURS = {
    "done": "#cfc",
    "running": "#cef",
    "failing": "#fcc",
    "failed": "#fcc",
    "cancelled": "#ddd",
    "skipped": "#ddd",
}
#: Columns of a task's name.
_NAME = 60


def stage_state(stage: StageRecord) -> str:
    """Where a stage is, in a word."""
    if stage.state is not StageState.STARTED:
        return stage.state.value
    return _VERDICTS[stage.verdict]


def fields(record: WorkflowRecord) -> dict[str, Any]:
    """A workflow as JSON has it."""
    total, done, failed = record.counts
    return {
        "id": format_id(record.id),
        "workflow": record.name,
        "state": record.state.value,
        "created_at": iso(record.created_at),
        "total": total,
        "done": done,
        "failed": failed,
        "stages": [_stage_fields(stage) for stage in record.stages],
    }


def _stage_fields(stage: StageRecord) -> dict[str, Any]:
    return {
        "id": format_id(stage.id),
        "task": stage.name,
        "state": stage_state(stage),
        "after": [format_id(id) for id in stage.after],
        "starts_when": _RULES[stage.rule],
        "total": stage.total,
        "done": stage.done,
        "failed": stage.failed,
        "retried": stage.retried,
        "first_job": None if stage.first is None else format_id(stage.first),
        "started_at": iso(stage.started_at),
        "ended_at": iso(stage.ended_at),
        "reason": stage.reason,
    }


def show(record: WorkflowRecord) -> None:
    """Print a workflow as a tree: what waits for one stage alone stands below it; a number names the others that it waits for."""
    total, done, failed = record.counts
    left = f", {failed:,} failed or cancelled" if failed else ""
    output.print_fields(
        [
            ("workflow", Cell(format_id(record.id), "bold")),
            ("name", shown(record.name)),
            ("state", Cell(record.state.value, "red" if record.state.value == "dead" else "green")),
            ("created", moment(record.created_at)),
            ("jobs", f"{done:,} of {total:,} done{left}"),
        ]
    )
    click.echo()
    columns = [
        Column("#", right=True), Column("stage"), Column("state"), Column("jobs", right=True), Column("time", right=True),
        Column("about", wide=True),
    ]  # fmt: skip
    numbers = {stage.id: number for number, stage in enumerate(record.stages, 1)}
    branches = tree(record)
    now = time.time()
    rows: list[Row] = []
    stages = {stage.id: stage for stage in record.stages}
    for stage in map(stages.__getitem__, branches):
        state = stage_state(stage)
        rows.append(
            [
                str(numbers[stage.id]),
                branches[stage.id] + shown(stage.name, _NAME),
                Cell(state, _STYLES[state]),
                "1" if stage.total == 1 else f"{stage.done:,}/{stage.total:,}",
                _took(stage, now),
                shown(_about(stage, numbers), 200),
            ]
        )
    output.print_table(columns, rows)


def tree(record: WorkflowRecord) -> dict[bytes, str]:
    """What stands before the name of each stage, in the order in which they are drawn.

    A stage that alone follows another stands straight below it, so that a chain of a thousand is a thousand lines and not as wide.
    """
    below: dict[bytes | None, list[StageRecord]] = {}
    for stage in record.stages:
        # Where it waits for several, it stands below the last of them: those are all above it then.
        below.setdefault(stage.after[-1] if stage.after else None, []).append(stage)
    drawn: dict[bytes, str] = {}
    left: list[tuple[StageRecord, str, str]] = [(stage, "", "") for stage in reversed(below.get(None, []))]
    while left:
        stage, lead, indent = left.pop()
        drawn[stage.id] = lead
        children = below.get(stage.id, [])
        if len(children) == 1:
            left.append((children[0], indent, indent))
            continue
        for child in reversed(children):
            is_last = child is children[-1]
            left.append((child, f"{indent}{'└─ ' if is_last else '├─ '}", f"{indent}{'   ' if is_last else '│  '}"))
    return drawn


def _took(stage: StageRecord, now: float) -> str:
    if stage.started_at is None:
        return ""
    return duration(max(0.0, (stage.ended_at or now) - stage.started_at))


def _about(stage: StageRecord, numbers: dict[bytes, int]) -> str:
    parts = []
    if stage.reason is not None:
        parts.append(stage.reason)
    if stage.after:
        when = {Rule.DONE: "after", Rule.ENDED: "after the end of", Rule.FAILED: "where one fails of"}[stage.rule]
        named = [str(numbers[id]) for id in stage.after]
        more = f" and {len(named) - 10:,} more" if len(named) > 10 else ""
        parts.append(f"{when} {', '.join(named[:10])}{more}")
    if stage.failed and stage.state is StageState.STARTED:
        parts.append(f"{stage.failed:,} failed")
    if stage.retried:
        parts.append(f"{stage.retried:,} retried")
    return "; ".join(parts)


def mermaid(record: WorkflowRecord) -> str:
    """A workflow as a Mermaid diagram."""
    numbers = {stage.id: number for number, stage in enumerate(record.stages, 1)}
    lines = ["graph TD"]
    for stage in record.stages:
        count = f" × {stage.total:,}" if stage.total != 1 else ""
        name = shown(stage.name, _NAME).replace('"', "#quot;")
        lines.append(f'    s{numbers[stage.id]}["{name}{count}"]:::{stage_state(stage)}')
    for stage in record.stages:
        arrow = "-. failed .->" if stage.rule is Rule.FAILED else "-->"
        lines += [f"    s{numbers[id]} {arrow} s{numbers[stage.id]}" for id in stage.after]
    lines += [f"    classDef {state} fill:{colour}" for state, colour in _COLOURS.items()]
    return "\n".join(lines)
