"""`penstock schedules`: what runs by the clock, and changing it while workers run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from penstock.cli import output
from penstock.cli.enqueue import converted, json_value, target_of
from penstock.cli.options import examples, json_option, only_where, split_where, where_option
from penstock.cli.output import Cell, Column, Row
from penstock.cli.values import Seconds
from penstock.core.schedule import CatchUp
from penstock.core.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.brokers.timetable import Timetable
    from penstock.cli.place import Place
    from penstock.core.schedule import Entry

_DECLARED, _CHANGED, _ADDED = "declared", "changed at run time", "added at run time"
_GONE, _NEW, _UNREADABLE = "not in the app", "not yet", "can't be read"
_STYLES = {_DECLARED: "green", _ADDED: "green", _NEW: "cyan"}
_ELSEWHERE = frozenset({_GONE, _UNREADABLE})
_LIST = "list"


class Schedules(click.Group):
    """A group that lists where no command of it is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; those of `list` may stand alone."""
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = [_LIST, *args]
        return super().parse_args(ctx, args)


_words = click.argument("words", nargs=-1, metavar="[WHERE]")
_names = click.argument("words", nargs=-1, metavar="[WHERE] NAME...")


@click.group(
    cls=Schedules,
    epilog=examples(
        "schedules shop:app", "schedules pause shop:app nightly", "schedules run sqlite:///jobs.db nightly"
    ),
)
def schedules() -> None:
    """Show what runs by the clock, and change it while workers run; without a command, list.

    Code declares schedules by @app.schedule, and the store keeps them from the next start of a worker on. What is said here stays
    when workers start again.
    """


@schedules.command(_LIST, epilog=examples("schedules shop:app", "schedules sqlite:///jobs.db --json"))
@_words
@where_option
@json_option
def list_(words: tuple[str, ...], where: str | None, as_json: bool) -> None:
    """List schedules: their rules, when they run next and ran last. `list` may be left out.

    With an app as WHERE, schedules that its code does not declare any more are marked; they go on until they are removed. So are
    those that are not kept yet: they are from the next start of a worker on. A task that the app does not have is marked, too: its jobs are
    parked until a worker knows it.

    JSON: an array of objects of `name`, `task`, `cron`, `every`, `tz`, `catch_up`, `jitter`, `queue`, `priority`, `paused`, `next` and
    `last` (when the runs are due, null where there is none), `status` ("declared", "changed at run time", "added at run time", "not
    in the app", "not yet", "can't be read") and `known` (has the app its task? null without an app).
    """
    from penstock.brokers.timetable import Timetable
    from penstock.cli.place import find_place

    place = find_place(only_where(where, words))
    with place.broker() as broker:
        kept = Timetable(broker.schedules()).entries()
    found = [(name, entry, _status(place, name, entry)) for name, entry in kept]
    found += _not_kept(place, {name for name, _ in kept})
    if as_json:
        output.print_json([_fields(place, *each) for each in found])
    elif not found:
        click.echo("no schedules")
    else:
        _print(place, found)


def _status(place: Place, name: str, entry: Entry | None) -> str:
    if entry is None:
        return _UNREADABLE
    if not entry.declared:
        return _ADDED
    if place.app is not None and name not in {one.name for one in place.app.declared_schedules}:
        return _GONE
    return _CHANGED if entry.changed else _DECLARED


def _not_kept(place: Place, kept: set[str]) -> list[tuple[str, Entry | None, str]]:
    from penstock.core.schedule import Entry

    own = () if place.app is None else place.app.declared_schedules
    return [(one.name, Entry(one), _NEW) for one in own if one.name not in kept]


def _fields(place: Place, name: str, entry: Entry | None, status: str) -> dict[str, Any]:
    from penstock.cli.readable import iso

    if entry is None:
        return {"name": name, "status": status}
    one = entry.schedule
    return {
        "name": name, "task": one.task, "cron": one.cron, "every": one.every, "tz": one.tz, "catch_up": one.catch_up, "jitter": one.jitter,
        "queue": one.queue, "priority": one.priority, "paused": entry.paused, "next": iso(entry.next_at), "last": iso(entry.last),
        "status": status, "known": None if place.app is None else one.task in place.app.tasks,
    }  # fmt: skip


def _print(place: Place, found: Sequence[tuple[str, Entry | None, str]]) -> None:
    from penstock.cli.readable import moment

    columns = [
        Column("schedule"),
        Column("rule"),
        Column("task"),
        Column("last"),
        Column("next"),
        Column("", wide=True),
    ]
    rows: list[Row] = []
    for name, entry, status in found:
        if entry is None:
            rows.append([shown(name, 60), "", "", "", "", Cell(f"{status}: upgrade Penstock, or remove it", "yellow")])
            continue
        one = entry.schedule
        about = ["paused"] * entry.paused + [status]
        if place.app is not None and one.task not in place.app.tasks:
            about.append("the app has no such task")
        style = "yellow" if len(about) > 1 else _STYLES.get(status, "yellow")
        last, following = ("" if at is None else moment(at) for at in (entry.last, entry.next_at))
        rows.append(
            [shown(name, 60), shown(one.rule, 60), shown(one.task, 60), last, following, Cell("; ".join(about), style)]
        )
    output.print_table(columns, rows)


@schedules.command(
    epilog=examples(
        'schedules add shop:app invoice --cron "0 7 * * 1" --tz Europe/Paris',
        "schedules add shop:app invoice '[\"ada\", 1250]' --every 30 --name ada",
        "schedules add shop:app invoice '[\"ada\", 1400]' --every 60 --name ada --replace",
    )
)
@click.argument("target")
@click.argument("task", required=False, metavar="TASK")
@click.argument("args", required=False, metavar="[ARGS]")
@click.option("--cron", metavar="EXPRESSION", help="Minute, hour, day of the month, month and day of the week.")
@click.option("--every", type=Seconds(0), metavar="SECONDS", help="Seconds between two runs, instead.")
@click.option(
    "--tz", default="UTC", show_default=True, metavar="ZONE", help="The time zone whose clocks --cron goes by."
)
@click.option("--name", metavar="NAME", help="Of the schedule; the task's full name without.")
@click.option("--kwargs", metavar="JSON", help="Arguments by name, as a JSON object.")
@click.option(
    "--catch-up", type=click.Choice(tuple(CatchUp)), default=CatchUp.ONCE, show_default=True, metavar="skip|once|all",
    help="Of runs that were missed while no worker was there, start none, the latest, or all.",
)  # fmt: skip
@click.option("--jitter", type=Seconds(0), default=0.0, metavar="SECONDS", help="Runs come later by at most so much.")
@click.option("--replace", is_flag=True, help="Change the schedule that has this name.")
def add(
    target: str, task: str | None, args: str | None, cron: str | None, every: float | None, tz: str, name: str | None, kwargs: str | None,
    catch_up: str, jitter: float, replace: bool,
) -> None:  # fmt: skip
    """Have a task of the app TARGET run by the clock, without its code saying so.

    ARGS is a JSON array of its arguments, as `penstock enqueue` takes it. Prints the schedule's name.
    """
    from penstock.cli.place import import_app

    target, task, args = target_of(target, task, args)
    app = import_app(target)
    found = app.find(task)
    values, named = converted(found, json_value(args, "ARGS", list, []), json_value(kwargs, "--kwargs", dict, {}))
    own = name or found.name
    rule: dict[str, Any] = {"cron": cron, "every": every, "tz": tz, "catch_up": catch_up, "jitter": jitter}
    if replace:
        if app.schedules.get(own).schedule.task != found.name:
            raise click.UsageError(f"{own!r} is a schedule of another task: give this one another --name")
        app.schedules.change(own, args=values, kwargs=named, **rule)
    else:
        app.schedules.add(found, args=values, kwargs=named, name=own, **rule)
    click.echo(own)


def _on_each(act: Callable[[Timetable, Sequence[str]], int], words: tuple[str, ...], where: str | None) -> int:
    """Do it to the schedules that are named; returns to how many."""
    from penstock.brokers.timetable import Timetable
    from penstock.cli.place import find_place

    where, names = split_where(where, words)
    if not names:
        raise click.UsageError("name a schedule: penstock schedules lists them")
    with find_place(where).broker() as broker:
        return act(Timetable(broker.schedules()), names)


@schedules.command(epilog=examples("schedules pause shop:app nightly"))
@_names
@where_option
def pause(words: tuple[str, ...], where: str | None) -> None:
    """Have schedules start no more runs, until they are resumed. Jobs that are queued already still run."""
    count = _on_each(lambda timetable, names: timetable.pause(names), words, where)
    click.echo(f"{_many(count)} paused")


@schedules.command(epilog=examples("schedules resume shop:app nightly"))
@_names
@where_option
def resume(words: tuple[str, ...], where: str | None) -> None:
    """Have paused schedules go on from now. Runs that were due in between are not made up for."""
    count = _on_each(lambda timetable, names: timetable.resume(names), words, where)
    click.echo(f"{_many(count)} resumed")


@schedules.command(epilog=examples("schedules remove shop:app nightly", "schedules remove shop:app --undeclared"))
@_names
@where_option
@click.option("--undeclared", is_flag=True, help="Those that code has declared, and that of the app does not.")
def remove(words: tuple[str, ...], where: str | None, undeclared: bool) -> int:
    """Forget schedules. Jobs that are queued already still run.

    One that an app's code declares comes back, as the code says it, when a worker of that app starts next. When there was none to remove, the
    exit code is 1.
    """
    if undeclared:
        names, where = _undeclared(words, where)
        words = tuple(names)
        if not words:
            click.echo("no schedules removed")
            return 0
    count = _on_each(lambda timetable, names: timetable.remove(names), words, where)
    if count:
        click.echo(f"{_many(count)} removed")
        return 0
    click.echo("penstock: no such schedule: penstock schedules lists those that there are", err=True)
    return 1


def _undeclared(words: tuple[str, ...], where: str | None) -> tuple[list[str], str | None]:
    from penstock.brokers.timetable import Timetable
    from penstock.cli.place import find_place

    where, rest = split_where(where, words)
    place = find_place(where)
    if rest or place.app is None:
        raise click.UsageError("--undeclared takes an app, as shop:app, and no names: its code says what is declared")
    with place.broker() as broker:
        kept = Timetable(broker.schedules()).entries()
    return [name for name, entry in kept if _status(place, name, entry) == _GONE], where


@schedules.command(epilog=examples("schedules run shop:app nightly"))
@_names
@where_option
def run(words: tuple[str, ...], where: str | None) -> None:
    """Start a run of each schedule named now, beside those that are due; prints the jobs' ids. Paused ones run, too."""
    from penstock.brokers.timetable import Timetable
    from penstock.cli.place import find_place
    from penstock.client import new_id
    from penstock.core.ids import format_id
    from penstock.core.schedule import run_now

    where, names = split_where(where, words)
    if not names:
        raise click.UsageError("name a schedule: penstock schedules lists them")
    with find_place(where).broker() as broker:
        timetable = Timetable(broker.schedules())
        jobs = [run_now(timetable.get(name).schedule, new_id()) for name in names]
        ids = broker.enqueue(jobs)
    for id in ids:
        click.echo(format_id(id))


def _many(count: int) -> str:
    return "1 schedule" if count == 1 else f"{count} schedules"
