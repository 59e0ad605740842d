"""What can be wrong with the Redis of a queue, and what to do about it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from penstock.brokers.diagnosis import Check, Grade, judge_clock, judge_shipments
from penstock.brokers.redis.link import Link
from penstock.errors import StoreError
from penstock.stores.redis import RedisUrl, command, is_path, translating

_OLDEST = 7
_LOOPBACK = re.compile(r"127\.|localhost$|::1$")
#: How full memory may be without a word.
_FULL = 0.8
_NOT_TOLD = "not told"


def diagnose(url: RedisUrl) -> Iterator[Check]:
    """Look at a server, and at the keys of a queue."""
    link = Link(url)
    link.open()
    try:
        told = _lines(link.run("info"))
        settings = {name: _setting(link, name) for name in ("maxmemory-policy", "appendonly", "appendfsync", "save")}
        yield _version(told)
        yield _role(told)
        yield _encryption(url)
        yield _eviction(settings, told)
        yield from _durability(settings, told)
        yield _memory(told)
        yield Check("jobs", f"{int(link.ask('HLEN', 'jobs')):,} in {{{url.namespace}}}:jobs")
        yield judge_shipments(int(link.ask("HLEN", "shipments")))
        began = time.time()
        theirs = link.run("clock")
        yield judge_clock(float(theirs) - (began + time.time()) / 2)
    finally:
        with suppress(StoreError):
            link.close()


def _lines(told: list[bytes]) -> dict[str, str]:
    pairs = (line.partition(":") for part in told for line in part.decode().splitlines())
    return {name: value.strip() for name, colon, value in pairs if colon}


def _setting(link: Link, name: str) -> str | None:
    """A setting of the server's, if this user may read it: where Redis is a service, often nobody may."""
    with suppress(StoreError), translating(link.url.shown):
        value: Any = command(link.client, "CONFIG GET", name)
        for found in value.values() if isinstance(value, Mapping) else value[1::2]:
            return found.decode() if isinstance(found, bytes) else str(found)
    return None


def _version(told: Mapping[str, str]) -> Check:
    name = "Valkey" if "valkey_version" in told else "Redis"
    version = told.get("valkey_version") or told.get("redis_version", "0")
    if int(version.split(".")[0]) >= _OLDEST:
        return Check(name, version)
    return Check(name, version, Grade.FAIL, "Penstock needs Redis 7.0 or newer, or Valkey: upgrade the server")


def _role(told: Mapping[str, str]) -> Check:
    if told.get("role") != "master":
        return Check(
            "role",
            "replica",
            Grade.FAIL,
            "it takes no writes: name its master, or the sentinels with redis+sentinel://",
        )
    return Check("role", f"master with {told.get('connected_slaves', '0')} replicas")


def _encryption(url: RedisUrl) -> Check:
    local = all(is_path(host) or _LOOPBACK.match(host) for host, _ in url.hosts)
    if url.encrypted or local:
        return Check("TLS", "on" if url.encrypted else "off, on this machine")
    return Check("TLS", "off", Grade.WARN, "jobs and password cross the network in the clear: rediss://")


def _eviction(settings: Mapping[str, str | None], told: Mapping[str, str]) -> Check:
    policy = settings["maxmemory-policy"] or told.get("maxmemory_policy")
    if policy is None:
        return Check("maxmemory-policy", _NOT_TOLD)
    if policy == "noeviction":
        return Check("maxmemory-policy", policy)
    return Check(
        "maxmemory-policy", policy, Grade.FAIL, "Redis throws jobs away when memory is full: set it to noeviction"
    )


def _durability(settings: Mapping[str, str | None], told: Mapping[str, str]) -> Iterator[Check]:
    appends = settings["appendonly"] or {"1": "yes", "0": "no"}.get(told.get("aof_enabled", ""))
    if appends is None:
        yield Check("durability", _NOT_TOLD)
        return
    if appends != "yes":
        saved = settings["save"]
        what = "what came since the last snapshot" if saved else "every job"
        shown = f"appendonly no, save {saved!r}" if saved is not None else "appendonly no"
        yield Check(
            "durability", shown, Grade.WARN, f"a server that dies loses {what}: set appendonly yes, appendfsync always"
        )
    elif settings["appendfsync"] is None:
        yield Check("durability", "appendonly yes")
    elif settings["appendfsync"] == "always":
        yield Check("durability", "appendonly yes, appendfsync always: what was told as stored is on the disk")
    else:
        lost = "up to two seconds" if settings["appendfsync"] == "everysec" else "half a minute"
        yield Check(
            "durability", f"appendonly yes, appendfsync {settings['appendfsync']}", Grade.WARN,
            f"a machine that loses its power loses {lost} of jobs (a killed server hardly any): appendfsync always keeps all",
        )  # fmt: skip
    if told.get("aof_last_write_status", "ok") != "ok" or told.get("rdb_last_bgsave_status", "ok") != "ok":
        yield Check("last save", "failed", Grade.FAIL, "the server can't write its files: look into its log, make room")


def _memory(told: Mapping[str, str]) -> Check:
    used, most = int(told.get("used_memory", 0)), int(told.get("maxmemory", 0))
    shown = f"{used / (1 << 20):,.0f} MiB"
    if not most:
        return Check(
            "memory", f"{shown}, no maxmemory", Grade.WARN, "a deep queue may take all of the machine's: set maxmemory"
        )
    if used < _FULL * most:
        return Check("memory", f"{shown} of {most / (1 << 20):,.0f}")
    return Check(
        "memory",
        f"{shown} of {most / (1 << 20):,.0f}",
        Grade.WARN,
        "nothing can be enqueued when it is full: raise maxmemory",
    )
