"""Jobs that share calls, in real workers."""

from itertools import chain

import pytest
from msgspec.structs import replace
from yard import Yard, until

from penstock.brokers.inspect import Selection
from penstock.core.codec import decode_value
from penstock.core.job import JobRecord
from penstock.core.states import State
from penstock.events.emit import ProcessDied, WorkerStopped
from penstock.worker.lane import Lane

TASKS = """
import asyncio, json
from penstock import BatchError, Fixed, GiveUp, Retry, Snooze

def told(items):
    note(f"call {json.dumps(items)}")

@app.task(name="plain")
def plain(number: int) -> None:
    note(f"plain-{number}")

@app.batch_task(name="store", max_size=50)
def store(items: list[int]) -> None:
    told(items)

@app.batch_task(name="other", max_size=50)
def other(items: list[int]) -> None:
    told(items)

@app.batch_task(name="double", max_size=50, backoff=Backoff(first=1000))
def double(items: list[int]) -> list[object]:
    told(items)
    return [ValueError("odd") if item % 2 else 2 * item for item in items]

@app.batch_task(name="async double", max_size=50)
async def async_double(items: list[int]) -> list[int]:
    await asyncio.sleep(0.001)
    told(items)
    return [2 * item for item in items]

@app.batch_task(name="picky", max_size=50, retries=0, sizing=Fixed(50, wait=0.3))
def picky(items: list[int]) -> None:
    told(items)
    if bad := [item for item in items if item % 10 == 7]:
        raise ValueError(f"{bad[0]} is bad")

@app.batch_task(name="named", max_size=50, retries=0)
def named(items: list[int]) -> None:
    told(items)
    raise BatchError({index: LookupError(f"no {item}") for index, item in enumerate(items) if item >= 5})

@app.batch_task(name="away", max_size=50, sizing=Fixed(50, wait=0.3), backoff=Backoff(first=0.01))
def away(items: list[int]) -> None:
    told(items)
    if len(notes := (FOLDER / "notes").read_text().splitlines()) == 1:
        raise ConnectionError("the other side has gone")

@app.batch_task(name="long", max_size=50, timeout=0.2, retries=0)
def long(items: list[int]) -> None:
    told(items)
    while True:
        time.sleep(0.01)

@app.batch_task(name="said", max_size=50, sizing=Fixed(6, wait=0.3))
def said(items: list[int]) -> None:
    told(items)
    raise BatchError({items.index(1): Retry("later", in_=60), items.index(2): Snooze(60), items.index(3): GiveUp("never")})

@app.batch_task(name="all later", max_size=50)
def all_later(items: list[int]) -> None:
    raise Snooze(60)

@app.batch_task(name="deadly", max_size=50, sizing=Fixed(8, wait=0.3))
def deadly(items: list[int]) -> None:
    told(items)
    if 3 in items:
        os.kill(os.getpid(), signal.SIGKILL)

@app.batch_task(name="hold", max_size=4)
def hold(items: list[int]) -> None:
    told(items)
    while not (FOLDER / "gate").exists():
        time.sleep(0.01)

@app.batch_task(name="sticky", max_size=50, sizing=Fixed(5, wait=0.02))
def sticky(items: list[int]) -> None:
    told(items)
    while 0 in items and not (FOLDER / "gate").exists():
        time.sleep(0.01)

@app.batch_task(name="patient", max_size=50, sizing=Fixed(50, wait=300))
def patient(items: list[int]) -> None:
    told(items)

@app.batch_task(name="ordered", max_size=20, key="symbol", retries=2, backoff=Backoff(first=0.01))
def ordered(orders: list[dict]) -> None:
    if 101 in [order["n"] for order in orders]:
        note("tried S3 101")
        raise ValueError("no such order")
    for order in orders:
        note(f"applied {order['symbol']} {order['n']}")

@app.batch_task(name="spaced", max_size=50, sizing=Fixed(50, wait=0.2))
def spaced(items: list[int]) -> None:
    told(items)
"""
LANES = {
    "prefork": Lane("yard_app:app", 2),
    "threads": Lane("yard_app:app", 1, "threads", 10),
    "gevent": Lane("yard_app:app", 1, "gevent", 10),
    "asyncio": Lane("yard_app:app", 1, "asyncio", 10),
}
ONE = Lane("yard_app:app", 1)
#: One whose slot is the main thread, and one whose slots are beside it.
TWO = [pytest.param(LANES[name], id=name) for name in ("prefork", "threads")]


@pytest.fixture(params=LANES)
def lane(request: pytest.FixtureRequest) -> Lane:
    return LANES[request.param]


@pytest.fixture
def yard(yard: Yard) -> Yard:
    yard.write(TASKS)
    return yard


