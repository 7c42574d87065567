"""A run watched from its start to its end, and steered from the page."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
import pytest_asyncio

from offbook.workflows.values import JsonObject
from tests.page.conftest import Open
from tests.page.documents import novel, reviewed, slow
from tests.page.looking import button, expect, node, state, stream, tab
from tests.page.model import Model
from tests.page.server import Refused, Server
from tests.scenarios.documents import llm, workflow

WATCH = """
() => {
  window.seen = [];
  const look = () => {
    const bar = document.querySelector(".progress");
    if (bar?.hasAttribute("aria-valuenow")) window.seen.push([
      Number(bar.getAttribute("aria-valuenow")),
      document.querySelector(".stream").textContent.length,
      document.querySelector(".title-line .pill").textContent,
    ]);
    requestAnimationFrame(look);
  };
  look();
}
"""

A_FRAME = "() => new Promise((shown) => requestAnimationFrame(shown))"
"""Wait until what the page has come to is on the screen, and seen by who watches it frame by frame."""


async def test_run_is_started_from_a_form_and_watched_to_its_end(
    server: Server, open_page: Open, model: Model
) -> None:
    held = model.hold("Where")
    server.call("POST", "/workflows", novel(name="watched", model="held/writer"))
    page = await open_page("#/start/watched")
    await page.evaluate(WATCH)
    await page.get_by_label("What the story is about").fill("A lamp writes letters")
    await page.get_by_role("textbox", name="Chapters").fill("2")
    await page.get_by_label("For the user").fill("ada")
    await button(page, "Start").click()
    await expect(state(page)).to_have_text("running")
    await expect(node(page, "world")).to_have_class(re.compile("state-running"))
    await expect(stream(page)).to_contain_text("World")
    held.set()
    await expect(state(page)).to_have_text("completed")
    await expect(node(page, "cover")).to_have_attribute("aria-label", "Cover, llm: skipped")
    await expect(node(page, "chapters")).to_have_attribute("aria-label", re.compile("2 items of 2 done"))
    await expect(page.locator(".timeline tbody tr")).to_have_count(6)
    # The outline was Markdown.
    await tab(page, "Outputs").click()
    await page.get_by_role("combobox", name="Node").select_option("outline")
    await expect(page.locator(".reading strong")).to_have_text("Night")
    await expect(page.get_by_role("article", name="Output").get_by_role("heading")).to_have_text("The lamp")
    await button(page, "Raw").click()
    await expect(page.locator(".reading pre")).to_contain_text("# The lamp")
    await tab(page, "Inputs").click()
    await expect(page.locator(".tab-panel:visible")).to_contain_text("A lamp writes letters")
    # A number is read as a text is, not as a document.
    await expect(page.locator(".tab-panel:visible pre")).to_have_count(0)


async def test_pain_17_text_and_tokens_are_shown_while_they_come(server: Server, open_page: Open) -> None:
    execution_id = server.begin(slow())
    page = await open_page(f"#/executions/{execution_id}")
    await page.evaluate(WATCH)
    await expect(stream(page).locator(".prose")).to_have_text(re.compile(".{300}", re.DOTALL))
    lengths = sorted({length for _, length, pill in await page.evaluate("window.seen") if pill == "running"})
    assert len(lengths) > 5
    await expect(page.locator(".facts")).to_contain_text(re.compile(r"Tokens≈ \d+ in, [1-9]\d* out"))
    server.call("POST", f"/executions/{execution_id}/cancel")
    await expect(state(page)).to_have_text("cancelled")


MANY_CHAPTERS = 300
"""So many of half a second each are not written while a test lasts, and each may soon be paused after."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A run that was watched from its start to a while after its end."""

    execution_id: str
    seen: list[tuple[int, int, str]]
    """Percent, characters of text, state: frame by frame."""
    headings: list[str]
    texts: dict[str, str]
    facts: str


@pytest_asyncio.fixture(loop_scope="session")
async def watched(server: Server, open_page: Open, model: Model) -> Watched:
    if server not in _watched:
        planners = {"world": model.hold("Where"), "people": model.hold("Who")}
        chapters = [model.hold(f"Chapter {number}") for number in range(1, 5)]
        execution_id = server.begin(novel(model="held/writer"), {"premise": "rain", "chapters": len(chapters)})
        page = await open_page(f"#/executions/{execution_id}")
        await expect(state(page)).to_have_text("running")
        await page.evaluate(WATCH)
        for node_id, held in planners.items():
            held.set()
            await expect(node(page, node_id)).to_have_class(re.compile("state-completed"))
            await page.evaluate(A_FRAME)
        for number, held in enumerate(chapters, 1):
            held.set()
            done = re.compile(f"{number} items? of {len(chapters)} done")
            await expect(node(page, "chapters")).to_have_attribute("aria-label", done)
            await page.evaluate(A_FRAME)
        await expect(state(page)).to_have_text("completed")
        await page.evaluate(A_FRAME)
        seen = await page.evaluate("window.seen")
        await tab(page, "Thinking").click()
        texts = {
            block: await stream(page).get_by_role("region", name=block, exact=True).locator(".prose").inner_text()
            for block in ("World", "Characters")
        }
        headings = await stream(page).get_by_role("heading").all_text_contents()
        facts = await page.locator(".facts").first.inner_text()
        _watched[server] = Watched(execution_id, seen, headings, texts, facts)
    return _watched[server]


