"""Records into a table of PostgreSQL, through a queue in the same database."""

from __future__ import annotations

from typing import Any

from penstock.processors.adaptive import AdaptiveBatchProcessor

URL = "postgresql://postgres:password@localhost:5432/market_data"


class PostgreSQLQueueProcessor(AdaptiveBatchProcessor):
    """Records go into a queue in PostgreSQL, and from there by COPY into a table of the same database.

    A batch's rows and the end of its jobs are one transaction.

    Parameters:
        connection_string: URL of the database.
        table_name: of the table.
        options: those of `AdaptiveBatchProcessor`.
    """

    def __init__(self, connection_string: str = URL, table_name: str = "orders", **options: Any) -> None:
        super().__init__(connection_string, table_name, **options)
