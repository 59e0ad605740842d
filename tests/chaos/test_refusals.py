"""What a server refuses from the start is one line that says what to do, with no password in it, and a failed exit."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pymongo
import pytest
import redis
from harmed import HarmedPostgres
from oracle import FULL, Worker

from penstock.testing.servers import MongoServer, PostgresServer, RedisServer
from penstock.testing.servers.process import free_port

SECRET = "s3cr3t-w0rd"
WRONG = "wr0ng-w0rd"

#: The URL to use, by the trouble it has, and a pattern in the line that is told.
Troubles = dict[str, tuple[str, str]]


def certified(folder: Path) -> tuple[Path, Path]:
    """A key and a certificate that this machine signs for itself, in a folder."""
    key, certificate = folder / "server.key", folder / "server.crt"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    words += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(words, check=True, capture_output=True)
    return key, certificate


@pytest.fixture(scope="module")
def wrapped_postgres() -> Iterator[tuple[PostgresServer, Path]]:
    """A PostgreSQL that lets nobody in without TLS, and its certificate."""
    with PostgresServer() as server:
        key, certificate = certified(server.process.folder)
        for path in (key, certificate):
            shutil.chown(path, server.data.owner(), server.data.group())
        key.chmod(0o600)
        with psycopg.connect(server.url(), autocommit=True) as connection:
            for name, value in (("ssl_cert_file", certificate), ("ssl_key_file", key), ("ssl", "on")):
                connection.execute(f"alter system set {name} = '{value}'")
            connection.execute(f"create user poor password '{SECRET}' superuser")
            (server.data / "pg_hba.conf").write_text("hostssl all all all scram-sha-256\n", "ascii")
            connection.execute("select pg_reload_conf()")
        yield server, certificate


@pytest.fixture(scope="module")
def wrapped_mongo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MongoServer, Path]]:
    """A MongoDB that lets nobody in without TLS, and its certificate."""
    key, certificate = certified(tmp_path_factory.mktemp("tls"))
    both = key.with_name("both.pem")
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    with MongoServer(members=0, options=["--tlsMode", "preferTLS", "--tlsCertificateKeyFile", str(both)]) as server:
        with pymongo.MongoClient[dict[str, Any]](server.url("admin")) as client:
            client.admin.command({"setParameter": 1, "tlsMode": "requireTLS"})
        yield server, certificate


@pytest.fixture(scope="module")
def postgres_troubles(
    harmed_postgres: HarmedPostgres,
    wrapped_postgres: tuple[PostgresServer, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Troubles:
    _, stranger = certified(tmp_path_factory.mktemp("tls"))
    tls_host = f"127.0.0.1:{wrapped_postgres[0].process.port}"
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
        "demands TLS": (f"postgresql://poor:{SECRET}@{tls_host}/penstock?sslmode=disable", "sslmode=require"),
        "no authority": (f"postgresql://poor:{SECRET}@{tls_host}/penstock?sslmode=verify-full", "sslrootcert="),
        "another's certificate": (
            f"postgresql://poor:{SECRET}@{tls_host}/penstock?sslmode=verify-full&sslrootcert={stranger}",
            "sslrootcert=",
        ),
        "has no TLS": (f"postgresql://poor:{SECRET}@{host}/penstock?sslmode=require", "no TLS"),
        "no server": (f"postgresql://poor:{SECRET}@127.0.0.1:{free_port()}/penstock", "no server answers"),
        "no host": (f"postgresql://poor:{SECRET}@nowhere.invalid/penstock", "no such host"),
    }


@pytest.fixture(scope="module")
def mongo_troubles(wrapped_mongo: tuple[MongoServer, Path]) -> Iterator[Troubles]:
    wrapped, _ = wrapped_mongo
    with MongoServer(members=0, options=["--auth"]) as server:
        with pymongo.MongoClient[dict[str, Any]](server.url("admin")) as client:
            client.admin.command("createUser", "root", pwd=SECRET, roles=["root"])
        with pymongo.MongoClient[dict[str, Any]](server.url("admin"), username="root", password=SECRET) as client:
            client.admin.command("createUser", "poor", pwd=SECRET, roles=[{"role": "read", "db": "penstock"}])
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


@pytest.fixture(scope="module")
def wrapped_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a Redis that takes TLS at a port of its own, and its certificate."""
    key, certificate = certified(tmp_path_factory.mktemp("tls"))
    port = free_port()
    files = ["--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-ca-cert-file", str(certificate)]
    with RedisServer(options=["--tls-port", str(port), "--tls-auth-clients", "no", *files]):
        yield f"127.0.0.1:{port}", certificate


