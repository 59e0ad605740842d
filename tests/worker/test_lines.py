"""The last lines that a process logged."""

import logging
import time

from penstock.worker import lines
from penstock.worker.lines import LastLines, LastLinesHandler


def test_lines_are_read_in_order() -> None:
    last = LastLines(memoryview(bytearray(lines.ROOM)))
    assert last.read() == []
    last.write("one")
    last.write("two\nand more, with \u00e4\u20ac")
    assert last.read() == ["one", "two\nand more, with \u00e4\u20ac"]


def test_the_oldest_go_when_there_is_no_room() -> None:
    last = LastLines(memoryview(bytearray(lines.ROOM)))
    for number in range(5000):
        last.write(f"line {number}")
        kept = last.read()
        assert kept == [f"line {n}" for n in range(number - len(kept) + 1, number + 1)]
    assert len(last.read()) > 100


def test_a_long_line_is_cut() -> None:
    last = LastLines(memoryview(bytearray(lines.ROOM)))
    last.write("short")
    last.write("\u00e4" * lines.SIZE)
    first, cut = last.read()
    assert first == "short"
    assert cut.endswith("...")


def test_only_those_since_a_moment() -> None:
    last = LastLines(memoryview(bytearray(lines.ROOM)))
    last.write("before")
    now = time.monotonic() + 10
    assert last.read(now) == []
    assert last.read(now - 20) == ["before"]


def test_what_is_logged_gets_there_and_a_bad_record_breaks_nothing(monkeypatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    last = LastLines(memoryview(bytearray(lines.ROOM)))
    logger = logging.getLogger("shop.test_lines")
    logger.addHandler(LastLinesHandler(last))
    logger.warning("order %d is late", 7)
    logger.warning("order %d is late", "no number")
    assert last.read() == ["WARNING shop.test_lines: order 7 is late"]
