"""A report that is made by the clock, once for each time that is due, however many workers there are."""

import os
import time
from pathlib import Path

from penstock import Penstock, current_job
from penstock.work import Workers

app = Penstock()
FOLDER = Path(os.environ.get("EXAMPLE_FOLDER", "."))


@app.schedule("0 6 * * 1-5", tz="Europe/Paris", name="morning", catch_up="once")
@app.schedule(every=1, name="each second")
@app.task(retries=3)
def report(title: str = "Orders") -> str:
    """The report of the time it is due, not of the moment it runs: a run that comes late or again writes the same file."""
    due = current_job().due
    name = f"{due:%Y-%m-%d %H.%M.%S}.txt" if due else "now.txt"
    written = FOLDER / f"{name}.{os.getpid()}"
    written.write_text(f"{title} until {due}\n")
    written.rename(FOLDER / name)
    return name


def demo() -> str:
    """Asks for a run out of turn, and waits for two that are due."""
    with Workers(f"{__name__}:app", 2, quiet=True):
        extra = app.schedules.run("morning").result(timeout=30)
        while len(list(FOLDER.glob("2*.txt"))) < 2:
            time.sleep(0.1)
    return f"{len(list(FOLDER.glob('2*.txt')))} reports by the clock, and {extra} out of turn"
