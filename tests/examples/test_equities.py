"""examples/equities: the bars are the same for everybody, and all of them arrive."""

import gzip
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pymongo
import pytest

from penstock.testing.servers import MongoServer

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "equities"


def call(program: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one of the example's programs; the MongoDB of whoever runs the tests is none of its business."""
    inherited = {name: value for name, value in os.environ.items() if name != "MONGODB_URL"}
    return subprocess.run(
        [sys.executable, "-W", "error", str(FOLDER / program), *map(str, arguments)],
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def generated(path: Path, *options: object) -> bytes:
    ended = call("bars.py", path, *options)
    assert ended.returncode == 0, ended.stderr
    return path.read_bytes()


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the whole example with few bars."""
    return lambda *options: call("run.py", "--folder", tmp_path, "--count", 5000, "--symbols", 64, *options)


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    digests = [
        hashlib.sha256(generated(tmp_path / name, "--count", 2000, "--symbols", 30, "--seed", seed)).hexdigest()
        for name, seed in (("a.jsonl.gz", 3), ("b.jsonl.gz", 3), ("c.jsonl.gz", 4))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_bars_are_what_a_market_makes(tmp_path: Path) -> None:
    bars = list(map(json.loads, generated(tmp_path / "bars.jsonl", "--count", 10_000, "--symbols", 60).splitlines()))
    assert [bar["task_id"] for bar in bars] == list(range(1, 10_001))
    assert len({(bar["symbol"], bar["time"]) for bar in bars}) == 10_000
    assert len({bar["symbol"] for bar in bars}) == 60
    for bar in bars:
        assert 0 < bar["low"] <= min(bar["open"], bar["close"]) <= max(bar["open"], bar["close"]) <= bar["high"]
        assert bar["low"] - 0.01 <= bar["vwap"] <= bar["high"] + 0.01
        assert 0 < bar["trades"] <= bar["volume"]
    # 10,000 bars of 60 symbols are more than two trading days.
    assert {bar["time"][:10] for bar in bars} == {"2026-01-05", "2026-01-06", "2026-01-07"}
    assert (bars[0]["time"], bars[60 * 77]["time"]) == ("2026-01-05T09:30:00-05:00", "2026-01-05T15:55:00-05:00")


def test_an_array_and_compressed_lines_hold_the_same(tmp_path: Path) -> None:
    lines = generated(tmp_path / "bars.jsonl", "--count", 9000)
    array = generated(tmp_path / "tasks.json", "--count", 9000)
    assert json.loads(array) == [json.loads(line) for line in lines.splitlines()]
    assert gzip.decompress(generated(tmp_path / "bars.jsonl.gz", "--count", 9000)) == lines


def test_no_more_symbols_than_there_are_names(tmp_path: Path) -> None:
    ended = call("bars.py", tmp_path / "bars.jsonl", "--symbols", 0)
    assert ended.returncode == 1
    assert "symbols, not 0" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_every_bar_arrives_once_in_a_mongodb_of_its_own(small: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    ended = small("--baseline")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "5,000 documents, 5,000 different bars of 64 symbols" in ended.stdout
    assert "every bar once, none lost; 0 refused" in ended.stdout
    assert "one core" in ended.stdout
    assert "Penstock / bare insert_many: " in ended.stdout
    assert "records: 5,000" in ended.stderr


def test_what_is_wrong_is_reported_by_its_task_id(
    small: Callable[..., subprocess.CompletedProcess[str]], mongo_server: MongoServer, tmp_path: Path
) -> None:
    url = mongo_server.url("equities_broken")
    with pymongo.MongoClient(url) as client:
        client.drop_database("equities_broken")
    ended = small("--broken", 40, "--tasks", "--url", url)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "every bar once, none lost; 40 refused" in ended.stdout
    (report,) = tmp_path.glob("*.report.jsonl")
    lines = list(map(json.loads, report.read_text().splitlines()))
    wrong = [line for line in lines if line["error"] is not None]
    assert len(lines) - len(wrong) == 4960
    assert wrong
    assert all("E11000 duplicate key" in line["error"] for line in wrong)
    (rejects,) = tmp_path.glob("*.rejects.jsonl")
    reasons = [json.loads(line)["reason"] for line in rejects.read_text().splitlines()]
    assert len(reasons) == 40
    assert sum("broken JSON" in reason for reason in reasons) == 40 - len(wrong)
    # What is there now is left alone.
    again = small("--broken", 40, "--url", url)
    assert again.returncode == 1
    assert "has 4,960 documents: drop it" in again.stderr


def test_a_mongodb_that_is_not_there(small: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    ended = small("--url", "mongodb://ada:secret@127.0.0.1:1/market?serverSelectionTimeoutMS=200")
    assert ended.returncode == 1
    assert "refused" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "secret" not in ended.stdout + ended.stderr


GREEDY = """
import subprocess, sys
sys.path.insert(0, sys.argv[1])
import limits, os
with limits.one_core() as core, limits.memory(256 << 20) as how:
    assert os.sched_getaffinity(0) == {core}
    child = subprocess.run([sys.executable, "-c", "bytes(bytearray(400 << 20))"], stderr=subprocess.DEVNULL)
print(how, child.returncode, len(os.sched_getaffinity(0)), sep="|")
"""


def test_memory_is_limited_or_said_not_to_be(tmp_path: Path) -> None:
    script = tmp_path / "greedy.py"
    script.write_text(GREEDY)
    ended = subprocess.run(
        [sys.executable, str(script), str(FOLDER)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    how, status, cores = ended.stdout.strip().split("|")
    assert (status == "0") == how.startswith("NOT ENFORCED")
    assert int(cores) == len(os.sched_getaffinity(0))
    if how.startswith("cgroup"):
        assert not Path(how.removeprefix("cgroup ")).exists()
