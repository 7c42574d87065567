"""One execution while it goes on: what is typed, focused or read stays, and what is shown is what is now."""

from __future__ import annotations

import re
import time
from pathlib import Path

from playwright.async_api import Request

from offbook.workflows.values import JsonObject
from tests.page.conftest import Open
from tests.page.documents import novel, slow
from tests.page.looking import button, expect, node, state, stream, tab
from tests.page.server import Server
from tests.scenarios.documents import approval, foreach, llm, output, workflow

FORM = {"type": "object", "properties": {"note": {"type": "string", "title": "Note"}}}


def chapters(*, count: int = 300, rate: float = 150) -> JsonObject:
    """A fan-out whose items are done one after the other, several a second."""
    each = llm("do", "x", script={"words": 30, "tokens_per_second": rate})
    return workflow(foreach("items", each, count=count, concurrency=2), name="many")


async def test_each_approval_has_a_form_beside_what_runs_and_keeps_what_is_typed(
    server: Server, open_page: Open
) -> None:
    text = llm("text", "x", script={"words": 900, "tokens_per_second": 30})
    execution_id = server.begin(workflow(approval("one", form=FORM), approval("two", form=FORM), text, name="asks"))
    page = await open_page(f"#/executions/{execution_id}")
    one, two = (page.get_by_role("form", name=f"Answer {name}") for name in ("one", "two"))
    await two.get_by_label("Note").fill("half a sen")
    await expect(state(page)).to_have_text("running")
    await one.get_by_label("Note").fill("yes")
    await one.get_by_role("button", name="Answer").click()
    await expect(one).to_have_count(0)
    await expect(page.locator(".approval .said")).to_be_visible()
    await expect(page.locator(".approval .said")).to_contain_text("Answered at")
    await expect(node(page, "one")).to_have_class(re.compile("state-completed"))
    await expect(two.get_by_label("Note")).to_have_value("half a sen")
    await page.goto(f"{server.url}/#/actors/{execution_id}")
    await expect(page.locator(".findings")).to_contain_text("two waits for an answer (signal two)")
    server.call("POST", f"/executions/{execution_id}/cancel")


async def test_items_that_ask_are_answered_one_after_the_other(server: Server, open_page: Open) -> None:
    execution_id = server.begin(workflow(foreach("each", approval("x", form=FORM), count=2, concurrency=2)))
    page = await open_page(f"#/executions/{execution_id}")
    for number in (1, 2):
        form = page.get_by_role("form", name="Answer each")
        await expect(form).to_contain_text(f"each {number} waits for the signal each")
        await form.get_by_label("Note").fill(f"answer {number}")
        await button(page, "Answer").click()
    await expect(state(page)).to_have_text("completed")
    told = server.call("GET", f"/executions/{execution_id}/nodes/each/output")
    assert told == [{"note": "answer 1"}, {"note": "answer 2"}]


async def test_items_that_come_and_go_are_not_asked_about_one_by_one(server: Server, open_page: Open) -> None:
    execution_id = server.begin(workflow(foreach("each", approval("x"), count=60, concurrency=60), name="quick"))
    page = await open_page(f"#/executions/{execution_id}")
    await expect(page.get_by_role("form", name="Answer each")).to_have_count(1)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    began = time.monotonic()
    for _ in range(60):
        server.call("POST", f"/executions/{execution_id}/signals/each", {})
    await expect(state(page)).to_have_text("completed")
    # At most one a second.
    assert len([path for path in asked if "/nodes/each" in path]) <= time.monotonic() - began + 2
    await expect(page.locator(".approval form")).to_have_count(0)


async def test_budget_that_was_raised_says_so_afterwards(server: Server, open_page: Open) -> None:
    execution_id = server.begin(novel(rate=0), {"premise": "rain"}, budget={"tokens": 150, "mode": "hard"})
    page = await open_page(f"#/executions/{execution_id}")
    await page.get_by_label("Let this execution spend").fill("9")
    await button(page, "Set this budget").click()
    await expect(state(page)).to_have_text("completed")
    await expect(page.locator(".held .said")).to_be_visible()
    await expect(page.get_by_role("heading", name="The budget is used up")).to_be_hidden()


