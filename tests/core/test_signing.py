"""What a signature lets through, and what it does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core import handing
from penstock.core.job import Dedup, NewJob
from penstock.core.sealed import SIZE, start_of, unsealed
from penstock.core.signing import Scope, Signing
from penstock.core.topics import Event, body
from penstock.core.workflow import NewStage, NewWorkflow
from penstock.errors import ConfigError, PayloadError

KEY, OTHER = "k" * 32, "o" * 32
ID, TASK = b"i" * 16, "shop.send"
SIGNING = Signing([KEY])


def opened(payload: bytes, signing: Signing = SIGNING, *, task: str = TASK, id: bytes = ID, packed: bool = False, is_handler: bool = False) -> bytes:  # fmt: skip
    return signing.opened(payload, task, id, packed=packed, is_handler=is_handler)


@given(st.binary(), st.sampled_from([Scope.JOB, Scope.TASK]), st.booleans())
def test_what_is_sealed_is_opened_as_it_was(payload: bytes, scope: Scope, packed: bool) -> None:
    sealed = SIGNING.sealed(payload, scope, TASK, ID, packed=packed)
    assert opened(sealed, packed=packed) == unsealed(sealed) == payload


@given(st.binary(max_size=60), st.data())
def test_no_byte_of_it_may_change(payload: bytes, data: st.DataObject) -> None:
    sealed = SIGNING.sealed(payload, Scope.JOB, TASK, ID)
    at = data.draw(st.integers(0, len(sealed) - 1))
    to = data.draw(st.integers(0, 255).filter(lambda byte: byte != sealed[at]))
    # Behind what takes results they are added, and nobody signs them.
    longer = [] if handing.takes_results(sealed) else [sealed + payload + b"\x00"]
    for forged in (sealed[:at] + bytes([to]) + sealed[at + 1 :], sealed[:at], *longer):
        with pytest.raises(PayloadError):
            opened(forged)


@given(st.binary())
def test_bytes_that_nobody_signed_are_refused_in_one_line(payload: bytes) -> None:
    with pytest.raises(PayloadError) as caught:
        opened(payload)
    assert "\n" not in str(caught.value)


def test_a_signature_is_one_jobs_or_one_tasks() -> None:
    sealed = SIGNING.sealed(b"\x90", Scope.JOB, TASK, ID)
    runs = SIGNING.sealed(b"\x90", Scope.TASK, TASK, ID)
    assert opened(runs, id=b"j" * 16) == b"\x90"
    for changed in ({"id": b"j" * 16}, {"task": "shop.drop"}, {"packed": True}):
        with pytest.raises(PayloadError, match="comes from another job or task"):
            opened(sealed, **changed)
    with pytest.raises(PayloadError, match="comes from another"):
        opened(runs, task="shop.drop")
    # Neither does the end of one part count as the beginning of the next.
    with pytest.raises(PayloadError):
        opened(SIGNING.sealed(b"ab", Scope.TASK, "shop.x"), task="shop.xa")


def test_keys_are_changed_one_after_the_other() -> None:
    old, both, new = Signing([KEY]), Signing([OTHER, KEY]), Signing([OTHER])
    sealed = both.sealed(b"\x90", Scope.JOB, TASK, ID)
    assert opened(sealed, new) == opened(old.sealed(b"\x90", Scope.JOB, TASK, ID), both) == b"\x90"
    with pytest.raises(PayloadError, match="PENSTOCK_SIGNING_KEYS"):
        opened(sealed, old)


def test_unsigned_jobs_of_some_tasks_are_let_through_and_wrong_ones_of_none() -> None:
    assert opened(b"\x90", Signing([KEY], [TASK])) == opened(b"\x90", Signing([KEY], ["*"])) == b"\x90"
    with pytest.raises(PayloadError, match="PENSTOCK_UNSIGNED_TASKS"):
        opened(b"\x90", Signing([KEY], ["shop.other"]))
    with pytest.raises(PayloadError, match="not right"):
        opened(Signing([OTHER]).sealed(b"\x90", Scope.JOB, TASK, ID), Signing([KEY], ["*"]))


def test_results_are_added_behind_what_is_signed_and_nowhere_else() -> None:
    call = handing.opened((1,), {}, [0])
    sealed = SIGNING.sealed(call, Scope.JOB, TASK, ID)
    given = handing.results([[b"\x07"]])
    assert handing.takes_results(sealed)
    assert opened(sealed + given) == call + given
    with pytest.raises(PayloadError):
        opened(SIGNING.sealed(b"\x91\x01", Scope.JOB, TASK, ID) + given)


def test_an_event_is_for_handlers_alone() -> None:
    event = SIGNING.event(Event(ID, "orders.new", body("orders.new", b"\x01")))
    assert opened(event.payload, is_handler=True, id=b"j" * 16) == body("orders.new", b"\x01")
    with pytest.raises(PayloadError):
        opened(event.payload)
    with pytest.raises(PayloadError):
        opened(event.payload, is_handler=True, packed=True)


def test_the_jobs_of_a_workflow_and_one_that_may_take_anothers_place() -> None:
    job = NewJob(ID, TASK, b"\x90")
    flow = SIGNING.workflow(NewWorkflow(b"w" * 16, "w", (NewStage(b"s" * 16, "s", (job,)),)))
    assert opened(flow.stages[0].jobs[0].payload) == b"\x90"
    replacing = SIGNING.job(NewJob(ID, TASK, b"\x90", unique="k", dedup=Dedup(replace=True)))
    assert opened(replacing.payload, id=b"j" * 16) == b"\x90"


@pytest.mark.parametrize("keys", [[], ["short"], [KEY, ""]])
def test_a_key_that_can_be_guessed_is_none(keys: list[str]) -> None:
    with pytest.raises(ConfigError, match="token_urlsafe"):
        Signing(keys)


def test_a_seal_is_no_msgpack_and_no_json() -> None:
    assert start_of(b"") is start_of(b"\x83\xa4call") is start_of(b'{"args": []}') is start_of(b"\x91\xc1") is None
    assert len(SIGNING.sealed(b"", Scope.JOB, TASK, ID)) == SIZE
