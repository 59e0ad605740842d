"""How much this machine can do at once."""

import os

from penstock.worker.cores import cores, standard_processes


def test_only_those_count_that_this_process_may_use() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert (cores(), standard_processes()) == (1, 2)
    finally:
        os.sched_setaffinity(0, before)
    assert cores() == len(before)
