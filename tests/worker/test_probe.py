"""What a worker answers over HTTP."""

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection

import pytest

from penstock.brokers.inspect import LaneRecord
from penstock.errors import ConfigError
from penstock.worker.probe import Endpoint, Page, health_pages, metrics_pages
from penstock.worker.report import Report

LANES = (LaneRecord(("mail",), "prefork", 2, 1, 1),)
WELL = Report("ab12", "", 1, LANES, 0.1)


class Asked:
    def __init__(self) -> None:
        self.report = WELL
        self.port = 0

    def get(self, path: str, method: str = "GET") -> tuple[int, str]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path)
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, body


@pytest.fixture
def asked() -> Iterator[Asked]:
    asked = Asked()
    with answering(health_pages(lambda: asked.report)) as asked.port:
        yield asked


@contextmanager
def answering(pages: Mapping[str, Page]) -> Iterator[int]:
    endpoint = Endpoint("127.0.0.1", 0, pages, "--probe")
    endpoint.start()
    yield endpoint.port
    endpoint.close()


def test_one_that_works_is_live_and_ready(asked: Asked) -> None:
    assert asked.get("/live") == (200, "live\n")
    assert asked.get("/ready?verbose") == (200, "ready\n")
    assert asked.get("/ready", "HEAD") == (200, "")
    status, body = asked.get("/health")
    assert status == 200
    told = json.loads(body)
    assert (told["live"], told["ready"], told["worker"], told["trouble"]) == (True, True, "ab12", "")
    assert (told["running"], told["lanes"][0]["queues"], told["lanes"][0]["processes"]) == (1, ["mail"], 2)


def test_one_in_trouble_is_live_and_not_ready(asked: Asked) -> None:
    asked.report = Report("ab12", "the store has not answered for 12 s", 0, LANES, 0.1)
    assert asked.get("/live")[0] == 200
    assert asked.get("/ready") == (503, "not ready: the store has not answered for 12 s\n")
    status, body = asked.get("/health")
    assert (status, json.loads(body)["ready"]) == (503, False)


def test_one_whose_supervisor_hangs_is_not_live(asked: Asked) -> None:
    asked.report = Report("ab12", "", 0, LANES, 60.0)
    assert asked.get("/live") == (503, "the supervisor has taken no step for 60 s\n")
    assert asked.get("/ready")[0] == 503


def test_nothing_else_is_answered(asked: Asked, capfd: pytest.CaptureFixture[str]) -> None:
    assert asked.get("/")[0] == 404
    assert asked.get("/live", "POST")[0] == 501
    with socket.create_connection(("127.0.0.1", asked.port)) as rude:
        rude.sendall(b"\x16\x03\x01 no HTTP\r\n\r\n")
        rude.recv(1000)
    assert asked.get("/live")[0] == 200
    assert capfd.readouterr() == ("", "")


def test_a_port_that_is_taken_is_an_error_in_one_line(asked: Asked) -> None:
    said = rf"the probe can't listen at 127.0.0.1:{asked.port}: .*; say another --probe"
    with pytest.raises(ConfigError, match=said):
        Endpoint("127.0.0.1", asked.port, {}, "--probe")


def test_there_is_no_thread_until_somebody_asks() -> None:
    endpoint = Endpoint("127.0.0.1", 0, health_pages(lambda: WELL), "--probe")
    before = threading.active_count()
    endpoint.look()
    assert threading.active_count() == before
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=10) as asking:
        asking.sendall(b"GET /live HTTP/1.0\r\n\r\n")
        endpoint.look()
        endpoint.look()
        assert asking.makefile("rb").read().endswith(b"\r\n\r\nlive\n")
    endpoint.close()
    assert threading.active_count() == before


def test_one_that_nobody_asked_is_closed_as_well() -> None:
    endpoint = Endpoint("127.0.0.1", 0, {}, "--probe")
    endpoint.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", endpoint.port))


def test_figures_may_be_asked_for_at_the_same_port() -> None:
    asked = Asked()
    pages = health_pages(lambda: WELL) | metrics_pages(lambda accept: ("text/plain", b"jobs 1\n"))
    with answering(pages) as asked.port:
        assert asked.get("/metrics") == (200, "jobs 1\n")
        assert asked.get("/live") == (200, "live\n")
        assert asked.get("/") == (404, "ask for /live, /ready, /health or /metrics\n")
