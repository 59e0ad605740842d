"""The state machine with workflows among the jobs, on brokers that keep them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule, run_state_machine_as_test

from penstock.brokers.base import Feature
from penstock.core import handing
from penstock.core.workflow import NewStage, NewWorkflow, Rule, StageState
from penstock.testing.contract.harness import job, new_id
from penstock.testing.contract.machine import PICK, QUEUES, BrokerMachine, latest

#: Workflows in one run: what they do to one another is nothing.
MOST = 3


class Shape(NamedTuple):
    """A stage to be made: how many jobs it has, and how far back those stages stand that it waits for."""

    size: int
    after: tuple[int, ...]
    rule: Rule
    takes: bool
    queue: str
    at_most_once: bool


SHAPES = st.lists(
    st.builds(
        Shape,
        size=st.sampled_from([1, 1, 2, 3, 0]),
        after=st.sampled_from([(0,), (0,), (0, 1), (1,), (0, 1, 2), ()]),
        rule=st.sampled_from([Rule.DONE, Rule.DONE, Rule.ENDED, Rule.FAILED]),
        takes=st.booleans(),
        queue=st.sampled_from(QUEUES),
        at_most_once=st.sampled_from([False, False, False, True]),
    ),
    min_size=2,
    max_size=5,
)


def built(shapes: list[Shape]) -> NewWorkflow:
    """A workflow of these stages: chains, groups with callbacks and graphs, with what waits for failures."""
    stages: list[NewStage] = []
    skippable: set[bytes] = set()
    for shape in shapes:
        id = new_id()
        before = list(dict.fromkeys(latest(stages, back).id for back in shape.after)) if stages else []
        # Of two that it waits for, one skipped and one failed at the same moment, either may be heard first.
        sure = [one for one in before if one not in skippable]
        after = tuple(before if len(before) == 1 else sure)
        rule = shape.rule if after else Rule.DONE
        if rule is Rule.FAILED or skippable.intersection(after):
            skippable.add(id)
        takes = after if shape.takes and rule is not Rule.FAILED else ()
        handed = shape.takes and bool(after)
        payload = handing.opened((), {}, [len(after) if takes else 0]) if handed else b"payload"
        jobs = tuple(
            job(batch=id, queue=shape.queue, payload=payload, at_most_once=shape.at_most_once)
            for _ in range(shape.size)
        )
        stages.append(NewStage(id, "stage", jobs, after, rule, takes))
    return NewWorkflow(new_id(), "flow", tuple(stages))


class WorkflowMachine(BrokerMachine):
    """See `BrokerMachine`, which ends, cancels, retries and deletes the jobs of workflows as it does any others."""

    def _has_workflows(self) -> bool:
        return bool(self.flows.workflows)

    def _has_room(self) -> bool:
        return Feature.WORKFLOWS in self.brokers[0].features and len(self.flows.workflows) < MOST

    @initialize(shapes=SHAPES)
    def a_workflow_is_there(self, shapes: list[Shape]) -> None:
        if self._has_room():
            self.a_workflow_is_started(shapes, 0)

    @precondition(_has_room)
    @rule(shapes=SHAPES, which=st.integers(0, 1))
    def a_workflow_is_started(self, shapes: list[Shape], which: int) -> None:
        made = built(shapes)
        self.brokers[which].workflows().start(made, now=self.now)
        self.flows.start(made, self.now)
        self.sent += [one for stage in made.stages for one in stage.jobs]

    @precondition(_has_workflows)
    @rule(pick=PICK, what=st.sampled_from(["start", "cancel", "resume", "resume", "resume"]))
    def a_workflow_is_acted_upon(self, pick: int, what: str) -> None:
        made = latest(self.flows.workflows, pick)
        match what:
            case "start":
                self.brokers[1].workflows().start(made, now=self.now)
            case "cancel":
                assert self.brokers[1].workflows().cancel(made.id, now=self.now) == self.flows.cancel(made)
            case "resume":
                assert self.brokers[0].workflows().resume(made.id, now=self.now) == self.flows.resume(made)

    @invariant()
    def stages_started_when_those_ended_that_they_wait_for(self) -> None:
        for made in self.flows.workflows:
            found = self.brokers[0].workflows().get(made.id)
            assert found is not None
            assert [one.id for one in found.stages] == [one.id for one in made.stages]
            for one in found.stages:
                stage = self.flows.stages[one.id]
                assert one.state is stage.state
                if one.state is not StageState.SKIPPED:
                    counts = (len(stage.jobs), len(stage.done), stage.failed(self.model.rows))
                    assert (one.total, one.done, one.failed) == counts


def check_machine(new_url: Callable[[], str], *, examples: int = 60, steps: int = 40) -> None:
    """Run the machine.

    Parameters:
        new_url: makes the URL of a fresh, empty store; called once for each example.
        examples: how many runs.
        steps: how many steps in each.
    """
    machine = type("Machine", (WorkflowMachine,), {"new_url": staticmethod(new_url)})
    chosen = settings(max_examples=examples, stateful_step_count=steps, deadline=None, report_multiple_bugs=False)
    run_state_machine_as_test(machine, settings=chosen)
