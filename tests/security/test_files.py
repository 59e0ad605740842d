"""Who may read and write what a queue of a file leaves on the disk."""

import os
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from penstock.brokers import connect
from penstock.brokers.diagnosis import Grade
from penstock.brokers.listener import Waking
from penstock.testing.contract.harness import job


@contextmanager
def umask(value: int) -> Iterator[None]:
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): stat.S_IMODE(path.lstat().st_mode) for path in folder.rglob("*")}


@pytest.mark.parametrize("value", [0, 0o022, 0o077], ids=oct)
def test_only_its_owner_may_use_a_queue_and_its_sockets(tmp_path: Path, value: int) -> None:
    with umask(value), closing(connect(f"sqlite:///{tmp_path}/jobs.db")) as broker:
        broker.open()
        broker.enqueue([job()])
        with broker.listen(Waking(lambda: None)), broker.watch_ends(lambda ids: None):
            found = modes(tmp_path)
    folders = {name: mode for name, mode in found.items() if name == "jobs.db-waits"}
    sockets = {name for name in found if name.endswith(".sock")}
    assert {"jobs.db", "jobs.db-wal", "jobs.db-shm", "jobs.db-lock"} <= found.keys()
    assert len(sockets) == 2
    assert set(folders.values()) == {0o700}
    assert {mode for name, mode in found.items() if name not in folders} == {0o600}


def test_a_file_that_was_there_keeps_its_mode_and_the_doctor_says_so(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    path.touch(0o644)
    path.chmod(0o644)
    with closing(connect(f"sqlite:///{path}")) as broker:
        broker.open()
        broker.enqueue([job()])
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        (rights,) = [check for check in broker.diagnose() if check.name == "rights"]
    assert rights.grade is Grade.WARN
    assert f"chmod 600 {path}" in rights.advice
