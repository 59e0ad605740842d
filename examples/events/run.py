"""Run the three programs together, kill a process on the way, and count."""

import argparse
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOPICS = 2


def penstock(*words: str, **options: bool) -> "subprocess.CompletedProcess[str]":
    """Run a command of Penstock's in this folder."""
    command = [sys.executable, "-m", "penstock", *words]
    return subprocess.run(command, cwd=HERE, check=True, text=True, **options)


def main() -> int:
    """Returns an exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=300)
    count = parser.parse_args().orders
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "letters").mkdir()
        os.environ |= {
            "PENSTOCK_URL": f"sqlite:///{place}/jobs.db",
            "LEDGER": f"{place}/books.db",
            "LETTERS": f"{place}/letters",
        }
        return run(place, count)


def run(place: Path, count: int) -> int:
    """Publish, kill, work off, count."""
    import orders

    heard_before = orders.fill(range(count, count + 1))
    penstock("subscribe", "ledger:app")
    penstock("subscribe", "mail:app")
    heard = orders.fill(range(count))
    orders.app.close()
    print(
        f"{heard} times, a group got one of {TOPICS * count} events; {heard_before} of those before anybody had subscribed"
    )

    killed = subprocess.Popen([sys.executable, "-m", "penstock", "worker", "ledger:app", "-c", "1"], cwd=HERE)
    books = place / "books.db"
    while killed.poll() is None and booked(books) < count // 4:
        pass
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    for app in ("ledger:app", "mail:app"):
        penstock("worker", app, "--burst", "-c", "2")
    penstock("subscriptions")
    entries, letters = booked(books), len(list((place / "letters").iterdir()))
    print(f"{entries} entries in the ledger, {letters} letters")
    return 0 if (entries, letters) == (TOPICS * count, count) else 1


def booked(books: Path) -> int:
    """How many entries the ledger has."""
    if not books.exists():
        return 0
    with closing(sqlite3.connect(books, timeout=30)) as connection:
        there = connection.execute("select count(*) from sqlite_master where name = 'entry'").fetchone()[0]
        return connection.execute("select count(*) from entry").fetchone()[0] if there else 0


if __name__ == "__main__":
    sys.exit(main())
