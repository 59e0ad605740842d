"""Schedules as an app has them: declared in code, changed at run time, and their runs."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from penstock import Penstock, current_job, shared_task
from penstock.brokers.base import Broker, Feature
from penstock.brokers.sqlite.broker import SqliteBroker
from penstock.core.schedule import CatchUp
from penstock.errors import ConfigError, MissingFeature, UnknownSchedule


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Penstock]:
    app = Penstock(f"sqlite:///{tmp_path}/jobs.db")
    yield app
    app.close()


def declare(app: Penstock, now: float | None = None) -> int:
    """What the start of a worker does."""
    with app.client.broker() as broker:
        return app.declare_schedules(broker)


def test_a_task_runs_when_it_is_due_with_its_arguments(app: Penstock) -> None:
    got: list[tuple[str, int, datetime | None]] = []

    @app.schedule(every=30, args=("ada",), kwargs={"cents": 7})
    @app.schedule("0 9 * * *", tz="Europe/Paris", args=("bob",), name="mornings", catch_up="all", jitter=0)
    @app.task(queue="mail", timeout=5)
    def bill(name: str, cents: int = 1) -> None:
        got.append((name, cents, current_job().due))

    assert declare(app) == 2
    assert declare(app) == 0
    kept = app.schedules.list()
    assert list(kept) == ["mornings", bill.name]
    assert (kept["mornings"].schedule.catch_up, kept["mornings"].schedule.queue) == (CatchUp.ALL, "mail")
    due = kept[bill.name].due
    assert due is not None
    assert app.schedules.fire(now=due - 0.1) == 0
    assert app.schedules.fire(now=due) == 1
    assert app.drain() == 1
    morning = kept["mornings"].due
    assert morning is not None
    app.schedules.remove(bill.name)
    assert app.schedules.fire(now=morning + 2 * 86_400) == 3
    assert app.drain() == 3
    assert got[0] == ("ada", 7, datetime.fromtimestamp(due, UTC))
    assert [(name, cents) for name, cents, _ in got[1:]] == [("bob", 1)] * 3
    days = [due.timestamp() for _, _, due in got[1:] if due is not None]
    assert [later - one for one, later in pairwise(days)] == [pytest.approx(86_400, abs=3600)] * 2


def test_a_job_of_no_schedule_was_never_due(app: Penstock) -> None:
    got: list[datetime | None] = []

    @app.task
    def look() -> None:
        got.append(current_job().due)

    look.delay()
    look.options(timeout=5).delay()
    app.drain()
    assert got == [None, None]


def test_arguments_may_have_types_that_are_defined_later(app: Penstock) -> None:
    @app.schedule(every=30, args=(1,))
    @app.task
    def later(one: "Later") -> None: ...  # noqa: F821

    with pytest.raises(ConfigError, match="Later"):
        declare(app)
    globals()["Later"] = int
    try:
        assert declare(app) == 1
    finally:
        del globals()["Later"]


def test_wrong_arguments_keep_a_worker_from_starting(app: Penstock) -> None:
    @app.schedule(every=30)
    @app.task
    def square(number: int) -> None: ...

    with pytest.raises(TypeError, match="number"):
        declare(app)


def test_what_is_no_schedule_is_refused_where_it_is_written(app: Penstock, tmp_path: Path) -> None:
    @app.task
    def task() -> None: ...

    other = Penstock(f"sqlite:///{tmp_path}/other.db")
    for wrong in (
        {"cron": "* *"}, {}, {"cron": "@daily", "every": 3}, {"every": 0}, {"every": 5, "catch_up": "maybe"},
        {"cron": "@daily", "tz": "Nowhere"}, {"every": 5, "jitter": 6}, {"every": 5, "name": "a:b"},
    ):  # fmt: skip
        with pytest.raises(ConfigError, match="schedule"):
            app.schedule(**wrong)(task)
    for what in (lambda: None, other.task(name="else")(lambda: None)):
        with pytest.raises(ConfigError, match=r"@app\.schedule goes above @app\.task"):
            app.schedule(every=5)(what)
    app.schedule(every=5)(task)
    with pytest.raises(ConfigError, match="another name="):
        app.schedule(every=6)(task)


def test_a_task_of_a_library_may_have_one(app: Penstock) -> None:
    @shared_task(name="library.clean")
    def clean() -> None: ...

    app.schedule(every=60)(clean)
    assert declare(app) == 1


def test_schedules_are_added_and_changed_while_it_runs(app: Penstock) -> None:
    got: list[str] = []

    @app.schedule("0 0 * * *", args=("code",))
    @app.task
    def say(word: str) -> None:
        got.append(word)

    declare(app)
    schedules = app.schedules
    schedules.add(say.options(queue="fast", timeout=3), every=60, args=("added",), name="added")
    with pytest.raises(ConfigError, match="there is a schedule"):
        schedules.add(say, every=60, args=("added",), name="added")
    with pytest.raises(ConfigError, match="delay= and at="):
        schedules.add(say.options(delay=5), every=60, args=("x",), name="x")
    assert schedules.get("added").schedule.queue == "fast"
    schedules.change(say.name, every=60, jitter=5)
    schedules.change(say.name, args=("changed",))
    entry = schedules.get(say.name)
    assert (entry.schedule.cron, entry.schedule.every, entry.schedule.jitter, entry.changed) == (None, 60, 5, True)
    assert declare(app) == 0
    schedules.change(say.name, catch_up="skip", kwargs={"word": "again"})
    assert schedules.get(say.name).schedule.catch_up is CatchUp.SKIP
    for wrong in ({"cron": "no"}, {"catch_up": "no"}, {"jitter": 100}, {"tz": "no", "cron": "@daily"}):
        with pytest.raises(ConfigError):
            schedules.change(say.name, **wrong)
    with pytest.raises(UnknownSchedule):
        schedules.change("other", every=5)
    job = schedules.run("added")
    assert (schedules.pause("added", say.name), schedules.pause("added")) == (2, 0)
    schedules.run(say.name)
    with pytest.raises(UnknownSchedule):
        schedules.run("other")
    assert app.drain(queues=["default", "fast"]) == 2
    assert job.result(timeout=0) is None
    assert sorted(got) == ["added", "again"]
    assert schedules.resume(say.name) == 1
    assert schedules.remove("added", "other") == 1
    assert list(schedules.list()) == [say.name]


def test_another_queue_knows_the_schedules_as_well(app: Penstock, tmp_path: Path) -> None:
    @app.schedule(every=60)
    @app.task
    def tick() -> None: ...

    with app.elsewhere(f"sqlite:///{tmp_path}/other.db"):
        due = app.schedules.get(tick.name).due
        assert due is not None
        assert app.schedules.fire(now=due) == app.drain() == 1
    assert app.schedules.list() == {}


def test_the_arguments_of_a_task_elsewhere_can_not_be_changed(app: Penstock, tmp_path: Path) -> None:
    @app.schedule(every=60)
    @app.task
    def mine() -> None: ...

    declare(app)
    other = Penstock(app.settings.url)
    other.schedules.change(mine.name, every=30)
    with pytest.raises(ConfigError, match="no task of this app"):
        other.schedules.change(mine.name, args=(1,))
    other.close()


def test_a_broker_that_keeps_none_says_so_by_name(app: Penstock) -> None:
    class Plain(SqliteBroker):
        features = frozenset(Feature) - {Feature.SCHEDULES}

        def schedules(self):
            return Broker.schedules(self)

    broker = Plain(app.settings.url)
    assert app.declare_schedules(broker) == 0

    @app.schedule(every=5, name="ticker")
    @app.task
    def tick() -> None: ...

    with pytest.raises(MissingFeature, match=r"keeps no schedules.*ticker"):
        app.declare_schedules(broker)
