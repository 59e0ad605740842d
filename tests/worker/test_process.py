"""What a process does for its jobs, on every pool."""

import pytest
from yard import Yard, until

from penstock.brokers.inspect import Selection
from penstock.client import new_ids
from penstock.core.codec import decode_value, encode_value
from penstock.core.ids import format_id
from penstock.core.job import NewJob
from penstock.events.emit import ProcessDied, ProcessKilled
from penstock.worker.lane import Lane

TASKS = """
import asyncio

@app.task(name="good")
def good(number: int = 0) -> str:
    note(f"good-{number}")
    return current_job().id

@app.task(name="async good")
async def async_good() -> str:
    before = current_job().id
    await asyncio.sleep(0.01)
    assert current_job().id == before
    return before

@app.task(name="send")
def send() -> str:
    return good.delay(1).id

@app.task(name="async send")
async def async_send() -> str:
    return (await good.delay_async(1)).id

def wait(seconds: float = 20) -> None:
    # In short steps, for threads, which hear of nothing while C code waits.
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)

@app.task(name="catch", timeout=0.2)
def catch() -> str:
    try:
        wait()
    except TimeoutError as error:
        return f"caught {error}"

@app.task(name="async catch", timeout=0.2)
async def async_catch() -> str:
    try:
        await asyncio.sleep(20)
    except TimeoutError as error:
        await asyncio.sleep(0.01)
        return f"caught {error}"

@app.task(name="long", timeout=0.2, retries=0)
def long() -> None:
    wait()

@app.task(name="async long", timeout=0.2, retries=0)
async def async_long() -> None:
    await asyncio.gather(asyncio.sleep(20), asyncio.sleep(30))

@app.task(name="item", timeout=0.5, retries=0)
def item(seconds: float) -> None:
    note(f"item-{seconds}")
    wait(seconds)

@app.task(name="deaf", timeout=0.1, kill_after=0.2, retries=0)
def deaf() -> None:
    for _ in range(200):
        try:
            time.sleep(0.1)
        except TimeoutError:
            pass

@app.task(name="endless")
def endless() -> None:
    note("endless")
    wait()

@app.task(name="async endless")
async def async_endless() -> None:
    note("endless")
    await asyncio.sleep(20)

@app.task(name="time out", retries=0)
def time_out() -> None:
    import gevent
    with gevent.Timeout(0.05):
        wait()

@app.task(name="hold")
def hold() -> None:
    note("hold")
    while not (FOLDER / "gate").exists():
        time.sleep(0.01)

@app.task(name="block")
async def block() -> None:
    hold.function()

@app.task(name="block for long", timeout=0.1, kill_after=0.2, retries=0)
async def block_for_long() -> None:
    note("blocks")
    time.sleep(20)

@app.task(name="suspect")
def suspect() -> None:
    note("suspect began")
    if len([line for line in (FOLDER / "notes").read_text().splitlines() if line.startswith("suspect")]) == 1:
        os._exit(1)
    wait(0.3)
    note("suspect ended")

@app.task(name="step")
def step(number: int) -> None:
    note(f"step-{number} began")
    wait(0.05)
    note(f"step-{number} ended")
"""
LANES = {
    "prefork": Lane("yard_app:app", 2),
    "threads": Lane("yard_app:app", 1, "threads", 10),
    "gevent": Lane("yard_app:app", 1, "gevent", 10),
    "asyncio": Lane("yard_app:app", 1, "asyncio", 10),
}
MANY = [pytest.param(LANES[name], id=name) for name in ("threads", "gevent", "asyncio")]


@pytest.fixture(params=LANES)
def lane(request: pytest.FixtureRequest) -> Lane:
    return LANES[request.param]


@pytest.fixture
def yard(yard: Yard) -> Yard:
    yard.write(TASKS)
    return yard


def state(yard: Yard, id: bytes) -> str:
    with yard.app.inspector() as inspector:
        found = inspector.get(id)
        return "done" if found is None else str(found.state)


