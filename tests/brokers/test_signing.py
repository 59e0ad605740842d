"""Signed jobs on every broker: whatever a job goes through, its signature is right at the end; and nobody else's is."""

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from penstock import Backoff, Penstock, chain
from penstock.brokers.inspect import Selection
from penstock.client import new_id
from penstock.core.job import NewJob
from penstock.core.states import State
from penstock.errors import MissingFeature

KEY = "k" * 32


@pytest.fixture
def app(new_url: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Penstock]:
    monkeypatch.setenv("PENSTOCK_SIGNING_KEYS", f"{KEY}, {'old' * 11}")
    monkeypatch.setenv("PENSTOCK_UNSIGNED_TASKS", "open")
    app = Penstock(new_url())
    yield app
    app.close()


def dead(app: Penstock) -> list[str]:
    with app.inspector() as inspector:
        return sorted(f"{one.task}: {one.failure}"[:60] for one in inspector.list(Selection(state=State.DEAD)))


def drained(app: Penstock) -> list[str]:
    """Run everything to its end; returns what is dead then."""
    while app.drain(delayed=True):
        pass
    return dead(app)


def test_a_job_keeps_its_signature_through_whatever_becomes_of_it(app: Penstock) -> None:
    ran: list[object] = []
    expected: set[object] = {1, 2, 3, (20, 1), (30, 1), ("heard", 8), *(("many", number) for number in range(4, 8))}

    @app.task(name="flaky", retries=3, backoff=Backoff(first=0.0))
    def flaky(number: int) -> int:
        ran.append(number)
        if ran.count(number) < 2:
            raise ConnectionError
        return number

    @app.task(name="add")
    def add(first: int, second: int) -> int:
        ran.append((first, second))
        return first + second

    @app.batch_task(name="many", retries=1, backoff=Backoff(first=0.0))
    def many(numbers: list[int]) -> None:
        ran.extend(("many", number) for number in numbers)
        if ran.count(("many", 5)) == 1:
            raise ValueError

    @app.subscribe("orders.*", group="ledger", name="hear")
    def hear(order: int) -> None:
        ran.append(("heard", order))

    with app.client.broker() as broker:
        app.register(broker)
    flaky.delay(1)
    flaky.map([2, 3])
    many.delay_many([(4,), (5,)])
    many.map([6, 7])
    app.topic("orders.new").publish(8)
    with suppress(MissingFeature):
        chain(flaky.s(9), add.s(10)).delay()
        expected.add((9, 10))
    app.schedules.add(add, every=3600, args=(20, 1), name="hourly")
    app.schedules.run("hourly")
    add.options(unique="key", replace=True, delay=1).delay(0, 0)
    add.options(unique="key", replace=True).delay(30, 1)
    assert drained(app) == []
    assert expected <= set(ran)


def test_what_somebody_without_a_key_sends_is_a_dead_letter_and_is_not_run(app: Penstock) -> None:
    ran: list[str] = []

    @app.task(name="send")
    def send(to: str) -> None:
        ran.append(to)

    @app.task(name="open")
    def everybodys(to: str) -> None:
        ran.append(to)

    @app.batch_task(name="many")
    def many(items: list[str]) -> None:
        ran.extend(items)

    sent = app.client.signing
    assert sent is not None
    signed = sent.job(NewJob(new_id(), "send", b"\x91\xa1a"))
    moved = [NewJob(new_id(), "send", signed.payload), NewJob(signed.id, "many", signed.payload)]
    plain = [NewJob(new_id(), task, b"\x91\xa1b") for task in ("send", "many", "open")]
    row = NewJob(new_id(), "send", b"\x93\x91\x91\xa1c\x00\xc0", packed=True, batch=new_id())
    json = NewJob(new_id(), "open", b'{"args": ["d"]}')
    with app.client.broker() as broker:
        broker.enqueue([*moved, *plain, row, json])
    many.delay("e")
    found = drained(app)
    assert sorted(ran) == ["b", "d", "e"]
    assert [one[:20] for one in found] == [
        "many: BadSignature: ",
        "many: BadSignature: ",
        *["send: BadSignature: "] * 3,
    ]


def test_a_dead_letter_is_run_by_a_worker_that_has_the_key(app: Penstock, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(keys: str | None) -> tuple[Penstock, list[int]]:
        monkeypatch.delenv("PENSTOCK_SIGNING_KEYS")
        monkeypatch.setenv("PENSTOCK_SIGNING_KEYS", keys or "")
        other, ran = Penstock(app.settings.url), []

        @other.task(name="count")
        def count(number: int) -> None:
            ran.append(number)

        return other, ran

    sender, ran = made(KEY)
    sender.tasks["count"].delay(1)
    sender.tasks["count"].map([2, 3])
    for keys, why in (
        (None, "PayloadError: it is signed, and no key"),
        ("x" * 32, "BadSignature: its signature is not right"),
    ):
        other, wrongly = made(keys)
        assert [one for one in drained(other) if why[:30] in one] != []
        assert wrongly == []
        with other.inspector() as inspector:
            inspector.retry(Selection(state=State.DEAD))
        other.close()
    assert drained(sender) == []
    assert sorted(ran) == [1, 2, 3]
    sender.close()
