"""`penstock subscriptions`, `subscribe` and `unsubscribe`: who gets the events of which topics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from penstock.cli import output
from penstock.cli.options import examples, json_option, only_where, split_where, where_option
from penstock.cli.output import Cell, Column, Row
from penstock.core.text import shown

if TYPE_CHECKING:
    from penstock.brokers.inspect import QueueCounts
    from penstock.cli.place import Place
    from penstock.core.topics import Subscription

_HERE, _GONE, _NEW = "subscribed", "not in the app", "not yet"
_STYLES = {_HERE: "green", _GONE: "yellow", _NEW: "cyan"}
_words = click.argument("words", nargs=-1, metavar="[WHERE]")


@click.command(epilog=examples("subscriptions shop:app", "subscriptions sqlite:///jobs.db --json"))
@_words
@where_option
@json_option
def subscriptions(words: tuple[str, ...], where: str | None, as_json: bool) -> None:
    """List who gets the events of which topics, and what waits in their queues.

    With an app as WHERE, subscriptions that it has no handler for are marked, and so are handlers whose subscription is not kept
    yet: they are from the next start of a worker on, or from `penstock subscribe` on.

    JSON: an array of objects of `group`, `pattern`, `task`, `queue`, `priority`, `gate`, `at_most_once`, `status` ("subscribed",
    "not in the app" or "not yet"; null without an app), and `ready`, `running`, `delayed`, `parked` and `dead`: the jobs of
    the queue.
    """
    from penstock.brokers.inspect import GLANCE, QueueCounts
    from penstock.cli.place import find_place

    place = find_place(only_where(where, words))
    with place.broker() as broker:
        kept = broker.subscriptions()
        counts = {one.queue: one for one in broker.inspector().count(most=GLANCE)}
    found = [(one, _status(place, one)) for one in kept]
    known = {one.key for one in kept}
    own = () if place.app is None else place.app.subscriptions
    found += [(one, _NEW) for one in own if one.key not in known]
    if as_json:
        output.print_json(
            [_fields(one, status, counts.get(one.queue, QueueCounts(one.queue))) for one, status in found]
        )
    elif not found:
        click.echo("no subscriptions")
    else:
        _list(found, counts)


def _status(place: Place, one: Subscription) -> str | None:
    if place.app is None:
        return None
    return _HERE if one.key in {each.key for each in place.app.subscriptions} else _GONE


def _fields(one: Subscription, status: str | None, counts: QueueCounts) -> dict[str, Any]:
    return {
        "group": one.group, "pattern": one.pattern, "task": one.task, "queue": one.queue, "priority": one.priority,
        "gate": one.gate, "at_most_once": one.at_most_once, "status": status, "ready": counts.ready, "running": counts.running,
        "delayed": counts.delayed, "parked": counts.parked, "dead": counts.dead,
    }  # fmt: skip


def _list(found: Sequence[tuple[Subscription, str | None]], counts: dict[str, QueueCounts]) -> None:
    columns = [Column("group"), Column("pattern"), Column("handler"), Column("queue"), Column("its jobs", wide=True)]
    rows: list[Row] = []
    for one, status in found:
        jobs = _jobs(counts.get(one.queue))
        about = jobs if status in {None, _HERE} else f"{status}; {jobs}"
        rows.append(
            [shown(one.group, 30), shown(one.pattern, 60), shown(one.task, 60), shown(one.queue, 30), Cell(about, _STYLES.get(status or "", ""))]
        )  # fmt: skip
    output.print_table(columns, rows)


def _jobs(counts: QueueCounts | None) -> str:
    states = ("ready", "running", "delayed", "parked", "dead")
    several = [f"{getattr(counts, state):,} {state}" for state in states if counts and getattr(counts, state)]
    return ", ".join(several) or "none"


@click.command(epilog=examples("subscribe shop:app"))
@_words
@where_option
@json_option
def subscribe(words: tuple[str, ...], where: str | None, as_json: bool) -> None:
    """Have the broker keep the subscriptions of an app, as the start of a worker does.

    Events that are published from then on wait for a worker. What is kept already stays as it is, or takes on the options
    that the app has now.

    JSON: an object of `subscribed`, how many were not kept so before.
    """
    from penstock.cli.place import find_place

    place = find_place(only_where(where, words))
    if place.app is None:
        raise click.UsageError("name an app, as shop:app: its code says who subscribes to what")
    with place.app.client.broker() as broker:
        count = place.app.register(broker)
    if as_json:
        output.print_json({"subscribed": count})
    else:
        click.echo(
            f"{_many(count)} kept now" if count else "nothing new: the broker keeps all subscriptions of the app"
        )


@click.command(
    epilog=examples(
        "unsubscribe shop:app ledger",
        "unsubscribe shop:app ledger --pattern orders.cancelled",
        "unsubscribe postgresql://host/shop ledger --task shop.old_handler",
    )
)
@click.argument("words", nargs=-1, metavar="[WHERE] GROUP")
@where_option
@click.option("--task", metavar="NAME", help="Only this handler's, by its full name: shop.book")
@click.option("--pattern", metavar="PATTERN", help="Only those of this pattern.")
@json_option
def unsubscribe(words: tuple[str, ...], where: str | None, task: str | None, pattern: str | None, as_json: bool) -> int:
    """End subscriptions of a group. What was published before is still handled; after that, nothing comes any more.

    A worker whose code still has the handler subscribes again when it starts. Prints how many; when there was none, the
    exit code is 1. JSON: an object of `unsubscribed`, how many.
    """
    from penstock.cli.place import find_place

    where, rest = split_where(where, words)
    if len(rest) != 1:
        raise click.UsageError("name one group")
    with find_place(where).broker() as broker:
        chosen = [
            one
            for one in broker.subscriptions()
            if one.group == rest[0] and task in {None, one.task} and pattern in {None, one.pattern}
        ]
        count = broker.unsubscribe(chosen)
    if as_json:
        output.print_json({"unsubscribed": count})
    elif count:
        click.echo(f"{_many(count)} ended")
    if not count:
        click.echo(f"penstock: no such subscription of {shown(rest[0])}: penstock subscriptions lists them", err=True)
    return 0 if count else 1


def _many(count: int) -> str:
    return "1 subscription" if count == 1 else f"{count} subscriptions"
