"""What becomes of the stages of workflows in a SQLite queue as others end; each inside a transaction that its caller has begun."""

from __future__ import annotations

import json
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from penstock.brokers.workflows import EVERY_WORKFLOW, KEPT_DONE, KEPT_FAILED, SOME_WORKFLOWS, cut
from penstock.core import handing
from penstock.core.job import Failure
from penstock.core.workflow import CALLED_OFF, Answer, Rule, StageState, Verdict, answer, verdict, why
from penstock.stores.statements import Statements

#: Makes jobs ready, behind all others, by a JSON array of their seqs.
Ready = Callable[[sqlite3.Connection, str, float], None]


class Settled(NamedTuple):
    """Has a stage started, so that there are new jobs to run, or been stopped, so that jobs have ended which were not handed in?"""

    started: bool = False
    stopped: bool = False


class Flows:
    """Starts, cancels and skips stages, by the statements of one namespace.

    Whoever changes the counters of a batch tells `settle`; the same transaction then settles all that follows from it.
    """

    def __init__(self, sql: Statements, ready: Ready) -> None:
        self._sql = sql
        self._ready = ready

    def settle(self, connection: sqlite3.Connection, batches: Iterable[bytes], now: float) -> Settled:
        """Counters of these batches have changed: see to the stages that wait for them."""
        started = stopped = False
        left = deque(batches)
        while left:
            batch = left.popleft()
            row = connection.execute(self._sql["stage"], (batch,)).fetchone()
            if row is None:
                continue
            name, state, total, done, failed, ended_at = row
            told = verdict(StageState(state), total, done, failed)
            if told is Verdict.OPEN:
                continue
            if told is not Verdict.FAILING and ended_at is None:
                connection.execute(self._sql["stage_ended"], (batch, now))
            for stage, rule, open in connection.execute(self._sql["edges_of"], (batch,)).fetchall():
                match answer(Rule(rule), told, open - 1):
                    case Answer.ONE_LESS:
                        connection.execute(self._sql["edge_done"], (batch, stage))
                        connection.execute(self._sql["stage_less"], (stage,))
                    case Answer.START:
                        started = True
                        left += self._start(connection, stage, batch, now)
                    case Answer.CANCEL:
                        stopped = True
                        left += self.cancel(connection, stage, self._why(connection, batch, name), now)
                    case Answer.SKIP:
                        stopped = True
                        left += self._skip(connection, stage, now)
        return Settled(started, stopped)

    def _start(self, connection: sqlite3.Connection, stage: bytes, trigger: bytes, now: float) -> Sequence[bytes]:
        """Have a stage's jobs run; returns the stages to settle next."""
        takes, rule = connection.execute(self._sql["stage_takes"], (stage,)).fetchone()
        (takers,) = connection.execute(self._sql["stage_takers"], (stage,)).fetchone()
        if takers:
            if rule == Rule.FAILED:
                (failure, _) = connection.execute(self._sql["stage_failure"], (trigger,)).fetchone() or (None, None)
                given = handing.results([[failure or handing.CANCELLED]])
            else:
                given = handing.results([self._results(connection, one) for one in cut(takes)])
            if len(given) > handing.MOST_HANDED or len(given) * takers > handing.MOST_TOGETHER:
                return self.cancel(connection, stage, _too_much(len(given), takers), now)
            connection.execute(self._sql["stage_hand"], (stage, given))
        connection.execute(self._sql["edges_drop"], (stage,))
        connection.execute(self._sql["stage_start"], (stage, now))
        for one in set(cut(takes)):
            connection.execute(self._sql["stage_taken"], (one,))
        waits = connection.execute(self._sql["waits_of"], (stage,)).fetchall()
        if not waits:
            return [stage]
        keys = json.dumps([seq for seq, _, _ in waits])
        connection.execute(self._sql["wait_over"], (keys,))
        at_once: list[int] = []
        for seq, delay, run_at in waits:
            due = run_at if delay is None else now + delay
            if due is None or due <= now:
                at_once.append(seq)
            else:
                connection.execute(self._sql["run_later"], (seq, due, 0, None))
                connection.execute(self._sql["delay"], (due, seq))
        self._ready(connection, json.dumps(at_once), now)
        return []

    def _results(self, connection: sqlite3.Connection, stage: bytes) -> list[bytes]:
        """The encoded results of a stage's jobs; of one that failed, its failure."""
        found = connection.execute(self._sql["stage_results"], (stage,)).fetchall()
        values = [handing.CANCELLED if value is None else bytes(value) for (value,) in found]
        (_, _, total, *_) = connection.execute(self._sql["stage"], (stage,)).fetchone()
        # What a sink writes returns nothing, and leaves nothing.
        return values + [handing.NIL] * (total - len(values))

    def cancel(self, connection: sqlite3.Connection, stage: bytes, reason: str, now: float) -> Sequence[bytes]:
        """Cancel a stage that waits, with its jobs; returns the stages to settle next."""
        connection.execute(self._sql["edges_drop"], (stage,))
        connection.execute(self._sql["stage_stop"], (stage, StageState.CANCELLED.value, now, reason))
        keys = self._taken_out(connection, stage)
        failure = msgspec.msgpack.encode(Failure(CALLED_OFF, reason))
        connection.execute(self._sql["note_failure"], (keys, failure))
        connection.execute(self._sql["cancel_jobs"], (keys,))
        connection.execute(self._sql["end_all"], (keys, "cancelled", now))
        connection.execute(self._sql["batch_failed"], (keys, 1))
        return [stage]

    def _skip(self, connection: sqlite3.Connection, stage: bytes, now: float) -> Sequence[bytes]:
        """A stage has nothing to do; returns the stages to settle next."""
        connection.execute(self._sql["edges_drop"], (stage,))
        connection.execute(self._sql["stage_stop"], (stage, StageState.SKIPPED.value, now, None))
        connection.execute(self._sql["delete_jobs"], (self._taken_out(connection, stage),))
        return [stage]

    def _taken_out(self, connection: sqlite3.Connection, stage: bytes) -> str:
        """The jobs of a stage that wait, which wait no longer; a JSON array of their seqs."""
        waits = connection.execute(self._sql["waits_of"], (stage,)).fetchall()
        keys = json.dumps([seq for seq, _, _ in waits])
        connection.execute(self._sql["wait_over"], (keys,))
        return keys

    def _why(self, connection: sqlite3.Connection, batch: bytes, name: str) -> str:
        """Why those are cancelled that wait for a stage."""
        found, state = connection.execute(self._sql["stage_failure"], (batch,)).fetchone() or (None, "cancelled")
        failure = None if found is None else msgspec.msgpack.decode(found, type=Failure)
        return why(name, failure, is_dead=state == "dead")

    def sort(self, connection: sqlite3.Connection, seqs: Sequence[int]) -> tuple[list[int], list[int]]:
        """Of jobs that ended and are to run again: those that may, and those that wait for their stage to start. Those whose stage will not start may not."""
        states = dict(connection.execute(self._sql["stages_of"], (json.dumps(seqs),)).fetchall())
        ready = [seq for seq in seqs if states.get(seq, StageState.STARTED) == StageState.STARTED]
        return ready, [seq for seq in seqs if states.get(seq) == StageState.WAITING]

    def prune(self, connection: sqlite3.Connection, now: float) -> None:
        """Forget workflows that ended long ago."""
        bound = (now, SOME_WORKFLOWS, KEPT_DONE, KEPT_FAILED)
        for id, is_over in connection.execute(self._sql["workflows_due"], bound).fetchall():
            if is_over:
                connection.execute(self._sql["stages_drop"], (id,))
                connection.execute(self._sql["workflow_drop"], (id,))
            else:
                connection.execute(self._sql["workflow_look"], (id, now + EVERY_WORKFLOW))


def _too_much(size: int, takers: int) -> str:
    if size > handing.MOST_HANDED:
        return (
            f"the results that it takes have {size:,} bytes, and a job is handed {handing.MOST_HANDED:,} at most: "
            "store them, and return where they are"
        )
    return (
        f"the results that {takers:,} jobs take have {size:,} bytes each time, and a stage is handed "
        f"{handing.MOST_TOGETHER:,} in all: store them, and return where they are"
    )
