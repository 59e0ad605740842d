"""What the benchmarks beside peers say: who is ahead is shown ahead, and who fails is a line that says why."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from benchmarks.peers import processes, slots
from benchmarks.peers.contest import Round
from benchmarks.peers.measures import MEASURES
from benchmarks.peers.page import Report, text, write
from benchmarks.peers.peer import Peer, PeerError, Setup
from benchmarks.peers.standing import Score, Standing
from benchmarks.peers.table import figures, ratios


def round_of(drain: float, many: float | None, p50: float, lost: int = 0) -> Round:
    return Round(100.0, many, drain, 5.0, 6.0, p50, 9.0, 40.0, 0.1, lost, 0, 1000)


STANDING = Standing(
    "SQLite",
    "SQLite, commits wait",
    "500 at once",
    [5000.0],
    [
        Score("Penstock", "as it comes", "penstock 1", "", [round_of(3000.0, 50.0, 2.0)]),
        Score("Other", "tuned", "other 2", "", [round_of(100.0, None, 1.0, lost=3), round_of(200.0, None, 1.0)]),
        Score("Broken", "tuned", "", "started no job in 30 s: no module", []),
    ],
)


def cells(table: str, name: str) -> list[str]:
    line = next(line for line in table.splitlines() if line.startswith(f"| {name} "))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_the_best_of_a_column_is_bold_whoever_it_is() -> None:
    table = figures(STANDING)
    ours, theirs = cells(table, "Penstock"), cells(table, "Other")
    assert ours[:3] == ["**100**", "**50**", "**3,000**"]
    assert theirs[:3] == ["**100**", "-", "150"]
    assert (ours[5], theirs[5]) == ("2", "**1**")
    assert theirs[-3:] == ["1,000", "3", "0"]
    assert "5,000" in table


def test_who_fails_is_a_line_that_says_why() -> None:
    assert "- **Broken**: started no job in 30 s: no module" in figures(STANDING)


def test_a_ratio_below_one_is_bold() -> None:
    assert cells(ratios(STANDING, "Penstock"), "Other")[:6] == ["1", "-", "20", "1", "1", "**0.5**"]


def test_the_page_and_its_plots_show_what_was_measured(tmp_path: Path) -> None:
    report = Report("python -m benchmarks.peers", "a machine", True, 1, [STANDING], None)
    written = write(report, "Penstock", tmp_path)
    page = (tmp_path / "peers.md").read_text("utf-8")
    assert [path.name for path in written if path.suffix == ".svg" and f"({path.name})" not in page] == []
    assert len(written) == 4
    for path in written[1:]:
        words = "".join(ET.fromstring(path.read_text("utf-8")).itertext())
        assert "Penstock" in words
        assert "Broken" not in words
    assert "a machine" in page
    assert "first look only" in page
    assert "![" not in text(report, "Penstock", plots=False)


def test_every_measure_is_of_a_round() -> None:
    assert {measure.field for measure in MEASURES} <= set(Round.__struct_fields__)


def test_slots_know_what_is_lost_and_what_ran_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marked = slots.Slots(tmp_path / "slots", 4)
    monkeypatch.setenv(slots.SLOTS, str(tmp_path / "slots"))
    monkeypatch.setattr(slots, "_memory", [])
    assert not marked.wait_any(4, 0)
    for number in (0, 2, 2, 3):
        slots.mark(number)
    assert marked.wait_any(4, 1)
    assert (marked.lost(4), marked.doubled()) == (1, 1)
    assert not marked.wait(4, patience=1, limit=0)
    assert marked.wait(4, patience=0, limit=5, every=0.001)
    assert len(list(marked.starts(range(4)))) == 3
    assert struct.calcsize("=dq") * 4 == (tmp_path / "slots").stat().st_size


def test_a_peer_that_pip_cannot_install_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.peers.peer._PLACE", tmp_path)
    peer = Peer("None", "none", (), {"SQLite": Setup("", 0)}, packages=("./nothing",))
    for _ in range(2):
        with pytest.raises(PeerError, match=r"not installed: `pip install ./nothing` says ERROR: .*nothing"):
            peer.versions()


def test_what_a_session_has_started_is_seen_and_ended() -> None:
    code = "import subprocess, sys; c = subprocess.Popen(['sleep', '60'], process_group=0); print(c.pid, flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as leader:
        assert leader.stdout is not None
        child = int(leader.stdout.readline())
        assert sorted(processes.members(leader.pid)) == sorted([leader.pid, child])
        assert processes.family(leader.pid) == [leader.pid, child]
        assert processes.used([leader.pid]) > 0
        assert processes.memory([leader.pid]) > 1
        processes.end(leader.pid)
        assert leader.wait(10) == -signal.SIGKILL
    assert os.getpid() not in processes.members(leader.pid)
