"""honker, which can't be installed here."""

from __future__ import annotations

from benchmarks.peers.peer import Peer, Setup

PEER = Peer(
    name="honker",
    app="honker",
    worker=(),
    setups={"SQLite": Setup("", 0)},
    missing="not measured: PyPI has its source only, whose build fetches crates from crates.io, which could not be reached; Debian 12 has older ones than it asks for (pyo3 0.17, and 0.28 is wanted)",
)