_watched: dict[Server, Watched] = {}


def test_pain_18_each_step_is_shown_once(watched: Watched) -> None:
    wanted = ["World", "Characters", "Outline", "Chapters", *(f"Chapters {n}" for n in (1, 2, 3, 4)), "Cover", "Book"]
    assert sorted(watched.headings) == sorted(wanted)


async def test_pain_19_watching_asks_the_database_for_nothing(server: Server, open_page: Open) -> None:
    execution_id = server.begin(novel(rate=30), {"premise": "rain", "chapters": 2})
    page = await open_page(f"#/executions/{execution_id}")
    await expect(stream(page).locator(".prose").first).to_have_text(re.compile(".{20}", re.DOTALL))
    before = server.call("GET", "/actors")["counts"]["transactions"]
    await expect(stream(page).get_by_role("heading", name="Chapters 1")).to_be_visible()
    after = server.call("GET", "/actors")["counts"]["transactions"]
    assert after["reads"] == before["reads"]
    await expect(state(page)).to_have_text("completed")
    await expect(page.locator(".facts").first).to_contain_text("0 reads, 2 writes")
    payload = server.call("GET", f"/status/{execution_id}")
    assert payload["db_ops"] == {"reads": 0, "writes": 2}
    # What is shown is counted by the server: it is the same however often it was looked at.
    tokens = f"{payload['usage']['input_tokens']} in, {payload['usage']['output_tokens']} out"
    await expect(page.locator(".facts").first).to_contain_text(tokens)


def test_pain_20_progress_that_is_shown_never_goes_back(watched: Watched) -> None:
    percents = [percent for percent, _, _ in watched.seen]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert len(set(percents)) > 3


def test_pain_21_text_and_steps_stay_at_the_end(server: Server, watched: Watched) -> None:
    lengths = [length for _, length, _ in watched.seen]
    assert lengths[-1] >= max(lengths) > 100
    for block, node_id in (("World", "world"), ("Characters", "people")):
        told = server.call("GET", f"/executions/{watched.execution_id}/nodes/{node_id}/output")
        assert watched.texts[block] == told


async def test_failure_at_chapter_2_is_explained_and_resumed_with_guidance(server: Server, open_page: Open) -> None:
    execution_id = server.begin(
        novel(rate=0, fail=[{"item": 1, "error": "invalid_key"}]), {"premise": "rain", "chapters": 3}
    )
    page = await open_page(f"#/executions/{execution_id}")
    await expect(state(page)).to_have_text("failed")
    await expect(page.locator(".failure")).to_contain_text("Chapters 2: invalid_key")
    # Nothing is shown to run in what is at rest, not even the fan-out, which rests without a step of its own.
    await expect(page.locator(".block-state .icon-failed")).to_have_count(3)
    await expect(page.locator(".block-state .icon-running")).to_have_count(0)
    await expect(button(page, "Cancel …")).to_have_count(0)
    await button(page, "Resume …").click()
    await page.get_by_label("Guidance").fill("shorter")
    await button(page, "Resume").click()
    await expect(page.locator(".actions .said")).to_have_text(re.compile("Resumed at .* as epoch 2"))
    await expect(state(page)).to_have_text("completed")
    payload = server.until(execution_id, "completed")
    assert payload["receipt"]["kept_items"] == 1
    await expect(page.locator(".failure")).to_be_hidden()
    await expect(page.locator(".facts")).to_contain_text("Kept")


async def test_what_was_said_of_a_failure_and_of_a_resume_is_over_with_them(server: Server, open_page: Open) -> None:
    script: JsonObject = {"words": 20_000, "tokens_per_second": 15, "fail": [{"error": "invalid_key"}]}
    execution_id = server.begin(workflow(llm("text", "A text", label="Text", script=script), name="again"))
    page = await open_page(f"#/executions/{execution_id}")
    await expect(state(page)).to_have_text("failed")
    await node(page, "text").click()
    told = page.locator(".node-panel").get_by_text("invalid_key: scripted: the key was refused")
    await expect(told).to_have_class("error")
    await button(page, "Resume …").click()
    await button(page, "Resume").click()
    await expect(page.locator(".actions .said")).to_contain_text("Resumed at")
    await expect(state(page)).to_have_text("running")
    await expect(page.locator(".node-panel .error:visible")).to_have_count(0)
    server.call("POST", f"/executions/{execution_id}/cancel")
    await expect(state(page)).to_have_text("cancelled")
    await expect(page.locator(".actions .said")).to_be_empty()


