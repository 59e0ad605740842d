"""Random and mutated bytes in the place of payloads: each is run or becomes a dead letter, and no process minds."""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from chaos_app import Order, Side
from oracle import FULL, SEED, World

from penstock.client import new_ids
from penstock.core.job import NewJob
from penstock.core.packed import pack
from penstock.task import Task

PAYLOADS = 100_000 if FULL else 6_000
ROW = 20


def good_calls() -> dict[str, Callable[[random.Random], tuple[tuple[object, ...], dict[str, object]]]]:
    """Arguments that the tasks take."""

    def order(dice: random.Random) -> Order:
        id, price = UUID(int=dice.getrandbits(128)), Decimal(dice.randrange(10**6)) / 100
        return Order(
            id, price, dice.choice(list(Side)), datetime.now(UTC), {"é\N{GRINNING FACE}": [dice.randrange(99)]}
        )

    return {
        "nothing": lambda dice: ((), {}),
        "plain": lambda dice: ((dice.getrandbits(40), "text"), {"c": dice.random()}),
        "untyped": lambda dice: ((None, [1, {"a": b"bytes"}]), {}),
        "many": lambda dice: (tuple(range(dice.randrange(5))), {"more": dice.randbytes(3)}),
        "order": lambda dice: ((order(dice),), {"also": [order(dice)]}),
        "number": lambda dice: ((dice.randrange(100),), {}),
    }


def mutated(dice: random.Random, payload: bytes) -> bytes:
    """The payload after one to three of the usual accidents."""
    data = bytearray(payload)
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(len(data) + 1)
        match dice.randrange(6):
            case 0:
                del data[at:]
            case 1:
                data[at:at] = dice.randbytes(dice.randint(1, 5))
            case 2:
                del data[at : at + dice.randint(1, 5)]
            case 3:
                data[at : at + 1] = bytes([dice.randrange(256)])
            case 4:
                # The heads of msgpack's longest arrays, maps and texts, and of its largest numbers.
                data[at : at + 1] = bytes(
                    [dice.choice(b"\xdd\xdf\xdb\xc6\xc9\xcf\xd3\xcb")]
                ) + b"\xff" * dice.randrange(9)
            case _:
                data[at:at] = data[: dice.randrange(len(data) + 1)]
    return bytes(data)


def jobs(world: World, dice: random.Random, count: int) -> list[NewJob]:
    calls = good_calls()
    tasks: list[Task[..., object]] = [world.app.tasks[name] for name in calls]
    made = []
    for id in new_ids(count):
        task = dice.choice(tasks)
        packed = dice.random() < 0.2
        if packed:
            arguments = [task.signature.bind(*calls[task.name](dice)) for _ in range(dice.randint(1, ROW))]
            payload = pack(arguments, sorted(dice.sample(range(10**6), len(arguments))))
        else:
            payload = task.signature.encode(*calls[task.name](dice))
        payload = dice.randbytes(dice.randrange(40)) if dice.random() < 0.2 else mutated(dice, payload)
        made.append(NewJob(id, task.name, payload, packed=packed, items=ROW if packed else 1))
    return made


def test_random_and_mutated_payloads_end_and_crash_nothing(world: World) -> None:
    dice = random.Random(SEED)
    for _ in range(0, PAYLOADS, 1000):
        world.app.client.enqueue(jobs(world, dice, min(1000, PAYLOADS)))
    worker = world.start(burst=True)
    assert worker.process.wait(30 + PAYLOADS / 500) == 0
    assert world.notes("died") == [], f"PENSTOCK_CHAOS_SEED={SEED}"
    assert world.live() == 0, f"PENSTOCK_CHAOS_SEED={SEED}"
    assert world.counts().dead > PAYLOADS / 3
