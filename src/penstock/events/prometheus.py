"""What a worker has counted, as a page that Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, zip_longest

from penstock.core.metrics import COUNTS, SECONDS, SIZES, CacheFigures, Histogram, Point, QueueFigures, TaskFigures
from penstock.errors import MissingExtra

try:
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.metrics_core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        Metric,
    )
    from prometheus_client.registry import Collector
except ImportError:
    raise MissingExtra("--metrics-port needs prometheus-client: pip install 'penstock[metrics]'") from None

_FAILED_CALLS = COUNTS.index("failed_calls")


class Exporter:
    """Makes the page.

    Parameters:
        worker: its id.
        now: what the worker has counted since it started, and has at this moment; asked for each page, from any thread.
    """

    def __init__(self, worker: str, now: Callable[[], Point]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Figures(worker, now))

    def page(self, accept: str) -> tuple[str, bytes]:
        """The type and the text of the page, in the format that an Accept header asks for."""
        encode, kind = choose_encoder(accept)
        return kind, encode(self._registry)


class _Figures(Collector):
    def __init__(self, worker: str, now: Callable[[], Point]) -> None:
        self._worker = worker
        self._now = now

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: it would count at once."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """See `Collector.collect`."""
        point = self._now()
        yield from _tasks(point.figures.tasks)
        yield from _caches(point.figures.caches)
        yield from _queues(point.figures.queues)
        yield from _worker(self._worker, point)


def _tasks(tasks: Sequence[TaskFigures]) -> Iterable[Metric]:
    names = ("task", "queue")
    ended = CounterMetricFamily(
        "penstock_jobs", "Jobs by how their run ended; of packed rows, the items.", labels=(*names, "state")
    )
    failed = CounterMetricFamily(
        "penstock_batch_failures",
        "Calls of batch tasks and sinks that failed, or some of whose jobs did.",
        labels=names,
    )
    runs = HistogramMetricFamily("penstock_job_seconds", "How long single jobs ran.", labels=names)
    sizes = HistogramMetricFamily("penstock_batch_size", "Jobs in a call of a batch task or sink.", labels=names)
    calls = HistogramMetricFamily(
        "penstock_batch_seconds",
        "How long calls of batch tasks and sinks took: for a sink, its database.",
        labels=names,
    )
    for task in tasks:
        for index, state in enumerate(COUNTS):
            value = task.counts[index] if index < len(task.counts) else 0.0
            if index != _FAILED_CALLS and (value or state == "done"):
                ended.add_metric((*task.key, state), value)
        runs.add_metric(task.key, _buckets(task.runs, SECONDS), task.runs.total)
        if task.sizes.counts:
            failed.add_metric(task.key, task.count("failed_calls"))
            sizes.add_metric(task.key, _buckets(task.sizes, SIZES), task.sizes.total)
            calls.add_metric(task.key, _buckets(task.calls, SECONDS), task.calls.total)
    return ended, failed, runs, sizes, calls


def _caches(caches: Sequence[CacheFigures]) -> Iterable[Metric]:
    hits = CounterMetricFamily("penstock_cache_hits", "Lookups that found a value.", labels=("cache",))
    misses = CounterMetricFamily("penstock_cache_misses", "Lookups that found none.", labels=("cache",))
    gone = CounterMetricFamily("penstock_cache_evictions", "Entries that left for want of room.", labels=("cache",))
    items = GaugeMetricFamily("penstock_cache_items", "Entries that are held, in all processes.", labels=("cache",))
    held = GaugeMetricFamily("penstock_cache_bytes", "Memory that they take.", labels=("cache",))
    for cache in caches:
        hits.add_metric((cache.name,), cache.hits)
        misses.add_metric((cache.name,), cache.misses)
        gone.add_metric((cache.name,), cache.evictions)
        items.add_metric((cache.name,), cache.items)
        held.add_metric((cache.name,), cache.bytes)
    return hits, misses, gone, items, held


def _queues(queues: Sequence[QueueFigures]) -> Iterable[Metric]:
    ready = GaugeMetricFamily(
        "penstock_queue_ready", "Jobs that could start, as counted last (up to a million).", labels=("queue",)
    )
    waits = HistogramMetricFamily(
        "penstock_queue_delay_seconds", "How long the oldest ready job had waited, at each look.", labels=("queue",)
    )
    for queue in queues:
        ready.add_metric((queue.name,), queue.ready)
        waits.add_metric((queue.name,), _buckets(queue.waits, SECONDS), queue.waits.total)
    return ready, waits


def _worker(worker: str, point: Point) -> Iterable[Metric]:
    exchanges = HistogramMetricFamily("penstock_exchange_seconds", "How long exchanges with the store took.")
    exchanges.add_metric((), _buckets(point.figures.exchanges, SECONDS), point.figures.exchanges.total)
    yield exchanges
    for name, text, value in (
        ("penstock_process_deaths", "Processes that ended by themselves.", point.figures.deaths),
        ("penstock_process_kills", "Processes killed for what a job was over.", point.figures.kills),
        ("penstock_store_troubles", "Times that the store began to refuse.", point.figures.troubles),
    ):
        yield CounterMetricFamily(name, text, value=value)
    for name, text, value in (
        ("penstock_worker_memory_bytes", "Memory of all processes of the worker.", point.memory),
        ("penstock_worker_processes", "Processes that run.", point.processes),
        ("penstock_worker_slots", "Jobs that may run at a time.", point.slots),
        ("penstock_worker_busy_slots", "Jobs that run.", point.busy),
    ):
        yield GaugeMetricFamily(name, text, value=value)
    told = GaugeMetricFamily("penstock_worker_info", "1 for the worker of this id.", labels=("worker",))
    told.add_metric((worker,), 1.0)
    yield told


def _buckets(values: Histogram, bounds: Sequence[float]) -> list[tuple[str, float]]:
    """Counts up to each bound, as Prometheus has them."""
    filled = (count for _, count in zip_longest((*bounds, None), values.counts, fillvalue=0.0))
    names = [*(str(float(bound)) for bound in bounds), "+Inf"]
    return list(zip(names, accumulate(filled), strict=True))
