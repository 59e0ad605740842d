"""`penstock wait`: until jobs, or workflows, have ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from penstock.cli import output
from penstock.cli.options import examples, job_ids, json_option, split_where, where_option
from penstock.cli.output import STATE_STYLES, Cell
from penstock.core.text import shown

if TYPE_CHECKING:
    from penstock.client import Client


@click.command(
    epilog=examples(
        "wait shop:app 0197b3a4-6c1e-7000-8000-000000000000",
        "wait shop:app 0197b3a4-6c1e-7000-8000-000000000000 --timeout 60 --json",
    )
)
@click.argument("words", nargs=-1, metavar="[WHERE] JOB...")
@where_option
@click.option("--timeout", type=click.FloatRange(0), metavar="SECONDS", help="Wait so long at most; for ever without.")
@json_option
def wait(words: tuple[str, ...], where: str | None, timeout: float | None, as_json: bool) -> int:
    """Wait until jobs have ended, and print how, each as it ends; a workflow by its id, after the jobs.

    The exit code is 0 where all of them ended well, and 1 otherwise: one is dead or cancelled, nothing is known of it, or the time was
    up first. A job that leaves nothing, since its task returns None, counts as done.

    JSON: an array of objects of `id`, `state` (done, dead, cancelled, or unknown) and, of what there is, `result`, and `failure` (`kind`,
    `message` and `traceback`), in the order in which the jobs ended. Those that did not end in time are not in it. A workflow has `id` and `state`
    (done or dead) alone: `penstock show` says more.
    """
    from penstock.cli.place import find_place, find_workflow
    from penstock.client import Client
    from penstock.errors import ResultTimeout

    where, rest = split_where(where, words)
    if not rest:
        raise click.UsageError("name the jobs by their ids")
    place = find_place(where)
    ids = job_ids(rest)
    with place.broker() as broker:
        flows = [id for id in ids if find_workflow(broker, id) is not None]
    client = Client(place.url)
    ended: list[dict[str, Any]] = []
    late: ResultTimeout | None = None
    try:
        for one in _ends(client, [id for id in ids if id not in flows], flows, timeout):
            ended.append(one)
            if not as_json:
                _show(one)
    except ResultTimeout as error:
        late = error
    finally:
        client.close()
    if as_json:
        output.print_json(ended)
    if late is not None:
        raise late
    return 0 if all(one["state"] == "done" for one in ended) else 1


def _ends(client: Client, jobs: list[bytes], flows: list[bytes], timeout: float | None) -> Iterator[dict[str, Any]]:
    """What is known of jobs, as they end, and then of workflows."""
    import time

    from penstock.core.ids import format_id
    from penstock.errors import ResultTimeout
    from penstock.started import StartedWorkflow

    deadline = None if timeout is None else time.monotonic() + timeout
    for id in client.ends(jobs, timeout):
        yield _ended(client, id)
    for id in flows:
        flow = StartedWorkflow[Any](client, id, None, many=False)
        try:
            state = flow.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        except ResultTimeout:
            raise ResultTimeout(f"the workflow did not end within {timeout:g} s") from None
        yield {"id": format_id(id), "state": state.value}


def _ended(client: Client, id: bytes) -> dict[str, Any]:
    """What is known of a job that has ended."""
    from penstock.cli.readable import plain
    from penstock.core.codec import decode_value
    from penstock.core.decide import DEFAULT_RESULT_TTL
    from penstock.core.ids import format_id
    from penstock.errors import JobCancelled, JobFailed, JobMoved, UnknownJob

    said: dict[str, Any] = {"id": format_id(id)}
    try:
        value = client.wait(id, None, DEFAULT_RESULT_TTL)
    except JobFailed as error:
        kind, _, message = str(error).partition(": ")
        return said | {"state": "dead", "failure": {"kind": kind, "message": message, "traceback": error.traceback}}
    except JobCancelled:
        return said | {"state": "cancelled"}
    except (UnknownJob, JobMoved) as error:
        return said | {
            "state": "unknown",
            "failure": {"kind": type(error).__name__, "message": str(error), "traceback": ""},
        }
    return said | {"state": "done", "result": None if value is None else plain(decode_value(value))}


def _show(ended: dict[str, Any]) -> None:
    """One line on a job."""
    import json

    failure = ended.get("failure")
    about = "" if failure is None else f"{failure['kind']}: {failure['message']}"
    if ended.get("result") is not None:
        about = json.dumps(ended["result"])
    state = Cell(ended["state"], STATE_STYLES.get(ended["state"], "yellow"))
    output.print_styled(ended["id"], "  ", state, "  ", shown(about, 200))
