"""`penstock wait`."""

import json

import pytest


@pytest.fixture
def three(penstock):
    return [penstock("enqueue", "shop:app", "invoice", f'["{who}"]').out.strip() for who in ("ada", "bob", "bad")]


def test_each_as_it_ends(penstock, three):
    penstock("worker", "shop:app", "--burst", "-c", "1")
    ended = penstock("wait", "shop:app", *three)
    assert ended.code == 1
    assert sorted(ended.out.splitlines()) == sorted(
        [
            f'{three[0]}  done  "ada owes 5"',
            f'{three[1]}  done  "bob owes 5"',
            f"{three[2]}  dead  ValueError: no such customer: \\x1b[31mred",
        ]
    )
    assert penstock("wait", "shop:app", *three[:2]).code == 0


def test_json(penstock, three):
    penstock("worker", "shop:app", "--burst", "-c", "1")
    ended = penstock("wait", *three, "--where", "shop:app", "--json")
    assert ended.code == 1
    found = {one["id"]: one for one in json.loads(ended.out)}
    assert found[three[0]] == {"id": three[0], "state": "done", "result": "ada owes 5"}
    failure = found[three[2]]["failure"]
    assert failure["kind"] == "ValueError"
    assert "Traceback" in failure["traceback"]


def test_what_does_not_end_or_is_not_known(penstock, three):
    late = penstock("wait", "shop:app", three[0], "--timeout", "0.05")
    assert (late.code, late.out) == (1, "")
    assert "did not end within 0.05 s" in late.err
    unknown = penstock("wait", "shop:app", "0197b3a4-6c1e-7000-8000-000000000000", "--json")
    assert unknown.code == 1
    assert json.loads(unknown.out)[0]["state"] == "unknown"
    assert penstock("wait", "shop:app").code == 2
    penstock("cancel", "shop:app", three[1])
    assert penstock("wait", "shop:app", three[1]).out == f"{three[1]}  cancelled\n"
