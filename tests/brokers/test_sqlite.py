"""What only SQLite files can suffer."""

import os
import random
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from penstock.brokers import connect
from penstock.brokers.base import Broker, WorkerInfo
from penstock.brokers.listener import Waking
from penstock.brokers.sqlite.broker import SqliteBroker
from penstock.core.outcome import Ending, Outcome
from penstock.core.states import State
from penstock.errors import (
    ConfigError,
    PenstockError,
    SchemaTooNew,
    StoreCorrupt,
    StoreError,
)
from penstock.stores import sqlite
from penstock.testing.contract.harness import ALICE, QUEUE, Told, beat, claim, ids, job, jobs, state
from penstock.testing.contract.lifecycle import CALLS
from penstock.testing.contract.processes import Child

SMALL_DISK = Path(__file__).with_name("on_a_small_disk.py")


def opened(url: str) -> Broker:
    broker = connect(url)
    broker.open()
    return broker


def refusal(url: str, kind: type[PenstockError], says: str) -> None:
    """Opening fails with one line that names the trouble and, after a colon, what to do."""
    broker = connect(url)
    with pytest.raises(kind, match=says) as caught:
        broker.open()
    broker.close()
    assert_one_line(caught.value)


def assert_one_line(error: BaseException) -> None:
    text = str(error)
    assert "\n" not in text
    assert 20 < len(text) < 400
    assert ": " in text


