"""What came out on one store: each contestant's rounds, or why there are none."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.peers.brokers import Broker
from benchmarks.peers.contest import Round, Sizes, contest
from benchmarks.peers.peer import Peer, PeerError


class Score(msgspec.Struct):
    """One contestant's.

    Parameters:
        words: its settings.
        failed: why there are no rounds, or no more of them; empty where there are all.
    """

    name: str
    words: str
    versions: str = ""
    failed: str = ""
    rounds: list[Round] = msgspec.field(default_factory=list)

    def figure(self, measure: str) -> float | None:
        """The median of the rounds; None where there is none, or the peer has no way to do it."""
        found = [value for each in self.rounds if (value := getattr(each, measure)) is not None]
        return float(median(found)) if found else None

    def total(self, measure: str) -> int:
        """The sum over the rounds."""
        return sum(getattr(each, measure) for each in self.rounds)


class Standing(msgspec.Struct, frozen=True):
    """Of all on one store.

    Parameters:
        settings: of the store.
        loop: what its raw loop does.
        raw: jobs a second of that, round by round.
    """

    store: str
    settings: str
    loop: str
    raw: list[float]
    scores: list[Score]


def standing(broker: Broker, peers: Sequence[Peer], place: Path, sizes: Sizes) -> Standing:
    """Let them take turns, round by round; who fails is out."""
    scores = {peer.name: Score(peer.name, peer.setups[broker.name].words) for peer in peers}
    for peer in peers:
        try:
            scores[peer.name].versions = peer.versions()
        except Exception as error:  # noqa: BLE001 - as below
            scores[peer.name].failed = _why(error)
    raw: list[float] = []
    for turn in range(sizes.rounds):
        try:
            raw.append(broker.raw(sizes.jobs(broker.jobs)))
        except SystemExit as error:
            print(f"  the raw loop: {error}", file=sys.stderr, flush=True)
        for peer in _in_turn(peers, turn):
            score = scores[peer.name]
            if score.failed:
                continue
            try:
                score.rounds.append(contest(peer, broker, place, sizes))
            except Exception as error:  # noqa: BLE001 - whatever stops one is its row, and stops no other
                score.failed = _why(error)
            print(f"  {peer.name}: {score.failed or score.rounds[-1]}", file=sys.stderr, flush=True)
    return Standing(broker.name, broker.settings, broker.loop, raw, list(scores.values()))


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, PeerError) else f"{type(error).__name__}: {error}"


def _in_turn(peers: Sequence[Peer], turn: int) -> Iterator[Peer]:
    # The first of a round changes, so that what else the machine does falls on all.
    return iter(peers) if turn % 2 else reversed(peers)
