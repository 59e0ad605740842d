"""What is shown while a queue is worked off: a bar on a terminal, and nothing elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from penstock.core.metrics import Point


@contextmanager
def meter(
    title: str, figures: Callable[[], Point], total: int | None, *, shown: bool | None
) -> Iterator[Callable[[], None]]:
    """A bar, until the context ends; gives what draws it anew.

    Parameters:
        title: what stands before it.
        figures: what the workers have counted.
        total: records there are; None where nobody knows.
        shown: whether to show it at all; None is where standard error is a terminal.
    """
    if not (sys.stderr.isatty() if shown is None else shown):
        yield lambda: None
        return
    progress = Progress(
        SpinnerColumn(),
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=None, complete_style="cyan", finished_style="green"),
        TextColumn("[cyan]{task.fields[ended]:>11,}[/] records"),
        TextColumn("[magenta]{task.fields[rate]:>9,.0f}[/]/s"),
        TextColumn("{task.fields[failed]}"),
        console=Console(stderr=True),
        expand=True,
    )
    bar = progress.add_task(title, total=total, ended=0, rate=0.0, failed="")
    began = time.monotonic()

    def show() -> None:
        counted = figures().figures
        done, dead = counted.count("done"), counted.count("dead")
        failed = f"[red]{dead:,.0f} failed[/]" if dead else ""
        seconds = max(time.monotonic() - began, 0.001)
        progress.update(bar, completed=done + dead, ended=int(done + dead), rate=done / seconds, failed=failed)

    with progress:
        yield show
        show()
