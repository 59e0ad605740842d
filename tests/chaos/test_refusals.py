"""What a server refuses from the start is one line that says what to do, with no password in it, and a failed exit."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pymongo
import pytest
from harmed import HarmedPostgres
from oracle import Worker

from penstock.testing.servers import MongoServer
from penstock.testing.servers.process import free_port

SECRET = "s3cr3t-w0rd"
WRONG = "wr0ng-w0rd"

#: The URL to use, by the trouble it has, and a pattern in the line that is told.
Troubles = dict[str, tuple[str, str]]


@pytest.fixture(scope="module")
def postgres_troubles(harmed_postgres: HarmedPostgres) -> Troubles:
    server = harmed_postgres.server
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        for user in ("locked", "poor", "wrapped"):
            connection.execute(f"create user {user} password '{SECRET}'")
        connection.execute("create database barred")
        connection.execute("revoke connect on database barred from public")
        connection.execute("revoke create on schema public from public")
        access = server.data / "pg_hba.conf"
        rules = "host all locked all scram-sha-256\nhostssl all wrapped all trust\nhost all wrapped all reject\n"
        access.write_text(rules + access.read_text("utf-8"), "utf-8")
        connection.execute("select pg_reload_conf()")
    host = f"127.0.0.1:{server.process.port}"
    return {
        "wrong password": (f"postgresql://locked:{WRONG}@{host}/penstock", "user and password"),
        "no password": (f"postgresql://locked@{host}/penstock", "user and password"),
        "no database": (f"postgresql://poor:{SECRET}@{host}/nowhere", "no such database"),
        "may not connect": (f"postgresql://poor:{SECRET}@{host}/barred", "grant"),
        "may not create": (f"postgresql://poor:{SECRET}@{host}/penstock?schema=theirs", "grant"),
        "needs TLS": (f"postgresql://wrapped:{SECRET}@{host}/penstock?sslmode=disable", "sslmode=require"),
        "has no TLS": (f"postgresql://poor:{SECRET}@{host}/penstock?sslmode=require", "no TLS"),
        "no server": (f"postgresql://poor:{SECRET}@127.0.0.1:{free_port()}/penstock", "no server answers"),
        "no host": (f"postgresql://poor:{SECRET}@nowhere.invalid/penstock", "no such host"),
    }


@pytest.fixture(scope="module")
def mongo_troubles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Troubles]:
    both = tmp_path_factory.mktemp("tls") / "both.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*words, "-keyout", f"{both}.key", "-out", f"{both}.crt"], check=True, capture_output=True)
    both.write_bytes(Path(f"{both}.key").read_bytes() + Path(f"{both}.crt").read_bytes())
    wrapped_options = ["--tlsMode", "preferTLS", "--tlsCertificateKeyFile", str(both)]
    with (
        MongoServer(members=0, options=["--auth"]) as server,
        MongoServer(members=0, options=wrapped_options) as wrapped,
    ):
        with pymongo.MongoClient[dict[str, Any]](server.url("admin")) as client:
            client.admin.command("createUser", "root", pwd=SECRET, roles=["root"])
        with pymongo.MongoClient[dict[str, Any]](server.url("admin"), username="root", password=SECRET) as client:
            client.admin.command("createUser", "poor", pwd=SECRET, roles=[{"role": "read", "db": "penstock"}])
        with pymongo.MongoClient[dict[str, Any]](wrapped.url("admin")) as client:
            client.admin.command({"setParameter": 1, "tlsMode": "requireTLS"})
        host, tls_host = urlsplit(server.url()).netloc, urlsplit(wrapped.url()).netloc
        fast = "serverSelectionTimeoutMS=1000"
        yield {
            "wrong password": (f"mongodb://poor:{WRONG}@{host}/penstock?authSource=admin", "user and password"),
            "no password": (f"mongodb://{host}/penstock", "asks for a user|readWrite"),
            "may not write": (
                f"mongodb://poor:{SECRET}@{host}/penstock?authSource=admin",
                "grant this user the role readWrite|may read and write",
            ),
            "needs TLS": (f"mongodb://poor:{SECRET}@{tls_host}/penstock?{fast}", "tls=true"),
            "certificate": (f"mongodb://poor:{SECRET}@{tls_host}/penstock?tls=true&{fast}", "tlsCAFile"),
            "has no TLS": (f"mongodb://poor:{SECRET}@{host}/penstock?authSource=admin&tls=true&{fast}", "tls=false"),
            "no server": (f"mongodb://poor:{SECRET}@127.0.0.1:{free_port()}/penstock?{fast}", "no server answers"),
            "no host": (f"mongodb://poor:{SECRET}@nowhere.invalid/penstock?{fast}", "no such host"),
        }


@pytest.fixture(params=["postgresql", "mongodb"])
def troubles(request: pytest.FixtureRequest) -> Troubles:
    found: Troubles = request.getfixturevalue(f"{request.param.removesuffix('ql').removesuffix('db')}_troubles")
    return found


def words_of(command: str, folder: Path, url: str) -> list[str]:
    """The command line that uses a URL."""
    load = ["load", str(folder / "orders.jsonl"), "--create", "--quiet"]
    match command:
        case "worker":
            return ["worker", "chaos_target:app"]
        case "status":
            return ["status", url]
        case "load into":
            return [*load, "--into", url.replace("?schema=theirs", "")]
        case _:
            return [*load, "--into", f"sqlite:///{folder}/market.db", "--queue", url]


@pytest.mark.parametrize("command", ["worker", "status", "load into", "load through"])
def test_every_command_says_so_in_one_line(troubles: Troubles, command: str, tmp_path: Path) -> None:
    started: list[tuple[str, str, Worker]] = []
    for number, (name, (url, wanted)) in enumerate(troubles.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "orders.jsonl").write_text('{"order_id": 1}\n', "utf-8")
        told = {"CHAOS_URL": url, "CHAOS_LOG": str(folder / "log"), "PYTHONWARNINGS": "ignore::ResourceWarning"}
        # Who may not make a queue may still look whether there is one.
        also = "|there is no queue" if command == "status" and "grant" in wanted else ""
        program = Worker(["-m", "penstock", *words_of(command, folder, url)], folder, told)
        started.append((name, wanted + also, program))
    failed = {}
    for name, wanted, program in started:
        status = program.process.wait(60)
        said = program.said()
        text = "\n".join(said)
        good = status in {1, 2} and len(said) == 1 and re.search(wanted, text)
        if not good or SECRET in text or WRONG in text:
            failed[name] = f"{name}: {status}: {text}"
    assert not failed, "\n".join(failed.values())
