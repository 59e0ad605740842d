"""What came of processing a queue."""

from __future__ import annotations

import msgspec

from penstock.core.metrics import SIZES, Figures, Histogram, Point, summed
from penstock.core.sizes import format_bytes


class QueueResult(msgspec.Struct, frozen=True):
    """What workers did.

    Parameters:
        processed: records that are in the database, or that it had already.
        failed: records that became dead letters: `penstock jobs --state dead` lists them with the reason.
        retried: attempts that failed and were made again.
        remaining: jobs that are still in the queue.
        seconds: from the first process to the last.
        batch_sizes: how many calls of the database there were, by the size of the batch: up to 1, 2, 5, 10, 20, 50, 100 and so on.
        mean_batch: records in a call.
        database_latency: seconds that a call took.
        cache_hit_rate: 0.0 to 1.0; None where nothing was looked up.
        deaths: processes that died while they worked, and were replaced.
        workers: processes.
        peak_memory: bytes, of this program and all processes together.
    """

    processed: int
    failed: int
    retried: int
    remaining: int
    seconds: float
    batch_sizes: dict[int, int]
    mean_batch: float
    database_latency: float
    cache_hit_rate: float | None
    deaths: int
    workers: int
    peak_memory: int

    @property
    def ops_per_second(self) -> float:
        """Records processed in a second."""
        return self.processed / self.seconds if self.seconds > 0 else 0.0

    @property
    def error_rate(self) -> float:
        """Failed records as a part of all that have ended, 0.0 to 1.0."""
        ended = self.processed + self.failed
        return self.failed / ended if ended else 0.0

    def __str__(self) -> str:
        sizes = ", ".join(f"{size:,} ({calls:,} x)" for size, calls in self.batch_sizes.items())
        lines = [
            f"{self.processed:,} processed, {self.failed:,} failed, {self.retried:,} retried, {self.remaining:,} left",
            f"{self.seconds:.2f} s, {self.ops_per_second:,.0f} ops/s, {self.workers} workers",
            f"batches of up to {sizes}" if sizes else "no batches",
            f"{self.database_latency * 1000:.1f} ms for a batch, memory {format_bytes(self.peak_memory)}",
        ]
        if self.cache_hit_rate is not None:
            lines.append(f"cache hit rate {self.cache_hit_rate:.1%}")
        return "\n".join(lines)


class MarketResult(msgspec.Struct, frozen=True):
    """What came of a simulated day.

    Parameters:
        orders: that were sent.
        seconds: until all were in all databases; the check comes after.
        books_match: whether every database holds exactly the orders that were sent, and the positions that they come to.
        databases: what each database was found to hold.
        cache_hit_rates: of each cache, 0.0 to 1.0; empty where lookups went to the database.
        work: what the workers did; its records are orders and changes of positions, for each database.
    """

    orders: int
    seconds: float
    books_match: bool
    databases: dict[str, DatabaseCheck]
    cache_hit_rates: dict[str, float]
    work: QueueResult

    @property
    def orders_per_second(self) -> float:
        """Orders that went into all databases in a second."""
        return self.orders / self.seconds if self.seconds > 0 else 0.0

    @property
    def cache_hit_rate(self) -> float | None:
        """Of all caches together; None where lookups went to the database."""
        return self.work.cache_hit_rate

    def __str__(self) -> str:
        lines = [f"{self.orders:,} orders in {self.seconds:.2f} s, {self.orders_per_second:,.0f} orders/s"]
        lines += [f"{name}: {check}" for name, check in self.databases.items()]
        rates = ", ".join(f"{name} {rate:.1%}" for name, rate in self.cache_hit_rates.items())
        if self.cache_hit_rate is not None:
            lines.append(f"cache hit rate {self.cache_hit_rate:.1%} ({rates})")
        lines.append("the books match: every order once" if self.books_match else "THE BOOKS DO NOT MATCH")
        return "\n".join(lines)


class DatabaseCheck(msgspec.Struct, frozen=True):
    """What a database holds of the orders that were sent.

    Parameters:
        orders: how many of them.
        orders_match: each once, with every field as it was sent.
        positions_match: the changes of all positions and of all cash are what the orders come to; None where there are none.
        note: what is to be said of it.
    """

    orders: int
    orders_match: bool
    positions_match: bool | None
    note: str = ""

    def __str__(self) -> str:
        matches = {True: "match", False: "DO NOT MATCH", None: "are not kept"}
        note = f" ({self.note})" if self.note else ""
        return (
            f"{self.orders:,} orders, which {matches[self.orders_match]}; "
            f"the positions {matches[self.positions_match]}{note}"
        )


def queue_result(point: Point, *, seconds: float, remaining: int, workers: int, peak_memory: int) -> QueueResult:
    """The result of what workers have counted.

    Parameters:
        seconds: that they worked.
        remaining: jobs that are still in the queue.
        workers: processes.
        peak_memory: in bytes.
    """
    figures = point.figures
    sizes, calls = (_piled([getattr(task, name) for task in figures.tasks]) for name in ("sizes", "calls"))
    return QueueResult(
        processed=round(figures.count("done")),
        failed=round(figures.count("dead")),
        retried=round(figures.count("retried")),
        remaining=remaining,
        seconds=seconds,
        batch_sizes=_by_size(sizes),
        mean_batch=sizes.mean or 0.0,
        database_latency=calls.mean or 0.0,
        cache_hit_rate=_hit_rate(figures),
        deaths=round(figures.deaths),
        workers=workers,
        peak_memory=peak_memory,
    )


def hit_rates(figures: Figures) -> dict[str, float]:
    """Of each cache that was asked, by its name."""
    return {
        cache.name: cache.hits / (cache.hits + cache.misses) for cache in figures.caches if cache.hits + cache.misses
    }


def _hit_rate(figures: Figures) -> float | None:
    hits = sum(cache.hits for cache in figures.caches)
    asked = hits + sum(cache.misses for cache in figures.caches)
    return hits / asked if asked else None


def _by_size(sizes: Histogram) -> dict[int, int]:
    return {SIZES[min(place, len(SIZES) - 1)]: round(calls) for place, calls in enumerate(sizes.counts) if calls}


def _piled(histograms: list[Histogram]) -> Histogram:
    """Many histograms as one."""
    return summed(Figures(exchanges=each) for each in histograms).exchanges
