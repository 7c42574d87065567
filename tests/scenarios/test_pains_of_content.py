"""Pains of what ends up in the book, and of what of document and inputs reaches the model. By their numbers."""

from __future__ import annotations

from typing import Any

import pytest

from offbook.nodes.llm import REFUSED
from offbook.workflows.values import JsonObject
from tests.scenarios.conftest import Close, Open
from tests.scenarios.documents import foreach, llm, output, template, workflow
from tests.scenarios.fake_model import FINE, Asked, FakeModel, Reply
from tests.scenarios.worker import Worker

PLANS = "NOTES-OF-THE-PLANNER "
PICTURE = "<svg>PICTURE</svg> "


def novel() -> JsonObject:
    """Planners, chapters, pictures beside them, an editor after both, and the book."""
    nodes = [
        llm("world", "plan the world", model="fake/planner"),
        llm("outline", "plan the chapters", model="fake/planner", needs=["world"]),
        foreach("chapters", llm("each", "chapter {{ index }}", model="fake/writer"), needs=["outline"], count=2),
        foreach("pictures", llm("each", "draw {{ index }}", model="fake/painter"), needs=["outline"], count=2),
        llm("edited", "edit it", model="fake/editor", needs=["chapters"]),
        llm("cover", "draw the cover", model="fake/painter", needs=["edited"]),
        output("book", "{{ nodes.edited.output }}", needs=["edited", "pictures", "cover"]),
    ]
    nodes[4]["type"] = "refine"
    return workflow(*nodes)


def by_kind(asked: Asked) -> Reply:
    if asked.prompt.startswith("plan"):
        return Reply((PLANS,))
    if asked.prompt.startswith("draw"):
        return Reply((PICTURE,))
    return Reply((f"text of <{asked.prompt}> ",))


