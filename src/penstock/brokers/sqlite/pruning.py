"""What a SQLite queue forgets as time goes on."""

from __future__ import annotations

import sqlite3

from penstock.brokers.base import EVERY_BATCH, SOME_BATCHES
from penstock.brokers.sqlite.flows import Flows
from penstock.core.metrics import COARSE, KEPT
from penstock.stores.statements import Statements


def prune(connection: sqlite3.Connection, sql: Statements, flows: Flows, now: float) -> int:
    """See `Broker.prune`; inside a transaction."""
    connection.execute(sql["prune_gates"], (now,))
    flows.prune(connection, now)
    connection.execute(sql["prune_batches"], (now, SOME_BATCHES))
    connection.execute(sql["look_at_batches"], (now, SOME_BATCHES, EVERY_BATCH))
    for span, kept in KEPT.items():
        connection.execute(sql["prune_metrics"], (span, now - kept, now + COARSE))
    return connection.execute(sql["prune_results"], (now,)).rowcount
