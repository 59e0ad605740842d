"""Penstock: a task queue and bulk processor that starts as one file."""

from __future__ import annotations

from penstock.app import Penstock
from penstock.batch_task import BatchTask
from penstock.cache import Cache
from penstock.core.adaptive import Adaptive
from penstock.core.backoff import Backoff
from penstock.core.control import GiveUp, Retry, Snooze
from penstock.core.limiter import Limit
from penstock.core.memo import Progress
from penstock.core.sizing import ByDepth, Fixed
from penstock.core.states import State
from penstock.errors import BatchError, PenstockError
from penstock.handles import Batch, Job, as_completed
from penstock.shared import shared_task
from penstock.task import Task
from penstock.topic import Topic
from penstock.worker.context import CurrentJob, current_job

__all__ = [
    "Adaptive",
    "Backoff",
    "Batch",
    "BatchError",
    "BatchTask",
    "ByDepth",
    "Cache",
    "CurrentJob",
    "Fixed",
    "GiveUp",
    "Job",
    "Limit",
    "Penstock",
    "PenstockError",
    "Progress",
    "Retry",
    "Snooze",
    "State",
    "Task",
    "Topic",
    "as_completed",
    "current_job",
    "shared_task",
]
