"""How long it takes to import the package, and to start the command."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.figures import Figure, alone


def run(quick: bool) -> list[Figure]:
    """Over a bare `python -c pass`, in turn."""
    command = Path(sys.executable).with_name("penstock")
    program = [str(command)] if command.exists() else [sys.executable, "-m", "penstock"]
    bare: list[float] = []
    imported: list[float] = []
    helped: list[float] = []
    _run([*program, "--help"])  # as after an installation, compiled files are there
    for _ in range(5 if quick else 15):
        bare.append(_run([sys.executable, "-c", "pass"]))
        imported.append(_run([sys.executable, "-c", "import penstock"]) - bare[-1])
        helped.append(_run([*program, "--help"]) - bare[-1])
    return [
        alone("import penstock, over python -c pass", "ms", imported, "< 60 ms", lambda ms: ms < 60),
        alone("penstock --help, over python -c pass", "ms", helped, "< 150 ms", lambda ms: ms < 150),
        alone("python -c pass", "ms", bare, "", lambda ms: ms == median(bare)),
    ]


def _run(command: list[str]) -> float:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return (time.perf_counter() - began) * 1000
