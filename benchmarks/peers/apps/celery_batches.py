"""The app of celery-batches, which runs in an environment of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import psycopg
from celery import Celery
from celery_batches import Batches, SimpleRequest

_TYPES = ["int8", "text", "text", "int8", "float8", "text", "text", "text"]
_connections: list[psycopg.Connection[Any]] = []

app = Celery(broker=os.environ["PENSTOCK_PEERS_URL"])
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1000,
    broker_connection_retry_on_startup=True,
)


@app.task(base=Batches, flush_every=1000, flush_interval=1)
def store(requests: Sequence[SimpleRequest]) -> None:
    """COPY the orders of a list, in a transaction."""
    if not _connections:
        _connections.append(psycopg.connect(os.environ["PENSTOCK_PEERS_DATABASE"]))
    connection = _connections[0]
    with connection.cursor() as cursor, cursor.copy("copy orders from stdin (format binary)") as copy:
        copy.set_types(_TYPES)
        for request in requests:
            record = request.args[0]
            record["tags"] = json.dumps(record["tags"])
            copy.write_row(tuple(record.values()))
    connection.commit()


def order(record: dict[str, Any]) -> None:
    """Enqueue a row."""
    store.delay(record)