async def test_items_that_finish_leave_focus_and_place_alone(server: Server, open_page: Open) -> None:
    execution_id = server.begin(chapters())
    page = await open_page(f"#/executions/{execution_id}")
    await expect(node(page, "items")).to_have_attribute("aria-label", re.compile("2[0-9] items of"), timeout=20_000)
    await node(page, "items").click()
    table = page.locator(".item-table")
    await expect(table.locator("tbody tr:visible").nth(12)).to_be_attached()
    await table.evaluate("(table) => { table.scrollTop = 100 }")
    shown = page.get_by_role("button", name="Show its output")
    await shown.focus()
    before = await page.locator(".node-panel .facts").text_content()
    await expect(page.locator(".node-panel .facts")).not_to_have_text(str(before))
    await expect(node(page, "items")).to_have_attribute("aria-label", re.compile("[3-9][0-9] items of"))
    await expect(shown).to_be_focused()
    # What is looked at stays where it is, though there is more above it.
    assert await table.evaluate("(table) => table.scrollTop") >= 100
    # The output of an item that is done does not change when others are.
    choices = page.locator("select[aria-label=Item] option")
    assert await choices.count() == 0
    await shown.click()
    await expect(page.locator("article.reading p").first).to_be_visible()
    assert await choices.count() == 300
    asked: list[str] = []
    page.on("request", lambda request: asked.append(_path(request)))
    done = await node(page, "items").get_attribute("aria-label")
    await page.evaluate("() => { document.querySelector('article.reading').firstChild.kept = true }")
    for _ in range(3):
        await expect(node(page, "items")).not_to_have_attribute("aria-label", str(done))
        done = await node(page, "items").get_attribute("aria-label")
    assert [path for path in asked if "/output" in path] == []
    assert await page.evaluate("document.querySelector('article.reading').firstChild.kept")
    server.call("POST", f"/executions/{execution_id}/cancel")


def _path(request: Request) -> str:
    return request.url


async def test_checkpoint_that_is_looked_at_is_the_one_that_there_is(server: Server, open_page: Open) -> None:
    execution_id = server.begin(novel(rate=0, fail=[{"item": 1, "error": "invalid_key"}]), {"premise": "rain"})
    page = await open_page(f"#/executions/{execution_id}")
    await expect(state(page)).to_have_text("failed")
    await tab(page, "Checkpoint").click()
    panel = page.locator(".tab-panel:visible")
    await expect(panel).to_contain_text("schema_version")
    server.call("POST", f"/executions/{execution_id}/resume")
    await expect(state(page)).to_have_text("completed")
    await expect(panel).to_contain_text("There is a checkpoint while an execution rests unfinished.")


async def test_paused_execution_can_be_cancelled_and_its_time_stands_still(server: Server, open_page: Open) -> None:
    execution_id = server.begin(slow(rate=500, words=300))
    server.call("POST", f"/executions/{execution_id}/pause")
    payload = server.until(execution_id, "paused")
    page = await open_page(f"#/executions/{execution_id}")
    time = page.locator(".facts").first.locator("div", has_text="Time").locator("dd")
    began, ended = payload["started_at"], payload["processing_steps"][-1]["at"]
    lasted = await page.evaluate("([one, other]) => (Date.parse(other) - Date.parse(one)) / 1000", [began, ended])
    await expect(time).to_have_text(f"{lasted:.1f} s" if lasted < 10 else f"{int(lasted)} s")
    await button(page, "Cancel …").click()
    await button(page, "Cancel it").click()
    await expect(state(page)).to_have_text("cancelled")