def result(yard: Yard, id: bytes) -> object:
    until(lambda: state(yard, id) == "done", "it is done")
    with yard.app.inspector() as inspector:
        value = inspector.result(id)
        return None if value is None else decode_value(value)


def failure(yard: Yard, id: bytes) -> str:
    until(lambda: state(yard, id) == "dead", "it is dead")
    with yard.app.inspector() as inspector:
        found = inspector.get(id)
    assert found is not None
    return str(found.failure)


def test_a_job_knows_itself_sends_others_and_is_held_to_its_time(yard: Yard, lane: Lane) -> None:
    jobs = {
        name: yard.send(name)
        for name in yard.app.tasks
        if name not in ("item", "suspect", "step", "hold", "block", "block for long", "time out")
        and "endless" not in name
    }
    batch = yard.app.tasks["item"].map([0.1, 0.1, 0.1, 9.0, 0.1, 0.1, 0.1])
    supervisor = yard.start(lane)
    for name in ("good", "async good"):
        assert result(yard, jobs[name]) == format_id(jobs[name])
    for name in ("send", "async send"):
        sent = result(yard, jobs[name])
        assert isinstance(sent, str)
        until(lambda: len([note for note in yard.notes() if note.startswith("good-1")]) == 2, "what they sent has run")
    for name in ("catch", "async catch"):
        assert result(yard, jobs[name]) == "caught it ran longer than its timeout of 0.2 s"
    for name in ("long", "async long", "deaf"):
        assert "penstock.errors.TimeLimitExceeded: " in failure(yard, jobs[name])
    until(lambda: batch.counts().done + batch.counts().failed == 7, "the items have ended")
    assert (batch.counts().done, batch.counts().failed) == (6, 1)
    jobs |= {name: yard.send(name) for name in ("endless", "async endless")}
    until(lambda: len([note for note in yard.notes() if note.startswith("endless")]) >= 2, "the endless ones run")
    with yard.app.inspector() as inspector:
        assert inspector.cancel(Selection(ids=(jobs["endless"], jobs["async endless"]))) == 2
    for name in ("endless", "async endless"):
        until(lambda name=name: state(yard, jobs[name]) == "cancelled", "it is cancelled")
    # The deaf one cost a process of one slot its life; where others ran beside it, they ended in peace.
    assert len(yard.of(ProcessKilled)) == (lane.slots == 1)
    assert yard.of(ProcessDied) == []
    assert not supervisor.stopping


@pytest.mark.parametrize("pool", LANES)
def test_what_waits_behind_a_slow_job_goes_to_the_worker_that_is_idle(yard: Yard, pool: str) -> None:
    good, hold = yard.app.tasks["good"], yard.app.tasks["hold"]
    # By then each takes many at a time.
    good.delay_many([(number,) for number in range(200)])
    held = hold.delay()
    good.delay_many([(number,) for number in range(200, 400)])
    for _ in range(2):
        yard.start(Lane("yard_app:app", 1, pool, 1))
    until(lambda: len(yard.notes()) == 401, "all but the slow one have ended")
    assert state(yard, held.key) == "running"
    (yard.folder / "gate").touch()
    until(lambda: state(yard, held.key) == "done", "it has ended, too")
    assert sorted(int(note.split()[0].partition("-")[2]) for note in yard.notes() if "good" in note) == list(range(400))


@pytest.mark.parametrize("pool", LANES)
def test_what_waits_behind_the_first_job_after_a_rest_goes_back_as_well(yard: Yard, pool: str) -> None:
    for _ in range(2):
        yard.start(Lane("yard_app:app", 1, pool, 1))
    yard.app.tasks["good"].delay_many([(number,) for number in range(200)])
    until(lambda: len(yard.notes()) == 200, "each takes many at a time by now")
    # Of one commit, so that whoever comes first takes the slow one and those behind it.
    hold, *good = new_ids(21)
    jobs = [NewJob(id, "good", encode_value((0,))) for id in good]
    yard.app.client.enqueue([NewJob(hold, "hold", encode_value(())), *jobs])
    until(lambda: len(yard.notes()) == 221, "all but the slow one have ended")
    assert state(yard, hold) == "running"
    (yard.folder / "gate").touch()
    until(lambda: state(yard, hold) == "done", "it has ended, too")


