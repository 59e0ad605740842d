"""What an enqueue gives back: a handle on one job, or on a batch of items."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import Any, Generic, TypeVar

from penstock.brokers.inspect import BatchRecord, Selection
from penstock.client import Client
from penstock.core.codec import decode_value, encode_value
from penstock.core.decide import DEFAULT_RESULT_TTL
from penstock.core.ids import format_id
from penstock.core.memo import Progress
from penstock.core.standing import Explanation
from penstock.core.states import State
from penstock.errors import ConfigError

R = TypeVar("R")
_NONE = encode_value(None)
_FOREVER = float("inf")


class Job(Generic[R]):
    """A job that was enqueued.

    A job that succeeded and returned None leaves nothing behind: from then on it counts as done.
    """

    __slots__ = ("_client", "_kept", "_returns", "key")

    def __init__(self, client: Client, key: bytes, returns: Any = Any, kept: float = DEFAULT_RESULT_TTL) -> None:
        self._client = client
        self._returns = returns
        #: Seconds for which its result is kept. What returns nothing is not missed.
        self._kept = _FOREVER if returns is type(None) else kept
        #: The id's 16 bytes.
        self.key = key

    @property
    def id(self) -> str:
        """The job's id, a UUID as text."""
        return format_id(self.key)

    def state(self) -> State:
        """Where the job is now."""
        return self._client.state(self.key)

    def result(self, timeout: float | None = None) -> R:
        """Wait for the job's end and return what the task returned.

        Parameters:
            timeout: seconds to wait at most; None waits for ever, 0 only looks.

        Raises:
            JobFailed: the job became a dead letter; `.traceback` has the remote traceback.
            JobCancelled: it was cancelled.
            JobMoved: it is in another store now.
            UnknownJob: it is stored nowhere, and too old for its result to be kept yet.
            ResultTimeout: it did not end in time.
            MissingFeature: its task returns nothing, and the broker does not tell of jobs that leave nothing.
        """
        self._check_told()
        return self._decoded(self._client.wait(self.key, timeout, self._kept))

    async def result_async(self) -> R:
        """As `result`, without blocking the event loop; `await job` is the same. `asyncio.timeout` sets a limit."""
        self._check_told()
        return self._decoded(await self._client.wait_async(self.key, self._kept))

    def __await__(self) -> Generator[Any, None, R]:
        return self.result_async().__await__()

    def _check_told(self) -> None:
        """Raise `MissingFeature` where nothing would tell that it has ended."""
        if self._returns is type(None):
            self._client.needs_records(
                "a task that returns nothing is not known to have ended: have it return something"
            )

    def _decoded(self, value: bytes | None) -> R:
        # A result of None is stored only where another job takes it; else its absence is the value, whatever R is.
        is_none = value is None or value == _NONE
        result: R = decode_value(_NONE if value is None else value, Any if is_none else self._returns)
        return result

    def progress(self) -> Progress | None:
        """How far the job said it was, last; None where it said nothing, or has ended well."""
        return self._client.progress(self.key)

    def explain(self) -> Explanation:
        """Why the job is not running, or where it runs; `str()` of it is a sentence."""
        return self._client.explain(self.key)

    def cancel(self) -> bool:
        """Cancel the job: at once where it waits; where it runs it is interrupted, soon. False when it has ended.

        Raises:
            MissingFeature: it started some seconds ago or has ended, and the broker does not tell which.
        """
        return self._client.cancel_job(self.key)

    def __repr__(self) -> str:
        return f"<Job {self.id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)


def as_completed(jobs: Iterable[Job[R]], *, timeout: float | None = None) -> Iterator[Job[R]]:
    """Jobs of one app as they end, well or not: `job.result()` then returns or raises at once.

    Parameters:
        timeout: seconds to wait at most for all of them; None waits for ever.

    Raises:
        ResultTimeout: some did not end in time.
        ConfigError: they are of different apps.
        MissingFeature: as `Job.result` does.
    """
    by_key: dict[bytes, Job[R]] = {}
    clients = set()
    for job in jobs:
        job._check_told()
        by_key[job.key] = job
        clients.add(job._client)
    if len(clients) > 1:
        raise ConfigError("as_completed() takes jobs of one app: call it for those of each")
    for client in clients:
        for key in client.ends(list(by_key), timeout):
            yield by_key[key]


class Batch:
    """Many items that were enqueued together by `.map`; what their task returns is not kept."""

    __slots__ = ("_client", "key")

    def __init__(self, client: Client, key: bytes) -> None:
        self._client = client
        self.key = key

    @property
    def id(self) -> str:
        """The batch's id, a UUID as text."""
        return format_id(self.key)

    def counts(self) -> BatchRecord:
        """How many items there are, are done, have failed for good, and were retried."""
        return self._client.batch(self.key)

    def wait(self, timeout: float | None = None) -> BatchRecord:
        """Wait until every item is done or has failed for good; `ResultTimeout` after `timeout` seconds."""
        return self._client.wait_batch(self.key, timeout)

    def cancel(self) -> int:
        """Cancel what has not ended, as `Job.cancel`; returns how many stored rows that were."""
        return self._client.cancel(Selection(batch=self.key))

    def __repr__(self) -> str:
        return f"<Batch {self.id}>"
