"""`penstock install`, `upgrade`, `sql` and `doctor`: a store made ready, and looked after."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import click

from penstock.cli import output
from penstock.cli.options import examples, json_option, only_where, where_option
from penstock.cli.output import Cell
from penstock.errors import StoreError

if TYPE_CHECKING:
    from penstock.brokers.diagnosis import Check
    from penstock.cli.place import Place

_words = click.argument("words", nargs=-1, metavar="[WHERE]")
_MARKS = {"ok": Cell("ok", "green"), "warn": Cell("warn", "yellow"), "fail": Cell("FAIL", "bold red")}


@click.command(epilog=examples("install postgresql://host/shop", "install shop:app"))
@_words
@where_option
@json_option
def install(words: tuple[str, ...], where: str | None, as_json: bool) -> None:
    """Create a queue's tables, or bring them up to date.

    A worker does it too when it starts, where its user may. Nothing happens where all is current. Safe beside running
    workers, and when several do it at once.

    JSON: an object of `url`, `before` (the schema's number, or null) and `after`.
    """
    _bring_up_to_date(only_where(where, words), as_json, must_be_there=False)


@click.command(epilog=examples("upgrade postgresql://host/shop", "upgrade shop:app --json"))
@_words
@where_option
@json_option
def upgrade(words: tuple[str, ...], where: str | None, as_json: bool) -> None:
    """Bring a queue's tables up to date, where there are any.

    As `install`, but an error where there is no queue yet: for a deployment that must not make one by a mistyped URL.

    JSON: an object of `url`, `before` and `after`, the schema's numbers.
    """
    _bring_up_to_date(only_where(where, words), as_json, must_be_there=True)


@click.command(epilog=examples("sql postgresql://host/shop > schema.sql", "sql shop:app | psql shop"))
@_words
@where_option
def sql(words: tuple[str, ...], where: str | None) -> None:
    """Print what `install` would run, without connecting: for whoever looks after the database."""
    from penstock.brokers import connect
    from penstock.cli.place import find_place

    click.echo(connect(find_place(only_where(where, words)).url).ddl().rstrip())


@click.command(epilog=examples("doctor postgresql://host/shop", "doctor shop:app --json"))
@_words
@where_option
@json_option
def doctor(words: tuple[str, ...], where: str | None, as_json: bool) -> int:
    """Look at a queue's store for what is wrong or could be better: versions, rights, tables, settings, clock.

    Changes nothing. The exit code is 1 where something must be mended, and 0 where there are only warnings.

    JSON: an array of objects of `name`, `found`, `grade` (ok, warn or fail) and `advice`.
    """
    from penstock.brokers import connect
    from penstock.brokers.diagnosis import Check, Grade
    from penstock.cli.place import find_place

    place = find_place(only_where(where, words))
    checks: list[Check] = []
    try:
        checks.extend(connect(place.url).diagnose())
    except StoreError as error:
        checks.append(Check("connection", str(error), Grade.FAIL))
    checks.append(_signing(place))
    if as_json:
        output.print_json(checks)
    else:
        output.print_styled(Cell(place.shown, "bold"))
        width = max((len(check.name) for check in checks), default=0)
        for check in checks:
            mark = _MARKS[check.grade]
            advice = f": {check.advice}" if check.advice else ""
            output.print_styled(
                Cell(mark.text.ljust(4), mark.style), f"  {check.name.ljust(width)}  {check.found}{advice}"
            )
    return 1 if any(check.grade is Grade.FAIL for check in checks) else 0


def _signing(place: Place) -> Check:
    """Whether a job that nobody with a key has sent would be run."""
    from penstock import settings
    from penstock.brokers.diagnosis import Check

    found = (place.app.settings if place.app is not None else settings.load(place.url)).signing
    if found is None:
        return Check("signing", "off: whoever may write here may have any task run")
    keys = "1 key" if found.count == 1 else f"{found.count} keys"
    asked = f"; not asked of {', '.join(sorted(found.unsigned))}" if found.unsigned else ""
    return Check("signing", f"on, {keys}{asked}")


def _bring_up_to_date(where: str | None, as_json: bool, *, must_be_there: bool) -> None:
    from penstock.brokers import connect
    from penstock.cli.place import find_place

    place = find_place(where)
    before = connect(place.url).schema().installed
    if before is None and must_be_there:
        raise StoreError(f"there is no queue in {place.shown}: penstock install makes one")
    with closing(connect(place.url)) as broker:
        broker.open()
        broker.install()
        after = broker.schema().installed
    if as_json:
        output.print_json({"url": place.shown, "before": before, "after": after})
    else:
        _say(place, before, after)


def _say(place: Place, before: int | None, after: int | None) -> None:
    if before == after:
        click.echo(f"{place.shown} is up to date (schema {after})")
    elif before is None:
        click.echo(f"{place.shown} is ready (schema {after})")
    else:
        click.echo(f"{place.shown} went from schema {before} to {after}")
