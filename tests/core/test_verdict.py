"""What becomes of the jobs of a process that died."""

from typing import ClassVar

import pytest

from penstock.core.codec import encode_value
from penstock.core.decide import JobOptions, Terms
from penstock.core.job import Lease
from penstock.core.outcome import Ending
from penstock.core.verdict import Death, Excess, Run, Verdict, judge, unseen

MIB = 1 << 20
TERMS = {"shop.mail": Terms(retries=1, timeout=5.0, kill_after=2.0, memory=300 * MIB)}


def lease(number: int, **fields: object) -> Lease:
    values = {"task": "shop.mail", "payload": b"", **fields}
    return Lease(bytes([number]) * 16, number, 1, **values)


def death(*runs: Run, **fields: object) -> Death:
    return Death("was killed by SIGSEGV", 45 * MIB, ("INFO shop: one", "INFO shop: two"), runs, **fields)


def run(number: int, excess: Excess | None = None) -> Run:
    return Run(bytes([number]) * 16, 1.25, excess)


def test_who_ran_counts_a_crash_and_the_others_nothing() -> None:
    held = [lease(1), lease(2), lease(3)]
    assert judge(death(run(2)), held, TERMS, 0.5) == Verdict((), (lease(2).id,))


def test_a_crash_too_many_is_a_dead_letter_that_tells_what_is_known() -> None:
    (outcome,) = judge(death(run(1)), [lease(1, crashes=2)], TERMS, 0.5).outcomes
    assert outcome.ending is Ending.DEAD
    assert outcome.counts == (0, 1)
    assert outcome.failure is not None
    assert str(outcome.failure) == (
        "Crashed: the process that ran it died, 3 times over; "
        "the last was killed by SIGSEGV after 1.25 s, with 45.0 MiB of memory at most"
    )
    assert outcome.failure.traceback == "INFO shop: one\nINFO shop: two"


def test_an_interruption_blames_nobody() -> None:
    assert judge(death(run(1), interrupted=True), [lease(1, crashes=2)], TERMS, 0.5) == Verdict()


def test_over_its_time_it_has_failed_and_its_neighbours_go_back() -> None:
    verdict = judge(death(run(1, Excess.TIME), run(2)), [lease(1), lease(2), lease(3)], TERMS, 0.5)
    (outcome,) = verdict.outcomes
    assert verdict.crashed == ()
    assert (outcome.lease.id, outcome.ending) == (lease(1).id, Ending.RETRY)
    assert str(outcome.failure).startswith("penstock.errors.TimeLimitExceeded: killed after 1.25 s")
    (outcome,) = judge(death(run(1, Excess.TIME)), [lease(1, attempt=1)], TERMS, 0.5).outcomes
    assert outcome.ending is Ending.DEAD


def test_over_its_memory_it_has_failed_where_it_ran_alone() -> None:
    (outcome,) = judge(death(run(1, Excess.MEMORY)), [lease(1), lease(2)], TERMS, 0.5).outcomes
    assert outcome.ending is Ending.RETRY
    assert "MemoryLimitExceeded: killed after 1.25 s, with 45.0 MiB of memory at most; it may have 300 MiB" in str(
        outcome.failure
    )
    shared = judge(death(run(1, Excess.MEMORY), run(2)), [lease(1), lease(2)], TERMS, 0.5)
    assert shared == Verdict((), (lease(1).id,))


def test_a_job_is_not_blamed_for_what_others_have_left_in_its_process() -> None:
    assert judge(death(run(1, Excess.LEFTOVERS)), [lease(1, crashes=2)], TERMS, 0.5) == Verdict()


def test_one_that_was_to_be_cancelled_goes_back_and_the_store_cancels_it() -> None:
    assert judge(death(run(1, Excess.CANCELLED), run(2)), [lease(1), lease(2)], TERMS, 0.5) == Verdict()


@pytest.mark.parametrize("excess", [None, Excess.TIME, Excess.MEMORY])
def test_a_packed_row_counts_a_crash_whatever_it_was(excess: Excess | None) -> None:
    held = [lease(1, packed=True, items=10, crashes=5)]
    assert judge(death(run(1, excess)), held, TERMS, 0.5) == Verdict((), (lease(1).id,))


