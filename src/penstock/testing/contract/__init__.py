"""What every broker must do, as a test suite that anybody can run on theirs.

    import itertools

    import pytest
    from penstock.testing.contract import BrokerContract, check_machine

    class TestMyBroker(BrokerContract):
        @pytest.fixture
        def url(self, tmp_path):
            return f"mine://{tmp_path}/queue"          # a fresh, empty store for every test

    def test_my_broker_against_the_model(tmp_path):
        numbers = itertools.count()
        check_machine(lambda: f"mine://{tmp_path}/{next(numbers)}")

The URL must take a `namespace` parameter that keeps two users of one store apart. Put
`pytest.register_assert_rewrite("penstock.testing.contract")` into `conftest.py` to see what a failed assertion
compared. The suite uses no sleeps and no mocks: it passes `now` where time matters, and starts real processes where
processes matter.
"""

from __future__ import annotations

from penstock.testing.contract.backlog import BacklogContract
from penstock.testing.contract.batches import BatchContract
from penstock.testing.contract.cancelling import CancelContract
from penstock.testing.contract.concurrency import ConcurrencyContract
from penstock.testing.contract.crashes import CrashContract
from penstock.testing.contract.deduping import DedupContract
from penstock.testing.contract.delays import DelayContract
from penstock.testing.contract.endings import EndingContract
from penstock.testing.contract.ends import EndContract
from penstock.testing.contract.enqueueing import EnqueueContract
from penstock.testing.contract.fencing import FencingContract
from penstock.testing.contract.injection import InjectionContract
from penstock.testing.contract.inspecting import InspectorContract
from penstock.testing.contract.keys import KeyContract
from penstock.testing.contract.keys_opening import KeyOpeningContract
from penstock.testing.contract.lifecycle import LifecycleContract
from penstock.testing.contract.limits import LimitContract
from penstock.testing.contract.listening import ListenContract
from penstock.testing.contract.machine import BrokerMachine
from penstock.testing.contract.machine_workflows import WorkflowMachine, check_machine
from penstock.testing.contract.memos import MemoContract
from penstock.testing.contract.metrics import MetricsContract
from penstock.testing.contract.moving import MovingContract
from penstock.testing.contract.namespaces import NamespaceContract
from penstock.testing.contract.ordering import OrderContract
from penstock.testing.contract.rescuing import RescueContract
from penstock.testing.contract.results import ResultContract
from penstock.testing.contract.schedules import ScheduleContract
from penstock.testing.contract.standing import StandingContract
from penstock.testing.contract.topics import TopicContract
from penstock.testing.contract.uniqueness import UniqueContract
from penstock.testing.contract.workflows import WorkflowContract
from penstock.testing.contract.workflows_failing import WorkflowFailureContract


class BrokerContract(
    LifecycleContract,
    EnqueueContract,
    OrderContract,
    EndingContract,
    FencingContract,
    DelayContract,
    UniqueContract,
    DedupContract,
    BatchContract,
    ResultContract,
    RescueContract,
    InspectorContract,
    CancelContract,
    BacklogContract,
    LimitContract,
    KeyContract,
    KeyOpeningContract,
    MetricsContract,
    MovingContract,
    TopicContract,
    ScheduleContract,
    WorkflowContract,
    WorkflowFailureContract,
    NamespaceContract,
    InjectionContract,
    ListenContract,
    EndContract,
    MemoContract,
    StandingContract,
    ConcurrencyContract,
    CrashContract,
):
    """The whole contract. Subclass it, and give it a `url` fixture."""


__all__ = ["BrokerContract", "BrokerMachine", "WorkflowMachine", "check_machine"]
