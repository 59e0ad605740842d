"""The ledger: it books what becomes of orders, each once, in a database of its own."""

import os
import sqlite3
from contextlib import closing

from penstock import Penstock

app = Penstock()


@app.subscribe("orders.#", group="ledger", retries=10, backoff=0.1)
def book(event: dict[str, int], topic: str) -> None:
    """Note an event. A job may run again when its process dies; the key keeps what it did the first time."""
    with closing(sqlite3.connect(os.environ["LEDGER"], timeout=30)) as books, books:
        books.execute("create table if not exists entry (number, topic, cents, primary key (number, topic))")
        books.execute("insert or ignore into entry values (?, ?, ?)", (event["number"], topic, event["cents"]))
