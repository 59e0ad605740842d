"""Where a job stands that waits."""

from __future__ import annotations

import time

from penstock.brokers.base import Broker
from penstock.core.limiter import Limit, gate
from penstock.core.outcome import Ending
from penstock.core.standing import Standing
from penstock.testing.contract.harness import ContractBase, by_record, claim, end, job, jobs, new_id


class StandingContract(ContractBase):
    """How many jobs are before one, which of its key is ahead, and which limits hold it up."""

    @by_record
    def test_the_jobs_before_one_are_counted(self, store: Broker) -> None:
        many = jobs(5)
        later, sooner = job(priority=1), job(priority=9)
        store.enqueue([*many, later, sooner, job(queue="other"), job(delay=60.0)])
        standing = [store.inspector().standing(one.id) for one in (many[0], many[4], later, sooner)]
        assert standing == [Standing(1), Standing(5), Standing(6), Standing(0)]
        claim(store, 3)
        assert store.inspector().standing(many[4].id) == Standing(2)

    @by_record
    def test_what_does_not_wait_stands_nowhere(self, store: Broker) -> None:
        delayed, running, dead = job(delay=60.0), job(queue="runs"), job(dead=True)
        store.enqueue([delayed, running, dead])
        claim(store, queues=["runs"])
        for id in (delayed.id, running.id, dead.id, new_id()):
            assert store.inspector().standing(id) is None

    def test_the_places_of_a_limit_are_taken(self, store: Broker) -> None:
        store.declare({"app.task": Limit(concurrency=2)})
        many = jobs(4, gate=gate("app.task"))
        store.enqueue(many)
        assert len(claim(store, now=time.time())) == 2
        standing = store.inspector().standing(many[3].id)
        assert standing is not None
        assert standing.ahead == 1
        (found,) = standing.gates
        assert (found.name, found.running, found.concurrency, found.opens_in) == ("app.task", 2, 2, 0.0)
        assert found.is_full

    def test_a_rate_is_used_up(self, store: Broker) -> None:
        store.declare({"app.task": Limit("1/m")})
        many = jobs(2, gate=gate("app.task", "ada"))
        store.enqueue(many)
        before = store.inspector().standing(many[0].id)
        assert before is not None
        assert [each.opens_in for each in before.gates] == [0.0]
        assert len(claim(store, now=time.time())) == 1
        after = store.inspector().standing(many[1].id)
        assert after is not None
        (found,) = after.gates
        assert (found.name, found.concurrency, found.is_full) == ("app.task,ada", None, False)
        assert 30 < found.opens_in <= 60

    @by_record
    def test_the_limit_of_a_queue(self, store: Broker) -> None:
        store.declare({",default": Limit(concurrency=1)})
        many = jobs(2)
        store.enqueue(many)
        assert len(claim(store, now=time.time())) == 1
        standing = store.inspector().standing(many[1].id)
        assert standing is not None
        assert [(each.name, each.is_full) for each in standing.gates] == [(",default", True)]

    def test_the_job_of_the_same_key_that_is_ahead(self, store: Broker) -> None:
        many = jobs(3, gate=gate("app.task", "ada", ordered=True))
        store.enqueue(many)
        assert store.inspector().standing(many[0].id) == Standing(0)
        assert store.inspector().standing(many[2].id) == Standing(2, many[0].id)
        (first,) = claim(store, 1, now=time.time())
        standing = store.inspector().standing(many[2].id)
        assert standing is not None
        assert standing.first == many[0].id
        assert first.id == many[0].id
        end(store, first, Ending.RETRY, delay=60.0)
        standing = store.inspector().standing(many[2].id)
        assert standing is not None
        assert standing.first == many[0].id
