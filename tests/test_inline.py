"""Workflows in the caller's thread."""

from penstock.core import handing
from penstock.core.job import NewJob
from penstock.core.workflow import NewStage, NewWorkflow, Rule
from penstock.inline import run_inline


def job(number: int, stage: bytes, payload: bytes = b"") -> NewJob:
    return NewJob(bytes([number]) * 16, "app.task", payload, batch=stage)


def test_stages_run_in_their_order_and_what_waits_for_failures_does_not() -> None:
    first, second, failed = b"1" * 16, b"2" * 16, b"3" * 16
    opened = handing.opened((), {}, [1])
    stages = (
        NewStage(first, "first", (job(1, first), job(2, first))),
        NewStage(second, "second", (job(3, second, opened), job(4, second)), (first,), takes=(first,)),
        NewStage(failed, "failed", (job(5, failed),), (first,), Rule.FAILED),
    )
    ran: list[NewJob] = []
    results: dict[bytes, bytes | None] = {bytes([1]) * 16: b"\x07"}
    run_inline(NewWorkflow(b"w" * 16, "flow", stages), ran.append, results)
    assert [one.id[0] for one in ran] == [1, 2, 3, 4]
    assert handing.own(ran[2].payload) == [[7, None]]
    assert ran[3].payload == b""