def test_what_a_blocked_loop_does_not_come_to_goes_to_the_worker_that_is_idle(yard: Yard) -> None:
    tasks = yard.app.tasks
    held = tasks["block"].delay()
    for _ in range(2):
        yard.start(Lane("yard_app:app", 1, "asyncio", 100))
    until(lambda: len(yard.notes()) == 1, "it blocks the loop")
    good = tasks["async good"].delay_many([()] * 300)
    until(lambda: all(state(yard, job.key) == "done" for job in good), "all but the slow one have ended")
    assert state(yard, held.key) == "running"
    (yard.folder / "gate").touch()
    until(lambda: state(yard, held.key) == "done", "it has ended, too")


def test_who_blocks_the_loop_past_the_last_moment_is_killed_and_its_neighbours_go_back(yard: Yard) -> None:
    tasks = yard.app.tasks
    neighbour = tasks["async endless"].delay()
    yard.start(Lane("yard_app:app", 1, "asyncio", 10))
    until(lambda: len(yard.notes()) == 1, "its neighbour runs")
    job = tasks["block for long"].delay()
    assert "TimeLimitExceeded" in failure(yard, job.key)
    until(lambda: len(yard.notes()) == 3, "its neighbour runs again")
    with yard.app.inspector() as inspector:
        found = inspector.get(neighbour.key)
    assert found is not None
    assert (found.attempt, found.crashes) == (0, 0)
    assert len(yard.of(ProcessKilled)) == 1


def test_a_timeout_of_gevents_own_fails_its_job_and_not_its_process(yard: Yard) -> None:
    job = yard.send("time out")
    yard.start(LANES["gevent"])
    assert "Timeout: 0.05 seconds" in failure(yard, job)
    assert yard.of(ProcessDied) == []


@pytest.mark.parametrize("lane", MANY)
def test_a_suspect_runs_with_nothing_beside_it(yard: Yard, lane: Lane) -> None:
    yard.send("suspect")
    yard.start(lane)
    # What is sent before it is dead might begin there, and run once more.
    until(lambda: yard.of(ProcessDied), "it has killed its process")
    for number in range(30):
        yard.send("step", number)
    until(lambda: len(yard.notes()) == 1 + 2 + 60, "all have run")
    notes = [note.rpartition(" ")[0] for note in yard.notes()]
    assert set(notes) >= {f"step-{number} ended" for number in range(30)}
    began = notes.index("suspect began", 1)
    assert notes[began + 1] == "suspect ended"
    before = notes[1:began]
    assert {each.split()[0] for each in before if "began" in each} == {
        each.split()[0] for each in before if "ended" in each
    }


@pytest.mark.parametrize(
    "lane",
    [
        pytest.param(Lane("yard_app:app", 1, "threads", 4, max_jobs_per_process=10), id="threads"),
        pytest.param(Lane("yard_app:app", 1, max_jobs_per_process=10), id="prefork"),
    ],
)
def test_a_process_leaves_after_its_jobs_and_another_takes_its_place(yard: Yard, lane: Lane) -> None:
    for number in range(15):
        yard.send("good", number)
    yard.start(lane)
    until(lambda: len(yard.notes()) == 15, "all have run")
    assert sorted(int(note.split("-")[1].split()[0]) for note in yard.notes()) == list(range(15))
    pids = [note.split()[1] for note in yard.notes()]
    assert sorted(pids.count(pid) for pid in set(pids)) == [5, 10]
    assert yard.of(ProcessDied) == []
