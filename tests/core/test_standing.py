"""Why a job does not run."""

from typing import Any

import pytest
from msgspec.structs import replace

from penstock.core.ids import uuid7
from penstock.core.job import Failure, JobRecord
from penstock.core.limiter import Limit, OpenGate
from penstock.core.standing import COUNTED, Awaited, Facts, GateState, Standing, Watcher, explain, gate_state
from penstock.core.states import State

NOW = 1_700_000_000.0
ID = uuid7(1, bytes(10))
OTHER = uuid7(2, bytes(10))
JOB = JobRecord(ID, "shop.invoice", "mail", 5, State.READY, 0, 0, NOW - 10, b"")
ALIVE = Watcher("0123456789abcdef", "host:7", 0.5, True, 2, 1)


def why(record: JobRecord | None = JOB, **known: Any) -> list[tuple[str, str]]:
    facts = Facts(NOW, 6.0, record, **{"workers": (ALIVE,), **known})
    return [(reason.kind, reason.text) for reason in explain(facts).reasons]


def test_what_is_next() -> None:
    assert why() == [("next", "nothing holds it up: it is the next one, and about to start")]
    assert why(standing=Standing()) == why()


def test_what_is_not_stored() -> None:
    assert why(None, has_result=True)[0][0] == "done"
    assert why(None, moved_to="redis://other") == [("moved", "it was moved to redis://other: ask there")]
    ((kind, text),) = why(None)
    assert kind == "unknown"
    assert "stored nowhere" in text
    assert explain(Facts(NOW, 6.0)).state is None
    assert explain(Facts(NOW, 6.0, has_result=True)).state is State.DONE


def test_what_has_ended() -> None:
    dead = replace(JOB, state=State.DEAD, failure=Failure("ValueError", "no such customer"))
    assert why(dead) == [
        ("dead", "it failed for good: ValueError: no such customer: penstock retry makes it ready again")
    ]
    assert why(replace(JOB, state=State.CANCELLED))[0][0] == "cancelled"


def test_what_waits_for_others() -> None:
    waiting = replace(JOB, state=State.WAITING)
    some = tuple(Awaited(f"shop.step{number}", number, 9) for number in range(7))
    ((kind, text),) = why(waiting, standing=Standing(awaits=some))
    assert kind == "workflow"
    assert text.startswith("it waits for others of its workflow: shop.step0 (0 of 9 have ended), shop.step1 (1 of 9")
    assert text.endswith(", 2 more")
    assert why(waiting)[0][1].endswith("they have ended just now")


def test_what_is_delayed() -> None:
    delayed = replace(JOB, state=State.DELAYED, run_at=NOW + 90)
    assert why(delayed) == [("delayed", "it is due in 90.0 s")]
    assert explain(Facts(NOW, 6.0, delayed)).reasons[0].until == NOW + 90
    retry = replace(delayed, attempt=2, failure=Failure("OSError", "away"))
    assert why(retry) == [("retry", "attempt 2 failed (OSError: away), and the next is due in 90.0 s")]
    overdue = replace(delayed, run_at=NOW - 5)
    assert why(overdue) == [("delayed", "it is due 5.0 s ago")]
    assert [kind for kind, _ in why(overdue, workers=())] == ["delayed", "no_worker"]
    assert [kind for kind, _ in why(delayed, workers=())] == ["delayed"]


def test_what_is_parked() -> None:
    parked = replace(JOB, state=State.PARKED)
    assert why(parked) == [("parked", "no worker so far has known its task shop.invoice: start one whose app has it")]


def test_nobody_takes_from_its_queue() -> None:
    for workers in ((), (replace(ALIVE, takes=False),), (replace(ALIVE, silent_for=6.0),)):
        assert why(workers=workers) == [("no_worker", "no live worker takes from queue mail: start one that does")]


def test_a_worker_that_is_not_ready() -> None:
    ((kind, text),) = why(workers=(replace(ALIVE, trouble="no process is up"),))
    assert (kind, text) == ("trouble", "worker 01234567 (host:7) is not ready: no process is up")


