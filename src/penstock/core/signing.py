"""Signatures of payloads: a job that nobody with a key has sent is not run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import TYPE_CHECKING

from msgspec.structs import replace

from penstock.core.handing import MARK
from penstock.core.job import NewJob
from penstock.core.sealed import LENGTH, SEAL, SIZE, start_of
from penstock.core.topics import Event
from penstock.core.workflow import NewWorkflow
from penstock.errors import ConfigError, PayloadError

if TYPE_CHECKING:
    from hmac import HMAC

#: Characters of a key, at least.
SHORTEST_KEY = 32
#: A name that stands for all tasks.
ALL = "*"
_PURPOSE = b"penstock 1\0"
_UNSIGNED = "it is not signed: send it with a key of PENSTOCK_SIGNING_KEYS, or name its task in PENSTOCK_UNSIGNED_TASKS; then retry it"
_WRONG = (
    "its signature is not right: it was signed with a key that is not among PENSTOCK_SIGNING_KEYS here, or was changed, "
    "or comes from another job or task"
)


class Scope(Enum):
    """What a signature is about beside the payload: no other job, or no other task, can have it."""

    JOB = b"j"
    TASK = b"t"  # of many jobs: the runs of a schedule, or a unique job that takes the place of another
    EVENT = b"e"  # of many handlers


_SCOPES = {scope.value: scope for scope in Scope}


class Signing:
    """The keys of an app, and what is done with them.

    Parameters:
        keys: the first signs, and what any of them has signed is run.
        unsigned: names of tasks whose jobs need no signature, since who sends them has no key; "*" is all. A wrong signature is
            refused of these, too.

    Raises:
        ConfigError: a key is too short to be one.
    """

    def __init__(self, keys: Sequence[str], unsigned: Sequence[str] = ()) -> None:
        from hmac import compare_digest, new  # loads OpenSSL

        if not keys or any(len(key) < SHORTEST_KEY for key in keys):
            raise ConfigError(
                f"a key in PENSTOCK_SIGNING_KEYS has at least {SHORTEST_KEY} characters: "
                "python -c 'import secrets; print(secrets.token_urlsafe(32))' makes one"
            )
        # A copy takes 1.4 us for a short payload and `hmac.digest` 2.1: half of the work is the key's.
        self._keys = [new(key.encode("utf-8", "surrogateescape"), digestmod="sha256") for key in keys]
        self.unsigned = frozenset(unsigned)
        self._equal: Callable[[bytes, bytes], bool] = compare_digest

    def job(self, job: NewJob, scope: Scope | None = None) -> NewJob:
        """A job with its payload sealed.

        Parameters:
            scope: for a job that is a model of others; without, it is the job's own.
        """
        if scope is None:
            # Another job may be stored under its id, or it under another's.
            scope = Scope.TASK if job.dedup is not None and job.dedup.replace else Scope.JOB
        return replace(job, payload=self.sealed(job.payload, scope, job.task, job.id, packed=job.packed))

    def jobs(self, jobs: Sequence[NewJob]) -> list[NewJob]:
        """Some jobs with their payloads sealed."""
        return [self.job(job) for job in jobs]

    def event(self, event: Event) -> Event:
        """An event with its payload, which has its topic in it, sealed."""
        return replace(event, payload=self.sealed(event.payload, Scope.EVENT))

    def workflow(self, workflow: NewWorkflow) -> NewWorkflow:
        """A workflow with the payloads of its jobs sealed."""
        return replace(
            workflow, stages=tuple(replace(stage, jobs=tuple(self.jobs(stage.jobs))) for stage in workflow.stages)
        )

    def sealed(self, payload: bytes, scope: Scope, task: str = "", id: bytes = b"", *, packed: bool = False) -> bytes:
        """A payload with its signature before it."""
        length = len(payload).to_bytes(LENGTH, "big")
        signature = self._signature(self._keys[0], payload, scope, task, id, packed=packed)
        mark = MARK if payload[:1] == MARK else b""
        return b"".join((mark, SEAL, scope.value, length, signature, payload))

    def opened(self, payload: bytes, task: str, id: bytes, *, packed: bool, is_handler: bool) -> bytes:
        """A payload whose signature is right, without it.

        Parameters:
            is_handler: is the task called with events?

        Raises:
            PayloadError: it has none, and its task has to have one; or it is not right.
        """
        start = start_of(payload)
        if start is None:
            if self.unsigned.isdisjoint((task, ALL)):
                raise PayloadError(_UNSIGNED)
            return payload
        head = payload[start + 2 : start + SIZE]
        inner = payload[start + SIZE :]
        length = int.from_bytes(head[:LENGTH], "big")
        signed = inner[:length]
        scope = _SCOPES.get(payload[start + 1 : start + 2])
        if scope is None:
            raise PayloadError(_WRONG)
        whole = len(signed) == length and (len(inner) == length or (start == 1 and signed[:1] == MARK))
        if not whole or (scope is Scope.EVENT and (packed or not is_handler)):
            raise PayloadError(_WRONG)
        given = head[LENGTH:]
        for key in self._keys:
            if self._equal(given, self._signature(key, signed, scope, task, id, packed=packed)):
                return inner
        raise PayloadError(_WRONG)

    @property
    def count(self) -> int:
        """How many keys there are."""
        return len(self._keys)

    def _signature(self, key: HMAC, payload: bytes, scope: Scope, task: str, id: bytes, *, packed: bool) -> bytes:
        name = b"" if scope is Scope.EVENT else task.encode("utf-8", "surrogatepass")
        own = id if scope is Scope.JOB else b""
        # Every part but the last has a length that is known, so that no two messages are alike.
        about = (
            _PURPOSE,
            scope.value,
            b"p" if packed else b"s",
            len(name).to_bytes(4, "big"),
            name,
            own.ljust(16, b"\0"),
        )
        signature = key.copy()
        signature.update(b"".join((*about, payload)))
        return signature.digest()
