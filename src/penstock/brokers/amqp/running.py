"""Messages that run for long: the backend is told of each, so that it is listed, and can be cancelled.

What is told is kept as memos are, under ids made of the job's own. Whether the job still runs, the heartbeats of its worker tell: what a worker that was killed
has left is nobody's. A mark to cancel is another such memo. One that all workers look at says that there are new marks.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence

import msgspec
from msgspec.structs import replace

from penstock.brokers.amqp.keeper import Keeper
from penstock.brokers.amqp.message import DELIVERED
from penstock.brokers.base import WorkerInfo
from penstock.brokers.inspect import Selection, WorkerRecord
from penstock.core.ids import made_at
from penstock.core.job import Holder, JobRecord, Lease
from penstock.core.memo import LARGEST, memo_id
from penstock.core.outcome import AGAIN, Ending, Outcome
from penstock.core.states import State
from penstock.errors import StoreError

#: Seconds for which it is kept what runs: longer than any message may; and a mark, which a killed worker's message is met with when it comes again.
_KEPT, _MARKED = 31 * 86_400.0, 86_400.0
#: Seconds of silence after which a worker runs nothing.
_SILENT = 6.0
#: A memo that is another with every new mark.
_NEWEST = memo_id(b"", "cancels")


class _Shown(msgspec.Struct, frozen=True, array_like=True):
    """A lease, and who has it. A payload that is larger than a memo may be is left out."""

    worker: str
    process: int
    claim: int
    task: str
    payload: bytes
    queue: str
    priority: int
    attempt: int
    crashes: int
    items: int = 1
    packed: bool = False
    item: int | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Shown).decode


class Running:
    """What is known of messages that run.

    Parameters:
        keeper: the backend.
        ring: has workers look.
    """

    def __init__(self, keeper: Keeper, ring: Callable[[], None]) -> None:
        self._keeper = keeper
        self._ring = ring
        #: What this connection has, and the backend was told of: ids by claims.
        self._shown: dict[int, bytes] = {}
        #: What the worker of this connection runs, and which of it is marked.
        self._told: set[bytes] = set()
        self._marked: dict[bytes, _Shown] = {}
        self._newest: bytes | None = None

    def lost(self) -> None:
        """The connection was lost, and with it all leases."""
        self._shown.clear()

    def show(self, leases: Sequence[Lease], holder: Holder) -> None:
        """Tell the backend of leases that are in force."""
        shown = {
            memo_id(one.id, "running"): _encode(
                _Shown(
                    holder.worker, holder.process, one.claim, one.task, one.payload if len(one.payload) < LARGEST // 2 else b"",
                    one.queue, one.priority, one.attempt, one.crashes, one.items, one.packed, one.item,
                )
            )
            for one in leases
        }  # fmt: skip
        if shown:
            self._keeper.keep(shown, _KEPT, None)
            self._shown.update((one.claim, one.id) for one in leases)

    def marked(self, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
        """The same outcomes; those of marked jobs that would run again are cancelled."""
        if not self._shown:
            return outcomes
        off = self.to_call_off(
            id for each in outcomes if each.ending in AGAIN and (id := self._shown.get(each.lease.claim)) is not None
        )
        return [
            replace(each, ending=Ending.CANCELLED) if each.ending in AGAIN and each.lease.id in off else each
            for each in outcomes
        ]

    def ended(self, claims: Iterable[int]) -> None:
        """These have ended: nobody need know that they run. What stays, since the backend is away, nobody looks at."""
        if not self._shown:
            return
        ids = [id for claim in claims if (id := self._shown.pop(claim, None)) is not None]
        if ids:
            try:
                self._keeper.open().memos().discard([memo_id(id, kind) for id in ids for kind in ("running", "cancel")])
            except StoreError:
                return

    def to_call_off(self, ids: Iterable[bytes]) -> set[bytes]:
        """Which of these jobs are marked."""
        asked = list(ids)
        if not asked:
            return set()
        inspector = self._keeper.open().inspector()
        if inspector.result(_NEWEST) is None:
            return set()
        return {id for id in asked if inspector.result(memo_id(id, "cancel")) is not None}

    def beat(self, worker: WorkerInfo) -> None:
        """Take note of what the worker of this connection runs."""
        self._told = {job.id for job in worker.jobs}
        self._marked = {id: shown for id, shown in self._marked.items() if id in self._told}

    def to_cancel(self) -> list[tuple[int, bytes]]:
        """Which of it is to be cancelled: the numbers of the processes, and the ids. A look costs one question, as long as nothing new is marked."""
        inspector = self._keeper.open().inspector()
        newest = inspector.result(_NEWEST) if self._told else self._newest
        if newest != self._newest:
            self._newest = newest
            for id in self._told:
                if inspector.result(memo_id(id, "cancel")) is not None and (shown := self._find(id)) is not None:
                    self._marked[id] = shown
        return [(shown.process, id) for id, shown in self._marked.items()]

    def of(self, holder: Holder) -> list[Lease]:
        """The leases of a process that are marked."""
        return [
            Lease(
                id, DELIVERED, one.claim, one.task, one.payload, one.queue, one.priority, one.attempt, one.crashes,
                items=one.items, packed=one.packed, item=one.item,
            )
            for id, one in self._marked.items()
            if (one.worker, one.process) == (holder.worker, holder.process)
        ]  # fmt: skip

    def _find(self, id: bytes) -> _Shown | None:
        found = self._keeper.open().inspector().result(memo_id(id, "running"))
        return None if found is None else _decode(found)

    def get(self, id: bytes) -> JobRecord | None:
        """A message that runs, if it is known."""
        shown = self._find(id)
        if shown is None or (shown.worker, id) not in _running(self._keeper.open().inspector().workers()):
            return None
        return _record(id, shown)

    def list(self, selection: Selection) -> list[JobRecord]:
        """The messages that are known to run and that fit, in the order of their ids."""
        if selection.state not in (None, State.RUNNING) or selection.batch is not None:
            return []
        running = _running(self._keeper.open().inspector().workers())
        wanted = {id for _, id in running} if selection.ids is None else set(selection.ids)
        found = [
            _record(id, shown)
            for worker, id in running
            if id in wanted and (shown := self._find(id)) is not None and shown.worker == worker
        ]
        return sorted(
            (
                one
                for one in found
                if selection.queue in (None, one.queue) and selection.task in (None, one.task)
            ),
            key=lambda one: one.id,
        )  # fmt: skip

    def cancel(self, selection: Selection) -> int:
        """Mark messages that run; returns how many."""
        ids = [one.id for one in self.list(selection)]
        if ids:
            self._keeper.keep({memo_id(id, "cancel"): b"" for id in ids}, _MARKED, None)
            # After the marks: whoever sees it looks for them.
            self._keeper.keep({_NEWEST: secrets.token_bytes(8)}, _MARKED, None)
            self._ring()
        return len(ids)


def _running(workers: Sequence[WorkerRecord]) -> list[tuple[str, bytes]]:
    """What live workers say that they run."""
    return [(worker.id, job.id) for worker in workers if worker.silent_for < _SILENT for job in worker.jobs]


def _record(id: bytes, shown: _Shown) -> JobRecord:
    return JobRecord(
        id, shown.task, shown.queue, shown.priority, State.RUNNING, shown.attempt, shown.crashes, made_at(id) or 0.0, shown.payload,
        shown.items, shown.packed, shown.item, worker=shown.worker,
    )  # fmt: skip
