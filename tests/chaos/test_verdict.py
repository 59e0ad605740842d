"""What notes prove, and what they do not."""

from penstock.chaos.notes import Note
from penstock.chaos.verdict import Harm, Verdict, judge


def run(number: int, pid: int, began: float, ended: float | None = None) -> list[Note]:
    ends = [] if ended is None else [Note(number, pid, ended, True)]
    return [Note(number, pid, began), *ends]


def told(*runs: list[Note], sent: int = 1, harms: tuple[Harm, ...] = (), resent: tuple[int, ...] = ()) -> Verdict:
    notes = sorted((note for each in runs for note in each), key=lambda note: note.at)
    return judge(range(sent), resent, notes, harms)


KILLED = Harm("kill", 2.0, 2.5, frozenset({7}))


def test_each_once_is_well() -> None:
    verdict = told(run(0, 7, 1.0, 1.1), run(1, 8, 1.0, 1.2), sent=2)
    assert verdict.passed
    assert (verdict.sent, verdict.lost, verdict.again, verdict.unexplained) == (2, (), 0, ())


def test_what_never_came_to_an_end_is_lost() -> None:
    verdict = told(run(1, 7, 1.0), run(2, 7, 1.0, 1.1), sent=3, harms=(KILLED,))
    assert not verdict.passed
    assert verdict.lost == (0, 1)


def test_who_was_killed_has_its_jobs_run_again() -> None:
    # One in the middle of its run, and one whose end the store had not heard of.
    verdict = told(
        run(0, 7, 1.9), run(0, 8, 3.0, 3.1), run(1, 7, 1.5, 1.6), run(1, 8, 3.1, 3.2), sent=2, harms=(KILLED,)
    )
    assert verdict.passed
    assert verdict.again == 2
    (toll,) = verdict.tolls
    assert (toll.times, toll.in_hand, [round(seconds, 6) for seconds in toll.back]) == (1, 1, [1.1])
    assert toll.middle == toll.longest == toll.back[0]


def test_a_run_too_many_is_a_fault_when_its_worker_was_well() -> None:
    for harms in [(), (KILLED,)]:
        verdict = told(run(0, 8, 1.0, 1.1), run(0, 7, 3.0, 3.1), harms=harms)
        assert verdict.unexplained == (0,)
        assert not verdict.passed
    # It was harmed long after it must have been heard, or only after the second run had begun.
    assert told(
        run(0, 7, 1.0, 1.1), run(0, 8, 9.0, 9.1), harms=(Harm("kill", 8.0, 8.0, frozenset({7})),)
    ).unexplained == (0,)
    assert told(run(0, 7, 1.0, 1.1), run(0, 8, 1.5, 1.6), harms=(KILLED,)).unexplained == (0,)


def test_each_run_too_many_needs_a_reason_of_its_own() -> None:
    twice = [run(0, 7, 1.9), run(0, 8, 3.0, 3.1), run(0, 9, 4.0, 4.1)]
    assert told(*twice, harms=(KILLED,)).unexplained == (0,)
    assert told(*twice, harms=(KILLED, Harm("restart", 3.05, 3.5))).unexplained == ()


def test_who_was_frozen_begins_nothing_that_was_given_to_others() -> None:
    frozen = Harm("freeze", 2.0, 15.0, frozenset({7}), freezes=True)
    # The first thing that it notes may be a run that had begun, and was frozen right before its first line.
    assert told(run(0, 8, 4.0, 4.1), run(0, 7, 9.0, 9.1), harms=(frozen,)).passed
    both = [run(0, 8, 4.0, 4.1), run(1, 8, 4.2, 4.3), run(0, 7, 9.0, 9.1), run(1, 7, 9.2, 9.3)]
    assert told(*both, sent=2, harms=(frozen,)).unexplained == (1,)
    # It was in the middle of another one then.
    assert told(run(1, 7, 1.9, 9.0), run(0, 8, 4.0, 4.1), run(0, 7, 9.1, 9.2), sent=2, harms=(frozen,)).unexplained == (
        0,
    )
    assert told(run(0, 8, 4.0, 4.1), run(0, 9, 9.0, 9.1), harms=(frozen,)).unexplained == (0,)


def test_each_time_that_it_was_frozen_it_may_have_been_before_its_first_line() -> None:
    twice = tuple(Harm("freeze", at, at + 3.0, frozenset({7}), freezes=True) for at in (2.0, 12.0))
    runs = [run(0, 8, 4.0, 4.1), run(0, 7, 9.0, 9.1), run(1, 8, 13.0, 13.1), run(1, 7, 19.0, 19.1)]
    assert told(*runs, sent=2, harms=twice).passed
    assert told(*runs, sent=2, harms=twice[:1]).unexplained == (1,)


def test_a_job_that_was_handed_in_twice_may_be_there_twice() -> None:
    assert told(run(0, 7, 1.0, 1.1), run(0, 7, 1.2, 1.3), resent=(0,)).passed
