"""Signing as a user has it: keys in the environment, real workers, and a sink in the queue's own database."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from penstock import Penstock
from penstock.errors import ConfigError
from penstock.testing.servers import PostgresServer

KEYS = "k" * 32
APP = """
from penstock import Penstock

app = Penstock()
orders = app.sink({url!r}, table="signed_orders")

@app.task
def greet(name: str) -> None:
    print("hello", name)
"""


def test_workers_run_what_is_signed_and_refuse_the_rest(tmp_path: Path, postgres_server: PostgresServer) -> None:
    url = postgres_server.url()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create table signed_orders (id integer primary key check (id > 0))")
    (tmp_path / "shop.py").write_text(APP.format(url=url))

    def run(*words: str, keys: str = KEYS) -> str:
        environment = os.environ | {"PENSTOCK_URL": f"{url}?schema=signed", "PENSTOCK_SIGNING_KEYS": keys}
        ended = subprocess.run([sys.executable, "-m", "penstock", *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
        assert ended.returncode in (0, 1), ended.stderr
        return ended.stdout + ended.stderr

    script = "import shop; shop.orders.delay_many([({'id': n},) for n in (1, -1)]); shop.orders.map([{'id': n} for n in (2, -2)])"
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, timeout=60,
                   env=os.environ | {"PENSTOCK_URL": f"{url}?schema=signed", "PENSTOCK_SIGNING_KEYS": KEYS})  # fmt: skip
    (id,) = run("enqueue", "shop:app", "greet", '["ada"]').split()
    run("enqueue", "shop:app", "greet", '["eve"]', keys="")
    assert '"ada"' in run("show", "shop:app", id)
    said = run("worker", "shop:app", "--burst", "-c", "1")
    assert "hello ada" in said
    assert "hello eve" not in said
    with psycopg.connect(url) as connection:
        assert connection.execute("select id from signed_orders order by id").fetchall() == [(1,), (2,)]
    dead = json.loads(run("jobs", "shop:app", "--state", "dead", "--json"))
    assert sorted(job["failure"]["kind"] for job in dead) == ["BadSignature", "Rejected", "Rejected"]
    assert "on, 1 key" in run("doctor", "shop:app")
    assert "signing" in run("doctor", keys="")
    assert "off: whoever" in run("doctor", keys="")
    assert "token_urlsafe" in run("doctor", keys="short")


def test_keys_come_from_the_environment_or_a_file_and_are_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PENSTOCK_URL", raising=False)
    Path("penstock.toml").write_text(f'signing_keys = ["{KEYS}", "{"o" * 40}"]\nunsigned_tasks = "a, b"\n')
    app = Penstock()
    assert app.client.signing is not None
    assert (app.client.signing.count, app.client.signing.unsigned) == (2, {"a", "b"})
    assert KEYS not in f"{app!r} {app.settings!r} {app.client!r} {app.client.signing!r}"
    monkeypatch.setenv("PENSTOCK_SIGNING_KEYS", "")
    assert Penstock().client.signing is None
    monkeypatch.setenv("PENSTOCK_SIGNING_KEYS", "short")
    with pytest.raises(ConfigError, match="32 characters"):
        Penstock()
