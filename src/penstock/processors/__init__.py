"""Queues whose records go into a database in batches: put records, call `process_queue`, read what came of it."""

from __future__ import annotations

from penstock.processors.adaptive import AdaptiveBatchProcessor
from penstock.processors.cache import CacheManager
from penstock.processors.market import MarketOrderProcessor
from penstock.processors.mongodb import MongoDBQueueProcessor
from penstock.processors.parallel import ParallelQueueProcessor
from penstock.processors.postgresql import PostgreSQLQueueProcessor
from penstock.processors.result import MarketResult, QueueResult

__all__ = [
    "AdaptiveBatchProcessor",
    "CacheManager",
    "MarketOrderProcessor",
    "MarketResult",
    "MongoDBQueueProcessor",
    "ParallelQueueProcessor",
    "PostgreSQLQueueProcessor",
    "QueueResult",
]
