"""`penstock health`, and the probe of `penstock worker`."""

import json
import os
import signal
import socket

from probing import ask, until

from penstock.testing.servers.process import free_port


def test_without_a_worker_nothing_is_ready(penstock):
    penstock("install", "sqlite:///jobs.db")
    found = penstock("health", "shop:app")
    assert found.code == 1
    assert found.out == "not ready: no worker is alive: start one with penstock worker package.module:app\n"
    assert json.loads(penstock("health", "shop:app", "--json").out) == {
        "ready": False,
        "why": "no worker is alive: start one with penstock worker package.module:app",
        "workers": [],
    }


def test_a_worker_is_ready_when_what_it_takes_ends(penstock, start_worker):
    port = free_port()
    worker = start_worker("shop:app", "-c", "1", "--probe", str(port))
    until(lambda: ask(port, "/ready") == (200, "ready\n"), "it is ready")
    assert ask(port, "/live") == (200, "live\n")
    until(lambda: penstock("health", "shop:app").code == 0, "its heartbeat says so")
    assert penstock("health", "shop:app", "--all", "--here").out == "ready: 1 of 1 workers\n"
    (told,) = penstock("health", "shop:app", "--json").json["workers"]
    assert (told["host"], told["ready"], told["trouble"]) == (socket.gethostname(), True, None)
    status = penstock("status", "shop:app", "--json").json
    assert (status["queues"], status["workers"][0]["trouble"]) == ([], None)
    os.kill(told["pid"], signal.SIGTERM)
    assert worker.end() == 0
    assert ask(port, "/live") == (0, "")


def test_a_probe_that_can_not_listen_is_an_error(penstock):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = penstock("worker", "shop:app", "--probe", str(port))
        assert found.code == 1
        assert f"the probe can't listen at 127.0.0.1:{port}" in found.err
    assert "write a port, as 8080 or 0.0.0.0:8080, not 'http'" in penstock("worker", "shop:app", "--probe", "http").err