def calls(yard: Yard) -> list[list[int]]:
    """The lists that the tasks were called with."""
    return [decode(note) for note in yard.notes() if note.startswith("call")]


def numbers(found: list[list[int]]) -> list[int]:
    return sorted(chain.from_iterable(found))


def decode(note: str) -> list[int]:
    return [int(number) for number in note.partition("[")[2].partition("]")[0].split(",")]


def records(yard: Yard, ids: list[bytes]) -> list[JobRecord | None]:
    with yard.app.inspector() as inspector:
        return [inspector.get(id) for id in ids]


def states(yard: Yard, ids: list[bytes]) -> list[str]:
    return ["done" if found is None else str(found.state) for found in records(yard, ids)]


def failures(yard: Yard, ids: list[bytes]) -> list[str]:
    return [str(found.failure) for found in records(yard, ids) if found is not None]


def results(yard: Yard, ids: list[bytes]) -> list[object]:
    with yard.app.inspector() as inspector:
        return [None if (value := inspector.result(id)) is None else decode_value(value) for id in ids]


def send(yard: Yard, task: str, items: list[object]) -> list[bytes]:
    return [job.key for job in yard.app.tasks[task].delay_many([(item,) for item in items])]


def ended(yard: Yard, ids: list[bytes]) -> None:
    until(lambda: not {"ready", "running", "delayed"} & set(states(yard, ids)), "all have ended")


def test_jobs_share_calls_and_end_one_by_one_in_every_pool(yard: Yard, lane: Lane) -> None:
    odd = send(yard, "double", [1] * 3)
    even, awaited = send(yard, "double", list(range(0, 400, 2))), send(yard, "async double", list(range(200)))
    plain = send(yard, "plain", [1, 2, 3])
    with yard.app.inspector() as inspector:
        assert inspector.cancel(Selection(ids=(odd[1],))) == 1
    yard.start(lane)
    until(lambda: {*states(yard, even), *states(yard, awaited), *states(yard, plain)} == {"done"}, "all have ended")
    assert results(yard, even) == list(range(0, 800, 4))
    assert results(yard, awaited) == list(range(0, 400, 2))
    until(lambda: states(yard, [odd[0], odd[2]]) == ["delayed"] * 2, "the odd ones are to be tried again")
    assert states(yard, [odd[1]]) == ["cancelled"]
    (again, _) = records(yard, [odd[0], odd[2]])
    assert again is not None
    assert (again.attempt, str(again.failure)) == (1, "ValueError: odd")
    assert max(map(len, calls(yard))) <= 50
    assert len(calls(yard)) < 200
    assert yard.of(ProcessDied) == []


def test_exactly_the_bad_ones_fail_each_with_its_own_error(yard: Yard) -> None:
    ids = send(yard, "picky", list(range(50)))
    yard.start(ONE)
    ended(yard, ids)
    assert [index for index, state in enumerate(states(yard, ids)) if state == "dead"] == [7, 17, 27, 37, 47]
    assert failures(yard, ids) == [f"ValueError: {bad} is bad" for bad in (7, 17, 27, 37, 47)]
    found = records(yard, [ids[7]])[0]
    assert found is not None
    assert found.failure is not None
    assert "in picky" in found.failure.traceback
    assert "penstock/worker" not in found.failure.traceback
    assert len(calls(yard)) < 60


def test_the_task_says_itself_which_of_them_failed(yard: Yard) -> None:
    ids = send(yard, "named", list(range(10)))
    yard.start(ONE)
    ended(yard, ids)
    assert states(yard, ids) == ["done"] * 5 + ["dead"] * 5
    assert failures(yard, ids) == [f"LookupError: no {number}" for number in range(5, 10)]
    assert numbers(calls(yard)) == list(range(10))


def test_where_the_other_side_was_away_all_are_tried_again(yard: Yard) -> None:
    ids = send(yard, "away", list(range(20)))
    yard.start(ONE)
    ended(yard, ids)
    assert states(yard, ids) == ["done"] * 20
    assert sorted(calls(yard)[0]) == list(range(20))
    assert numbers(calls(yard)[1:]) == list(range(20))


def test_a_call_that_takes_too_long_is_the_failure_of_all(yard: Yard, lane: Lane) -> None:
    ids = send(yard, "long", list(range(20)))
    yard.start(lane)
    ended(yard, ids)
    assert states(yard, ids) == ["dead"] * 20
    assert {text.partition(":")[0] for text in failures(yard, ids)} == {"penstock.errors.TimeLimitExceeded"}
    assert numbers(calls(yard)) == list(range(20))
    assert yard.of(ProcessDied) == []


