"""Declaring batch tasks and sinks, and sending to them."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from penstock import Adaptive, BatchTask, Fixed, Penstock
from penstock.errors import ConfigError, JobFailed, PayloadError


class Order(msgspec.Struct):
    id: int
    symbol: str = "ACME"


@pytest.fixture
def app(queue_url: str) -> Iterator[Penstock]:
    app = Penstock(queue_url)
    yield app
    app.close()


def store(orders: list[Order]) -> int:
    return len(orders)


class TestDeclaring:
    def test_with_options_and_without(self, app: Penstock) -> None:
        plain = app.batch_task(store)
        told = app.batch_task(name="told", max_size=7, queue="orders", retries=1)(store)
        assert isinstance(plain, BatchTask)
        assert plain.name.endswith("test_batch_task.store")
        assert told.sharing.max_size == 7
        assert (told.sending.queue, told.policy.retries, told.policy.batched) == ("orders", 1, True)

    def test_a_plain_call_is_a_call_with_the_list(self, app: Penstock) -> None:
        assert app.batch_task(store)([Order(1), Order(2)]) == 2

    @pytest.mark.parametrize("name", ["rate_limit", "concurrency", "burst", "limit_key"])
    def test_limits_of_single_jobs_are_refused(self, app: Penstock, name: str) -> None:
        value: Any = {"rate_limit": "1/s", "limit_key": str}.get(name, 1)
        with pytest.raises(ConfigError, match=f"{name}= is for tasks whose jobs run one by one"):
            app.batch_task(**{name: value})(store)

    def test_what_takes_no_list_is_refused(self, app: Penstock) -> None:
        def none() -> None: ...
        def two(items: list[int], more: int) -> None: ...
        def many(*items: int) -> None: ...
        def named(*, items: list[int]) -> None: ...

        for function in (none, two, many, named):
            with pytest.raises(ConfigError, match="is called with a list of items: give it one parameter"):
                app.batch_task(function)

    def test_sizes_and_waits_have_to_make_sense(self, app: Penstock) -> None:
        with pytest.raises(ConfigError, match="max_size="):
            app.batch_task(max_size=0)(store)
        with pytest.raises(ConfigError, match="max_wait="):
            app.batch_task(max_wait=-1)(store)
        with pytest.raises(ConfigError, match="leave max_wait= out"):
            app.batch_task(max_wait=1, sizing=Fixed(3))(store)
        with pytest.raises(ConfigError, match="unique= and key= don't go together"):
            app.batch_task(key="symbol", unique=True)(store)

    def test_every_process_has_a_policy_of_its_own(self, app: Penstock) -> None:
        task = app.batch_task(name="a", sizing=Adaptive(target=0.5))(store)
        first, second = task.sharing.collector(1), task.sharing.collector(1)
        assert first is not second


class TestSending:
    def test_an_item_is_checked_as_it_is_sent_and_read(self, app: Penstock) -> None:
        task = app.batch_task(store)
        job = task.job((Order(1),), {})
        (item,) = msgspec.structs.astuple(task.signature.decode(job.payload))
        assert item == Order(1)
        with pytest.raises(PayloadError, match="id"):
            task.signature.decode(task.signature.encode(({"id": "a"},), {}))
        with pytest.raises(TypeError):
            task.delay(Order(1), Order(2))  # type: ignore[call-arg]

    def test_without_a_hint_an_item_is_what_msgpack_has(self, app: Penstock) -> None:
        @app.batch_task
        def loose(items):  # type: ignore[no-untyped-def]
            return items

        (item,) = msgspec.structs.astuple(loose.signature.decode(loose.signature.encode(({"a": 1},), {})))
        assert item == {"a": 1}

    def test_jobs_share_calls_as_a_test_drains_them(self, app: Penstock) -> None:
        seen: list[list[int]] = []

        @app.batch_task(max_size=10)
        def collect(items: list[int]) -> list[int]:
            seen.append(items)
            return [-item for item in items]

        jobs = [collect.delay(number) for number in range(25)]
        batch = collect.map(range(100, 150))
        app.drain()
        assert max(map(len, seen)) == 10
        assert sorted(number for each in seen for number in each) == [*range(25), *range(100, 150)]
        assert [job.result() for job in jobs] == [-number for number in range(25)]
        assert batch.counts().done == 50

    def test_inline_each_job_is_a_call(self, queue_url: str) -> None:
        app = Penstock(queue_url, inline=True)
        seen: list[list[int]] = []

        @app.batch_task(name="collect")
        def collect(items: list[int]) -> list[str]:
            seen.append(items)
            if 5 in items:
                raise ValueError("no 5")
            return [str(item) for item in items]

        assert collect.delay(1).result() == "1"
        collect.map([2, 3])
        with pytest.raises(JobFailed, match="no 5"):
            collect.delay(5)
        with pytest.raises(JobFailed, match="no 5"):
            collect.map([4, 5])
        assert seen[0] == [1]

    def test_a_result_is_read_as_one_items_value(self, app: Penstock) -> None:
        @app.batch_task(name="prices")
        def prices(orders: list[Order]) -> list[Order]:
            return orders

        @app.batch_task(name="maps")
        def maps(orders: list[Order]) -> dict[str, int]:
            return {}

        job, other = prices.delay(Order(3)), maps.delay(Order(3))
        app.drain()
        assert (job.result(), other.result()) == (Order(3), None)

    def test_a_keys_jobs_share_a_gate(self, app: Penstock) -> None:
        by_field = app.batch_task(name="field", key="symbol")(store)
        by_call = app.batch_task(name="call", key=lambda order: order.id % 2)(store)
        assert by_field.job((Order(1, "A"),), {}).gate == by_field.job(({"id": 2, "symbol": "A"},), {}).gate
        assert by_field.job((Order(1, "A"),), {}).gate != by_field.job((Order(1, "B"),), {}).gate
        assert by_call.job((Order(1),), {}).gate == by_call.job((Order(3),), {}).gate


class TestSinks:
    def test_its_name_is_that_of_the_table(self, app: Penstock) -> None:
        assert app.sink("sqlite:///a.db", table="orders").name == "sink:orders"
        assert app.sink("sqlite:///a.db", table="orders", name="again").name == "again"

    def test_a_plain_call_makes_an_items_rows_and_writes_nothing(self, app: Penstock) -> None:
        def rows(order: Order) -> dict[str, int]:
            return {"id": order.id}

        assert app.sink("sqlite:///nowhere.db", table="orders", rows=rows)(Order(3)) == {"id": 3}

    def test_what_makes_no_sense_is_refused(self, app: Penstock) -> None:
        with pytest.raises(ConfigError, match="can't write into 'ftp'"):
            app.sink("ftp://host/x", table="orders")
        with pytest.raises(ValueError, match="often"):
            app.sink("sqlite:///a.db", table="orders", on_conflict="often")
        with pytest.raises(ConfigError, match="rows= is called with an item"):
            app.sink("sqlite:///a.db", table="orders", rows=lambda one, two: one)
        with pytest.raises(ConfigError, match="rows= is called with an item"):
            app.sink("sqlite:///a.db", table="orders", rows=lambda *items: items)

    def test_an_item_is_checked_where_rows_names_its_type(self, app: Penstock) -> None:
        def rows(order: Order) -> Order:
            return order

        task = app.sink("sqlite:///a.db", table="orders", rows=rows)
        with pytest.raises(PayloadError, match="id"):
            task.signature.decode(task.signature.encode(({"id": "a"},), {}))
