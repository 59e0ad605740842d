"""The yard, for tests that run whole workers."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from yard import Yard


@pytest.fixture
def yard(tmp_path: Path, queue_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Yard]:
    monkeypatch.chdir(tmp_path)
    yard = Yard(tmp_path, queue_url)
    yield yard
    yard.close()
