"""What becomes of a job that ran."""

from collections.abc import Callable

import msgspec
import pytest

from penstock.core.backoff import Backoff
from penstock.core.control import Continue, GiveUp, Retry, Snooze
from penstock.core.decide import DEFAULT_RETRIES, JobOptions, Policy, dead, expired, failed, succeeded
from penstock.core.job import Failure, Lease, NewJob
from penstock.core.outcome import Ending, Outcome, Step
from penstock.core.text import storable

LEASE = Lease(b"i" * 16, 1, 1, "app.task", b"\x90")
ROW = msgspec.structs.replace(LEASE, batch=b"b" * 16, items=3)


def after(error: BaseException, lease: Lease = LEASE, policy: Policy | None = None, chance: float = 0.0) -> Outcome:
    return failed(lease, policy or Policy(), error, "the traceback", chance)


class TestSuccess:
    def test_without_a_result_leaves_nothing(self) -> None:
        assert succeeded(LEASE, Policy()) == Outcome(LEASE)

    def test_a_result_is_kept_for_its_time(self) -> None:
        assert succeeded(LEASE, Policy(result_ttl=5), b"r") == Outcome(LEASE, result=b"r", result_ttl=5)

    def test_counts_in_its_batch(self) -> None:
        assert succeeded(ROW, Policy()).steps == (Step(b"b" * 16, done=3),)


class TestFailure:
    def test_is_tried_again_after_the_backoff(self) -> None:
        outcome = after(ValueError("no"), policy=Policy(backoff=Backoff(first=8)))
        assert outcome == Outcome(LEASE, Ending.RETRY, delay=4, failure=Failure("ValueError", "no", "the traceback"))

    def test_each_attempt_waits_longer(self) -> None:
        leases = [msgspec.structs.replace(LEASE, attempt=attempt) for attempt in range(3)]
        assert [after(ValueError(), lease).delay for lease in leases] == [0.5, 1, 2]

    def test_ends_after_the_last_retry(self) -> None:
        endings = [
            after(ValueError(), msgspec.structs.replace(LEASE, attempt=attempt)).ending
            for attempt in range(DEFAULT_RETRIES + 1)
        ]
        assert endings == [Ending.RETRY] * DEFAULT_RETRIES + [Ending.DEAD]

    @pytest.mark.parametrize("error", [KeyError("k"), GiveUp("enough")], ids=repr)
    def test_that_no_retry_will_mend_is_final(self, error: BaseException) -> None:
        assert after(error, policy=Policy(give_up=(LookupError,))).ending is Ending.DEAD

    def test_of_what_may_not_run_twice_is_final(self) -> None:
        assert after(ValueError(), msgspec.structs.replace(LEASE, at_most_once=True)).ending is Ending.DEAD

    def test_counts_in_its_batch(self) -> None:
        assert after(ValueError(), ROW).steps == (Step(b"b" * 16, retried=3),)
        assert after(GiveUp(), ROW).steps == (Step(b"b" * 16, failed=3),)
        assert dead(ROW, Failure("x", "y")).steps == (Step(b"b" * 16, failed=3),)


class Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class TestWhatIsWrittenDown:
    @pytest.mark.parametrize(
        ("error", "kind", "message"),
        [
            (GiveUp("enough"), "GiveUp", "enough"),
            (KeyError("k"), "KeyError", "'k'"),
            (msgspec.ValidationError("v"), "msgspec.ValidationError", "v"),
            (OSError("\udcff.txt"), "OSError", "\\udcff.txt"),
            (ValueError("x" * 20_000), "ValueError", "x" * 10_000 + "..."),
            (OSError("redis://ada:s3cret@one is away"), "OSError", "redis://ada:***@one is away"),
        ],
        ids=["control", "builtin", "elsewhere", "surrogate", "long", "password"],
    )
    def test_kind_and_message(self, error: BaseException, kind: str, message: str) -> None:
        failure = after(error).failure
        assert failure is not None
        assert (failure.kind, failure.message) == (kind, message)
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(failure), type=Failure) == failure

    def test_an_error_that_can_not_say_what_it_is(self) -> None:
        failure = after(Speechless()).failure
        assert failure is not None
        assert "__str__ raises RuntimeError" in failure.message

    def test_clean_changes_only_what_is_no_character(self) -> None:
        assert storable("a\0é\N{GRINNING FACE}\ud800") == "a\0é\N{GRINNING FACE}\\ud800"


class TestControl:
    def test_retry_chooses_its_wait_and_counts_an_attempt(self) -> None:
        outcome = after(Retry("later", in_=90))
        assert (outcome.ending, outcome.delay) == (Ending.RETRY, 90)
        assert after(Retry()).delay == 0.5
        assert after(Retry(in_=0)).delay == 0

    def test_retry_is_a_failure_when_none_is_left(self) -> None:
        assert after(Retry(in_=1), policy=Policy(retries=0)).ending is Ending.DEAD

    def test_snooze_counts_nothing(self) -> None:
        assert after(Snooze(60), ROW) == Outcome(ROW, Ending.SNOOZE, delay=60)

    def test_continue_brings_a_new_payload_and_more_jobs(self) -> None:
        more = NewJob(b"n" * 16, "app.task", b"\x90")
        outcome = after(Continue(b"new", [more], in_=2))
        assert (outcome.ending, outcome.payload, outcome.follow_ups, outcome.delay) == (
            Ending.SNOOZE,
            b"new",
            (more,),
            2,
        )

    @pytest.mark.parametrize("wait", [-1, float("nan"), float("inf")])
    @pytest.mark.parametrize("make", [lambda wait: Retry(in_=wait), Snooze], ids=["Retry", "Snooze"])
    def test_a_wait_that_no_store_could_hold_is_the_tasks_own_error(
        self, make: Callable[[float], Exception], wait: float
    ) -> None:
        with pytest.raises(ValueError, match="in_ is a number of seconds"):
            make(wait)


def test_a_jobs_own_options_replace_the_tasks() -> None:
    policy = Policy(retries=3, result_ttl=10)
    assert JobOptions().applied_to(policy) == policy
    assert JobOptions(retries=0).applied_to(policy) == Policy(retries=0, result_ttl=10)
    assert JobOptions(result_ttl=0).applied_to(policy) == Policy(retries=3, result_ttl=0)


def test_a_job_that_is_to_start_later_than_it_may() -> None:
    late = expired(LEASE, JobOptions(expires=100.0), 112.5)
    assert late is not None
    assert (late.ending, late.counts) == (Ending.DEAD, (0, 0))
    assert late.failure == Failure(
        "Expired", "it was to start within its time (expires), and its turn came 12.5 s later: send it anew"
    )
    assert expired(LEASE, JobOptions(expires=100.0), 100.0) is None
    assert expired(LEASE, JobOptions(), 100.0) is None
    # What has failed, or crashed, had started.
    for started in (msgspec.structs.replace(LEASE, attempt=1), msgspec.structs.replace(LEASE, crashes=1)):
        assert expired(started, JobOptions(expires=100.0), 200.0) is None
    row = expired(ROW, JobOptions(expires=100.0), 200.0)
    assert row is not None
    assert row.steps == (Step(b"b" * 16, failed=3),)
