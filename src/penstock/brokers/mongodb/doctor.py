"""What can be wrong with the MongoDB of a queue, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from penstock.brokers.diagnosis import Check, Grade, Schema, judge_clock, judge_schema, judge_shipments
from penstock.stores.mongodb import Client, MongoUrl, is_replica_set

_OLDEST = [5, 0]
_LITTLE_SPACE = 1 << 30
_NEEDED = frozenset({"find", "insert", "update", "remove"})
_WITH_TLS = re.compile(r"^mongodb\+srv:|[?&](tls|ssl)=true", re.IGNORECASE)
_LOOPBACK = re.compile(r"127\.|localhost$|::1$|/")


def diagnose(
    client: Client, url: MongoUrl, indexes: Mapping[str, Collection[str]], found: Schema, now: float
) -> Iterator[Check]:
    """Look at a server and at the collections of a queue.

    Parameters:
        indexes: the names of those that each collection should have.
        found: what is installed.
        now: this machine's time, in epoch seconds.
    """
    hello = client.admin.command("hello")
    local = all(_LOOPBACK.match(str(host)) for host, _ in client.nodes)
    yield _version(client.server_info())
    yield _members(hello, is_replica_set(client))
    yield _encryption(bool(_WITH_TLS.search(url.uri)), local)
    yield _rights(client, url.database, local)
    yield judge_schema(found, "collections")
    if found.installed is not None:
        yield _indexes(client, url.database, indexes)
        (name,) = (name for name in indexes if name.endswith("_shipments"))
        yield judge_shipments(client.get_database(url.database)[name].count_documents({"gone": None}))
    yield _concern(client.write_concern.document)
    yield _space(client.get_database(url.database).command("dbStats"))
    yield judge_clock(hello["localTime"].timestamp() - now)


def _version(build: Mapping[str, Any]) -> Check:
    version = str(build["version"])
    if build["versionArray"][:2] >= _OLDEST:
        return Check("MongoDB", version)
    return Check("MongoDB", version, Grade.FAIL, "Penstock needs 5.0 or newer: upgrade the server")


def _members(hello: Mapping[str, Any], replicated: bool) -> Check:
    if not replicated:
        return Check(
            "members", "stands alone", Grade.WARN,
            "nothing takes over when it fails, and there are no transactions: make it a replica set, be it of one",
        )  # fmt: skip
    if "setName" not in hello:
        return Check("members", "a router to several replica sets")
    return Check("members", f"replica set {hello['setName']} of {len(hello.get('hosts', ()))}")


def _encryption(tls: bool, local: bool) -> Check:
    if tls or local:
        return Check("TLS", "on" if tls else "off, on this machine")
    return Check("TLS", "off", Grade.WARN, "jobs and password cross the network in the clear: ?tls=true")


def _rights(client: Client, database: str, local: bool) -> Check:
    status = client.admin.command("connectionStatus", showPrivileges=True)["authInfo"]
    if not status["authenticatedUsers"]:
        if local:
            return Check("rights", "no user, on this machine")
        return Check(
            "rights", "no user", Grade.WARN, "anybody who reaches the server may do all: switch on access control"
        )
    allowed = {
        action
        for privilege in status["authenticatedUserPrivileges"]
        if privilege["resource"].get("db") in {"", database} and privilege["resource"].get("collection") == ""
        for action in privilege["actions"]
    }
    missing = sorted(_NEEDED - allowed)
    if not missing:
        return Check("rights", "read and write")
    return Check("rights", f"no {', '.join(missing)}", Grade.FAIL, f"grant this user the role readWrite on {database}")


def _indexes(client: Client, database: str, indexes: Mapping[str, Collection[str]]) -> Check:
    missing = [
        f"{name} of {collection}"
        for collection, names in indexes.items()
        for name in sorted(set(names) - set(client[database][collection].index_information()))
    ]
    if not missing:
        return Check("indexes", "all there")
    return Check("indexes", f"missing: {', '.join(missing)}", Grade.FAIL, "run penstock install, which makes them")


def _concern(document: Mapping[str, Any]) -> Check:
    shown = ", ".join(f"{name}={value}" for name, value in document.items() if name != "wtimeout")
    if document.get("w") == "majority" and document.get("j", True):
        return Check("durability", shown)
    return Check(
        "durability", shown, Grade.WARN, "an election may undo what was stored: leave w= and journal= out of the URL"
    )


def _space(stats: Mapping[str, Any]) -> Check:
    total, used = stats.get("fsTotalSize") or 0, stats.get("fsUsedSize") or 0
    if not total:
        return Check("free space", "not told")
    shown = f"{(total - used) / (1 << 30):,.1f} GiB"
    if total - used >= _LITTLE_SPACE:
        return Check("free space", shown)
    return Check("free space", shown, Grade.WARN, "a queue grows with what waits in it: make room on the server")