async def test_pain_41_nothing_of_planners_and_pictures_gets_into_the_book(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    model.reply = by_kind
    payload = await worker.rest(await worker.start(novel()))
    assert payload["status"] == "completed"
    assert payload["result"] == "text of <edit it\n\ntext of <chapter 0> \n\ntext of <chapter 1> > "
    assert payload["last_output_node"] == "cover"
    edited = next(asked.prompt for asked in model.asked if asked.prompt.startswith("edit it"))
    assert PLANS not in edited
    assert PICTURE not in edited


async def test_pain_41_resumed_editor_works_on_the_chapters_and_not_on_what_was_drawn_meanwhile(
    opened: Open, closed: Close, model: FakeModel
) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: Reply(status=401) if asked.prompt.startswith("edit it") else by_kind(asked)
    execution_id = await worker.start(novel())
    assert (await worker.rest(execution_id))["status"] == "failed"
    await closed(worker)
    worker = await opened(providers=model.providers)
    model.reply = by_kind
    await worker.resume(execution_id)
    payload = await worker.rest(execution_id)
    assert payload["result"] == "text of <edit it\n\ntext of <chapter 0> \n\ntext of <chapter 1> > "


async def test_pain_42_outline_of_placeholders_is_written_anew_and_never_becomes_a_table_of_contents(
    opened: Open, model: FakeModel
) -> None:
    worker = await opened(providers=model.providers)
    good = '[{"title": "The Lamp"}, {"title": "Salt"}, {"title": "The Sea"}]'
    bad = '[{"title": "Chapter 1"}, {"title": "Chapter 2"}, {"title": "TBD"}]'
    model.reply = lambda asked: Reply((good if REFUSED in asked.prompt else bad,))
    outline = llm("outline", "outline", model="fake/planner", checks=[{"outline": {"chapters": "{{ inputs.n }}"}}])
    outline["config"]["json"] = True
    contents = "{{ nodes.outline.output | map(attribute='title') | join(', ') }}"
    story = workflow(outline, output("contents", contents, needs=["outline"]), inputs={"n": {"type": "integer"}})
    payload = await worker.rest(await worker.start(story, {"n": 3}))
    assert (payload["status"], payload["result"], len(model.asked)) == ("completed", "The Lamp, Salt, The Sea", 2)
    assert "3 of 3 chapters have no title of their own" in model.asked[1].prompt


PROMPT = "  Write of {{ inputs.what }}:\n\n\t\u201cGr\u00fc\u00dfe\u201d \u2014 \u706f, 100 % as it stands here.\n"


async def test_pain_43_prompts_are_sent_as_the_document_has_them(
    opened: Open, closed: Close, model: FakeModel
) -> None:
    """Of every kind of node, at a retry, and after a resume in another process."""
    worker = await opened(providers=model.providers)
    plain = llm("plain", PROMPT, model="fake/a", retry={"attempts": 2, "delay": 0.0})
    plain["config"]["system"] = "Be {{ inputs.what }}."
    refined = llm("refined", "Polish:\n{{ last_output }}\n", model="fake/b", needs=["plain"])
    refined["type"] = "refine"
    each = llm("each", "Item {{ index }}.  {{ item }}", model="fake/c")
    items = foreach("items", each, needs=["refined"], items=["x", "y"])
    sent = PROMPT.replace("{{ inputs.what }}", "salt")
    story = workflow(plain, refined, items, inputs={"what": {"type": "text"}})
    model.reply = lambda asked: (
        Reply(status=503)
        if (asked.prompt, asked.number) == (sent, 1)
        else Reply(status=401)
        if (asked.prompt, asked.number) == ("Item 1.  y", 1)
        else FINE
    )
    execution_id = await worker.start(story, {"what": "salt"})
    assert (await worker.rest(execution_id))["status"] == "failed"
    await closed(worker)
    worker = await opened(providers=model.providers)
    await worker.resume(execution_id)
    assert (await worker.rest(execution_id))["status"] == "completed"
    asked = [[each["content"] for each in asked.body["messages"]] for asked in model.asked]
    assert asked == [
        ["Be salt.", sent],
        ["Be salt.", sent],
        ["Polish:\na fine text\n"],
        ["Item 0.  x"],
        ["Item 1.  y"],
        ["Item 1.  y"],
    ]


async def test_pain_44_model_and_temperature_are_those_that_were_chosen(
    opened: Open, closed: Close, model: FakeModel
) -> None:
    """By the document or by an input, per node, also where they are 0, at a retry, and after a resume elsewhere."""
    worker = await opened(providers=model.providers)
    cold = llm("cold", "cold", model="fake/large-v2", retry={"attempts": 2, "delay": 0.0})
    cold["config"] |= {"temperature": 0.0, "max_tokens": 7}
    chosen = llm("chosen", "chosen", model="{{ inputs.model }}", needs=["cold"])
    chosen["config"] |= {"temperature": "{{ inputs.heat }}", "options": {"seed": 3}}
    silent = llm("silent", "silent", model="fake/small", needs=["chosen"])
    story = workflow(cold, chosen, silent, inputs={"model": {"type": "text"}, "heat": {"type": "number"}})
    model.reply = lambda asked: (
        Reply(status={"cold": 503, "chosen": 401}[asked.prompt])
        if (asked.number == 1 and asked.prompt != "silent")
        else FINE
    )
    execution_id = await worker.start(story, {"model": "fake/tuned/mine", "heat": 1.25})
    assert (await worker.rest(execution_id))["status"] == "failed"
    await closed(worker)
    worker = await opened(providers=model.providers)
    await worker.resume(execution_id)
    assert (await worker.rest(execution_id))["status"] == "completed"

    def settings(body: JsonObject) -> list[Any]:
        return [body.get(name) for name in ("model", "temperature", "max_tokens", "seed")]

    asked = [(asked.prompt, settings(asked.body)) for asked in model.asked]
    cold_ones = ("cold", ["large-v2", 0.0, 7, None])
    chosen_ones = ("chosen", ["tuned/mine", 1.25, None, 3])
    # What nobody chose is not sent: it is the server's to say.
    assert asked == [cold_ones, cold_ones, chosen_ones, chosen_ones, ("silent", ["small", None, None, None])]


INPUTS: JsonObject = {
    "text": {"type": "text", "default": "a sample text"},
    "number": {"type": "integer", "default": 12},
    "truth": {"type": "boolean", "default": True},
    "list": {"type": "list", "default": ["sample"]},
    "needed": {"type": "text", "required": True},
}


async def seen(worker: Worker, inputs: JsonObject) -> JsonObject:
    story = workflow(template("echo", "{{ inputs }}"), output("all", "{{ nodes.echo.output }}"), inputs=INPUTS)
    story["nodes"][1]["needs"] = ["echo"]
    payload = await worker.rest(await worker.start(story, inputs))
    result: JsonObject = payload["result"]
    return result


async def test_pain_46_input_that_is_given_is_never_replaced(worker: Worker) -> None:
    """Not even one that is empty, zero or false: a default is for what is not given."""
    given = {"text": "", "number": 0, "truth": False, "list": [], "needed": "test"}
    assert await seen(worker, given) == given
    assert await seen(worker, {"needed": "x"}) == {
        "text": "a sample text",
        "number": 12,
        "truth": True,
        "list": ["sample"],
        "needed": "x",
    }


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        ({}, "missing-input"),
        ({"needed": None}, "missing-input"),
        ({"needed": "x", "number": "many"}, "wrong-type"),
        ({"needed": "x", "nunber": 3}, "unknown-input"),
    ],
)
async def test_pain_46_input_that_is_wrong_or_missing_is_refused_and_not_made_up(
    worker: Worker, inputs: JsonObject, code: str
) -> None:
    story = workflow(template("echo", "{{ inputs }}"), inputs=INPUTS)
    answer = await worker.call("POST", "/executions", {"workflow": story, "inputs": inputs, "user": {"id": "ada"}})
    assert answer.status == 422
    assert len(answer.body["errors"]) == 1
    assert answer.body["errors"][0]["code"] == code
    assert (await worker.call("GET", "/executions")).body["executions"] == []
