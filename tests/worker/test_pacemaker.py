"""Who beats while the upkeep does not."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise

import pytest

from penstock.brokers import connect
from penstock.brokers.base import Broker, WorkerInfo
from penstock.chaos.proxy import Proxy
from penstock.errors import StoreUnavailable
from penstock.testing.servers import RedisServer
from penstock.testing.servers.process import LOOPBACK
from penstock.worker.pacemaker import Pacemaker

SECONDS = 10
EVERY = 0.05
INFO = WorkerInfo("ab12", "host", 1, "prefork", 2, ("default",), 0.0)


class Beats:
    """Stores heartbeats, and counts them."""

    def __init__(self) -> None:
        self.brokers: list[Broker] = []
        self._one = threading.Semaphore(0)

    def __call__(self, broker: Broker) -> None:
        broker.heartbeat(INFO)
        self.brokers.append(broker)
        self._one.release()

    def wait(self, count: int) -> None:
        for _ in range(count):
            assert self._one.acquire(timeout=SECONDS)


@contextmanager
def pacemaker(url: str, beat: Callable[[Broker], object]) -> Iterator[Pacemaker]:
    pacemaker = Pacemaker(url, beat, EVERY)
    pacemaker.start()
    try:
        yield pacemaker
    finally:
        pacemaker.stop()
        assert "penstock-pacemaker" not in {thread.name for thread in threading.enumerate()}


def test_it_sleeps_while_the_upkeep_beats_in_time(queue_url: str) -> None:
    beats = Beats()
    with pacemaker(queue_url, beats) as maker:
        # Before the first one nobody misses any.
        threading.Event().wait(4 * EVERY)
        maker.beaten(time.monotonic() + SECONDS)
        threading.Event().wait(4 * EVERY)
    assert beats.brokers == []


def test_it_beats_by_one_connection_until_the_upkeep_does(queue_url: str) -> None:
    beats = Beats()
    with pacemaker(queue_url, beats) as maker:
        maker.beaten(time.monotonic())
        beats.wait(3)
        assert len(set(map(id, beats.brokers))) == 1
        maker.beaten(time.monotonic())
        beats.wait(4)
        assert len(set(map(id, beats.brokers))) == 2
        maker.beaten(time.monotonic() + SECONDS)
        threading.Event().wait(2 * EVERY)
        seen = len(beats.brokers)
        threading.Event().wait(4 * EVERY)
        assert len(beats.brokers) == seen


def test_it_tries_again_where_the_store_is_away(queue_url: str) -> None:
    beats, times = Beats(), list[float]()

    def beat(broker: Broker) -> None:
        times.append(time.monotonic())
        if len(times) < 3:
            raise StoreUnavailable("cannot reach it")
        beats(broker)

    with pacemaker(queue_url, beat) as maker:
        maker.beaten(time.monotonic())
        beats.wait(1)
        assert all(later - earlier >= EVERY for earlier, later in pairwise(times))


def test_nothing_is_beaten_after_it_was_stopped(queue_url: str) -> None:
    beats = Beats()
    with pacemaker(queue_url, beats) as maker:
        maker.beaten(time.monotonic())
        beats.wait(1)
        maker.stop()
        seen = len(beats.brokers)
        threading.Event().wait(3 * EVERY)
        assert len(beats.brokers) == seen


@pytest.mark.parametrize("silences", [1, 2])
def test_a_worker_whose_connections_fall_silent_is_still_heard_of(redis_server: RedisServer, silences: int) -> None:
    proxy, beats = Proxy((LOOPBACK, redis_server.port)), Beats()
    url = f"redis://{LOOPBACK}:{proxy.port}/0?namespace=pacemaker{silences}&timeout=1"
    try:
        with pacemaker(url, beats) as maker:
            maker.beaten(time.monotonic())
            for _ in range(silences):
                beats.wait(1)
                proxy.fall_silent()
            beats.wait(2)
            with closing(connect(url)) as broker:
                broker.open()
                (worker,) = broker.inspector().workers()
                assert worker.silent_for < SECONDS
    finally:
        proxy.close()
