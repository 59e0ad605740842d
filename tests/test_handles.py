"""Handles on jobs and batches."""

from uuid import UUID

from penstock.client import Client, new_ids
from penstock.core.job import NewJob
from penstock.handles import Batch, Job


def test_a_job_is_its_id(queue_url: str) -> None:
    client = Client(queue_url)
    (key,) = new_ids(1)
    job: Job[int] = Job(client, key, int)
    assert UUID(job.id).bytes == key
    assert job == Job(client, key)
    assert job != Job(client, new_ids(1)[0])
    assert job != key
    assert len({job, Job(client, key)}) == 1
    assert repr(job) == f"<Job {job.id}>"


def test_a_batch_is_its_id(queue_url: str) -> None:
    client = Client(queue_url)
    (key,) = new_ids(1)
    batch = Batch(client, key)
    assert repr(batch) == f"<Batch {UUID(bytes=key)}>"
    client.enqueue([NewJob(id, "app.task", b"", batch=key) for id in new_ids(3)])
    assert batch.counts().total == 3
    assert batch.cancel() == 3
    assert batch.wait(0).failed == 3
    client.close()
