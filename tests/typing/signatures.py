"""Checked by mypy in tests/test_task.py; what it is to say is in signatures.txt."""

from typing import reveal_type

from penstock import Penstock, chord, shared_task

app = Penstock()


@app.task
def plain(to: str, subject: str = "") -> int:
    return len(to)


@app.task(queue="mail", retries=5)
def with_options(to: str, *, copies: int = 1) -> list[int]:
    return [copies]


@app.task
async def waits(number: int) -> float:
    return float(number)


@app.task(priority=9)
async def waits_with_options(number: int) -> bytes:
    return bytes(number)


@shared_task(queue="mail", timeout=3)
def shared_with_options(to: str, copies: int = 1) -> list[str]:
    return [to] * copies


@shared_task
async def shared_that_waits(number: int) -> float:
    return float(number)


@app.task(retry=3)
def wrong() -> None: ...


async def sends() -> None:
    reveal_type(await plain.delay_async("a"))
    await plain.delay_async(1)


reveal_type(plain.delay("a", subject="b"))
reveal_type(plain.delay("a").result())
reveal_type(plain.options(priority=1).delay("a"))
reveal_type(plain.delay_many([("a",)]))
reveal_type(plain.map(["a"]))
reveal_type(with_options.delay("a", copies=2))
reveal_type(waits.delay(1))
reveal_type(waits_with_options.delay(1))
plain.delay()
plain.delay(1)
plain.delay("a", body="c")
with_options.delay("a", 2)
waits.delay("1")
plain.options(priority="high")
reveal_type(shared_with_options.delay("a", copies=2))
reveal_type(shared_that_waits.delay(1))
shared_with_options.delay(1)
shared_that_waits.delay("1")


@app.batch_task
def stores(items: list[int]) -> None: ...


@app.batch_task(max_size=10, retries=1)
async def stores_with_options(items: list[str]) -> list[int]:
    return [len(item) for item in items]


orders = app.sink("sqlite:///market.db", table="orders")
reveal_type(stores)
reveal_type(stores.delay(1))
reveal_type(stores_with_options.delay("a"))
reveal_type(stores.map([1]))
reveal_type(orders.delay({"id": 1}))
stores.delay("a")
stores.delay()
stores_with_options.delay(1)


@app.subscribe("orders.*", group="ledger", retries=5)
def books(event: dict[str, int], topic: str) -> int:
    return event["id"]


@app.subscribe("#", group="audit")
async def notes(event: str) -> None: ...


app.subscribe("#")
app.subscribe("#", group="audit", retry=3)
reveal_type(books)
reveal_type(notes.delay("a"))
filled = app.topic("orders.filled", str)
reveal_type(filled)
reveal_type(app.topic("orders.filled"))
reveal_type(filled.publish("a"))
reveal_type(filled.publish_many(["a"]))
filled.publish(1)
filled.publish_many([1])


async def publishes() -> None:
    reveal_type(await filled.publish_async("a"))
    await filled.publish_async(1)


@app.subscribe("orders.#", group="rows")
@app.batch_task(max_size=100)
def writes(rows: list[int]) -> None: ...


reveal_type(writes)


@app.schedule("0 7 * * *", tz="Europe/Paris", args=("ada",))
@app.schedule(every=30, name="often")
@app.task
def scheduled(to: str) -> int:
    return len(to)


reveal_type(scheduled.delay("ada").result())
app.schedule(every="30")

reveal_type(plain.si("a").delay().result())
reveal_type(plain.s() | with_options.s(copies=2))
reveal_type(chord([plain.s("a")], with_options.s()).delay())
plain.si(1)
