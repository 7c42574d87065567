"""Conditions, skips, joins and nodes that may fail: what runs, what does not, and what the result is made of."""

from __future__ import annotations

import pytest

from offbook.nodes.functions import FunctionRegistry
from offbook.workflows.values import JsonObject
from tests.scenarios.conftest import Open
from tests.scenarios.documents import foreach, llm, output, python, template, workflow
from tests.scenarios.fake_model import FakeModel, Reply
from tests.scenarios.worker import Worker

FLAG = {"flag": {"type": "boolean"}}


def states(payload: JsonObject) -> dict[str, str]:
    return {node_id: result["status"] for node_id, result in payload["node_results"].items()}


@pytest.mark.parametrize("flag", [True, False])
async def test_condition_on_a_node_skips_what_only_it_leads_to(worker: Worker, flag: bool) -> None:
    document = workflow(
        template("text", "text"),
        template("picture", "picture", when="inputs.flag", needs=["text"]),
        template("frame", "{{ nodes.picture.output }} in a frame", needs=["picture"]),
        output("page", ["{{ nodes.text.output }}", "{{ nodes.frame.output }}"], needs=["text", "frame"]),
        inputs=FLAG,
    )
    payload = await worker.rest(await worker.start(document, {"flag": flag}))
    ran = "completed" if flag else "skipped"
    assert states(payload) == {"text": "completed", "picture": ran, "frame": ran, "page": "completed"}
    assert payload["result"] == ["text", "picture in a frame" if flag else None]
    assert payload["progress"]["percent"] == 100.0


async def test_condition_on_an_edge_closes_only_that_edge(worker: Worker) -> None:
    document = workflow(
        template("a", "a"),
        template("b", "b"),
        template("either", "either", needs=[{"node": "a", "when": "inputs.flag"}, "b"]),
        template("only", "only", needs=[{"node": "a", "when": "inputs.flag"}]),
        output("end", "end", needs=["either", "only"]),
        inputs=FLAG,
    )
    payload = await worker.rest(await worker.start(document, {"flag": False}))
    assert states(payload) == {
        "a": "completed",
        "b": "completed",
        "either": "completed",
        "only": "skipped",
        "end": "completed",
    }


async def test_join_of_nothing_but_skipped_branches_is_skipped(worker: Worker) -> None:
    document = workflow(
        template("a", "a", when="inputs.flag"),
        template("b", "b", when="inputs.flag"),
        template("join", "join", needs=["a", "b"]),
        inputs=FLAG,
    )
    payload = await worker.rest(await worker.start(document, {"flag": False}))
    assert payload["status"] == "completed"
    assert set(states(payload).values()) == {"skipped"}


async def test_condition_on_what_a_node_gave(worker: Worker) -> None:
    document = workflow(
        template("score", "{{ 3 + 4 }}"),
        template("good", "good", needs=["score"], when="nodes.score.output > 5"),
        template("bad", "bad", needs=["score"], when="nodes.score.output <= 5"),
        output("end", "{{ last_output }}", needs=["good", "bad"]),
    )
    payload = await worker.rest(await worker.start(document))
    assert states(payload) == {"score": "completed", "good": "completed", "bad": "skipped", "end": "completed"}
    assert payload["result"] == "good"


async def test_condition_that_gives_no_boolean_fails_its_node(worker: Worker) -> None:
    document = workflow(template("a", "text"), template("b", "b", needs=["a"], when="nodes.a.output"))
    payload = await worker.rest(await worker.start(document))
    assert (payload["status"], payload["error"]["type"], payload["error"]["node_id"]) == ("failed", "validation", "b")


async def test_node_that_may_fail_does_not_fail_the_execution(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: Reply(status=401) if asked.prompt == "cover" else Reply()
    document = workflow(
        llm("cover", "cover", model="fake/painter", continue_on_error=True),
        llm("text", "text", model="fake/writer"),
        output(
            "end", {"cover": "{{ nodes.cover.output }}", "text": "{{ nodes.text.output }}"}, needs=["cover", "text"]
        ),
    )
    payload = await worker.rest(await worker.start(document))
    assert (payload["status"], payload["error"]) == ("completed", None)
    assert states(payload) == {"cover": "failed", "text": "completed", "end": "completed"}
    assert payload["node_results"]["cover"]["error"]["type"] == "invalid_key"
    assert payload["result"] == {"cover": None, "text": "a fine text"}


async def test_items_that_may_fail_leave_a_gap(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: Reply(status=401) if asked.prompt == "item 1" else Reply()
    do = llm("each", "item {{ index }}", model="fake/writer")
    payload = await worker.rest(
        await worker.start(workflow(foreach("all", do, count=3, concurrency=2, continue_on_error=True)))
    )
    assert payload["status"] == "completed"
    assert payload["node_results"]["all"]["items"] == {"completed": 2, "failed": 1, "total": 3}
    assert payload["node_results"]["all"]["output"] == ["a fine text", None, "a fine text"]


async def test_foreach_over_nothing_completes_with_an_empty_list(worker: Worker) -> None:
    document = workflow(
        foreach("all", template("each", "{{ item }}"), items="inputs.names"),
        output("end", "{{ nodes.all.output }}", needs=["all"]),
        inputs={"names": {"type": "list"}},
    )
    assert (await worker.rest(await worker.start(document, {"names": []})))["result"] == []
    assert (await worker.rest(await worker.start(document, {"names": ["a", "b"]})))["result"] == ["a", "b"]


async def test_items_in_order_see_those_before_them(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: Reply(words=(f"<{asked.prompt}>",))
    do = llm("each", "{{ index }} after {{ items_so_far | last if items_so_far else 'nothing' }}", model="fake/x")
    payload = await worker.rest(await worker.start(workflow(foreach("all", do, count=3))))
    assert payload["node_results"]["all"]["output"] == [
        "<0 after nothing>",
        "<1 after <0 after nothing>>",
        "<2 after <1 after <0 after nothing>>>",
    ]


async def test_function_that_raises_fails_its_node_and_no_actor(worker: Worker, functions: FunctionRegistry) -> None:
    @functions.node
    async def explode(ctx: object) -> None:
        raise KeyError("oh")

    execution_id = await worker.start(workflow(template("a", "kept"), python("b", "explode", needs=["a"])))
    payload = await worker.rest(execution_id)
    assert (payload["status"], payload["epoch"]) == ("failed", 1)
    assert (payload["error"]["type"], payload["error"]["message"]) == ("crash", "KeyError: 'oh'")
    assert payload["checkpoint"]["completed_nodes"] == ["a"]