@pytest.mark.parametrize("case", ["full", "no_room_at_all", "read_only", "read_only_from_the_start"])
def test_a_disk_that_is_full_or_read_only(tmp_path: Path, own_mounts: list[str], case: str) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    command = [*own_mounts, sys.executable, "-P", "-W", "error", str(SMALL_DISK), case, str(place)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (ended.stdout, ended.returncode) == ("ok\n", 0), ended.stderr


# --- files that are none


@pytest.mark.parametrize(
    "content", [b"not a database\n" * 500, b"\x00" * 8192, random.Random(1).randbytes(20_000), b"{}"]
)
def test_a_file_that_is_no_database_is_left_alone(queue_url: str, queue_file: Path, content: bytes) -> None:
    queue_file.write_bytes(content)
    refusal(queue_url, StoreCorrupt, "no SQLite database")
    assert queue_file.read_bytes() == content


def test_an_empty_file_is_a_new_queue(queue_url: str, queue_file: Path) -> None:
    queue_file.touch()
    with closing(opened(queue_url)) as broker:
        broker.enqueue(jobs(1))


def test_a_database_of_somebody_elses_can_hold_a_queue(queue_url: str, queue_file: Path) -> None:
    with closing(sqlite3.connect(queue_file)) as theirs:
        theirs.execute("create table job (id)")
        theirs.execute("insert into job values (1)")
        theirs.commit()
    with closing(opened(queue_url)) as broker:
        broker.enqueue(jobs(1))
        assert broker.depth(QUEUE) == 1
    with closing(sqlite3.connect(queue_file)) as theirs:
        assert theirs.execute("select * from job").fetchall() == [(1,)]


def filled(url: str, path: Path) -> bytes:
    with closing(opened(url)) as broker:
        broker.enqueue(jobs(400, payload=b"p" * 300))
        claim(broker, 5)
    return path.read_bytes()


def use(url: str) -> list[PenstockError]:
    """Do everything there is to do; anything but a PenstockError fails the test."""
    errors: list[PenstockError] = []
    broker = connect(url)
    try:
        broker.open()
    except PenstockError as error:
        broker.close()
        return [error]
    for call in CALLS.values():
        try:
            call(broker)
        except PenstockError as error:
            errors.append(error)
    broker.close()
    return errors


@pytest.mark.parametrize("part", [0.05, 0.3, 0.5, 0.9])
def test_a_truncated_file_is_reported(queue_url: str, queue_file: Path, part: float) -> None:
    whole = filled(queue_url, queue_file)
    queue_file.write_bytes(whole[: int(len(whole) * part)])
    errors = use(queue_url)
    assert any(isinstance(error, StoreCorrupt) for error in errors)
    for error in errors:
        assert isinstance(error, StoreError)
        assert_one_line(error)


@pytest.mark.parametrize("seed", range(12))
def test_a_garbled_file_never_shows_a_driver_error(queue_url: str, queue_file: Path, seed: int) -> None:
    content = bytearray(filled(queue_url, queue_file))
    chance = random.Random(seed)
    for _ in range(20):
        place = chance.randrange(100, len(content) - 200)
        content[place : place + 200] = chance.randbytes(200)
    queue_file.write_bytes(content)
    for error in use(queue_url):
        assert isinstance(error, StoreError)
        assert_one_line(error)


def test_a_newer_schema_is_refused_and_left_alone(queue_url: str, queue_file: Path) -> None:
    with closing(opened(queue_url)) as broker:
        broker.enqueue(jobs(2))
    with closing(sqlite3.connect(queue_file)) as newer:
        newer.execute("update penstock_meta set value = value + 1 where name = 'schema'")
        newer.commit()
    refusal(queue_url, SchemaTooNew, "newer Penstock.*upgrade")
    with closing(sqlite3.connect(queue_file)) as newer:
        assert newer.execute("select count(*) from penstock_job").fetchone() == (2,)


# --- places


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    refusal(f"sqlite:///{tmp_path}", StoreError, "is a folder: name a file")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    refusal(f"sqlite:///{tmp_path}/nowhere/jobs.db", StoreError, "no folder .*nowhere: create it")
    assert not (tmp_path / "nowhere").exists()


def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refusal(f"sqlite:///{tmp_path}/file/jobs.db", StoreError, "no folder")


@pytest.mark.parametrize("name", ["jobs", "a b.db", "ü/ы.db", "100%.db", "what?.db", "a#b.db", "'\";--.db", "q.db-wal"])
def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    with closing(opened(f"sqlite:///{quote(str(path))}")) as broker:
        broker.enqueue(jobs(1))
        assert len(claim(broker)) == 1
    assert path.exists()


def test_a_path_is_relative_to_where_the_program_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(opened("sqlite:///jobs.db")) as broker:
        broker.enqueue(jobs(1))
    assert (tmp_path / "jobs.db").exists()


def test_the_files_belong_to_their_owner_alone(queue_url: str, queue_file: Path) -> None:
    before = os.umask(0)
    try:
        broker = opened(queue_url)
    finally:
        os.umask(before)
    with closing(broker), broker.listen(Waking(lambda: None)):
        beat(broker, ALICE.worker)
        broker.enqueue(jobs(1))
        modes = {path.name: path.stat().st_mode & 0o077 for path in queue_file.parent.iterdir()}
    assert len(modes) >= 4
    assert set(modes.values()) == {0}, modes


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite:///", "sqlite:///relative.db"),
        ("sqlite://host/jobs.db", "sqlite:///relative.db"),
        ("sqlite://jobs.db", "sqlite:///relative.db"),
        ("sqlite:///:memory:", "memory"),
        ("sqlite:///jobs.db?durable=yes", "durability"),
        ("sqlite:///jobs.db?durability=most", "full, normal, off"),
        ("sqlite:///jobs.db?durability=", "full, normal, off"),
        ("sqlite:///jobs.db?namespace=Big", "namespace"),
        ("sqlite:///jobs.db?namespace=a-b", "namespace"),
        ("sqlite:///jobs.db?namespace=x;drop", "namespace"),
    ],
)
def test_a_url_that_can_not_be_used_says_what_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=says) as caught:
        opened(url)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:26 / /proc rw,nosuid shared:5 - proc proc rw
