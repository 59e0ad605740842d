"""The world of one chaos test."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The workers' processes import these modules from their working folder, and so does the test itself.
sys.path.insert(0, str(Path(__file__).parent))

from chaos_app import make
from oracle import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, make(f"sqlite:///{tmp_path}/jobs.db", str(tmp_path / "log")))
    yield world
    world.close()
