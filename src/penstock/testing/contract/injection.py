"""Names that look like commands are names, and a namespace that is more than a name is refused."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import pytest

from penstock.brokers.base import Broker
from penstock.brokers.inspect import Selection
from penstock.core.job import Failure
from penstock.core.outcome import Ending
from penstock.errors import ConfigError
from penstock.testing.contract.harness import NOW, ContractBase, by_record, claim, end, ids, job, record

#: What would do harm where a name becomes a part of a command, in one store or another.
HOSTILE = (
    "x'; drop table penstock_jobs; drop schema penstock cascade; --",
    'x"; drop table penstock_jobs; --',
    "%(id)s %s {0} {id} ? :id $1",
    "%_*?[a-z]",
    "$where",
    '{"$gt": ""}',
    "#.*.jobs",
    "}{penstock}:jobs",
    "x\r\nFLUSHALL\r\n",
    "../../etc/passwd",
    "<b>\x1b[31m",
)
_NO_NAMESPACE = ("x'; --", 'x"; drop table y; --', "$x", "a b", "a\nb", "x\n", "a/../b", "a{b}", "*", "ü", "x" * 200)


class InjectionContract(ContractBase):
    """Whatever a text looks like, it goes in, is found by, and does nothing to its neighbours."""

    def test_a_name_is_never_a_command(self, store: Broker) -> None:
        bystander = job()
        store.enqueue([bystander], now=NOW)
        for text in HOSTILE:
            sent = job(task=text, queue=text, payload=text.encode())
            keyed = job(queue=text, unique=text)
            store.enqueue([sent, keyed], now=NOW)
            assert store.enqueue([job(queue=text, unique=text)], now=NOW) == [keyed.id]
            assert store.depth(text) == 2
            taken = {lease.id: lease for lease in claim(store, queues=[text])}
            assert taken.keys() == {sent.id, keyed.id}
            lease = taken[sent.id]
            assert (lease.task, lease.queue, lease.payload) == (text, text, text.encode())
            end(store, lease, Ending.DEAD, failure=Failure(text, text, text))
            end(store, taken[keyed.id])
            assert record(store, sent.id).failure == Failure(text, text, text)
        store.enqueue([job(queue=text) for text in HOSTILE], now=NOW)
        assert [store.purge(text) for text in HOSTILE] == [1] * len(HOSTILE)
        assert ids(claim(store)) == [bystander.id]

    @by_record
    def test_a_selection_by_such_a_name_finds_that_alone(self, store: Broker) -> None:
        names = [job(queue=text, task=text) for text in HOSTILE]
        store.enqueue([job(), *names], now=NOW)
        inspector = store.inspector()
        assert [ids(inspector.list(Selection(queue=text))) for text in HOSTILE] == [[one.id] for one in names]
        assert [ids(inspector.list(Selection(task=text))) for text in HOSTILE] == [[one.id] for one in names]
        assert [inspector.cancel(Selection(queue=text, task=text)) for text in HOSTILE] == [1] * len(HOSTILE)
        assert len(claim(store)) == 1

    def test_a_namespace_is_a_word(self, url: str, open_store: Callable[..., Broker]) -> None:
        word = "schema" if url.startswith("postgres") else "namespace"
        place, _, query = url.partition("?")
        rest = [pair for pair in query.split("&") if pair and not pair.startswith(f"{word}=")]
        for name in _NO_NAMESPACE:
            with pytest.raises(ConfigError) as caught:
                open_store(f"{place}?{'&'.join([*rest, f'{word}={quote(name)}'])}")
            assert word in str(caught.value)
            assert "\n" not in str(caught.value)
