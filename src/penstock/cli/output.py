"""What commands print: JSON for programs, tables with colour on a terminal, aligned text elsewhere."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

import click
import msgspec

if TYPE_CHECKING:
    from rich.console import Console

#: The colour of each state.
STATE_STYLES = {
    "ready": "cyan",
    "running": "green",
    "delayed": "blue",
    "parked": "yellow",
    "waiting": "blue",
    "dead": "red",
    "cancelled": "dim",
    "done": "green",
}
_GAP = "  "
_INDENT = "    "
_LEAST_ROOM = 30


class Cell(msgspec.Struct, frozen=True):
    """A text, and a colour for terminals."""

    text: str
    style: str = ""


class Column(msgspec.Struct, frozen=True):
    """A column's heading. `right` aligns numbers; the last one may be `wide`: it takes the room that is left."""

    name: str
    right: bool = False
    wide: bool = False


Row: TypeAlias = "Sequence[Cell | str]"


def print_json(value: Any) -> None:
    """Print a value as indented JSON; bytes become base64."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2)
    click.echo(text.decode())


def on_terminal() -> bool:
    """Does somebody look at it?"""
    return sys.stdout.isatty()


def print_table(columns: Sequence[Column], rows: Sequence[Row]) -> None:
    """Print rows under their headings; ids stay whole on the narrowest terminal, so that they can be copied."""
    table = [[Cell(column.name, "bold") for column in columns], *([_cell(cell) for cell in row] for row in rows)]
    length = _lengths()
    widths = [max(length(row[index].text) for row in table) for index in range(len(columns))]
    wide = columns[-1].wide
    left = sum(widths[:-1]) + len(_GAP) * (len(columns) - 1) if wide else 0
    room = _width() - left
    beneath = wide and room < min(widths[-1], _LEAST_ROOM)
    for number, row in enumerate(table):
        *cells, last = row
        if not wide:
            print_styled(*_aligned(columns, row, widths, length))
            continue
        folded = textwrap.wrap(last.text, _width() - len(_INDENT) if beneath else room) or [""]
        line = _aligned(columns[:-1], cells, widths[:-1], length)
        if not beneath:
            line += [Cell(_GAP), Cell(folded.pop(0), last.style)]
        print_styled(*line)
        for text in folded:
            if text and number:
                print_styled(_INDENT if beneath else " " * left, Cell(text, last.style))


def _aligned(
    columns: Sequence[Column], row: Sequence[Cell], widths: Sequence[int], length: Callable[[str], int]
) -> list[Cell]:
    line: list[Cell] = []
    for column, cell, width in zip(columns, row, widths, strict=True):
        space = " " * (width - length(cell.text))
        line.append(Cell(space + cell.text if column.right else cell.text + space, cell.style))
        line.append(Cell(_GAP))
    return line[:-1]


def _width() -> int:
    """Columns of the terminal; text for a file or a pipe is never folded."""
    return max(40, shutil.get_terminal_size().columns) if on_terminal() else sys.maxsize


def _lengths() -> Callable[[str], int]:
    """What measures a text: a terminal gives two columns to some characters."""
    if not on_terminal():
        return len
    from rich.cells import cell_len

    return cell_len


def print_fields(rows: Sequence[tuple[str, Cell | str]]) -> None:
    """Print one thing's fields, a line each."""
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        cell = _cell(value)
        print_styled(Cell(name.ljust(width) + _GAP, "dim"), cell)


def print_styled(*cells: Cell | str) -> None:
    """Print a line, its parts in their colours on a terminal."""
    parts = [_cell(cell) for cell in cells]
    if on_terminal():
        from rich.text import Text

        line = Text.assemble(*((part.text, part.style) for part in parts))
        line.rstrip()
        _console().print(line)
        return
    click.echo("".join(part.text for part in parts).rstrip())


@cache
def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


def _cell(cell: Cell | str) -> Cell:
    return cell if isinstance(cell, Cell) else Cell(cell)
