"""Nodes with one host name, the same process ids, and clocks that differ by minutes share a queue."""

import time
from collections import Counter

import pytest
from network import HOST
from site_watch import FULL, Site, until

JOBS = 30_000 if FULL else 300
#: Seconds by which a start may be late: a poll of half a second, and a machine that does other things, too.
LATE = 1.5
#: Longer than a worker may be silent.
LONG = 9.0


def test_jobs_delays_retries_results_and_heartbeats_keep_the_time_of_the_database(site: Site) -> None:
    """In one piece, since nodes take their time to start."""
    # More than the long jobs: whichever node has all of them has room for others.
    site.work(concurrency=4)
    began, gate = time.monotonic(), site.folder / "gate"
    site.app.tasks["held"].delay_many([(number, str(gate)) for number in range(3)])
    until(lambda: len(site.notes("start")) == 3, 20, "three jobs run")

    # A delay counts from the moment the database takes the job in.
    sent = {}
    for number, clock in enumerate(site.nodes):
        before = time.monotonic()
        site.program(clock, f"app.tasks['quick'].options(delay=3).delay({-number})")
        sent[-number] = before + 3, time.monotonic() + 3 + LATE
    until(lambda: len(site.notes("run")) == 3, 30, "the delayed jobs have run")
    assert [note for note in site.notes("run") if not sent[note.number][0] <= note.at <= sent[note.number][1]] == []

    # So does a retry's backoff of 2 s, of which a half is random, on whichever node the job failed.
    site.app.tasks["flaky"].delay_many([(number,) for number in range(6)])
    until(lambda: len(site.notes("try")) == 12, 30, "every job was tried twice")
    first = {note.number: note.at for note in site.notes("try") if note.attempt == 1}
    waits = [note.at - first[note.number] for note in site.notes("try") if note.attempt == 2]
    assert min(waits) >= 1.0
    assert max(waits) <= 2.0 + LATE

    # All take part, and each job runs once.
    site.app.tasks["quick"].delay_many([(number,) for number in range(1, JOBS)])
    until(lambda: site.live() == 3, 30 + JOBS / 20, "all but the long jobs have ended")
    assert Counter(note.number for note in site.notes("run") if note.number > 0) == Counter(range(1, JOBS))
    assert {note.node for note in site.notes("run")} == {"0", "120", "-120"}

    # Who is alive is told by the database's clock, too.
    until(lambda: time.monotonic() - began > LONG, 2 * LONG, "the long jobs are long")
    for clock in site.nodes:
        workers = site.command(clock, "status", site.url)["workers"]
        assert len({worker["id"] for worker in workers}) == 3
        assert {(worker["host"], worker["pid"]) for worker in workers} == {(HOST, 1)}
        assert all(worker["alive"] for worker in workers)
        assert all(0 <= worker["silent_for"] < 6 for worker in workers)
    gate.touch()
    until(lambda: site.live() == 0, 60, "every job has ended")
    assert len(site.notes("start")) == len(site.notes("end")) == 3
    assert not any("dead" in site.said(clock) or "Traceback" in site.said(clock) for clock in site.nodes)


@pytest.mark.parametrize("site", ["postgresql", "mongodb", "redis"] if FULL else ["postgresql"], indirect=True)
def test_results_live_as_long_as_they_should(site: Site) -> None:
    site.work(-120)
    job = site.app.tasks["value"].delay(7)
    assert job.result(60) == 7
    # A worker that starts clears up first.
    site.work(120)
    assert job.result(0) == 7
    for clock in site.nodes:
        assert site.program(clock, f"print(handle({job.id!r}).result(0))") == "7"


GONE = [("postgresql", 120, "power fails"), ("mongodb", -120, "cut off")]
if FULL:
    GONE = [
        (kind, clock, how)
        for kind in ("postgresql", "mongodb", "redis")
        for clock in (120, -120)
        for how in ("power fails", "cut off")
    ]


@pytest.mark.parametrize(("site", "clock", "how"), GONE, indirect=["site"])
def test_jobs_of_a_node_that_is_gone_run_elsewhere_within_10_seconds(site: Site, how: str, clock: int) -> None:
    site.work(clock)
    gate = site.folder / "gate"
    site.app.tasks["held"].delay(0, str(gate))
    until(lambda: len(site.notes("start")) == 1, 60, "the job runs")
    site.work(-clock)
    if how == "cut off":
        site.nodes[clock].cut_off()
    else:
        site.nodes[clock].kill()
    at = time.monotonic()
    until(lambda: len(site.notes("start")) == 2, 60, "it runs again")
    assert site.notes("start")[1].at - at < 10
    gate.touch()
    if how == "cut off":
        until(lambda: len(site.notes("end")) == 2, 60, "both have ended")
        site.nodes[clock].rejoin()
        site.app.tasks["quick"].delay(0)
    until(lambda: site.live() == 0, 60, "every job has ended")
    with site.app.inspector() as inspector:
        assert [each.dead for each in inspector.count() if each.dead] == []
    assert {note.attempt for note in site.notes("start")} == {1}


@pytest.mark.parametrize("site", ["postgresql", "mongodb", "redis"] if FULL else ["mongodb"], indirect=True)
def test_any_node_can_cancel_and_send(site: Site) -> None:
    site.work(0)
    gate = site.folder / "gate"
    site.app.tasks["held"].delay(0, str(gate))
    until(lambda: len(site.notes("start")) == 1, 60, "the only slot is taken")
    waiting = site.program(120, "print(app.tasks['quick'].delay(1).id)")
    other = site.program(-120, "print(app.tasks['quick'].delay(2).id)")
    site.nodes[-120].run("-m", "penstock", "cancel", site.url, waiting, "--yes", **site.environment(-120))
    assert site.command(120, "show", site.url, waiting)["state"] == "cancelled"
    gate.touch()
    until(lambda: site.live() == 0, 60, "every job has ended")
    assert [note.number for note in site.notes("run")] == [2]
    assert site.program(120, f"print(handle({other!r}).state())") == "done"