@pytest.mark.parametrize(
    ("gate", "kind", "text"),
    [
        (GateState("shop.invoice", 2, 2), "concurrency", "2 of 2 jobs run that shop.invoice may have at a time"),
        (GateState(",mail", 3, 3), "concurrency", "3 of 3 jobs run that queue mail may have at a time"),
        (
            GateState("shop.invoice,ada", opens_in=1.5),
            "rate",
            "the rate of shop.invoice,ada lets the next job start in 1.50 s",
        ),
    ],
)
def test_limits(gate: GateState, kind: str, text: str) -> None:
    assert why(standing=Standing(gates=(gate,))) == [(kind, text)]
    assert why(standing=Standing(gates=(GateState("shop.invoice", 1, 2),))) == why()


def test_jobs_before_it() -> None:
    assert why(standing=Standing(1)) == [("ahead", "1 job is before it in queue mail")]
    assert why(standing=Standing(7_000)) == [("ahead", "7,000 jobs are before it in queue mail")]
    assert why(standing=Standing(COUNTED + 1)) == [("ahead", "more than 10,000 jobs are before it in queue mail")]
    limited = replace(JOB, gate="shop.invoice")
    assert why(limited, standing=Standing(2)) == [("ahead", "2 jobs are before it in queue mail, at shop.invoice")]


def test_the_order_of_its_key() -> None:
    first = replace(JOB, id=OTHER, state=State.DELAYED, run_at=NOW + 9)
    reasons = explain(Facts(NOW, 6.0, JOB, standing=Standing(1, OTHER), first=first, workers=(ALIVE,))).reasons
    assert [reason.kind for reason in reasons] == ["order", "ahead"]
    assert reasons[0].until == NOW + 9
    assert "is ahead of it in the order of their key, and is delayed" in reasons[0].text


def test_all_slots_are_busy() -> None:
    busy = replace(ALIVE, busy=2)
    assert why(workers=(busy, busy)) == [("busy", "all 4 slots of the workers that take from mail are busy")]
    assert why(workers=(busy, ALIVE)) == why()


@pytest.mark.parametrize(
    ("worker", "kind", "text"),
    [
        (replace(ALIVE, runs_for=3.0), "running", "it has run for 3.5 s, at worker 01234567 (host:7), process 1"),
        (ALIVE, "held", "holds it, and starts it when one of those before it has ended"),
        (replace(ALIVE, silent_for=4.0, runs_for=1.0), "worker_silent", "unless it gives a sign of life, it is rescued in 2.0 s"),
        (replace(ALIVE, silent_for=7.0), "worker_silent", "has been silent for 7.0 s: the next live worker gives it to another"),
        (replace(ALIVE, id="another"), "worker_lost", "worker 01234567 holds it, which is not on the list"),
    ],
)  # fmt: skip
def test_what_runs(worker: Watcher, kind: str, text: str) -> None:
    ((found, said),) = why(replace(JOB, state=State.RUNNING, worker="0123456789abcdef/1"), workers=(worker,))
    assert found == kind
    assert text in said


def test_the_state_of_a_gate() -> None:
    by_rate = Limit("1/s", concurrency=2)
    assert gate_state("t", OpenGate(by_rate, 0.0, 2, NOW), NOW) == GateState("t", 2, 2, 0.0)
    closed = gate_state("t", OpenGate(by_rate, NOW + 1, 0, NOW), NOW)
    assert (closed.running, closed.opens_in, closed.is_full) == (0, pytest.approx(1.0), False)
    assert gate_state("t", OpenGate(Limit("1/s"), NOW - 5, 7, NOW), NOW) == GateState("t")


def test_it_reads_as_a_sentence() -> None:
    assert str(explain(Facts(NOW, 6.0, JOB, standing=Standing(1)))) == (
        "no live worker takes from queue mail: start one that does; 1 job is before it in queue mail"
    )
