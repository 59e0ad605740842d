"""Unique keys in a SQLite queue that are not simply held until their job's end; inside a transaction that its caller has begun."""

from __future__ import annotations

import json
import sqlite3

from msgspec.structs import replace

from penstock.brokers.sqlite.order import Order
from penstock.core.job import NewJob
from penstock.core.memo import window_id
from penstock.stores.statements import Statements

#: What takes a waiting job off all lists, and deletes it.
_GONE = ("undelay", "unready", "order_unready", "unpark_jobs", "delete_jobs")


class Keys:
    """Who holds them, by the statements of one namespace."""

    def __init__(self, sql: Statements, order: Order) -> None:
        self._sql = sql
        self._order = order

    def settle(self, connection: sqlite3.Connection, job: NewJob, now: float) -> NewJob | bytes:
        """See to the key of a new job; returns what is to be stored, perhaps under its holder's id, or the id that stands for it."""
        dedup, key = job.dedup, job.unique
        if dedup is None or key is None:
            return job
        job = replace(job, dedup=None)
        if dedup.window is not None:
            row = connection.execute(self._sql["get_result"], (window_id(key), now)).fetchone()
            if row is not None and row[0] != job.id:
                return bytes(row[0])
            connection.execute(self._sql["keep_result"], (window_id(key), job.id, now + dedup.window, None))
            return replace(job, unique=None)
        holder = connection.execute(self._sql["key_holder"], (key,)).fetchone()
        if holder is None or holder[1] == job.id:
            return job
        seq, id, runs = holder
        if runs:
            if dedup.started:
                connection.execute(self._sql["key_free"], (seq,))
            return job
        if not dedup.replace:
            return job
        keys = json.dumps([seq])
        lines = self._order.lines(connection, keys)
        for statement in _GONE:
            connection.execute(self._sql[statement], (keys,))
        self._order.open(connection, lines)
        return replace(job, id=bytes(id))
