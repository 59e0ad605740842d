"""Jobs that are moved to RabbitMQ arrive in its backend; none can be moved away."""

import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from penstock.brokers import connect
from penstock.brokers.amqp.broker import AmqpBroker
from penstock.testing.contract.harness import ALICE, ids, job, jobs
from penstock.testing.servers import RabbitServer


def move(source: str, destination: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "penstock", "move", source, destination]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_jobs_are_moved_to_rabbitmq_and_none_away_from_it(rabbit_server: RabbitServer, tmp_path: Path) -> None:
    name = f"moved{time.monotonic_ns()}"
    there = f"{rabbit_server.url()}?namespace={name}&backend=sqlite:///{tmp_path}/backend.db"
    here = f"sqlite:///{tmp_path}/queue.db"
    sent, late = jobs(5), job(delay=600.0)
    with closing(connect(here)) as source, closing(AmqpBroker(there)) as store:
        source.open()
        source.enqueue([*sent, late])
        store.open()
        assert (there_first := move(here, there)).returncode == 0, there_first.stderr
        back = move(there, here)
        assert back.returncode != 0
        assert "amqp:// can't give its jobs to another store" in back.stderr
        assert "Traceback" not in back.stderr
        assert rabbit_server.url() not in back.stderr
        assert ids(store.exchange((), ["default"], 10, ALICE).leases) == ids(sent)
        assert store.inspector().get(late.id) is not None
