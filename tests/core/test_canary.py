"""The job that shows whether work moves."""

from secrets import token_hex

from penstock.core.canary import TASK, canary, queue_of


def test_workers_have_few_queues_of_their_own() -> None:
    queues = {queue_of(token_hex(16)) for _ in range(500)}
    assert len(queues) == 16
    assert canary(b"i" * 16, "ff").queue == "penstock.canary:15"
    assert canary(b"i" * 16, "ff").task == TASK