async def test_approval_is_answered_in_a_form_that_says_what_is_wrong(server: Server, open_page: Open) -> None:
    execution_id = server.begin(reviewed())
    page = await open_page(f"#/executions/{execution_id}")
    await expect(page.get_by_role("heading", name="May it be printed?")).to_be_visible()
    await page.get_by_label("Print it").check()
    await page.get_by_label("Stars").fill("nine")
    await button(page, "Answer").click()
    await expect(page.locator(".approval .field .error:visible")).to_contain_text("must be integer")
    await expect(page.get_by_label("Stars")).to_be_focused()
    await page.get_by_label("Stars").fill("5")
    await button(page, "Answer").click()
    await expect(page.locator(".approval .said")).to_contain_text("Answered at")
    await expect(state(page)).to_have_text("completed")
    # What nobody is asked any more has not the look of a question.
    await expect(page.locator(".approval")).to_have_css("border-top-width", "0px")
    assert server.until(execution_id, "completed")["result"] == {"approved": True, "stars": 5}


async def test_pause_resume_and_cancel_say_what_they_did(server: Server, open_page: Open) -> None:
    execution_id = server.begin(slow(rate=40))
    page = await open_page(f"#/executions/{execution_id}")
    await button(page, "Pause").click()
    await expect(page.locator(".actions .said")).to_contain_text("Pause was accepted")
    await button(page, "Cancel …").click()
    await expect(page.get_by_role("dialog")).to_contain_text("Cancel this execution?")
    await button(page, "Cancel it").click()
    await expect(page.locator(".actions .said")).to_contain_text("Cancel was accepted")
    await expect(state(page)).to_have_text("cancelled")
    await expect(page.get_by_role("button", name="Resume …")).to_be_visible()


async def test_two_tabs_show_the_same_and_what_one_may_no_longer_do_is_refused(
    server: Server, open_page: Open
) -> None:
    execution_id = server.begin(
        novel(fail=[{"item": 0, "error": "invalid_key"}]), {"premise": "rain", "chapters": MANY_CHAPTERS}
    )
    server.until(execution_id, "failed")
    one, other = [await open_page(f"#/executions/{execution_id}") for _ in range(2)]
    await button(other, "Delete …").click()
    await expect(other.get_by_role("dialog")).to_be_visible()
    await button(one, "Resume …").click()
    await button(one, "Resume").click()
    await expect(state(one)).to_have_text("running")
    await expect(state(other)).to_have_text("running")
    await button(other, "Delete it").click()
    await expect(other.get_by_role("dialog").get_by_role("alert")).to_contain_text("running")
    await button(other, "Not now").click()
    await button(other, "Pause").click()
    await expect(state(one)).to_have_text("paused")
    await expect(state(other)).to_have_text("paused")


async def test_deleted_execution_is_gone(server: Server, open_page: Open) -> None:
    execution_id = server.begin(novel(rate=0), {"premise": "rain"})
    page = await open_page(f"#/executions/{execution_id}")
    await button(page, "Delete …").click()
    await button(page, "Delete it").click()
    await expect(page.get_by_role("heading", name="Executions")).to_be_visible()
    await page.goto(f"{server.url}/#/executions/{execution_id}")
    await expect(page.get_by_role("heading", name="No such execution")).to_be_visible()
    with pytest.raises(Refused):
        server.call("GET", f"/status/{execution_id}")


async def test_items_are_listed_with_their_attempts_and_lead_to_their_outputs(
    server: Server, open_page: Open
) -> None:
    fail = [{"item": 2, "error": "invalid_key"}]
    execution_id = server.begin(novel(rate=0, fail=fail), {"premise": "rain", "chapters": 4})
    server.until(execution_id, "failed")
    page = await open_page(f"#/executions/{execution_id}")
    await node(page, "chapters").click()
    rows = page.locator(".item-table tbody tr")
    await expect(rows.first).to_contain_text(re.compile("3.*failed"))
    await expect(rows.nth(1)).to_have_text("invalid_key: scripted: the key was refused")
    await expect(page.locator(".item-strip span")).to_have_count(3)
    await rows.get_by_role("button", name="2", exact=True).click()
    chapter = server.call("GET", f"/executions/{execution_id}/nodes/chapters/output?item=1")
    await expect(page.get_by_role("combobox", name="Item")).to_have_value("1")
    await expect(page.locator("article.reading")).to_contain_text(chapter[:40])


async def test_budget_that_is_used_up_is_explained_and_raised(server: Server, open_page: Open) -> None:
    execution_id = server.begin(
        novel(rate=0), {"premise": "rain", "chapters": 2}, budget={"tokens": 150, "mode": "hard"}
    )
    page = await open_page(f"#/executions/{execution_id}")
    await expect(page.get_by_role("heading", name="The budget is used up")).to_be_visible()
    await expect(page.locator(".facts").first).to_contain_text("Waits for" + "budget")
    form = page.get_by_role("form", name="Raise the budget")
    await form.get_by_label("Let this execution spend").fill("many")
    await form.get_by_label("Of what").select_option("tokens")
    await button(page, "Set this budget").click()
    await expect(page.locator(".said-refused:visible")).to_contain_text("The budget was refused")
    await form.get_by_label("Let this execution spend").fill("100000")
    await button(page, "Set this budget").click()
    await expect(state(page)).to_have_text("completed")
    await expect(page.get_by_role("heading", name="The budget is used up")).to_be_hidden()
