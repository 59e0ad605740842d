"""SAQ."""

from __future__ import annotations

from benchmarks.peers.peer import Peer, Setup

PEER = Peer(
    name="SAQ",
    app="saq",
    worker=("-m", "saq", "benchmarks.peers.apps.saq.settings", "--workers", "2", "--quiet"),
    setups={"Redis": Setup("`saq --workers 2`, a coroutine, concurrency 10 as it comes, hiredis, uvloop", 4_000)},
    packages=("saq[redis,hiredis]==0.26.4", "uvloop", "typing-extensions"),
)
