"""`penstock retry`, `cancel` and `purge`."""

import pytest

ABSENT = "0197b3a4-6c1e-7000-8000-000000000000"


@pytest.fixture
def dead(penstock):
    job = penstock("enqueue", "shop:app", "invoice", '["bad"]').out.strip()
    penstock("worker", "shop:app", "--burst", "-c", "1")
    return job


@pytest.fixture
def ready(penstock):
    return penstock("enqueue", "shop:app", "call", '["1"]').out.strip()


def states(penstock):
    return {job["id"]: job["state"] for job in penstock("jobs", "shop:app", "--json").json}


def test_a_dead_letter_runs_again(penstock, folder, dead):
    source = (folder / "shop.py").read_text()
    (folder / "shop.py").write_text(source.replace('customer == "bad"', 'customer == "worse"'))
    ended = penstock("retry", "shop:app", dead)
    assert (ended.code, ended.out) == (0, "retried 1 job\n")
    job = penstock("show", "shop:app", dead, "--json").json
    assert (job["state"], job["attempt"]) == ("ready", 0)
    penstock("worker", "shop:app", "--burst", "-c", "1")
    assert penstock("show", "shop:app", dead, "--json").json["result"] == "bad owes 5"


def test_retry_by_state_does_not_ask(penstock, dead):
    assert penstock("retry", "shop:app", "--state", "dead", "--json").json == {"retried": 1}
    assert states(penstock) == {dead: "ready"}


def test_cancel_keeps_the_job_for_a_retry(penstock, ready):
    assert penstock("cancel", "shop:app", ready).out == "cancelled 1 job\n"
    assert states(penstock) == {ready: "cancelled"}
    assert penstock("retry", ready, "--where", "shop:app").code == 0
    assert states(penstock) == {ready: "ready"}


def test_purge_deletes(penstock, dead, ready):
    assert penstock("purge", "shop:app", dead, "--json").json == {"purged": 1}
    assert states(penstock) == {ready: "ready"}
    assert penstock("purge", "shop:app", "--queue", "default", "--task", "shop.call", "--yes").out == "purged 1 job\n"
    assert states(penstock) == {}


def test_some_of_those_that_are_named(penstock, ready):
    ended = penstock("cancel", "shop:app", ready, ABSENT)
    assert (ended.code, ended.out) == (0, "cancelled 1 job; 1 could not be\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["retry", "READY"], "READY is ready, not dead or cancelled"),
        (["cancel", ABSENT], f"{ABSENT} is not stored"),
        (["retry", "--state", "cancelled"], "no job fits"),
        (["purge", "--queue", "empty", "--yes"], "no job fits"),
        (["cancel", "READY", "--queue", "empty"], "in queue default"),
    ],
)
def test_nothing_that_fits_is_exit_code_1(penstock, ready, words, said):
    command, *rest = [word.replace("READY", ready) for word in words]
    ended = penstock(command, "shop:app", *rest)
    assert ended.code == 1
    assert ended.err.startswith(f"penstock: nothing to {command}: ")
    assert said.replace("READY", ready) in ended.err
    assert states(penstock) == {ready: "ready"}


@pytest.mark.parametrize(
    "words", [["purge"], ["purge", "--state", "ready"], ["retry"], ["cancel"], ["purge", "--queue", "default"]]
)
def test_without_a_terminal_it_can_not_ask(penstock, ready, words):
    command, *rest = words
    ended = penstock(command, "shop:app", *rest, input="y\n")
    assert ended.code == 2
    assert "add --yes" in ended.err
    assert states(penstock) == {ready: "ready"}


def test_on_a_terminal_it_asks(penstock, on_terminal, ready):
    refused = on_terminal("purge", "shop:app", "--state", "ready", input="n\n")
    assert "purge 1 job (state ready)?" in refused.out
    assert refused.code == 1
    assert states(penstock) == {ready: "ready"}
    assert on_terminal("purge", "shop:app", input="y\n").code == 0
    assert states(penstock) == {}


def test_a_state_that_does_not_fit_the_command(penstock, ready):
    assert penstock("retry", "shop:app", "--state", "ready").code == 2
    assert penstock("purge", "shop:app", "--state", "running", "--yes").code == 2
