"""Jobs that a running one adds to its workflow."""

from penstock.core.decide import Terms, succeeded
from penstock.core.job import Lease, NewJob
from penstock.core.outcome import Step
from penstock.worker import growing

STAGE = b"s" * 16
LEASE = Lease(b"1" * 16, 1, 7, "app.task", b"", batch=STAGE)
MORE = NewJob(b"2" * 16, "app.task", b"", batch=STAGE)


def test_what_was_added_goes_with_the_end() -> None:
    growing.add(LEASE, [MORE])
    growing.add(LEASE, [MORE])
    outcome = growing.grown(succeeded(LEASE, Terms()))
    assert outcome.follow_ups == (MORE, MORE)
    assert outcome.steps == (Step(STAGE, done=1), Step(STAGE, total=2))
    assert growing.grown(succeeded(LEASE, Terms())).follow_ups == ()


def test_what_failed_has_added_nothing() -> None:
    growing.add(LEASE, [MORE])
    growing.forget(LEASE)
    assert growing.added == {}