31 22 0:27 / /home rw - nfs4 server:/home rw,vers=4.2
32 31 8:1 / /home/local rw - xfs /dev/sda1 rw
33 22 0:30 / /mnt/with\\040space rw shared:1 master:2 - cifs //server/share rw
34 22 0:31 / /mnt/ssh rw - fuse.sshfs me@host: rw
35 22 0:32 / /over rw - nfs server:/over rw
36 35 8:2 / /over rw - ext4 /dev/sdb1 rw
garbage
40 22 0:33
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/jobs.db", None),
        ("/var/jobs.db", None),
        ("/home/me/jobs.db", "nfs4"),
        ("/home", "nfs4"),
        ("/homer/jobs.db", None),
        ("/home/local/jobs.db", None),
        ("/home/locally/jobs.db", "nfs4"),
        ("/mnt/with space/jobs.db", "cifs"),
        ("/mnt/ssh/jobs.db", "fuse.sshfs"),
        ("/over/jobs.db", None),
    ],
)
def test_a_network_file_system_is_told_by_its_mount(path: str, kind: str | None) -> None:
    assert sqlite.network_filesystem(MOUNTS, path) == kind


def test_no_mounts_no_objection() -> None:
    assert sqlite.network_filesystem("", "/jobs.db") is None


# --- durability, locks, wake-ups


@pytest.mark.parametrize(("durability", "synchronous"), [("full", 2), ("normal", 1), ("off", 0)])
def test_the_durability_dial(queue_url: str, queue_file: Path, durability: str, synchronous: int) -> None:
    with closing(sqlite.connect(str(queue_file), durability=durability)) as connection:
        assert connection.execute("pragma synchronous").fetchone() == (synchronous,)
        assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
    with closing(opened(f"{queue_url}?durability={durability}")) as broker:
        broker.enqueue(jobs(3))
        assert len(claim(broker)) == 3


def test_a_queue_is_durable_unless_told_otherwise(queue_file: Path) -> None:
    with closing(sqlite.connect(str(queue_file))) as connection:
        assert connection.execute("pragma synchronous").fetchone() == (2,)


def log_of(broker: Broker) -> int:
    """Pages of the log after which a broker's commits fold it back."""
    assert isinstance(broker, SqliteBroker)
    (pages,) = broker._open.execute("pragma wal_autocheckpoint").fetchone()
    return int(pages)


def test_the_log_is_short_where_jobs_come_one_by_one(queue_url: str, queue_file: Path) -> None:
    with closing(opened(queue_url)) as broker:
        for _ in range(500):
            broker.enqueue(jobs(1))
        assert log_of(broker) == sqlite.SHORT_LOG
        # It is begun again in place, and keeps its size.
        assert Path(f"{queue_file}-wal").stat().st_size < 1.1 * sqlite.SHORT_LOG * 4120


def test_the_log_is_long_where_no_commit_waits_for_the_disk(queue_url: str) -> None:
    with closing(opened(f"{queue_url}?durability=normal")) as broker:
        broker.enqueue(jobs(1))
        assert log_of(broker) == sqlite.LONG_LOG


def test_the_log_is_long_where_much_is_written_at_once(queue_url: str) -> None:
    with closing(opened(queue_url)) as sender, closing(opened(queue_url)) as worker:
        sender.enqueue(jobs(100))
        assert log_of(sender) == sqlite.LONG_LOG
        assert log_of(worker) == sqlite.SHORT_LOG
        assert len(claim(worker)) == 100
        assert log_of(worker) == sqlite.LONG_LOG


def test_a_long_read_holds_nobody_up(queue_url: str, queue_file: Path) -> None:
    with closing(opened(queue_url)) as broker, closing(sqlite3.connect(queue_file)) as reader:
        broker.enqueue(jobs(10))
        reader.execute("begin")
        assert reader.execute("select count(*) from penstock_job").fetchone() == (10,)
        broker.enqueue(jobs(10))
        assert len(claim(broker)) == 20
        assert reader.execute("select count(*) from penstock_job").fetchone() == (10,)


