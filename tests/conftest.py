"""Fixtures for every test."""

import shutil
import subprocess
from pathlib import Path

import pytest

pytest.register_assert_rewrite("penstock.testing.contract")


@pytest.fixture(scope="session")
def own_mounts() -> list[str]:
    """The start of a command that runs where it may mount what nobody else sees: disks that are full, say."""
    unshare = shutil.which("unshare")
    assert unshare is not None, "this test needs unshare (Debian: apt-get install util-linux)"
    # Root needs no user namespace, which a chroot refuses; anybody else needs one.
    ways = [[unshare, "--mount"], [unshare, "--mount", "--user", "--map-root-user"]]
    for way in ways:
        if (
            subprocess.run([*way, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False).returncode
            == 0
        ):
            return way
    raise AssertionError("this test mounts a small disk: run it as root, or where user namespaces are allowed")


@pytest.fixture
def queue_file(tmp_path: Path) -> Path:
    """Where a fresh queue may lie."""
    return tmp_path / "jobs.db"


@pytest.fixture
def queue_url(queue_file: Path) -> str:
    """The URL of a fresh SQLite queue."""
    return f"sqlite:///{queue_file}"
