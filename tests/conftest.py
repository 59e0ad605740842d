"""Fixtures for every test."""

from pathlib import Path

import pytest

pytest.register_assert_rewrite("penstock.testing.contract")


@pytest.fixture
def queue_file(tmp_path: Path) -> Path:
    """Where a fresh queue may lie."""
    return tmp_path / "jobs.db"


@pytest.fixture
def queue_url(queue_file: Path) -> str:
    """The URL of a fresh SQLite queue."""
    return f"sqlite:///{queue_file}"
