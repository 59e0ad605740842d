"""SQLite files: what one process does to its connections by opening another."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

from penstock.stores import sqlite

VISIT = (
    "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); print(c.execute('select count(*) from t').fetchone()[0])"
)


def visit(path: Path) -> int:
    """Another program looks into the file and leaves it; returns how many rows it saw."""
    seen = subprocess.run([sys.executable, "-c", f"{VISIT}; c.close()", path], capture_output=True, check=True)
    return int(seen.stdout)


def test_a_second_connection_leaves_the_locks_of_the_first(tmp_path: Path) -> None:
    """Else a program that looks in takes itself for the last to leave, and deletes the log that is being written."""
    path = tmp_path / "jobs.db"
    with closing(sqlite.connect(str(path))) as first:
        first.execute("create table t (n)")
        with closing(sqlite.connect(str(path))) as second:
            assert visit(path) == 0
            first.execute("insert into t values (1)")
            assert visit(path) == 1
            second.execute("insert into t values (2)")
        assert visit(path) == 2
        first.execute("insert into t values (3)")
    assert visit(path) == 3
