"""Outcomes as a SQLite queue writes them down."""

from penstock.brokers.sqlite.endings import Endings
from penstock.core.job import Lease
from penstock.core.outcome import Ending, Outcome, Step
from penstock.testing.contract.harness import NOW, job


def lease(key: int, claim: int = 1, batch: bytes | None = None) -> Lease:
    return Lease(key.to_bytes(16, "big"), key, claim, "app.task", b"payload", batch=batch)


def test_leases_are_ended_by_their_claims() -> None:
    endings = Endings([Outcome(lease(1, 7)), Outcome(lease(2, 8)), Outcome(lease(3, 7), Ending.DEAD)], NOW)
    assert endings.claims == [(7, "[1, 3]", 2), (8, "[2]", 1)]


def test_only_what_is_done_is_deleted_and_what_is_released_may_run_again() -> None:
    outcomes = [Outcome(lease(ending + 1), ending) for ending in Ending]
    endings = Endings(outcomes, NOW)
    assert (endings.done, endings.released, endings.again) == ("[1]", "[7]", "[2, 3, 6, 7]")
    assert endings.others == outcomes[1:]


def test_nothing_is_nothing() -> None:
    endings = Endings([], NOW)
    assert (endings.claims, endings.done, endings.released, endings.again, endings.makes_work) == (
        [],
        "",
        "",
        "",
        False,
    )


def test_a_result_has_its_stage_where_others_take_it() -> None:
    kept = Outcome(lease(1, batch=b"stage"), result=b"r", result_ttl=5.0)
    passed = Outcome(lease(2, batch=b"stage"), result=b"s", result_ttl=6.0, passes=True)
    assert Endings([kept, passed], NOW).results == [
        (kept.lease.id, b"r", NOW + 5, None),
        (passed.lease.id, b"s", NOW + 6, b"stage"),
    ]


def test_steps_of_a_batch_are_one() -> None:
    outcomes = [Outcome(lease(n), steps=(Step(b"a", done=1, retried=n), Step(b"b", failed=1))) for n in (1, 2)]
    assert Endings(outcomes, NOW).steps == {b"a": Step(b"a", done=2, retried=3), b"b": Step(b"b", failed=2)}


def test_follow_ups_and_what_goes_back_are_work_for_others() -> None:
    born = job()
    assert Endings([Outcome(lease(1), follow_ups=(born,))], NOW).born == [born]
    assert Endings([Outcome(lease(1), follow_ups=(born,))], NOW).makes_work
    assert Endings([Outcome(lease(1), Ending.RELEASED)], NOW).makes_work
    assert not Endings([Outcome(lease(1)), Outcome(lease(2), Ending.RETRY)], NOW).makes_work
