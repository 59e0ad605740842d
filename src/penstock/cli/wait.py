"""`penstock wait`: until jobs have ended."""

from __future__ import annotations

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
    """Wait until jobs have ended, and print how, each as it ends.

    The exit code is 0 where all of them ended well, and 1 otherwise: one is dead or cancelled, nothing is known of it, or the time was
    up first. A job that leaves nothing, since its task returns None, counts as done.

    JSON: an array of objects of `id`, `state` (done, dead, cancelled, or unknown) and, of what there is, `result`, and `failure` (`kind`,
    `message` and `traceback`), in the order in which the jobs ended. Those that did not end in time are not in it.
    """
    from penstock.cli.place import find_place
    from penstock.client import Client
    from penstock.errors import ResultTimeout

    where, rest = split_where(where, words)
    if not rest:
        raise click.UsageError("name the jobs by their ids")
    place = find_place(where)
    with place.inspector():  # says so where there is no queue
        pass
    client = Client(place.url)
    ended: list[dict[str, Any]] = []
    late: ResultTimeout | None = None
    try:
        for id in client.ends(job_ids(rest), timeout):
            ended.append(_ended(client, id))
            if not as_json:
                _show(ended[-1])
    except ResultTimeout as error:
        late = error
    finally:
        client.close()
    if as_json:
        output.print_json(ended)
    if late is not None:
        raise late
    return 0 if all(one["state"] == "done" for one in ended) else 1


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
