"""What `penstock worker chaos_flows:app` runs: the steps of workflows, told by the environment where they are. It builds them, too."""

import os
import threading

from penstock import Penstock, Workflow, chain, chord

app = Penstock(os.environ.get("CHAOS_URL"))
# The kills hit whatever runs: no job is to blame, however often it is hit.
LIMIT = 1000
#: Seconds that a job takes, so that kills hit it.
_WORK = float(os.environ.get("CHAOS_WORK", "0"))
_pause = threading.Event()


@app.task(crash_limit=LIMIT)
def one(number: int) -> int:
    _pause.wait(_WORK)
    return number


@app.task(crash_limit=LIMIT)
def add(numbers: list[int]) -> int:
    return sum(numbers)


@app.task(crash_limit=LIMIT)
def both(left: int, right: int) -> int:
    return left + right


@app.task(crash_limit=LIMIT)
def row(total: int, flow: int) -> dict[str, int]:
    return {"flow": flow, "total": total}


effects = app.sink(
    os.environ.get("CHAOS_TABLE_URL", "sqlite:///effects.db"), table="effects", name="effects", crash_limit=LIMIT
)


def built(flow: int, chords: int, width: int) -> Workflow:
    """A chain of chords, or a graph of chords side by side: either has `chords` of them, and writes their sum at its end."""
    groups = [[one.si(number) for number in range(width)] for _ in range(chords)]
    if flow % 2:
        return chain(*(chord(members, add.s()) for members in groups), row.s(flow), effects.s()).workflow(
            f"chain {flow}"
        )
    graph = Workflow(f"graph {flow}")
    ends = [graph.add(chord(members, add.s())) for members in groups]
    while len(ends) > 1:
        ends = [*ends[2:], graph.add(both.s(), after=ends[:2])]
    graph.add(chain(row.s(flow), effects.s()), after=ends)
    return graph
