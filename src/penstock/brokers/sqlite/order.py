"""Order per key in a SQLite queue: who may start, and the runs that a claim takes; each inside a transaction that its caller has begun."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import groupby, takewhile
from typing import Any

from penstock.core.job import Lease, NewJob
from penstock.core.limiter import is_ordered, line
from penstock.core.outcome import Outcome
from penstock.core.shipment import MovedJob
from penstock.stores.statements import Statements

#: A claim takes no job that came later than the head of its key by more than so many times what it was asked for, where there are enough others.
#: What it takes then lies close together in the file: see ADR 0014.
_REACH = 4
_ALL = 1 << 62
Row = tuple[Any, ...]
Mark = tuple[int, int, str | None, str | None]
#: Where the columns of `order_heads` are that a claim looks at.
_SEQ, _TURN, _RANK, _POSITION, _LINE = range(5)


class Order:
    """The lines whose jobs keep their order, by the statements of one namespace. They go by their numbers: see `ordered_lines`.

    Of each line the first job is in the ready set, if no other of it runs and it need not wait. Whoever changes that tells `open`.
    """

    def __init__(self, sql: Statements) -> None:
        self._sql = sql

    def ended(self, connection: sqlite3.Connection, outcomes: Iterable[Outcome]) -> list[int]:
        """The lines of jobs that are about to end."""
        (any_ordered,) = connection.execute(self._sql["order_any"]).fetchone()
        return list(ordered_lines(outcome.lease for outcome in outcomes).values()) if any_ordered else []

    def lines(self, connection: sqlite3.Connection, keys: str) -> set[int]:
        """The numbers of the lines of those jobs that keep an order; `keys` is a JSON array of seqs."""
        return set(json.loads(connection.execute(self._sql["order_of"], (keys,)).fetchone()[0]))

    def open(self, connection: sqlite3.Connection, lines: Iterable[int]) -> None:
        """Jobs of these lines have come, ended or moved: let the first start, where it may."""
        names = list(lines)
        if names:
            connection.execute(self._sql["order_open"], (json.dumps(names),))

    def unready(self, connection: sqlite3.Connection, keys: str) -> None:
        """Take jobs out of the ready set; `keys` is a JSON array of their seqs."""
        connection.execute(self._sql["order_unready"], (keys,))

    def claim(self, connection: sqlite3.Connection, name: str, most: int, mark: Mark) -> list[int]:
        """Take jobs from the head of a queue, each with those of its line that are behind it.

        Parameters:
            mark: the key of who takes them, by which number; gate and queue, where these are limited.

        Returns:
            Their seqs.
        """
        heads = connection.execute(self._sql["order_heads"], (name, most)).fetchall()
        used, seqs = self._runs(heads, self._behind(connection, name, heads, most), most)
        for rank, group in groupby(used, key=lambda row: int(row[_RANK])):
            *_, last = group
            connection.execute(self._sql["claim_take"], (name, rank, last[_POSITION], last[_SEQ]))
        if seqs:
            connection.execute(self._sql["order_mark"], (*mark, json.dumps(seqs)))
        return seqs

    def _behind(
        self, connection: sqlite3.Connection, name: str, heads: Sequence[Row], most: int
    ) -> dict[str, list[Row]]:
        """The jobs behind those at the head, by their lines."""
        behind: dict[str, list[Row]] = defaultdict(list)
        if all(head[_TURN] is None for head in heads):
            return behind
        last, reach = heads[-1], _REACH * most
        for bounds in ((0, reach), (reach, _ALL)):
            found = connection.execute(
                self._sql["order_behind"], (name, last[_RANK], last[_POSITION], most, *bounds)
            ).fetchall()
            for row in found:
                behind[row[_LINE]].append(row)
            if len(found) + len(heads) >= most:
                break
        return behind

    def _runs(self, heads: Sequence[Row], behind: dict[str, list[Row]], most: int) -> tuple[Sequence[Row], list[int]]:
        """The heads that are taken, and the seqs of all jobs that are."""
        seqs: list[int] = []
        for count, head in enumerate(heads):
            if len(seqs) >= most:
                return heads[:count], seqs
            seqs.append(head[_SEQ])
            if head[_TURN] is not None:
                run = takewhile(lambda row: not row[_RANK], behind.get(head[_LINE], ()))
                seqs += [row[_SEQ] for row, _ in zip(run, range(most - len(seqs)), strict=False)]
        return heads, seqs


def ordered_lines(of: Iterable[NewJob | Lease | MovedJob]) -> dict[str, int]:
    """The lines of those jobs that keep an order, as their queue is stored, and their numbers."""
    places = {(one.queue, one.gate) for one in of if one.gate is not None}
    return {name: _number(name) for name in [line(queue, gate) for queue, gate in places if is_ordered(gate)]}


@lru_cache(65_536)
def _number(line: str) -> int:
    """What a line is called where each of its jobs says it, in an index: as short as it can be.

    Two of 2**64 would have the same, and then keep one order.
    """
    from hashlib import blake2b  # loads OpenSSL

    return int.from_bytes(blake2b(line.encode(), digest_size=8).digest(), "big", signed=True)
