"""The app of a trial: one task, which notes that it ran."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

from penstock.app import Penstock
from penstock.chaos.notes import Notebook

#: The queue of trials, and the name of their task.
QUEUE = "penstock.chaos"


def make(url: str) -> Penstock:
    """The app on a store."""
    app = Penstock(url)
    # However often: whoever is killed at random is no suspect.
    app.task(name=QUEUE, queue=QUEUE, retries=0, crash_limit=1_000_000)(run)
    return app


def run(number: int, notes: str, seconds: float) -> None:
    """Take some time.

    Parameters:
        number: of the job; the oracle knows it by this.
        notes: path of the notebook.
        seconds: that it takes.
    """
    notebook = _notebook(notes)
    notebook.write(number)
    time.sleep(seconds)
    notebook.write(number, ended=True)


@cache
def _notebook(path: str) -> Notebook:
    return Notebook(Path(path))
