"""`kill -9` in the middle of things."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable

import pytest

from penstock.brokers.base import Broker
from penstock.brokers.inspect import Selection
from penstock.core.states import State
from penstock.testing.contract.harness import QUEUE, ContractBase, by_record, ids, jobs
from penstock.testing.contract.processes import Child, ProcessContract, claimed, settled

LIMIT = 10


class CrashContract(ProcessContract, ContractBase):
    """A process that is killed loses nothing, and nothing runs twice but what it held."""

    @pytest.mark.parametrize("seed", [1, 2])
    def test_killed_holders_lose_nothing(self, url: str, store: Broker, start: Callable[..., Child], seed: int) -> None:
        chance = random.Random(seed)
        sent = jobs(1500)
        store.enqueue(sent)
        delivered: Counter[bytes] = Counter()
        excused: set[bytes] = set()
        for turn in range(6):
            child = start("drain", url, f"w{turn}", LIMIT)
            child.wait_until_ready()
            child.go()
            lines = [child.line() for _ in range(chance.randrange(1, 12))] + child.kill()
            chunks = claimed(lines)
            delivered.update(id for chunk in chunks for id in chunk)
            # On a busy machine a child may get far ahead of who kills it, and leave nothing for the next.
            for last in chunks[-1:]:
                excused.update(last)
            held = settled(lambda: len(store.inspector().list(Selection(state=State.RUNNING))))
            assert held <= LIMIT
            assert store.rescue(dead_after=5, now=time.time() + 60) == held
        survivor = start("drain", url, "survivor", LIMIT)
        survivor.wait_until_ready()
        survivor.go()
        delivered.update(id for chunk in claimed(survivor.finish()) for id in chunk)
        assert set(delivered) == set(ids(sent))
        assert {id for id, times in delivered.items() if times > 1} <= excused
        assert list(store.inspector().count()) == []

    @by_record
    def test_killed_senders_leave_whole_batches(self, url: str, store: Broker, start: Callable[..., Child]) -> None:
        chance = random.Random(3)
        told = 0
        for _ in range(4):
            child = start("enqueue", url, 50, 10_000)
            child.wait_until_ready()
            child.go()
            lines = [child.line() for _ in range(chance.randrange(1, 15))] + child.kill()
            told += len(lines)
            depth = settled(lambda: store.depth(QUEUE))
            assert depth % 50 == 0
            assert told * 50 <= depth <= (told + 1) * 50
            told = depth // 50
