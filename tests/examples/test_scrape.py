"""examples/scrape: all pages are in both stores, whichever way they were scraped."""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "scrape"


def call(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(FOLDER / program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_sixty_pages_on_green_threads_and_coroutines() -> None:
    """Takes 8 s: three workers, and three servers that must be real."""
    ways = ["split", "gevent", "asyncio"]
    ended = call("run.py", "--pages", 60, "--slots", 30, *(word for way in ways for word in ("--only", way)))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = [line for line in ended.stdout.splitlines() if line.startswith("| a task per")]
    assert len(rows) == len(ways)
    assert all("| 60 |" in row for row in rows)


def test_pages_that_are_not_there_are_refused() -> None:
    assert "the site has 2100 pages" in call("run.py", "--pages", 3000).stderr