def test_items_may_be_retried_snoozed_and_given_up_one_by_one(yard: Yard) -> None:
    ids = send(yard, "said", list(range(6)))
    later = send(yard, "all later", list(range(3)))
    yard.start(ONE)
    until(lambda: states(yard, ids) == ["done", "delayed", "delayed", "dead", "done", "done"], "each has its end")
    until(lambda: states(yard, later) == ["delayed"] * 3, "all are delayed")
    attempts = [found.attempt for found in records(yard, [ids[1], ids[2], *later]) if found is not None]
    assert attempts == [1, 0, 0, 0, 0]


def test_a_jobs_own_options_hold_for_it(yard: Yard) -> None:
    task = yard.app.tasks["double"]
    never, again = task.options(retries=0).delay(1), task.delay(3)
    kept, dropped = task.delay(4), task.options(result_ttl=0.0).delay(6)
    ids = [job.key for job in (never, again, kept, dropped)]
    yard.start(ONE)
    until(lambda: states(yard, ids) == ["dead", "delayed", "done", "done"], "each has its end")
    until(lambda: results(yard, ids[2:3]) == [8], "it has its result")


def test_what_can_not_be_decoded_is_a_dead_letter_and_hurts_no_other(yard: Yard) -> None:
    task = yard.app.tasks["store"]
    jobs = [task.job((number,), {}) for number in range(4)]
    jobs[1] = replace(jobs[1], payload=b"\xc1")
    jobs[2] = replace(jobs[2], payload=b"\x91\xa1a")
    jobs[3] = replace(jobs[3], options=b"\xc1")
    yard.app.client.enqueue(jobs)
    yard.start(ONE)
    ids = [job.id for job in jobs]
    ended(yard, ids)
    assert states(yard, ids) == ["done", "dead", "dead", "dead"]
    assert all(text.startswith("PayloadError: ") for text in failures(yard, ids))


def test_each_job_of_a_call_that_killed_its_process_runs_alone_and_only_the_deadly_one_dies(
    yard: Yard, lane: Lane
) -> None:
    ids = send(yard, "deadly", list(range(8)))
    yard.start(lane)
    until(lambda: states(yard, ids) == ["done"] * 3 + ["dead"] + ["done"] * 4, "one is dead")
    (found,) = records(yard, [ids[3]])
    assert found is not None
    assert found.attempt == 0
    assert "Crashed: the process that ran it died, 3 times over" in str(found.failure)
    together = [call for call in calls(yard) if len(call) > 1]
    assert sum(3 in call for call in together) == 1
    assert [call for call in calls(yard) if 3 in call and len(call) == 1] == [[3], [3]]


@pytest.mark.parametrize("lane", TWO)
def test_a_job_of_a_call_that_is_cancelled_as_it_runs_ends_well_if_the_call_does(yard: Yard, lane: Lane) -> None:
    ids = send(yard, "hold", [1, 2])
    yard.start(lane)
    until(lambda: calls(yard), "it runs")
    with yard.app.inspector() as inspector:
        assert inspector.cancel(Selection(ids=(ids[1],))) == 1
    (yard.folder / "gate").touch()
    until(lambda: states(yard, ids)[0] == "done", "the other is done")
    until(lambda: states(yard, ids)[1] in ("done", "cancelled"), "it has ended, too")
    assert yard.of(ProcessDied) == []


def test_a_job_that_waits_for_others_can_be_cancelled(yard: Yard, lane: Lane) -> None:
    ids = send(yard, "patient", [1, 2])
    supervisor = yard.start(lane)
    until(lambda: states(yard, ids) == ["running"] * 2, "a process has them")
    with yard.app.inspector() as inspector:
        assert inspector.cancel(Selection(ids=(ids[0],))) == 1
    until(lambda: states(yard, ids)[0] == "cancelled", "it is cancelled")
    yard.stop(supervisor)
    assert states(yard, ids) == ["cancelled", "ready"]
    assert calls(yard) == []


@pytest.mark.parametrize("lane", TWO)
def test_a_stop_gives_back_what_waits_for_others(yard: Yard, lane: Lane) -> None:
    ids = send(yard, "patient", list(range(10)))
    supervisor = yard.start(lane)
    until(lambda: set(states(yard, ids)) == {"running"}, "a process has them")
    supervisor.stop()
    until(lambda: set(states(yard, ids)) == {"ready"}, "they are given back")
    assert calls(yard) == []
    assert {found.attempt + found.crashes for found in records(yard, ids) if found is not None} == {0}


