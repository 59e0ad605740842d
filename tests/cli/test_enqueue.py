"""`penstock enqueue`."""

import signal

import pytest


def test_the_id_of_a_job_with_its_options(penstock):
    job = penstock(
        "enqueue", "shop:app", "shop.invoice", '["ada"]', "--kwargs", '{"cents": 7}', "--queue", "q", "--priority", "9",
        "--delay", "600", "--unique", "k",
    ).out.strip()  # fmt: skip
    seen = penstock("show", "shop:app", job, "--json").json
    assert seen["arguments"] == ["ada", 7]
    assert (seen["queue"], seen["priority"], seen["unique"], seen["state"]) == ("q", 9, "k", "delayed")


def test_the_task_as_part_of_the_target(penstock):
    assert penstock("enqueue", "shop:app.invoice", '["ada"]', "--json").json["new"]
    assert penstock("enqueue", "shop:app.shop.invoice", '["ada"]').code == 0
    assert penstock("enqueue", "shop:app.invoice", "[]", "[]").code == 2
    assert penstock("enqueue", "shop:app").code == 2


def test_json_becomes_what_the_type_hints_want(penstock):
    job = penstock(
        "enqueue", "shop:app", "send", '["2026-01-02T03:04:05Z", [{"sku": "x", "price": "1.50"}]]',
        "--kwargs", '{"blob": "aGVsbG8="}',
    ).out.strip()  # fmt: skip
    penstock("worker", "shop:app", "--burst", "-c", "1")
    assert penstock("show", "shop:app", job, "--json").json["result"] == "2026 1.50 b'hello'"


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (["invoice", "[1]"], "Expected `str`, got `int` - at `customer`", 1),
        (["send", '["2026-01-02T03:04:05Z", [{"sku": 1}]]'], "`lines[0].sku`", 1),
        (["invoice", "[]"], "missing a required argument: 'customer'", 1),
        (["invoice", '["a", 1, 2]'], "too many positional arguments", 1),
        (["invoice", "[]", "--kwargs", '{"nope": 1}'], "customer", 1),
        (["nope", "[]"], "no task 'nope'", 1),
        (["invoice", "[x"], "ARGS is not JSON", 2),
        (["invoice", "[" * 100_000], "ARGS is not JSON", 2),
        (["invoice", "{}"], "ARGS is a JSON array", 2),
        (["invoice", "[]", "--kwargs", "[]"], "--kwargs is a JSON object", 2),
        (["invoice", '["a"]', "--priority", "10"], "--priority", 2),
        (["invoice", '["a"]', "--queue", "a,b"], "without commas", 1),
    ],
)
def test_what_does_not_fit_is_not_stored(penstock, folder, words, said, code):
    ended = penstock("enqueue", "shop:app", *words)
    assert ended.code == code
    assert said in ended.err
    assert ended.err.count("\n") == 1
    assert ended.out == ""
    assert not (folder / "jobs.db").exists()


def test_a_key_that_is_taken(penstock):
    first = penstock("enqueue", "shop:app", "invoice", '["a"]', "--unique", "k", "--json").json
    second = penstock("enqueue", "shop:app", "invoice", '["a"]', "--unique", "k", "--json").json
    assert (first["new"], second) == (True, {"id": first["id"], "new": False})
    assert "has the key already" in penstock("enqueue", "shop:app", "invoice", '["a"]', "--unique", "k").err


def test_waiting_for_the_result(penstock, start_worker):
    worker = start_worker("shop:app", "-c", "1")
    ended = penstock("enqueue", "shop:app", "invoice", '["ada"]', "--wait", "60")
    assert ended.out.splitlines()[1] == '"ada owes 5"'
    done = penstock("enqueue", "shop:app", "invoice", '["ada"]', "--wait", "60", "--json").json
    assert (done["state"], done["result"]) == ("done", "ada owes 5")
    failed = penstock("enqueue", "shop:app", "invoice", '["bad"]', "--wait", "60")
    assert failed.code == 1
    assert failed.err.startswith("penstock: ValueError: no such customer")
    worker.signal(signal.SIGTERM)
    assert worker.end() == 0


def test_waiting_in_vain(penstock):
    ended = penstock("enqueue", "shop:app", "invoice", '["ada"]', "--wait", "0")
    assert ended.code == 1
    assert "did not end within 0 s" in ended.err