def test_what_may_run_once_only_does_not_go_back() -> None:
    (outcome,) = judge(death(run(1)), [lease(1, at_most_once=True)], TERMS, 0.5).outcomes
    assert outcome.ending is Ending.DEAD
    assert "Interrupted: its worker died while it held this job" in str(outcome.failure)
    assert "was killed by SIGSEGV after 1.25 s" in str(outcome.failure)


def test_a_jobs_own_options_count() -> None:
    own = lease(1, attempt=1, options=encode_value(JobOptions(retries=5, timeout=1.0)))
    (outcome,) = judge(death(run(1, Excess.TIME)), [own], TERMS, 0.5).outcomes
    assert outcome.ending is Ending.RETRY
    assert "it has 1 s, and 2 s to end" in str(outcome.failure)
    (outcome,) = judge(death(run(1, Excess.TIME)), [lease(1, options=b"\xc1", attempt=1)], TERMS, 0.5).outcomes
    assert outcome.ending is Ending.DEAD


def test_of_a_task_nobody_told_of_the_defaults_hold() -> None:
    stranger = lease(1, task="other.task", crashes=1)
    assert judge(death(run(1)), [stranger], {}, 0.5) == Verdict((), (stranger.id,))
    (outcome,) = judge(death(run(1)), [lease(1, task="other.task", crashes=2)], {}, 0.5).outcomes
    assert outcome.ending is Ending.DEAD


class TestASharedCall:
    """The process of a batch task has died."""

    TERMS: ClassVar = {**TERMS, "store": Terms(batched=True, crash_limit=3)}

    def held(self, *numbers: int, **fields: object) -> list[Lease]:
        return [lease(number, task="store", **fields) for number in numbers]

    def test_each_job_of_it_counts_a_crash_and_those_of_other_tasks_do_not(self) -> None:
        held = [*self.held(1, 2, 3), lease(4)]
        assert judge(death(run(1)), held, self.TERMS, 0.5) == Verdict((), (held[0].id, held[1].id, held[2].id))

    def test_nor_do_jobs_that_run_alone_beside_it(self) -> None:
        held = [*self.held(1, 2), *self.held(3, crashes=1)]
        assert judge(death(run(1)), held, self.TERMS, 0.5).crashed == (held[0].id, held[1].id)

    @pytest.mark.parametrize("excess", [Excess.TIME, Excess.MEMORY])
    def test_one_that_was_over_a_limit_makes_suspects_too(self, excess: Excess) -> None:
        held = self.held(1, 2)
        assert judge(death(run(1, excess)), held, self.TERMS, 0.5) == Verdict((), (held[0].id, held[1].id))

    @pytest.mark.parametrize("excess", [Excess.CANCELLED, Excess.LEFTOVERS])
    def test_nobody_is_to_blame_for_what_others_left(self, excess: Excess) -> None:
        assert judge(death(run(1, excess)), self.held(1, 2), self.TERMS, 0.5) == Verdict()

    def test_where_another_job_was_over_its_limit_it_goes_back(self) -> None:
        held = [*self.held(1, 2), lease(3)]
        verdict = judge(death(run(1), run(3, Excess.TIME)), held, self.TERMS, 0.5)
        assert verdict.crashed == ()
        assert [outcome.lease.id for outcome in verdict.outcomes] == [held[2].id]

    def test_a_suspect_that_ran_alone_dies_at_its_limit(self) -> None:
        (outcome,) = judge(death(run(1)), self.held(1, crashes=2), self.TERMS, 0.5).outcomes
        assert outcome.ending is Ending.DEAD


def test_what_ran_and_is_not_held_any_more_counts_a_crash() -> None:
    assert unseen(death(run(1), run(2)), [lease(1)]) == (run(2).id,)
    assert unseen(death(run(1), run(2, Excess.TIME)), []) == (run(2).id,)
    assert unseen(death(run(1, Excess.CANCELLED)), []) == ()
    assert unseen(death(run(1), interrupted=True), []) == ()