@pytest.mark.parametrize("lane", TWO)
def test_a_burst_waits_for_what_waits_for_others(yard: Yard, lane: Lane) -> None:
    ids = send(yard, "spaced", list(range(10)))
    supervisor = yard.start(lane, burst=True)
    until(lambda: states(yard, ids) == ["done"] * 10, "they are done")
    assert numbers(calls(yard)) == list(range(10))
    until(lambda: yard.of(WorkerStopped), "it ends by itself")
    assert not supervisor.stopping


def test_a_process_leaves_after_its_jobs(yard: Yard) -> None:
    ids = send(yard, "store", list(range(15)))
    yard.start(Lane("yard_app:app", 1, max_jobs_per_process=10))
    ended(yard, ids)
    pids = [note.rpartition(" ")[2] for note in yard.notes() for _ in decode(note)]
    assert sorted(pids.count(pid) for pid in set(pids)) == [5, 10]
    assert yard.of(ProcessDied) == []


@pytest.mark.parametrize("lane", TWO)
def test_several_tasks_in_one_queue_all_move(yard: Yard, lane: Lane) -> None:
    ids = []
    for first in range(0, 600, 20):
        some: list[object] = list(range(first, first + 20))
        ids += send(yard, "store", some) + send(yard, "other", some) + send(yard, "plain", some[:5])
    yard.start(lane)
    until(lambda: set(states(yard, ids)) == {"done"}, "all have ended")
    assert numbers(calls(yard)) == sorted(2 * list(range(600)))
    assert len([note for note in yard.notes() if note.startswith("plain")]) == 150


@pytest.mark.parametrize("pool", ["prefork", "asyncio"])
def test_what_waits_behind_a_slow_call_goes_to_the_worker_that_is_idle(yard: Yard, pool: str) -> None:
    held = send(yard, "hold", [0])
    for _ in range(2):
        yard.start(Lane("yard_app:app", 1, pool, 1))
    until(lambda: calls(yard) == [[0]], "it runs")
    ids = send(yard, "store", list(range(1, 200)))
    until(lambda: set(states(yard, ids)) == {"done"}, "all but the slow one have ended")
    assert states(yard, held) == ["running"]
    more = send(yard, "hold", list(range(200, 210)))
    (yard.folder / "gate").touch()
    until(lambda: set(states(yard, held + more)) == {"done"}, "all have ended")


@pytest.mark.parametrize(("pool", "slots"), [("prefork", 1), ("asyncio", 1), ("threads", 4)])
def test_what_was_taken_for_the_next_calls_goes_back_when_the_present_one_is_slow(
    yard: Yard, pool: str, slots: int
) -> None:
    ids = send(yard, "sticky", list(range(100)))
    for _ in range(2):
        yard.start(Lane("yard_app:app", 1, pool, slots))
    until(lambda: states(yard, ids).count("done") >= 95, "all but those of the slow call have ended")
    stuck = next(call for call in calls(yard) if 0 in call)
    assert states(yard, [ids[number] for number in stuck]) == ["running"] * len(stuck)
    (yard.folder / "gate").touch()
    ended(yard, ids)
    assert numbers(calls(yard)) == list(range(100))


@pytest.mark.parametrize("lane", TWO)
def test_rows_are_called_with_in_slices_and_items_that_fail_leave_as_jobs(yard: Yard, lane: Lane) -> None:
    batch = yard.app.tasks["picky"].map(range(120))
    yard.start(lane)
    until(lambda: batch.counts().done + batch.counts().failed == 120, "the items have ended")
    assert (batch.counts().done, batch.counts().failed) == (108, 12)
    assert max(map(len, calls(yard))) <= 50
    with yard.app.inspector() as inspector:
        dead = inspector.list(Selection(state=State.DEAD))
    assert sorted(str(each.failure) for each in dead) == sorted(
        f"ValueError: {bad} is bad" for bad in range(7, 120, 10)
    )


def test_of_a_key_none_is_done_before_the_one_ahead_whichever_process_has_it(yard: Yard) -> None:
    sent = [(f"S{number % 7}", number) for number in range(350)]
    ids = [job.key for job in yard.app.tasks["ordered"].delay_many([({"symbol": s, "n": n},) for s, n in sent])]
    yard.start(LANES["prefork"])
    until(lambda: states(yard, ids).count("dead") == 1 and set(states(yard, ids)) == {"done", "dead"}, "all have ended")
    notes = [note.split()[:3] for note in yard.notes()]
    for symbol in {each[0] for each in sent}:
        own = [number for each, number in sent if each == symbol and number != 101]
        assert [int(number) for what, each, number in notes if each == symbol and what == "applied"] == own
    # Those behind the one that failed have waited until it was dead.
    tried = [index for index, note in enumerate(notes) if note[0] == "tried"]
    assert len(tried) >= 3
    assert tried[-1] < notes.index(["applied", "S3", "108"])
