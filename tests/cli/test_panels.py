"""What `penstock status --watch` draws."""

import io

from rich.console import Console

from penstock.brokers.inspect import QueueCounts, RunningJob, WorkerRecord
from penstock.cli.panels import View, draw, sparkline
from penstock.core.metrics import (
    SECONDS,
    SIZES,
    CacheFigures,
    Figures,
    Point,
    QueueFigures,
    Sample,
    TaskFigures,
    histogram,
)
from penstock.core.summary import summarize

NOW = 1_700_000_000.0


def figures(tasks: int = 1) -> Figures:
    return Figures(
        (
            *(TaskFigures(f"shop.task_{n}", "default", (100.0, 2.0, 1.0), histogram([0.004] * 9, SECONDS)) for n in range(tasks)),
            TaskFigures("shop.store", "orders", (5000.0,), calls=histogram([0.2], SECONDS), sizes=histogram([500], SIZES)),
        ),
        (CacheFigures("accounts", 80, 20, 1, 50, 1 << 20),),
        (QueueFigures("orders", 900.0, histogram([0.5, 2.0], SECONDS)),),
        histogram([0.0006], SECONDS),
        deaths=1.0,
    )  # fmt: skip


def view(*, tasks: int = 1, queues: int = 1, trouble: str = "", title: str = "sqlite:///jobs.db") -> View:
    samples = [Sample("ab" * 16, NOW - ago, Point(10.0, figures(tasks), 9e7, 2, 2, 1)) for ago in (20, 10, 0)]
    worker = WorkerRecord(
        "ab" * 16, "app1", 4711, "prefork", 2, ("default",), NOW - 60, 0.5, 1, (RunningJob(b"1" * 16, 1.0),)
    )
    gone = WorkerRecord("cd" * 16, "app2", 4712, "threads", 50, ("default",), NOW - 60, 30.0, 1)
    counts = [QueueCounts(f"q{n}", ready=n) for n in range(queues - 1)]
    return View(
        title, "12:01:05", [QueueCounts("orders", 1200, 2, 0, 0, 3), *counts], [worker, gone],
        summarize(samples, 300.0, NOW), 6.0, trouble,
    )  # fmt: skip


def drawn(what: View, width: int = 80, height: int = 24, *, unicode: bool = True) -> list[str]:
    text = io.StringIO()
    console = Console(file=text, width=width, height=height, color_system=None)
    console.print(draw(what, width, height, unicode=unicode))
    return text.getvalue().rstrip("\n").split("\n")


def test_a_screen_of_80_columns_has_it_all() -> None:
    lines = drawn(view())
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert lines[0].startswith("sqlite:///jobs.db")
    assert lines[0].endswith("12:01:05  q quits")
    for told in ("510 jobs/s", "0.1 % failed", "5 min: 15,300 done", "6 retried", "3 dead", "3 processes died"):
        assert told in text
    (orders,) = (line.split() for line in lines if line.startswith("orders"))
    assert orders[:4] == ["orders", "1,200", "2", "3"]
    (task,) = (line.split() for line in lines if line.startswith("shop.store"))
    assert task[1:4] == ["15,000", "0", "0"]
    assert "500" in task
    assert any(line.split()[:3] == ["accounts", "80.0", "%"] for line in lines)
    (worker,) = (line for line in lines if line.startswith("abababab"))
    assert "1/2" in worker
    assert "85.8 MiB" in worker
    assert any(line.startswith("cdcdcdcd") and line.rstrip().endswith("dead") for line in lines)


def test_a_wide_screen_tells_more() -> None:
    text = "\n".join(drawn(view(), 140))
    assert "app1:4711" in text
    assert "delayed" in text
    assert "delayed" not in "\n".join(drawn(view()))


def test_a_narrow_screen_leaves_columns_out_and_cuts_no_figures() -> None:
    lines = drawn(view(), 56)
    assert max(map(len, lines)) <= 56
    assert "95 %" not in "\n".join(lines[3:])
    assert "…" not in "\n".join(lines)


def test_what_does_not_fit_is_cut_and_said() -> None:
    lines = drawn(view(tasks=40, queues=30), height=30)
    assert len(lines) <= 30
    assert any("more queues" in line for line in lines)
    assert any("more tasks" in line for line in lines)
    # What has most to do comes first.
    assert [line.split()[0] for line in lines if line.startswith(("orders", "q"))][:3] == ["queue", "orders", "q28"]


def test_a_store_that_is_away_is_told_of_in_one_line() -> None:
    lines = drawn(view(trouble="jobs.db is locked\nby somebody " + "x" * 200))
    assert any(line.startswith("jobs.db is locked") for line in lines)
    assert max(map(len, lines)) <= 80


def test_a_long_title_is_cut() -> None:
    assert max(map(len, drawn(view(title="postgresql://host/" + "x" * 200)))) <= 80


def test_before_anything_was_counted() -> None:
    empty = View("sqlite:///jobs.db", "12:01:05", [], [], summarize([], 300.0, NOW), 6.0)
    assert drawn(empty)[-1] == "no workers, and so no figures"


def test_a_terminal_without_unicode_gets_plain_characters() -> None:
    lines = drawn(view(), unicode=False)
    assert "\n".join(lines).isascii()


def test_sparklines() -> None:
    assert sparkline([0, 1, 2, 4, None, 8], 10) == "▁▂▃▅ █"
    assert sparkline([0, 0], 10) == "▁▁"
    assert sparkline([], 10) == ""
    assert sparkline([1, 8, 1, 1], 2) == "█▂"
    assert sparkline([0, 8], 2, unicode=False) == "_#"
