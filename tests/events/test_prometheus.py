"""The page that Prometheus reads."""

import subprocess
import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from penstock.core.metrics import (
    SECONDS,
    SIZES,
    CacheFigures,
    Figures,
    Histogram,
    Point,
    QueueFigures,
    TaskFigures,
    histogram,
)
from penstock.events.prometheus import Exporter

POINT = Point(
    0.0,
    Figures(
        (
            TaskFigures("shop.send", "mail", (5.0, 1.0, 2.0), histogram([0.003, 5000.0], SECONDS)),
            TaskFigures('odd"\\\nname', "default", (1.0,)),
            TaskFigures(
                "shop.store",
                "default",
                (100.0,),
                Histogram(),
                histogram([50, 50], SIZES),
                histogram([0.2, 0.2], SECONDS),
            ),
        ),
        (CacheFigures("names", 90, 10, 2, 8, 4096),),
        (QueueFigures("mail", 12.0, histogram([0.5], SECONDS)),),
        histogram([0.001], SECONDS),
        1.0,
        2.0,
        3.0,
    ),
    memory=1e8,
    processes=2,
    slots=4,
    busy=1,
)

LABELS = ("task", "queue", "cache", "worker", "state", "le")
Values = dict[tuple[str, tuple[str, ...]], float]


@pytest.fixture(scope="module")
def values() -> Values:
    kind, text = Exporter("ab12", lambda: POINT).page("")
    assert kind.startswith("text/plain; version=")
    return {
        (sample.name, tuple(sample.labels[name] for name in LABELS if name in sample.labels)): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_jobs_by_task_queue_and_state(values: Values) -> None:
    assert values["penstock_jobs_total", ("shop.send", "mail", "done")] == 5
    assert values["penstock_jobs_total", ("shop.send", "mail", "retried")] == 1
    assert values["penstock_jobs_total", ("shop.send", "mail", "dead")] == 2
    assert ("penstock_jobs_total", ("shop.send", "mail", "parked")) not in values
    assert values["penstock_jobs_total", ('odd"\\\nname', "default", "done")] == 1


def test_histograms_count_up(values: Values) -> None:
    name, labels = "penstock_job_seconds", ("shop.send", "mail")
    assert values[f"{name}_bucket", (*labels, "0.0025")] == 0
    assert values[f"{name}_bucket", (*labels, "0.005")] == 1
    assert values[f"{name}_bucket", (*labels, "1800.0")] == 1
    assert values[f"{name}_bucket", (*labels, "+Inf")] == 2
    assert values[f"{name}_count", labels] == 2
    assert values[f"{name}_sum", labels] == pytest.approx(5000.003)
    assert values["penstock_exchange_seconds_count", ()] == 1


def test_batches(values: Values) -> None:
    labels = ("shop.store", "default")
    assert values["penstock_batch_size_bucket", (*labels, "50.0")] == 2
    assert values["penstock_batch_size_sum", labels] == 100
    assert values["penstock_batch_seconds_sum", labels] == pytest.approx(0.4)
    assert values["penstock_batch_failures_total", labels] == 0
    assert ("penstock_batch_size_sum", ("shop.send", "mail")) not in values


def test_caches_queues_and_the_worker(values: Values) -> None:
    assert values["penstock_cache_hits_total", ("names",)] == 90
    assert values["penstock_cache_misses_total", ("names",)] == 10
    assert values["penstock_cache_evictions_total", ("names",)] == 2
    assert values["penstock_cache_items", ("names",)] == 8
    assert values["penstock_cache_bytes", ("names",)] == 4096
    assert values["penstock_queue_ready", ("mail",)] == 12
    assert values["penstock_queue_delay_seconds_sum", ("mail",)] == 0.5
    assert values["penstock_worker_memory_bytes", ()] == 1e8
    assert (values["penstock_worker_processes", ()], values["penstock_worker_slots", ()]) == (2, 4)
    assert values["penstock_worker_busy_slots", ()] == 1
    assert values["penstock_worker_info", ("ab12",)] == 1
    assert values["penstock_process_deaths_total", ()] == 1
    assert values["penstock_process_kills_total", ()] == 2
    assert values["penstock_store_troubles_total", ()] == 3


def test_who_asks_for_openmetrics_gets_it() -> None:
    kind, text = Exporter("ab12", lambda: POINT).page("application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")


def test_a_worker_that_has_done_nothing_has_a_page() -> None:
    _, text = Exporter("ab12", lambda: Point(0.0, Figures())).page("")
    assert b'penstock_worker_info{worker="ab12"} 1.0' in text


def test_without_the_library_the_error_says_what_to_install() -> None:
    program = """
import sys
sys.modules["prometheus_client"] = None
from penstock.errors import MissingExtra
try:
    import penstock.events.prometheus
except MissingExtra as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert done.stdout == "--metrics-port needs prometheus-client: pip install 'penstock[metrics]'\n"
