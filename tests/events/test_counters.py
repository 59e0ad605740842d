"""Figures in shared memory."""

from penstock.core.metrics import OTHERS, SECONDS, CacheFigures, Histogram
from penstock.events.counters import BATCH_SIZES, CACHES, CALLS, ROOM, RUNS, TASKS, Counters


def memory() -> bytearray:
    return bytearray(ROOM)


def test_what_is_counted_is_read_in_the_same_memory() -> None:
    shared = memory()
    ours, theirs = Counters(memoryview(shared)), Counters(memoryview(shared))
    assert theirs.read().tasks == ()
    ours.count("shop.send", "mail", 0, 3)
    ours.count("shop.send", "mail", 2)
    ours.count("shop.send", "default", 0)
    ours.pile("shop.send", "mail", RUNS, 0, 3, 0.0003)
    ours.pile("shop.send", "mail", RUNS, len(SECONDS), 1, 4000.0)
    ours.pile("shop.send", "mail", BATCH_SIZES, 2, 1, 5)
    ours.pile("shop.send", "mail", CALLS, 1, 1, 0.0002)
    ours.exchanged(3, 0.001)
    mail, default = theirs.read().tasks
    assert (mail.task, mail.queue) == ("shop.send", "mail")
    assert (mail.count("done"), mail.count("retried"), mail.count("dead")) == (3.0, 0.0, 1.0)
    assert mail.runs == Histogram((3.0, *[0.0] * (len(SECONDS) - 1), 1.0), 4000.0003)
    assert mail.sizes == Histogram((0.0, 0.0, 1.0), 5.0)
    assert mail.calls == Histogram((0.0, 1.0), 0.0002)
    assert (default.queue, default.count("done")) == ("default", 1.0)
    assert theirs.read().exchanges == Histogram((0.0, 0.0, 0.0, 1.0), 0.001)


def test_tasks_beyond_the_room_share_one_record() -> None:
    counters = Counters(memoryview(memory()))
    for number in range(TASKS + 10):
        counters.count(f"task.{number}", "q", 0)
    tasks = counters.read().tasks
    assert len(tasks) == TASKS
    assert tasks[0].task == "task.0"
    assert (tasks[-1].task, tasks[-1].queue, tasks[-1].count("done")) == (OTHERS, OTHERS, 11.0)


def test_what_caches_did_adds_up_and_what_they_hold_does_not() -> None:
    counters = Counters(memoryview(memory()))
    counters.cached("accounts", (10, 2, 0), (2, 200))
    counters.cached("accounts", (5, 1, 1), (3, 300))
    assert counters.read().caches == (CacheFigures("accounts", 15, 3, 1, 3, 300),)
    for number in range(CACHES + 3):
        counters.cached(f"c{number}", (1, 0, 0), (0, 0))
    caches = counters.read().caches
    assert len(caches) == CACHES
    assert caches[-1].name == OTHERS


def test_long_names_are_cut_and_odd_ones_survive() -> None:
    counters = Counters(memoryview(memory()))
    counters.count("ы" * 100, "ю" * 100, 0)
    counters.count("a\ud800b", "", 0)
    long, odd = counters.read().tasks
    assert (long.task, long.queue) == ("ы" * 64, "ю" * 32)
    assert (odd.task, odd.queue) == ("a?b", "")


def test_the_memory_is_let_go_of() -> None:
    shared = memory()
    counters = Counters(memoryview(shared))
    counters.close()
    shared.clear()
