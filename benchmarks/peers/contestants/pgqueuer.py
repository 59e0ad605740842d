"""PgQueuer, with batches as large as its guide has them."""

from __future__ import annotations

from benchmarks.peers.peer import Peer, Setup

PEER = Peer(
    name="PgQueuer",
    app="pgqueuer",
    worker=("-m", "benchmarks.peers.apps.pgqueuer"),
    setups={
        "PostgreSQL": Setup(
            "`PgQueuer.run(batch_size=100)` on uvloop, twice (what `pgq run` does; its 1.6.0 fails beside the typer that comes with it); asyncpg, durability as it comes (durable), a coroutine; in bulk one `enqueue` of 1,000",
            40_000,
        )
    },
    packages=("pgqueuer[asyncpg]==1.6.0",),
    workers=2,
)
