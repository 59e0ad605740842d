"""What becomes of stages."""

import pytest

from penstock.core.job import Failure
from penstock.core.workflow import CALLED_OFF, Answer, Rule, StageState, Verdict, answer, verdict, why


@pytest.mark.parametrize(
    ("state", "total", "done", "failed", "told"),
    [
        (StageState.STARTED, 3, 2, 0, Verdict.OPEN),
        (StageState.STARTED, 3, 3, 0, Verdict.DONE),
        (StageState.STARTED, 0, 0, 0, Verdict.DONE),
        (StageState.STARTED, 3, 1, 1, Verdict.FAILING),
        (StageState.STARTED, 3, 2, 1, Verdict.FAILED),
        (StageState.WAITING, 0, 0, 0, Verdict.OPEN),
        (StageState.WAITING, 3, 0, 1, Verdict.FAILING),
        (StageState.CANCELLED, 0, 0, 0, Verdict.FAILED),
        (StageState.SKIPPED, 3, 0, 0, Verdict.SKIPPED),
    ],
)
def test_what_a_stage_tells(state, total, done, failed, told):
    assert verdict(state, total, done, failed) is told


@pytest.mark.parametrize(
    ("rule", "told", "alone", "among_others"),
    [
        (Rule.DONE, Verdict.OPEN, Answer.WAIT, Answer.WAIT),
        (Rule.DONE, Verdict.DONE, Answer.START, Answer.ONE_LESS),
        (Rule.DONE, Verdict.FAILING, Answer.CANCEL, Answer.CANCEL),
        (Rule.DONE, Verdict.FAILED, Answer.CANCEL, Answer.CANCEL),
        (Rule.DONE, Verdict.SKIPPED, Answer.SKIP, Answer.SKIP),
        (Rule.ENDED, Verdict.DONE, Answer.START, Answer.ONE_LESS),
        (Rule.ENDED, Verdict.FAILING, Answer.WAIT, Answer.WAIT),
        (Rule.ENDED, Verdict.FAILED, Answer.START, Answer.ONE_LESS),
        (Rule.ENDED, Verdict.SKIPPED, Answer.START, Answer.ONE_LESS),
        (Rule.FAILED, Verdict.DONE, Answer.SKIP, Answer.ONE_LESS),
        (Rule.FAILED, Verdict.FAILING, Answer.START, Answer.START),
        (Rule.FAILED, Verdict.FAILED, Answer.START, Answer.START),
        (Rule.FAILED, Verdict.SKIPPED, Answer.SKIP, Answer.ONE_LESS),
    ],
)
def test_what_becomes_of_who_waits(rule, told, alone, among_others):
    assert answer(rule, told, 0) is alone
    assert answer(rule, told, 2) is among_others


def test_the_reason_is_what_failed_in_the_first_place():
    broken, called_off = Failure("ValueError", "no"), Failure(CALLED_OFF, "first failed: ValueError: no")
    assert why("first", broken, is_dead=True) == "first failed: ValueError: no"
    assert why("second", called_off, is_dead=False) == "first failed: ValueError: no"
    assert why("first", None, is_dead=False) == "first was cancelled"
    assert why("first", broken, is_dead=False) == "first was cancelled"
