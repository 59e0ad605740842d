"""Hearing of jobs that end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from penstock.brokers.base import Broker
from penstock.brokers.inspect import Selection
from penstock.core.outcome import Ending, Outcome
from penstock.testing.contract.harness import (
    PATIENCE,
    ContractBase,
    by_record,
    claim,
    claim_one,
    end,
    hand_in,
    ids,
    job,
    jobs,
)


class Heard:
    """What a watch has told."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._ids: set[bytes] = set()
        self._any = False

    def tell(self, told: Sequence[bytes]) -> None:
        """See `Broker.watch_ends`."""
        with self._news:
            self._ids.update(told)
            self._any |= not told
            self._news.notify_all()

    def has(self, *wanted: bytes, within: float = PATIENCE) -> bool:
        """Wait until all of these were named."""
        with self._news:
            return self._news.wait_for(lambda: self._ids.issuperset(wanted), within)

    def may_have(self, *wanted: bytes) -> bool:
        """Wait until all of these were named, or it was said that any may have ended."""
        with self._news:
            return self._news.wait_for(lambda: self._any or self._ids.issuperset(wanted), PATIENCE)

    @property
    def named(self) -> set[bytes]:
        """The jobs that were named."""
        with self._news:
            return set(self._ids)


@contextmanager
def watching(store: Broker, ender: Broker) -> Iterator[Heard]:
    """Watch; whoever ends jobs knows of it when this begins."""
    heard = Heard()
    with store.watch_ends(heard.tell) as hears:
        assert hears
        # An ender may look only now and then whether anybody watches.
        while not heard.has(_MARK, within=0.02):
            ender.tell_ended([_MARK])
        yield heard


_MARK = b"m" * 16


class EndContract(ContractBase):
    """Whoever watches hears of jobs that end for good, and of nothing where nobody does."""

    @by_record
    @pytest.mark.parametrize("ending", [Ending.DONE, Ending.DEAD, Ending.CANCELLED])
    def test_an_end_is_told(self, store: Broker, open_store: Callable[..., Broker], ending: Ending) -> None:
        other = open_store()
        with watching(other, store) as heard:
            store.enqueue([job()])
            lease = claim_one(store)
            end(store, lease, ending)
            assert heard.has(lease.id)

    def test_a_result_is_told(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        other = open_store()
        with watching(other, store) as heard:
            store.enqueue([job()])
            lease = claim_one(store)
            end(store, lease, result=b"1", result_ttl=60.0)
            assert heard.has(lease.id)

    def test_a_dead_letter_is_told(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        other = open_store()
        with watching(other, store) as heard:
            store.enqueue([job()])
            lease = claim_one(store)
            end(store, lease, Ending.DEAD)
            assert heard.has(lease.id)

    @by_record
    def test_many_that_end_together_are_told(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        other = open_store()
        with watching(other, store) as heard:
            store.enqueue(jobs(600))
            leases = claim(store)
            assert hand_in(store, *map(Outcome, leases)) == []
            assert heard.may_have(*ids(leases))

    @by_record
    def test_who_is_cancelled_while_it_waits_is_told(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        other = open_store()
        sent = job()
        store.enqueue([sent])
        with watching(other, store) as heard:
            assert store.inspector().cancel(Selection(ids=(sent.id,))) == 1
            assert heard.may_have(sent.id)

    def test_every_watch_hears(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        with watching(open_store(), store) as first, watching(open_store(), store) as second:
            store.enqueue([job()])
            lease = claim_one(store)
            end(store, lease, result=b"1", result_ttl=60.0)
            assert first.has(lease.id)
            assert second.has(lease.id)

    def test_a_watch_that_is_over_hears_nothing(self, store: Broker, open_store: Callable[..., Broker]) -> None:
        other = open_store()
        with watching(other, store) as heard:
            pass
        store.enqueue([job()])
        lease = claim_one(store)
        end(store, lease, result=b"1", result_ttl=60.0)
        with watching(other, store) as again:
            assert lease.id not in heard.named | again.named
