"""What a soak says: what was lost and what ran twice, and what its page shows of the samples."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from benchmarks.soak import samples
from benchmarks.soak.__main__ import soak
from benchmarks.soak.marks import EACH, FAILS_ONCE, Account, Count, Marks, Probes
from benchmarks.soak.page import text, write
from benchmarks.soak.plot import Panel, plot
from benchmarks.soak.samples import Begun, Ended, Plan, Sample, Soak
from benchmarks.soak.stores import Kept

PLAN = Plan(("sqlite", "postgresql"), 60.0, 6000, every=5.0)
BEGUN = Begun(PLAN, "python -m benchmarks.soak", "a machine", {"SQLite": "a file", "PostgreSQL": "a server"})


def sample(at: float, store: str = "SQLite", *, size: int = 1_000_000, p50: float | None = 3.0) -> Sample:
    server = 0.0 if store == "SQLite" else at / 4
    held = PLAN.held[0] < at <= PLAN.held[1]
    kept = Kept(size, 2_000_000, 7, {}, 5, 1)
    sent = int(at) * 100
    return Sample(store, at, held, sent, sent, 100, p50, 9.0, at / 10, server, 50.0, 30.0, 1.5, kept)


def cells(page: str, name: str) -> list[str]:
    line = next(line for line in page.splitlines() if line.startswith(f"| {name} "))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_who_fails_once_has_to_start_twice(tmp_path: Path) -> None:
    marks = Marks.made(tmp_path / "marks", 2 * EACH)
    for number in range(2 * EACH):
        assert marks.add(number) == 1
    assert marks.account() == Account(lost=2, doubled=0)
    assert marks.add(FAILS_ONCE) == marks.add(FAILS_ONCE + EACH) == 2
    assert marks.account() == Account(0, 0)
    marks.add(1)
    marks.add(FAILS_ONCE)
    assert Marks(tmp_path / "marks").account() == Account(lost=0, doubled=2)


def test_a_byte_counts_no_further_than_it_can(tmp_path: Path) -> None:
    marks = Marks.made(tmp_path / "marks", 1)
    assert [marks.add(0) for _ in range(300)][-1] == 255


def test_jobs_that_start_out_of_order_are_counted_once(tmp_path: Path) -> None:
    marks, counts = Marks.made(tmp_path / "marks", 10), list[int]()
    for number in (0, 1, 4, 3, 2, 9):
        marks.add(number)
        counts.append(marks.started(8))
    assert counts == [1, 2, 3, 4, 5, 5]
    assert marks.started(10) == 6


def test_probes_keep_their_first_start(tmp_path: Path) -> None:
    probes, sent = Probes.made(tmp_path / "probes", 3), Count.made(tmp_path / "sent")
    for number in range(2):
        probes.send(number, 1.0 + number)
        sent.value = number + 1
    probes.start(1, 5.0)
    probes.start(1, 6.0)
    assert probes[1] == (2.0, 5.0, 2)
    assert probes.account(Count(tmp_path / "sent").value) == Account(lost=1, doubled=1)


def test_samples_are_read_as_they_were_written(tmp_path: Path) -> None:
    path, ended = tmp_path / "samples", Ended("SQLite", 6000, 1200, 0, 0, 0, sample(60).kept)
    for line in (BEGUN, sample(5), sample(5, "PostgreSQL"), sample(10, p50=None), ended):
        samples.write(path, line)
    found = samples.read(path)
    assert found == Soak(BEGUN, [sample(5), sample(5, "PostgreSQL"), sample(10, p50=None)], [ended])
    assert [each.at for each in found.of("SQLite")] == [5, 10]


def test_a_file_that_holds_no_run_is_refused(tmp_path: Path) -> None:
    samples.write(tmp_path / "samples", sample(5))
    with pytest.raises(ValueError, match="holds no run"):
        samples.read(tmp_path / "samples")


def test_the_page_and_its_plots_show_what_was_seen(tmp_path: Path) -> None:
    seen = [sample(float(at), store, size=at * 100_000) for at in range(5, 70, 5) for store in ("SQLite", "PostgreSQL")]
    ended = [Ended("SQLite", 6000, 1200, 2, 1, 3, seen[-1].kept)]
    found = Soak(BEGUN, seen, ended)
    page = text(found, plots=True)
    assert cells(page, "SQLite") == ["7,200", "2", "1", "3", "1"]
    assert "The run on PostgreSQL was cut short." in page
    assert cells(page, "jobs started per second") == ["100", "100", "100", "100", "1"]
    assert cells(page, "file or tables, MB") == ["1.75", "2.75", "3.75", "5.75", "3.29"]
    assert page.count("| CPU of the server, % of a core") == 1
    written = write(found, tmp_path)
    assert [path.name for path in written] == ["soak.md", "soak-sqlite.svg", "soak-postgresql.svg"]
    for path in written[1:]:
        assert f"({path.name})" in page
        assert "jobs started per second" in "".join(ET.fromstring(path.read_text("utf-8")).itertext())


def test_a_plot_stays_within_its_panels() -> None:
    lines = ([(0.0, 0.5), (600.0, 700.0), (3600.0, 3.0)], [(0.0, 90.0)])
    drawn = ET.fromstring(
        plot([Panel("wait", lines, steep=True), Panel("nothing", ([(0.0, 0.0)],))], 3600, (1200, 1800))
    )
    lines_drawn = [each.attrib["points"] for each in drawn.iter("{http://www.w3.org/2000/svg}polyline")]
    assert len(lines_drawn) == 3
    points = [tuple(map(float, point.split(","))) for line in lines_drawn for point in line.split()]
    assert all(90 <= x <= 850 and (24 <= y <= 134 or 180 <= y <= 290) for x, y in points)


def test_a_short_soak_loses_nothing_and_writes_down_what_it_sees(tmp_path: Path) -> None:
    """Three seconds: nothing else runs the program."""
    (tmp_path / "place").mkdir()
    soak(Plan(("sqlite",), 1.2, 1500, every=0.3), tmp_path / "place", tmp_path / "samples")
    found = samples.read(tmp_path / "samples")
    assert [(each.jobs, each.probes, each.lost, each.doubled, each.left) for each in found.ended] == [
        (1500, 24, 0, 0, 0)
    ]
    last = found.samples[-1]
    assert (last.sent, last.started) == (1500, 1500)
    assert last.memory > 10
    assert any(each.held for each in found.samples)
    assert not last.held
    assert last.kept.results == 15
