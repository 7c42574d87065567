"""Clients that fork what is at rest, and what a fork must keep: worked out without fingerprints."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from offbook.workflows.document import Workflow
from offbook.workflows.errors import StorageUnavailable
from offbook.workflows.forking import Edition, Edits, finished_places, fork_of, insert_of, seed
from offbook.workflows.plan import Plan, PlanNode, compile_plan
from offbook.workflows.reuse import Reuse
from offbook.workflows.run import Run
from offbook.workflows.states import ExecutionStatus
from offbook.workflows.values import JsonObject, JsonValue
from tests.simulation.auditor import own_outputs
from tests.simulation.stories import TYPES, Story

if TYPE_CHECKING:
    from offbook.actors.calls import NodeTask
    from tests.simulation.world import World


@dataclass(frozen=True, slots=True)
class Parent:
    """An execution at rest, as it was when it was forked."""

    run: Run
    edits: Edits
    inherited: Edits
    """Outputs that had been given by hand before: kept as any other, while nothing changes that they hang on."""

    def had(self, node_id: str) -> JsonValue:
        """Return the output of a node, or what it had of its own parent for one that it had not come to."""
        kept = self.run.kept(node_id, None)
        return kept.output if node_id not in self.run.outputs and kept is not None else self.run.outputs.get(node_id)

    def must_keep(self, task: NodeTask) -> bool:
        """Whether an attempt would see just what the parent's did, which has an output."""
        scope, run = task.scope, self.run
        node, place = scope.node, (scope.node.id, task.item)
        if place in self.edits:
            return True
        if node.id not in run.plan.index or place not in set(finished_places(run)):
            return False
        before = run.scope(node.id, task.item)
        return (
            _written(before.node) == _written(node)
            and before.inputs == scope.inputs
            and before.user == scope.user
            and _upstream(run.plan, before.node, run.outputs) == _upstream(scope.plan, node, scope.outputs)
            and before.last_output_node == scope.last_output_node
            and before.items_so_far == scope.items_so_far
        )


def draw_fork(chance: random.Random, parent: Run, story: Story) -> tuple[Story, str]:
    """Draw what a fork changes: nothing, an input, the definition of a node, an output; and say which it was."""
    kind = chance.choice(("nothing", "inputs", "workflow", "outputs", "outputs"))
    plan, inputs, edits = story.plan, dict(story.inputs), {}
    if kind == "inputs":
        inputs[chance.choice(("n", "yes"))] = chance.choice((1, 3)) if chance.random() < 0.7 else 2
        inputs["yes"] = bool(inputs["yes"])
    elif kind == "workflow":
        plan = _edited(chance, plan)
    elif kind == "outputs":
        places = [place for place in finished_places(parent) if plan.node(place[0]).body.type == "python"]
        edits = {place: ["edited", *place] for place in chance.sample(places, min(len(places), 2))}
    outcomes = {place: script for place, script in story.outcomes.items() if place not in edits}
    before = {**story.parent.inherited, **story.parent.edits} if story.parent is not None else {}
    came_from = Parent(parent, edits, before)
    return Story(plan, inputs, story.durability, outcomes, came_from, budget=parent.budget), kind


def edits_in(story: Story, stored: Any) -> Edits:
    """Return the outputs of a fork that somebody gave by hand: for it, or for a parent whose output it kept."""
    if story.parent is None or stored is None:
        return {}
    own = {(output.node_id, output.item) for output in own_outputs(stored) if output.kept}
    kept = {place: value for place, value in story.parent.inherited.items() if place in own}
    return {**kept, **story.parent.edits}


def _edited(chance: random.Random, plan: Plan) -> Plan:
    """Change what one of the nodes is told to compute, or the label of one, which is no change to its output."""
    document: JsonObject = Workflow.model_validate(plan.document).to_json()
    calls = [
        node["config"]["do"] if node["type"] == "foreach" else node
        for node in document["nodes"]
        if node["type"] in ("python", "foreach")
    ]
    if calls and chance.random() < 0.8:
        chance.choice(calls)["config"]["args"] = {"edition": chance.randrange(1, 100)}
    else:
        document["nodes"][-1]["label"] = "another label"
    return compile_plan(Workflow.model_validate(document), TYPES)


def begin_fork(world: World, execution_id: str, parent_id: str, story: Story) -> tuple[Run, Any]:
    """Build a fork as the service does; return its run and its insert."""
    assert story.parent is not None
    run = story.parent.run
    edition = Edition(story.plan, story.inputs, story.parent.edits, run.user)
    reuse: Reuse | None = None
    for reuse in seed(run, edition, TYPES):  # noqa: B007 - the last is what counts
        pass
    assert reuse is not None
    fork = fork_of(
        run,
        edition,
        reuse,
        execution_id,
        labels={},
        durability=story.durability,
        created_at=world.loop.now,
    )
    return fork, insert_of(fork, world.worker_id)


def resting(world: World, execution_id: str) -> Run | None:
    """Return an execution at rest as the service reads it; None if it is live, or cannot be read now."""
    entry = world.directory.find(execution_id)
    if entry is not None and not (entry.status.at_rest and entry.saved):
        return None
    if entry is None and not ExecutionStatus(world.auditor.seen[execution_id].status or "running").at_rest:
        return None
    try:
        found = world.recovery.read(execution_id)
    except StorageUnavailable:
        return None
    return found[1] if found is not None else None


def _written(node: PlanNode) -> tuple[str, JsonValue]:
    return node.body.type, node.body.config


def _upstream(plan: Plan, node: PlanNode, outputs: Any) -> dict[str, JsonValue]:
    return {each.id: outputs.get(each.id) for each in plan.nodes if node.is_after(each.index)}
