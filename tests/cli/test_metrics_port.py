"""`penstock worker --metrics-port`."""

import signal
import socket
import subprocess
import sys

from probing import ask, until
from prometheus_client.parser import text_string_to_metric_families

from penstock.testing.servers.process import free_port


def values(port):
    return {
        (sample.name, sample.labels.get("state") or sample.labels.get("queue")): sample.value
        for family in text_string_to_metric_families(ask(port, "/metrics")[1])
        for sample in family.samples
    }


def test_a_worker_is_scraped_also_at_the_port_of_its_probe(penstock, start_worker):
    port = free_port()
    worker = start_worker("shop:app", "-c", "1", "--probe", str(port), "--metrics-port", f"127.0.0.1:{port}")
    for customer in ("ada", "bob", "bad"):
        penstock("enqueue", "shop:app", "invoice", f'["{customer}"]')
    until(lambda: values(port).get(("penstock_jobs_total", "done")) == 2, "two are done")
    until(lambda: values(port).get(("penstock_jobs_total", "dead")) == 1, "one is dead")
    until(lambda: values(port).get(("penstock_job_seconds_count", "default")) == 3, "all are timed")
    found = values(port)
    assert found["penstock_worker_slots", None] == 1
    assert found["penstock_worker_memory_bytes", None] > 10 << 20
    assert ask(port, "/live") == (200, "live\n")
    worker.signal(signal.SIGTERM)
    assert worker.end() == 0


def test_a_port_of_its_own_tells_figures_only(start_worker):
    port = free_port()
    worker = start_worker("shop:app", "-c", "1", PENSTOCK_WORKER_METRICS_PORT=str(port))
    until(lambda: ask(port, "/metrics")[0] == 200, "it answers")
    assert ask(port, "/live") == (404, "ask for /metrics\n")
    worker.signal(signal.SIGTERM)
    assert worker.end() == 0


def test_a_port_that_is_taken_is_an_error(penstock):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = penstock("worker", "shop:app", "--metrics-port", str(port))
        assert found.code == 1
        assert f"the metrics can't listen at 127.0.0.1:{port}" in found.err
        assert "say another --metrics-port PORT" in found.err


def test_without_the_library_the_worker_says_what_to_install(folder):
    (folder / "prometheus_client").mkdir()
    (folder / "prometheus_client" / "__init__.py").write_text("raise ImportError(__name__)\n")
    found = subprocess.run(
        [sys.executable, "-m", "penstock", "worker", "shop:app", "--metrics-port", "9100"],
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert found.returncode == 1
    assert "--metrics-port needs prometheus-client: pip install 'penstock[metrics]'" in found.stderr
    assert "Traceback" not in found.stderr