def test_jobs_join_a_transaction_of_the_users_own(queue_url: str, queue_file: Path) -> None:
    with closing(opened(queue_url)) as broker, closing(sqlite3.connect(queue_file)) as theirs:
        for commit in (False, True):
            sent = job()
            assert broker.enqueue([sent], tx=theirs) == [sent.id]
            assert claim(broker) == []
            if commit:
                theirs.commit()
            else:
                theirs.rollback()
            assert ids(claim(broker)) == ([sent.id] if commit else [])


def test_endings_join_a_transaction_of_the_users_own(queue_url: str, queue_file: Path) -> None:
    with closing(opened(queue_url)) as broker, closing(sqlite3.connect(queue_file)) as theirs:
        broker.enqueue(jobs(2))
        done, dead = claim(broker)
        outcomes = [Outcome(done), Outcome(dead, Ending.DEAD)]
        for again in (True, False):
            assert broker.exchange(outcomes, (), 0, ALICE, tx=theirs).stale == []
            assert (state(broker, done.id), state(broker, dead.id)) == (State.RUNNING, State.RUNNING)
            theirs.rollback() if again else theirs.commit()
        assert (state(broker, done.id), state(broker, dead.id)) == (State.DONE, State.DEAD)
        assert broker.exchange(outcomes, (), 0, ALICE, tx=theirs).stale == outcomes


@pytest.mark.parametrize(
    "place",
    ["d" * 200 + "/" + "e" * 200 + "/jobs.db", "n" * 200 + ".db", "ы" * 110 + "/jobs.db", "ы" * 110 + ".db"],
    ids=["long folder", "long file name", "long folder, not ASCII", "long file name, not ASCII"],
)
def test_wake_ups_reach_places_with_long_names(tmp_path: Path, place: str) -> None:
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    url = f"sqlite:///{quote(str(path))}"
    woken = threading.Event()
    sender = Child("enqueue", url, 1, 1)
    try:
        sender.wait_until_ready()
        with closing(opened(url)) as broker, broker.listen(Waking(woken.set)):
            beat(broker, ALICE.worker)
            sender.go()
            assert woken.wait(20)
        sender.finish()
    finally:
        sender.close()


def test_a_plain_job_rings_as_one_that_is_ready(queue_url: str) -> None:
    told = Told()
    with closing(opened(queue_url)) as store, store.listen(told):
        beat(store, ALICE.worker)
        store.enqueue(jobs(1))
        assert told.next() == "ready"


def test_a_listener_leaves_no_socket_behind(queue_url: str, queue_file: Path) -> None:
    def sockets() -> list[str]:
        return [path.name for path in queue_file.parent.iterdir() if path.is_socket()]

    with closing(opened(queue_url)) as broker:
        with broker.listen(Waking(lambda: None)):
            assert len(sockets()) == 1
        assert sockets() == []


def test_a_dead_listeners_jobs_are_rescued_without_waiting_for_the_clock(
    queue_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    dead = Child("listen", queue_url)
    request.addfinalizer(dead.close)
    dead.wait_until_ready()
    with closing(opened(queue_url)) as broker:
        (worker,) = broker.inspector().workers()
        assert broker.rescue(dead_after=60) == 0
        dead.kill()
        broker.rescue(dead_after=60)
        assert list(broker.inspector().workers()) == []
        assert [path for path in tmp_path.iterdir() if path.is_socket()] == []
    assert worker.pid == dead.process.pid


def test_a_worker_that_listens_anew_is_not_taken_for_dead(queue_url: str) -> None:
    """It does so when its listener has become deaf, or after trouble with the store: its processes work on meanwhile."""
    with closing(opened(queue_url)) as broker, closing(opened(queue_url)) as other:
        broker.enqueue(jobs(2))
        with broker.listen(Waking(lambda: None)):
            broker.heartbeat(WorkerInfo(ALICE.worker, "here", os.getpid(), "prefork", 1, (QUEUE,), 0.0))
            lease, _ = claim(broker, 2)
        assert other.rescue(dead_after=60) == 0
        with broker.listen(Waking(lambda: None)):
            assert other.rescue(dead_after=60) == 0
            assert broker.exchange([Outcome(lease)], (), 0, ALICE).stale == []
