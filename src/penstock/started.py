"""What starting a workflow gives back: a handle on all of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from penstock.brokers.workflows import WorkflowRecord
from penstock.client import Client
from penstock.core.ids import format_id
from penstock.core.states import State
from penstock.core.workflow import NewWorkflow
from penstock.errors import ConfigError, ResultTimeout, UnknownWorkflow
from penstock.handles import Job
from penstock.inline import run_inline

R = TypeVar("R")


def store(client: Client, workflow: NewWorkflow, tx: object | None = None) -> None:
    """Store a workflow, all of it or nothing; in inline mode, run it.

    Parameters:
        tx: a connection whose transaction it is stored in.
    """
    if client.inline is not None:
        run_inline(workflow, client.inline, client.inline_results)
        return
    signed = workflow if client.signing is None else client.signing.workflow(workflow)
    client.store(lambda broker: broker.workflows().start(signed, tx=tx), tx)


class StartedWorkflow(Generic[R]):
    """A workflow that was stored.

    Parameters:
        last: its last jobs, whose results are its own; None where they are not known.
        many: is its result a list?
    """

    __slots__ = ("_client", "_many", "jobs", "key")

    def __init__(self, client: Client, key: bytes, last: Sequence[Job[Any]] | None, *, many: bool) -> None:
        self._client = client
        self._many = many
        #: The id's 16 bytes.
        self.key = key
        #: Its last jobs.
        self.jobs: list[Job[Any]] | None = None if last is None else list(last)

    @property
    def id(self) -> str:
        """The workflow's id, a UUID as text."""
        return format_id(self.key)

    def record(self) -> WorkflowRecord:
        """Its stages as they are now; `UnknownWorkflow` where it is not stored (any more)."""
        with self._client.broker() as broker:
            found = broker.workflows().get(self.key)
        if found is None:
            raise UnknownWorkflow(
                f"{self.id} is no workflow that is stored: it ended more than a day ago, or never was here"
            )
        return found

    def state(self) -> State:
        """Where it is: running, done, or dead, where something failed or was cancelled and nothing is under way any more."""
        if self._client.inline is not None:
            return State.DONE
        return self.record().state

    def progress(self) -> tuple[int, int]:
        """How many of its jobs are done, and how many there are."""
        total, done, _ = self.record().counts
        return done, total

    def result(self, timeout: float | None = None) -> R:
        """Wait for its end and return what its last job returned; a list, where there are several last jobs.

        Parameters:
            timeout: seconds to wait at most; None waits for ever.

        Raises:
            JobFailed: a last job failed.
            JobCancelled: it was cancelled, or a job failed that it waited for; the message says which, and why.
            ResultTimeout: it did not end in time.
            ConfigError: it was found by its id, and has several last jobs.
        """
        if self.jobs is None:
            raise ConfigError(
                "only who started a workflow has the results of its several last jobs: give it one last step"
            )
        deadline = None if timeout is None else time.monotonic() + timeout
        values = [job.result(None if deadline is None else max(0.0, deadline - time.monotonic())) for job in self.jobs]
        result: Any = values if self._many else values[0]
        found: R = result
        return found

    def wait(self, timeout: float | None = None) -> State:
        """Wait until nothing of it is under way, well or not; returns where it is then: done or dead.

        Parameters:
            timeout: seconds to wait at most; None waits for ever.

        Raises:
            ResultTimeout: it did not end in time.
        """
        if self._client.inline is not None:
            return State.DONE
        state = self._client.until_none_is_left(self._look, timeout)
        if state is None:
            raise ResultTimeout(f"the workflow did not end within {timeout:g} s")
        return state

    def _look(self) -> tuple[State, int]:
        """Where it is, and how many of its jobs are under way."""
        record = self.record()
        total, done, failed = record.counts
        # A stage without jobs may be what waits.
        return record.state, max(1, total - done - failed) if record.state is State.RUNNING else 0

    def cancel(self) -> int:
        """Cancel what has not ended; returns how many jobs."""
        with self._client.broker() as broker:
            return broker.workflows().cancel(self.key)

    def retry(self) -> int:
        """Go on from what failed or was cancelled; what has ended well is not repeated. Returns how many jobs run or wait again."""
        with self._client.broker() as broker:
            return broker.workflows().resume(self.key)

    def __repr__(self) -> str:
        return f"<StartedWorkflow {self.id}>"


def found(client: Client, key: bytes) -> StartedWorkflow[Any]:
    """A handle on a workflow that is stored; `UnknownWorkflow` where it is not."""
    record = StartedWorkflow[Any](client, key, None, many=False).record()
    waited_for = {id for stage in record.stages for id in stage.after}
    last = [stage for stage in record.stages if stage.id not in waited_for]
    if len(last) == 1 and last[0].total == 1 and last[0].first is not None:
        return StartedWorkflow(client, key, [Job(client, last[0].first)], many=False)
    return StartedWorkflow(client, key, None, many=True)
