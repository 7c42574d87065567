"""The refine node: it works on the last output, and there always is one."""

from __future__ import annotations

from typing import Any

import pytest

from offbook.nodes import NodeFailure, NodeRegistry
from offbook.nodes.llm import REFUSED
from offbook.nodes.providers import ProviderRegistry
from offbook.workflows.document import Workflow
from offbook.workflows.errors import ValidationFailed
from offbook.workflows.loading import load_workflow
from offbook.workflows.plan import compile_plan
from offbook.workflows.values import JsonValue
from tests.nodes.recording import Attempt
from tests.nodes.test_llm import Keyring, Parrot


def refine(parrot: Parrot, config: dict[str, Any], **more: Any) -> Attempt:
    registry = NodeRegistry.with_builtins(ProviderRegistry([parrot], Keyring()))
    return Attempt(registry, "refine", {"model": "parrot/red", **config}, **more)


async def sent(config: dict[str, Any], **more: Any) -> list[str]:
    parrot = Parrot()
    assert await refine(parrot, config, **more).run() == "fine"
    return [message.content for message in parrot.asked[0].messages]


async def test_last_output_follows_the_prompt() -> None:
    assert await sent({"prompt": "Polish it."}, upstream="A draft.") == ["Polish it.\n\nA draft."]


@pytest.mark.parametrize(
    "config",
    [
        {"prompt": "Polish {{ last_output }} now."},
        {"prompt": "Polish it now.", "system": "It is {{ last_output | upper }}"},
    ],
)
async def test_last_output_is_sent_once(config: dict[str, Any]) -> None:
    text = " ".join(await sent(config, upstream="A draft."))
    assert text.upper().count("A DRAFT.") == 1


async def test_guidance_stands_between_prompt_and_text() -> None:
    assert await sent({"prompt": "Polish it."}, upstream="A draft.", guidance="Less rain.") == [
        "Polish it.\n\nLess rain.\n\nA draft."
    ]


async def test_failed_checks_stand_between_prompt_and_text() -> None:
    made = await sent({"prompt": "Polish it."}, upstream="A draft.", check_failures=("too short",))
    assert made == [f"Polish it.\n\n{REFUSED}\n- too short\n\nA draft."]


async def test_last_output_that_is_no_text_is_sent_as_json() -> None:
    assert await sent({"prompt": "Polish it."}, upstream={"title": "Ä"}) == ['Polish it.\n\n{"title": "Ä"}']


@pytest.mark.parametrize("upstream", [None, "", " \n"])
async def test_nothing_to_refine_is_said_before_the_call(upstream: JsonValue) -> None:
    parrot = Parrot()
    with pytest.raises(NodeFailure) as caught:
        await refine(parrot, {"prompt": "Polish it."}, upstream=upstream).run()
    assert (caught.value.error.type, caught.value.error.retryable) == ("validation", False)
    assert "nothing to refine" in caught.value.error.message
    assert parrot.asked == []


def test_refine_without_content_upstream_is_refused_before_anything_is_spent() -> None:
    document = {
        "name": "nothing to refine",
        "nodes": [
            {"id": "pause", "type": "wait", "config": {"seconds": 1}},
            {
                "id": "polish",
                "type": "refine",
                "needs": ["pause"],
                "config": {"model": "scripted/x", "prompt": "Polish it."},
            },
        ],
    }
    with pytest.raises(ValidationFailed) as refused:
        load_workflow(document, types=NodeRegistry.with_builtins())
    assert [(problem.code, problem.node_id) for problem in refused.value.problems] == [
        ("no-content-upstream", "polish")
    ]


def test_refine_counts_as_content_for_the_next() -> None:
    nodes = [
        {"id": "draft", "type": "template", "config": {"text": "a"}},
        *(
            {
                "id": node_id,
                "type": "refine",
                "needs": [before],
                "config": {"model": "scripted/x", "prompt": "Polish it."},
            }
            for node_id, before in (("second", "draft"), ("third", "second"))
        ),
    ]
    workflow = Workflow.model_validate({"name": "three drafts", "nodes": nodes})
    plan = compile_plan(workflow, NodeRegistry.with_builtins())
    assert [node.produces_content for node in plan.nodes] == [True, True, True]
    assert plan.nodes_needing_user == ("second", "third")
