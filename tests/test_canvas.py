"""Signatures, chains, groups, chords and map-reduce, run by a worker's own parts on a file."""

from collections.abc import Iterator

import pytest

from penstock import (
    Failure,
    GiveUp,
    Job,
    Penstock,
    PenstockError,
    State,
    Workflow,
    chain,
    chord,
    current_job,
    group,
    map_reduce,
)
from penstock.errors import ConfigError, JobCancelled, JobFailed

app = Penstock("sqlite:///unused.db")
failures: list[str] = []
broken: set[int] = set()


@app.task
def add(x: int, y: int = 0) -> int:
    return x + y


@app.task
def total(items: list[int]) -> int:
    return sum(items)


@app.task
def nothing(x: int) -> None:
    return None


@app.task
def fragile(x: int) -> int:
    if x in broken:
        raise GiveUp(f"{x} is broken")
    return x


@app.task
def tell(failure: Failure, where: str) -> None:
    failures.append(f"{where}: {failure.message}")


@app.task
def outcomes(items: list[int | Failure]) -> list[int | str]:
    return [item.message if isinstance(item, Failure) else item for item in items]


@app.task
def spread(count: int) -> int:
    current_job().workflow.add(*(add.si(number) for number in range(count)))
    if count in broken:
        broken.discard(count)
        raise RuntimeError("again")
    return 100


@app.task(unique=True)
def alone(x: int) -> int:
    return x


@app.task(rate_limit="5/s", limit_key=lambda x: x)
def keyed(x: int) -> int:
    return x


@pytest.fixture(autouse=True)
def store(queue_url: str) -> Iterator[None]:
    failures.clear()
    broken.clear()
    with app.elsewhere(queue_url):
        yield


def run() -> int:
    return app.drain(delayed=True)


def test_a_chain_hands_each_result_on():
    started = (add.s(1, 2) | add.s(10) | add.si(5)).delay()
    assert started.state() is State.RUNNING
    assert started.progress() == (0, 3)
    run()
    assert (started.result(0), started.progress(), started.state()) == (5, (3, 3), State.DONE)


def test_a_single_signature_is_a_workflow_of_one_step():
    started = add.s(1, y=2).delay()
    run()
    assert started.result(0) == 3
    assert app.workflow(started.id).result(0) == 3


def test_a_group_has_a_list_of_results():
    started = group(add.s(number, 1) for number in range(5)).delay()
    empty = group([]) | total.s()
    other = empty.delay()
    run()
    assert started.result(0) == [1, 2, 3, 4, 5]
    assert other.result(0) == 0


def test_a_chord_gets_the_results_in_order():
    header = [add.s(2), chain(add.s(3), add.s(10)), group(add.s(4), add.s(5))]
    started = chord(header, outcomes.s()).delay()
    run()
    assert started.result(0) == [2, 13, 4, 5]


def test_groups_after_groups():
    started = chain(group(add.s(1), add.s(2)), group(total.s(), total.s()), total.s()).delay()
    run()
    assert started.result(0) == 6


def test_what_returns_nothing_hands_on_none():
    started = (nothing.s(1) | outcomes.si([])).delay()
    listed = chord([nothing.s(1), nothing.s(2)], gather.s()).delay()
    run()
    assert started.result(0) == []
    assert listed.result(0) == 2


@app.task
def gather(items: list[int | None]) -> int:
    return items.count(None)


def test_none_is_a_result_whether_it_is_handed_on_or_not():
    flow = Workflow()
    first = flow.add(maybe.s(1))
    flow.add(outcomes.si([]), after=[first])
    flow.add(gather_one.s(), after=[first])
    started = flow.delay()
    (key,) = [stage.first for stage in started.record().stages if stage.name.endswith("maybe")]
    run()
    assert Job(app.client, key, int).result(0) is None
    assert started.result(0) == [[], True]


@app.task
def maybe(x: int) -> int | None:
    return None


@app.task
def gather_one(item: int | None) -> bool:
    return item is None


@pytest.mark.parametrize("count", [0, 1, 3, 4, 17])
def test_map_reduce_makes_one_result_however_many_there_are(count):
    started = map_reduce(range(count), add, total, fan_in=3).delay()
    run()
    assert started.result(0) == sum(range(count))
    assert max(len(stage.after) for stage in started.record().stages) <= 3


def test_a_mapper_may_have_arguments_of_its_own():
    started = (add.s(1) | map_reduce([10, 20], add.s(), total)).delay()
    run()
    assert started.result(0) == 1 + 10 + 1 + 20


def test_a_graph():
    flow = Workflow("sums")
    one = flow.add(add.s(1))
    many = flow.add(group(add.s(2), add.s(3)), after=[one])
    last = flow.add(mixed.s(7), after=[one, many])
    flow.add(add.s(1), after=[last])
    started = flow.delay()
    assert started.record().name == "sums"
    run()
    assert started.result(0) == 1 + (1 + 2) + (1 + 3) + 7 + 1


