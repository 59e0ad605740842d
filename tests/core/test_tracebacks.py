"""What went wrong in a task, as text."""

from penstock import Penstock
from penstock.core.bundle import bundle
from penstock.core.job import Lease
from penstock.core.tracebacks import format_traceback


def fail() -> None:
    raise ValueError("bad \udcff")


def raised() -> BaseException:
    try:
        fail()
    except ValueError as error:
        return error
    raise AssertionError("it did not fail")


def test_it_ends_with_the_error_and_can_be_stored() -> None:
    text = format_traceback(raised())
    assert "in fail" in text
    assert text.splitlines()[-1].startswith("ValueError: bad ")
    text.encode()


def test_an_error_that_was_never_raised_has_no_frames() -> None:
    assert format_traceback(ValueError("named")) == "ValueError: named\n"


def test_a_long_one_keeps_its_beginning_and_its_end() -> None:
    text = format_traceback(ValueError("a" * 30_000 + "end"))
    assert len(text) < 20_100
    assert text.startswith("ValueError: aaa")
    assert text.endswith("end\n")


def test_of_a_call_that_jobs_share_it_shows_the_users_frames_only(queue_url: str) -> None:
    app = Penstock(queue_url)

    @app.batch_task(name="store", retries=0)
    def store(items: list[int]) -> None:
        raise LookupError("no such account")

    runner = app.runner()
    lease = Lease(bytes(16), 1, 1, "store", store.signature.encode((1,), {}))
    (outcome,) = runner.run(bundle([lease])).parts
    assert outcome.failure is not None
    frames = [line for line in outcome.failure.traceback.splitlines() if line.startswith("  File")]
    assert len(frames) == 1
    assert "test_tracebacks.py" in frames[0]
    runner.close()
    app.close()
