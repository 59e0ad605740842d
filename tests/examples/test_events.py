"""examples/events: each group handles each event, whoever is killed."""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "events"


def test_each_order_is_booked_once_and_has_a_letter() -> None:
    """Takes 4 s on a quiet machine: a worker that is killed, and two that end what it left."""
    command = [sys.executable, "-W", "error", str(FOLDER / "run.py"), "--orders", "80"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "240 times, a group got one of 160 events; 0 of those before" in ended.stdout
    assert "160 entries in the ledger, 80 letters" in ended.stdout
