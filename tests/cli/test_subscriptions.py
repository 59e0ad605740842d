"""Events between programs that do not know one another, and the commands for who gets them."""

import pytest

LEDGER = """
from pathlib import Path
from penstock import Penstock

app = Penstock("sqlite:///jobs.db")


@app.subscribe("orders.*", group="ledger", retries=1, backoff=0)
def book(event: dict[str, int], topic: str) -> None:
    with Path("booked").open("a") as file:
        print(topic, event["id"], file=file)
    if event["id"] < 0:
        raise ValueError("no such order")
"""

PUBLISHER = """
import sys
from penstock import Penstock

orders = Penstock("sqlite:///jobs.db").topic("orders." + sys.argv[1])
print(*orders.publish_many([{"id": int(id)} for id in sys.argv[2:]]))
"""


@pytest.fixture(autouse=True)
def programs(folder):
    (folder / "ledger.py").write_text(LEDGER)
    (folder / "publisher.py").write_text(PUBLISHER)


@pytest.fixture
def publish(folder):
    import subprocess
    import sys

    def run(*words):
        return subprocess.run(
            [sys.executable, "publisher.py", *words], cwd=folder, capture_output=True, text=True, check=True
        ).stdout.strip()

    return run


def test_a_worker_subscribes_as_it_starts_and_handles_what_comes(penstock, publish, folder):
    assert publish("filled", "1") == "0"
    assert penstock("worker", "ledger:app", "--burst", "-c", "1").code == 0
    assert publish("filled", "2", "-3") == "1 1"
    waiting = penstock("subscriptions", "ledger:app", "--json").json
    assert [(one["group"], one["task"], one["pattern"], one["status"], one["ready"]) for one in waiting] == [
        ("ledger", "ledger.book", "orders.*", "subscribed", 2)
    ]
    # Somebody who does not know the handler takes none of it, and one who shares the queue parks it.
    assert penstock("worker", "shop:app", "-q", "ledger", "--burst", "-c", "1").code == 0
    assert penstock("subscriptions", "ledger:app", "--json").json[0]["parked"] == 2
    assert penstock("worker", "ledger:app", "--burst", "-c", "2").code == 0
    assert sorted((folder / "booked").read_text().splitlines()) == ["orders.filled -3"] * 2 + ["orders.filled 2"]
    (dead,) = penstock("jobs", "ledger:app", "--json").json
    assert (dead["state"], dead["topic"], dead["failure"]["message"]) == ("dead", "orders.filled", "no such order")
    shown = penstock("show", "ledger:app", dead["id"])
    assert "topic      orders.filled" in shown.out
    assert 'event={"id": -3}' in shown.out


def test_subscribing_without_a_worker_and_unsubscribing(penstock, publish, folder):
    publish("filled", "1")
    assert penstock("subscriptions", "ledger:app", "--json").json[0]["status"] == "not yet"
    assert penstock("subscribe", "ledger:app").out == "1 subscription kept now\n"
    assert penstock("subscribe", "ledger:app", "--json").json == {"subscribed": 0}
    assert publish("sent", "2") == "1"
    listed = penstock("subscriptions", "shop:app").out
    assert "not in the app; 1 ready" in listed
    assert penstock("unsubscribe", "shop:app", "ledger", "--pattern", "other").code == 1
    assert penstock("unsubscribe", "shop:app", "ledger", "--task", "ledger.book").out == "1 subscription ended\n"
    assert penstock("unsubscribe", "shop:app", "ledger", "--json").code == 1
    assert publish("sent", "3") == "0"
    assert penstock("subscriptions", "shop:app").out == "no subscriptions\n"
    assert penstock("worker", "ledger:app", "--burst", "-c", "1").code == 0
    assert (folder / "booked").read_text() == "orders.sent 2\n"


def test_a_process_that_is_replaced_does_not_subscribe_again(penstock, start_worker):
    worker = start_worker("ledger:app", "-c", "1", "--max-jobs-per-process", "1")
    worker.hear("takes default, ledger")
    assert penstock("unsubscribe", "ledger:app", "ledger").code == 0
    for _ in range(2):
        assert penstock("enqueue", "ledger:app", "book", '[{"id": 1}, "none"]', "--wait", "60").code == 0
    assert penstock("subscriptions", "ledger:app", "--json").json[0]["status"] == "not yet"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["subscribe", "sqlite:///jobs.db"], "name an app"),
        (["unsubscribe", "shop:app"], "name one group"),
        (["unsubscribe", "shop:app", "a", "b"], "name one group"),
        (["subscriptions", "shop:app", "x"], "one word too many"),
    ],
)
def test_what_can_not_be_done(penstock, words, said):
    ended = penstock(*words)
    assert ended.code == 2
    assert said in ended.err


def test_there_is_no_queue_yet(penstock, folder):
    assert "there is no queue" in penstock("subscriptions", "shop:app").err
    assert not (folder / "jobs.db").exists()