@pytest.fixture(scope="module")
def redis_troubles(wrapped_redis: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Troubles]:
    tls_host, _ = wrapped_redis
    _, stranger = certified(tmp_path_factory.mktemp("tls"))
    with RedisServer(options=["--requirepass", SECRET]) as server:
        with redis.Redis(port=server.port, password=SECRET) as client:
            client.execute_command("ACL", "SETUSER", "poor", "on", f">{SECRET}", "~{penstock}:*", "+@read")
            client.execute_command("ACL", "SETUSER", "astray", "on", f">{SECRET}", "~{other}:*", "+@all")
        host = f"127.0.0.1:{server.port}"
        yield {
            "wrong password": (f"redis://poor:{WRONG}@{host}/0", "user and password"),
            "no password": (f"redis://{host}/0", "asks for a password"),
            "may not run scripts": (f"redis://poor:{SECRET}@{host}/0", "ACL SETUSER"),
            "other keys": (f"redis://astray:{SECRET}@{host}/0", "ACL SETUSER"),
            "no such database": (f"redis://:{SECRET}@{host}/99", "no database of that number"),
            "needs TLS": (f"redis://{tls_host}/0", "rediss://"),
            "certificate": (f"rediss://{tls_host}/0", r"\?ca="),
            "another's certificate": (f"rediss://{tls_host}/0?ca={stranger}", r"\?ca="),
            "no such file": (f"rediss://{tls_host}/0?ca={stranger}.missing", r"\?ca="),
            "has no TLS": (f"rediss://:{SECRET}@{host}/0?timeout=2", "write redis://"),
            "no server": (f"redis://127.0.0.1:{free_port()}/0", "no server answers"),
            "no host": ("redis://nowhere.invalid/0", "no such host"),
            "no sentinel": (f"redis+sentinel://127.0.0.1:{free_port()}/main", "sentinel"),
        }


COMMANDS = ["worker", "status", "load into", "load through"]
#: Each kind of server with each command; a Redis has no tables to load into.
CASES = [(kind, command) for kind in ("postgres", "mongo", "redis") for command in COMMANDS]
CASES.remove(("redis", "load into"))
if not FULL:
    CASES = [(kind, command) for kind, command in CASES if kind != "redis" or command == "status"]
#: What the commands load, and what they load of a kind.
LOADED_BY_ALL = ["penstock.cli.load", "penstock.cli.status", "penstock.cli.worker", "penstock.worker.supervisor"]
LOADED = {
    "postgres": ["penstock.brokers.postgres.broker", "penstock.sinks.postgres.sink"],
    "mongo": ["penstock.brokers.mongodb.broker", "penstock.sinks.mongodb.sink"],
    "redis": ["penstock.brokers.redis.broker"],
}


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


@pytest.mark.parametrize(("kind", "command"), CASES)
def test_every_command_says_so_in_one_line(
    kind: str, command: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    troubles: Troubles = request.getfixturevalue(f"{kind}_troubles")
    orders: list[tuple[list[str], dict[str, str], str]] = []
    for number, (url, _) in enumerate(troubles.values()):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "orders.jsonl").write_text('{"order_id": 1}\n', "utf-8")
        told = {"CHAOS_URL": url, "CHAOS_LOG": str(folder / "log")}
        orders.append((words_of(command, folder, url), told, str(folder / "said")))
    programs = Worker(
        ["forked.py", json.dumps(orders), *LOADED_BY_ALL, *LOADED[kind]],
        tmp_path,
        {"PYTHONWARNINGS": "ignore::ResourceWarning"},
    )
    try:
        assert programs.process.wait(60) == 0, programs.said()
    finally:
        programs.close()
    failed = {}
    outcomes = zip(troubles.items(), orders, json.loads(programs.printed()), strict=True)
    for (name, (_, wanted)), (_, _, told_in), status in outcomes:
        said = Path(told_in).read_text("utf-8").splitlines()
        text = "\n".join(said)
        # Who may not make a queue may still look whether there is one.
        also = "|there is no queue" if command == "status" and "grant" in wanted else ""
        good = status in {1, 2} and len(said) == 1 and re.search(wanted + also, text)
        if not good or SECRET in text or WRONG in text:
            failed[name] = f"{name}: {status}: {text}"
    assert not failed, "\n".join(failed.values())


@pytest.mark.parametrize("kind", ["postgresql", "mongodb", "redis"])
def test_over_tls_with_the_servers_certificate_all_is_well(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if kind == "postgresql":
        server, certificate = request.getfixturevalue("wrapped_postgres")
        start = f"postgresql://poor:{SECRET}@127.0.0.1:{server.process.port}/penstock?sslmode="
        urls = [f"{start}require", f"{start}verify-full&sslrootcert={certificate}"]
    elif kind == "redis":
        host, certificate = request.getfixturevalue("wrapped_redis")
        urls = [f"rediss://{host}/0?tls=unverified", f"rediss://{host}/0?ca={certificate}"]
    else:
        server, certificate = request.getfixturevalue("wrapped_mongo")
        urls = [f"mongodb://{urlsplit(server.url()).netloc}/penstock?tls=true&tlsCAFile={certificate}"]
    (tmp_path / "orders.jsonl").write_text('{"order_id": 1}\n', "utf-8")
    for number, url in enumerate(urls if FULL else urls[-1:]):
        load = ["load", str(tmp_path / "orders.jsonl"), "--create", "--quiet", "--table", f"orders{number}"]
        into = f"sqlite:///{tmp_path}/market.db" if kind == "redis" else url
        told = {"PYTHONWARNINGS": "ignore::ResourceWarning"}
        for words in ([*load, "--into", into, "--queue", url], ["status", url], ["doctor", url]):
            program = Worker(["-m", "penstock", *words], tmp_path, told)
            assert program.process.wait(60) == 0, program.said()
        assert re.search(r"TLS +on", program.printed()), program.printed()
