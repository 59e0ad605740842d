"""A password in a URL is in no error, log, command line, record or output."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from penstock import Penstock
from penstock.brokers import connect
from penstock.errors import PenstockError
from penstock.sinks import Target, open_sink
from penstock.testing.servers import PostgresServer

SECRET = "s3cr3t"
QUICK = "serverSelectionTimeoutMS=50&connectTimeoutMS=50"
# Misspelt, unreachable, with options that there are not, with files that are not there.
URLS = [
    "ada:s3cr3t@host/db",
    "postgresq://ada:s3cr3t@host/db",
    "sqlite://ada:s3cr3t@host/db",
    *(
        url
        for scheme in ("postgresql", "redis", "rediss", "amqp", "amqps", "redis+sentinel")
        for url in (
            f"{scheme}://ada:s3cr3t@127.0.0.1:1/0",
            f"{scheme}://ada:s3cr3t@127.0.0.1:1/0?foo=1",
            f"{scheme}://ada:s3cr3t@127.0.0.1:99999/0",
            f"{scheme}://ada:s3cr3t@host:port/0",
            f"{scheme}://ada:s3/cr3t/s3cr3t@127.0.0.1:1/0",
            f"{scheme}://ada:s3@s3cr3t@127.0.0.1:1/0?foo=1",
            f"{scheme}://ada:s3cr3t?s3cr3t@127.0.0.1:1/0?foo=1",
            f"{scheme}://ada:s3cr3t@[::1/0",
            f"{scheme}://127.0.0.1:1/0?password=s3cr3t&foo=1",
            f"{scheme}://127.0.0.1:1/0?password=s3cr3t&namespace=$",
        )
    ),
    "postgresql://ada@127.0.0.1:1/db?password=s3cr3t",
    "postgresql://ada:s3cr3t@127.0.0.1:1/db?sslmode=s3",
    f"mongodb://ada:s3cr3t@127.0.0.1:1/db?{QUICK}",
    "mongodb://ada:s3cr3t@127.0.0.1:99999/db",
    "mongodb://ada:s3:s3cr3t@127.0.0.1:1/db",
    "mongodb://ada:s3cr3t@127.0.0.1:1/db?foo=1",
    f"mongodb://127.0.0.1:1/db?{QUICK}&tlsCAFile=/nowhere&tlsCertificateKeyFilePassword=s3cr3t",
    "amqp://ada:x@127.0.0.1:1/?backend=postgresql://ada:s3cr3t@h/db&foo=1",
    "amqp://ada:x@127.0.0.1:1/?backend=foo://ada:s3cr3t@h/db",
    "redis://127.0.0.1:1/0?tls=s3",
]


@pytest.mark.parametrize("url", URLS)
def test_no_error_of_a_broker_tells_it(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with pytest.raises(PenstockError) as caught:
        connect(url).open()
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("url", [url for url in URLS if url.partition(":")[0] in {"ada", "postgresq", "sqlite", "postgresql", "mongodb"}])  # fmt: skip
def test_no_error_of_a_sink_tells_it(url: str) -> None:
    with pytest.raises(PenstockError) as caught:
        open_sink(url, Target("orders"))
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("url", ["postgresql://ada:s3cr3t@h/db", "amqp://h/?backend=redis://:s3cr3t@h/0"])
def test_no_object_shows_it(url: str) -> None:
    app = Penstock(url)
    assert SECRET not in f"{app!r} {app.settings!r} {app.client!r} {connect(url)!r}"


APP = """
import os
from pathlib import Path
from penstock import Penstock

app = Penstock()

@app.task(retries=0)
def fail():
    for pid in os.getpid(), os.getppid():
        with open("cmdline", "ab") as file:
            file.write(Path(f"/proc/{pid}/cmdline").read_bytes())
    raise RuntimeError("can't reach " + os.environ["PENSTOCK_URL"])  # as postgresql://ada:s3cr3t@host/db
"""


def test_nothing_that_a_worker_and_the_commands_say_tells_it(tmp_path: Path, postgres_server: PostgresServer) -> None:
    url = f"{postgres_server.url().replace('postgres@', f'postgres:{SECRET}@')}?schema=secrets"
    assert SECRET in url
    (tmp_path / "shop.py").write_text(APP)
    environment = os.environ | {"PENSTOCK_URL": url}

    def run(*words: str) -> str:
        command = [sys.executable, "-m", "penstock", *words]
        ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
        assert ended.returncode in (0, 1), ended.stderr
        return ended.stdout + ended.stderr

    id = run("enqueue", "shop:app", "shop.fail").split()[0]
    said = run("worker", "shop:app", "--burst", "-c", "1", "--verbose")
    assert "can't reach postgresql://postgres:***@" in said
    commands = [["jobs", "--json"], ["show", id], ["show", id, "--json"], ["status"], ["status", "--json"], ["doctor"]]
    shown = [run(*words) for words in commands]
    assert json.loads(shown[0])
    texts = [said, *shown, (tmp_path / "cmdline").read_bytes().decode()]
    assert [text for text in texts if SECRET in text] == []
    assert "can't reach" in shown[1]
