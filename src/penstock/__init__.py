"""Penstock: a task queue and bulk processor that starts as one file."""

from __future__ import annotations

from penstock.app import Penstock
from penstock.batch_task import BatchTask
from penstock.cache import Cache
from penstock.canvas import Chain, Group, Signature, chain, chord, group, map_reduce
from penstock.core.adaptive import Adaptive
from penstock.core.backoff import Backoff
from penstock.core.control import GiveUp, Retry, Snooze
from penstock.core.job import Failure
from penstock.core.limiter import Limit
from penstock.core.memo import Progress
from penstock.core.sizing import ByDepth, Fixed
from penstock.core.states import State
from penstock.errors import BatchError, PenstockError
from penstock.handles import Batch, Job, as_completed
from penstock.shared import shared_task
from penstock.started import StartedWorkflow
from penstock.task import Task
from penstock.topic import Topic
from penstock.worker.context import CurrentJob, current_job
from penstock.workflow import Workflow

__all__ = [
    "Adaptive",
    "Backoff",
    "Batch",
    "BatchError",
    "BatchTask",
    "ByDepth",
    "Cache",
    "Chain",
    "CurrentJob",
    "Failure",
    "Fixed",
    "GiveUp",
    "Group",
    "Job",
    "Limit",
    "Penstock",
    "PenstockError",
    "Progress",
    "Retry",
    "Signature",
    "Snooze",
    "StartedWorkflow",
    "State",
    "Task",
    "Topic",
    "Workflow",
    "as_completed",
    "chain",
    "chord",
    "current_job",
    "group",
    "map_reduce",
    "shared_task",
]
