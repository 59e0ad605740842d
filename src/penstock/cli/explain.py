"""`penstock explain`: why a job is not running."""

from __future__ import annotations

import click

from penstock.cli import output
from penstock.cli.options import examples, job_ids, json_option, split_where, where_option
from penstock.cli.output import STATE_STYLES, Cell
from penstock.core.text import shown


@click.command(
    epilog=examples(
        "explain shop:app 0197b3a4-6c1e-7000-8000-000000000000",
        "explain 0197b3a4-6c1e-7000-8000-000000000000 --json",
    )
)
@click.argument("words", nargs=-1, metavar="[WHERE] JOB")
@where_option
@json_option
def explain(words: tuple[str, ...], where: str | None, as_json: bool) -> None:
    """Say why a job is not running, or where it runs.

    Each line is a reason, the one to look at first: it is delayed or waits for its retry; no live worker takes from its queue, or knows its task; a
    rate or a concurrency is used up; a job of the same key is ahead of it; so many jobs are before it; all slots are busy; its worker is silent, and it will be rescued.

    JSON: an object of `id`, `state` (null where nothing is known) and `reasons`, each of `kind` (a word), `text`, and `until` (when it ends, where that is
    known). The kinds are told in docs/how-to/explain.md.
    """
    import time

    from penstock.cli.place import find_place, find_workflow
    from penstock.cli.readable import iso
    from penstock.core.ids import format_id
    from penstock.core.standing import Explanation, Reason
    from penstock.core.standing import explain as decide
    from penstock.facts import facts_of

    where, rest = split_where(where, words)
    if len(rest) != 1:
        raise click.UsageError("name one job by its id")
    (id,) = job_ids(rest)
    with find_place(where).broker() as broker:
        found = decide(facts_of(broker.inspector(), id, time.time()))
        flow = find_workflow(broker, id) if found.state is None else None
    if flow is not None:
        found = Explanation(flow.state, (Reason("is_workflow", "it is a workflow, not a job: penstock show draws it"),))
    if as_json:
        reasons = [{"kind": each.kind, "text": each.text, "until": iso(each.until)} for each in found.reasons]
        output.print_json({"id": format_id(id), "state": found.state, "reasons": reasons})
        return
    state = "unknown" if found.state is None else found.state.value
    output.print_styled(Cell(format_id(id), "bold"), "  ", Cell(state, STATE_STYLES.get(state, "yellow")))
    for reason in found.reasons:
        output.print_styled("  ", shown(reason.text, 400))