@app.task
def mixed(one: int, many: list[int], own: int) -> int:
    return one + sum(many) + own


def test_a_failure_is_told_to_who_waits_for_the_end():
    broken.add(2)
    started = (chain(fragile.s(1), fragile.si(2)) | add.s(1)).on_error(tell.s("chain")).delay()
    run()
    assert failures == ["chain: 2 is broken"]
    with pytest.raises(JobCancelled, match=r"fragile failed: GiveUp: 2 is broken"):
        started.result(0)
    assert started.state() is State.DEAD
    broken.clear()
    assert started.retry() == 2
    run()
    assert started.result(0) == 3
    assert failures == ["chain: 2 is broken"]


def test_an_error_callback_has_nothing_to_do_where_all_goes_well():
    started = group(add.s(1).on_error(tell.s("one")), add.s(2)).on_error(tell.s("group")).delay()
    run()
    assert started.result(0) == [1, 2]
    assert (failures, started.state()) == ([], State.DONE)


def test_a_workflow_may_go_on_with_failures():
    broken.add(2)
    steps = chord([fragile.s(number) for number in range(4)], outcomes.s())
    started = steps.workflow(on_failure="continue").delay()
    run()
    assert started.result(0) == [0, 1, "2 is broken", 3]
    assert started.state() is State.DEAD


def test_a_failed_last_job_raises_its_error():
    broken.add(1)
    started = fragile.s(1).delay()
    run()
    with pytest.raises(JobFailed, match="1 is broken"):
        started.result(0)


def test_a_workflow_is_cancelled():
    started = (add.s(1) | add.s(2)).delay()
    assert started.cancel() == 2
    assert run() == 0
    with pytest.raises(JobCancelled, match="the workflow was cancelled"):
        started.result(0)


@pytest.mark.parametrize("fails_first", [False, True])
def test_a_job_adds_others_to_its_workflow(fails_first):
    if fails_first:
        broken.add(3)
    started = chord([spread.s(3), add.s(1)], total.s()).delay()
    run()
    assert started.result(0) == 100 + 1 + 0 + 1 + 2
    assert started.progress() == (6, 6)


def test_only_a_workflow_can_be_added_to():
    job = spread.options(retries=0).delay(1)
    run()
    with pytest.raises(JobFailed, match="of no workflow"):
        job.result(0)


@pytest.mark.parametrize("task", [alone, keyed])
def test_what_has_a_key_of_results_is_refused(task):
    with pytest.raises(ConfigError, match=r"use \.si"):
        (add.s(1) | task.s()).delay()


def test_a_unique_task_is_refused():
    with pytest.raises(ConfigError, match="take unique= off"):
        alone.si(1).delay()


@pytest.mark.parametrize(
    "make",
    [
        lambda: chain(add),
        lambda: group(1),
        chain,
        lambda: map_reduce([1], add, total, fan_in=1),
        lambda: Workflow(on_failure="ignore"),
        lambda: Workflow().delay(),
        lambda: Workflow().add(add.s(1), after=[Workflow().add(add.s(1))]),
    ],
)
def test_what_makes_no_sense_is_refused(make):
    with pytest.raises(ConfigError):
        make()


def test_a_builder_starts_once():
    flow = add.s(1).workflow()
    flow.delay()
    with pytest.raises(ConfigError, match="build another"):
        flow.delay()
    run()


def test_a_step_that_can_not_be_called_so_is_refused_before_anything_is_stored():
    with pytest.raises(TypeError, match="add"):
        (add.s(1) | add.s(1, 2)).delay()
    assert run() == 0


def test_all_of_it_is_stored_in_one_transaction(queue_file):
    import sqlite3

    add.delay(0)
    connection = sqlite3.connect(queue_file, isolation_level=None)
    connection.execute("begin immediate")
    (add.options(tx=connection).s(1) | add.s(2)).delay()
    connection.execute("rollback")
    assert run() == 1
    connection.execute("begin immediate")
    started = (add.options(tx=connection).s(1) | add.s(2)).delay()
    connection.execute("commit")
    connection.close()
    run()
    assert started.result(0) == 3


def test_signatures_are_readable():
    assert repr(add.s(1, y=2)).endswith("add(1, y=2)")


async def stored():
    return await (add.s(1) | add.s(2)).delay_async()


def test_a_coroutine_starts_one():
    import asyncio

    started = asyncio.run(stored())
    run()
    assert started.result(0) == 3


def test_inline_mode_runs_it_at_once(queue_url):
    with app.elsewhere(queue_url, inline=True):
        assert map_reduce(range(10), add, total, fan_in=3).delay().result() == 45
        assert chord([spread.s(2), add.s(1)], total.s()).delay().result() == 101
        broken.add(1)
        with pytest.raises(PenstockError, match="1 is broken"):
            (fragile.s(1) | add.s(1)).delay()
