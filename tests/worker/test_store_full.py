"""A worker whose store refuses says so in one line, stops without a traceback, and goes on when it answers again."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

SCENARIO = """
set -e
mount -t tmpfs -o size=3m tmpfs "$1"
cd "$1"
cp "$2" shop.py
"$3" -c "import shop; shop.fill.delay_many([(n,) for n in range(40)])"
"$3" -m penstock worker shop:app -c 2 --grace 1 2> "$2.first" &
worker=$!
until grep -q 'no space left' "$2.first"; do sleep 0.05; done
kill -TERM $worker
wait $worker && echo "first: $?"
mount -o remount,size=64m "$1"
"$3" -m penstock worker shop:app -c 2 --burst 2> "$2.second"
sort -n done.txt | uniq | wc -l
"$3" -m penstock status sqlite:///jobs.db --json
"""
APP = """
from penstock import Penstock
app = Penstock("sqlite:///jobs.db")

@app.task(result_ttl=3600)
def fill(n: int) -> bytes:
    with open("done.txt", "a") as file:
        file.write(f"{n}\\n")
    return bytes(200_000)
"""


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path: Path, own_mounts: list[str]) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    app = tmp_path / "app.py"
    app.write_text(textwrap.dedent(APP))
    ran = subprocess.run(
        [*own_mounts, "bash", "-c", SCENARIO, "bash", disk, app, sys.executable],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    first = (tmp_path / "app.py.first").read_text()
    assert "Traceback" not in first
    assert "free some" in first
    said, brace, status = ran.stdout.decode().partition("{")
    assert said.split() == ["first:", "0", "40"]
    assert json.loads(brace + status)["queues"] == []