async def test_labels_stay_in_their_boxes_and_boxes_beside_the_buttons(server: Server, open_page: Open) -> None:
    labels = [
        "A label that somebody wrote without thinking of boxes",
        "W" * 30,
        "雪国の長いトンネルを抜けると雪国であった夜の底",
    ]
    nodes = [llm(f"n{number}", "x", label=label) for number, label in enumerate(labels)]
    ends = [llm(f"e{number}", "x", needs=["n0"]) for number in range(7)]
    execution_id = server.begin(workflow(*nodes, *ends, llm("f", "x", needs=["e6"]), name="labels"))
    page = await open_page(f"#/executions/{execution_id}")
    await expect(page.locator(".node")).to_have_count(11)
    over = await page.evaluate(
        """
        () => [...document.querySelectorAll(".node")].filter((node) => {
          const right = (part) => node.querySelector(part).getBoundingClientRect().right;
          return right(".node-label") > right(".node-box");
        }).map((node) => node.id)
        """
    )
    assert over == []
    tools = await page.locator(".graph-tools").bounding_box()
    last = await node(page, "f").bounding_box()
    assert tools is not None
    assert last is not None
    assert last["y"] + last["height"] <= tools["y"] or last["x"] + last["width"] <= tools["x"]


async def test_what_is_no_longer_shown_is_said(server: Server, open_page: Open) -> None:
    each = llm("do", "x", script={"words": 2})
    execution_id = server.begin(
        workflow(approval("go"), foreach("items", each, count=410, concurrency=5, needs=["go"]), name="long")
    )
    page = await open_page(f"#/executions/{execution_id}")
    await page.get_by_role("form", name="Answer go").get_by_role("button").click()
    await expect(state(page)).to_have_text("completed", timeout=20_000)
    await expect(page.locator(".missing")).to_have_text(
        "What ended first is no longer shown here. Outputs have the whole text."
    )
    blocks = stream(page).locator(".block")
    await expect(blocks).to_have_count(400)
    # What began first and ends last is still there.
    await expect(stream(page).get_by_role("region", name="items", exact=True)).to_have_count(1)


async def test_node_that_has_said_nothing_is_told_to_be_silent(server: Server, open_page: Open) -> None:
    execution_id = server.begin(slow(name="silent", rate=10))
    page = await open_page(f"#/executions/{execution_id}")
    await expect(stream(page).locator(".block")).to_have_count(1)
    await node(page, "told").click()
    await expect(page.get_by_text("Nothing has been said by told yet.")).to_be_visible()
    server.call("POST", f"/executions/{execution_id}/cancel")


async def test_what_waits_has_the_colour_of_waiting_in_the_stream(server: Server, open_page: Open) -> None:
    execution_id = server.begin(workflow(approval("review"), output("told", "x", needs=["review"])))
    page = await open_page(f"#/executions/{execution_id}")
    await expect(stream(page).locator(".block.state-waiting")).to_have_count(1)
    server.call("POST", f"/executions/{execution_id}/signals/review", {})


async def test_limit_that_is_waited_for_is_named(tmp_path: Path, open_page: Open) -> None:
    (tmp_path / "limits.toml").write_text("[user]\nconcurrency = 1\n")
    limited = Server(tmp_path / "data", OFFBOOK_LIMITS=str(tmp_path / "limits.toml"))
    limited.start()
    try:
        first, second = [limited.begin(slow(rate=5)) for _ in range(2)]
        limited.until(second, "waiting")
        page = await open_page(f"#/executions/{second}", server=limited)
        await expect(page.locator(".facts").first).to_contain_text("the limit of the user ada (calls at once)")
        limited.call("POST", f"/executions/{first}/cancel")
        await expect(page.locator(".facts").first).not_to_contain_text("the limit")
    finally:
        limited.stop()


async def test_fork_that_cannot_be_prepared_says_so(server: Server, open_page: Open) -> None:
    execution_id = server.begin(novel(rate=0), {"premise": "rain"})
    page = await open_page(f"#/executions/{execution_id}")
    await expect(state(page)).to_have_text("completed")
    await page.route("**/inputs", lambda route: route.abort())
    await button(page, "Fork …").click()
    await expect(page.locator(".actions .said")).to_contain_text(
        "The fork did not work: the server cannot be reached"
    )
    await page.route("**/output*", lambda route: route.abort())
    await tab(page, "Outputs").click()
    await button(page, "Download").click()
    await expect(page.locator(".tools [role=status]")).to_contain_text("The output did not come")
