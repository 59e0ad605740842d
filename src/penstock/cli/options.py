"""What several commands share: their options, and how each shows its examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from penstock.core.ids import parse_id

F = TypeVar("F", bound=Callable[..., Any])

where_option = click.option(
    "-w",
    "--where",
    metavar="WHERE",
    help="An app (package.module:app) or a queue's URL; may also be the first argument.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\n".join(["\b", "Examples:", *(f"  penstock {line}" for line in lines)])


def filters(states: Sequence[str]) -> Callable[[F], F]:
    """The options that say which jobs.

    Parameters:
        states: those that --state takes.
    """

    def decorate(function: F) -> F:
        options = (
            click.option("--state", type=click.Choice(states), help="Only jobs in this state."),
            click.option("--queue", metavar="NAME", help="Only jobs of this queue."),
            click.option("--task", metavar="NAME", help="Only jobs of this task, by its full name: shop.invoice"),
        )
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def split_where(where: str | None, words: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]]:
    """WHERE, and the words after it: a first word with a colon is WHERE, as no job's id has one."""
    if words and ":" in words[0]:
        if where is not None:
            raise click.UsageError(f"name one place: {words[0]} or --where {where}")
        where, words = words[0], words[1:]
    if where is not None and ":" not in where:
        raise click.UsageError(_no_place(where))
    return where, words


def only_where(where: str | None, words: tuple[str, ...]) -> str | None:
    """WHERE, for a command that takes nothing else."""
    where, rest = split_where(where, words)
    if rest:
        raise click.UsageError(_no_place(rest[0]) if where is None else f"one word too many: {rest[0]!r}")
    return where


def job_ids(words: tuple[str, ...]) -> tuple[bytes, ...]:
    """The ids that words stand for."""
    return tuple(map(_job_id, words))


def _job_id(word: str) -> bytes:
    try:
        return parse_id(word)
    except ValueError:
        raise click.UsageError(
            f"{word!r} is neither a job's id (32 hexadecimal digits) nor a place with a colon in it, as shop:app"
        ) from None


def _no_place(word: str) -> str:
    return f"{word!r} is no place: write package.module:app, or a queue's URL as sqlite:///jobs.db"
