"""examples/task_types: each says what came of it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "task_types"
TOLD = {
    "periodic_report": " reports by the clock, and now.txt out of turn",
    "mail": "2 letters after 5 attempts; refused for good: eve",
    "api_client": r"40 calls, (\d|1\d|20) a second where 20 are allowed",
    "third_party": "4 orders paid and 1 refused, after 15 calls",
    "model_run": "begun 2 times, 60 epochs in all",
    "report_page": 'times told how far it is, then "2026: orders, customers, stock, returns"',
    "thumbnails": "24 pictures in a sheet of 1536 x 64",
    "word_count": "30000 words in 60 files, as counted at once",
}


def run(*names: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(FOLDER / "run.py"), *names]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("name", TOLD)
def test_an_example_does_what_it_says(name: str) -> None:
    ended = run(name)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(TOLD[name], ended.stdout), ended.stdout


def test_every_example_is_run_and_short() -> None:
    assert run("none").stderr.endswith(f"take some of {', '.join(TOLD)}\n")
    listed = (FOLDER / "README.md").read_text()
    for name in TOLD:
        assert f"`{name}.py`" in listed
        assert len((FOLDER / f"{name}.py").read_text().splitlines()) <= 60
