"""The list, Start, Workflows and Actors."""

from __future__ import annotations

import re

from tests.page.conftest import Open
from tests.page.documents import novel, slow
from tests.page.looking import button, expect, tab
from tests.page.server import Server
from tests.scenarios.documents import llm, workflow

BROKEN = """\
format: 1
name: broken
nodes:
  - id: a
    type: llm
    config: {model: scripted/x}
  - id: b
    type: outputt
    needs: [c]
"""


async def test_list_is_live_filtered_and_searched(server: Server, open_page: Open) -> None:
    first = server.begin(slow(name="listed"), labels={"order": "17"})
    page = await open_page("#/executions?workflow=listed")
    rows = page.locator(".rows .row")
    await expect(rows).to_have_count(1)
    await expect(rows.first).to_contain_text("running")
    second = server.begin(slow(name="listed"), labels={"order": "18"})
    await expect(rows).to_have_count(2)
    server.call("POST", f"/executions/{second}/cancel")
    await expect(rows.first).to_contain_text("cancelled")
    await button(page, "running").click()
    await expect(rows).to_have_count(1)
    await expect(rows.first).to_contain_text(first[-8:])
    await button(page, "running").click()
    await page.get_by_label("Search").fill("order=18")
    await expect(rows).to_have_count(1)
    await expect(rows.first).to_contain_text(second[-8:])
    await page.get_by_label("Search").fill(first)
    await expect(page.locator(".crumb")).to_contain_text(first)
    server.call("POST", f"/executions/{first}/cancel")


async def test_other_executions_are_listed_without_losing_what_is_typed_or_focused(
    server: Server, open_page: Open
) -> None:
    ended = server.begin(slow(name="kept"), labels={"order": "19"})
    server.call("POST", f"/executions/{ended}/cancel")
    running = server.begin(slow(name="kept"), labels={"order": "19"})
    page = await open_page("#/executions?workflow=kept")
    rows = page.locator(".rows .row")
    await expect(rows).to_have_count(2)
    search = page.get_by_label("Search")
    await search.fill("order=19")
    await button(page, "running").focus()
    await page.keyboard.press("Enter")
    await expect(rows).to_have_count(1)
    await expect(rows.first).to_contain_text(running[-8:])
    await expect(search).to_have_value("order=19")
    await expect(button(page, "running")).to_be_focused()
    await expect(button(page, "running")).to_have_attribute("aria-pressed", "true")
    assert page.url.endswith("status=running")
    await page.go_back()
    await expect(rows).to_have_count(2)
    server.call("POST", f"/executions/{running}/cancel")


async def test_start_shows_errors_at_their_fields(server: Server, open_page: Open) -> None:
    server.call("POST", "/workflows", novel(name="asking"))
    page = await open_page("#/start/asking")
    chapters = page.get_by_role("textbox", name="Chapters")
    await chapters.fill("many")
    await page.get_by_label("For the user").fill("ada")
    await button(page, "Start").click()
    await expect(chapters).to_have_attribute("aria-invalid", "true")
    await expect(page.locator(".field", has=chapters).locator(".error")).to_contain_text("a whole number")
    premise = page.get_by_role("textbox", name="What the story is about")
    await expect(premise).to_have_attribute("aria-invalid", "true")
    await expect(premise).to_be_focused()
    await premise.fill("rain")
    await chapters.fill("1")
    await button(page, "Start").click()
    await expect(page.locator(".crumb")).to_be_visible()
    await expect(chapters).to_have_count(0)


async def test_workflow_has_picture_text_and_versions_that_are_compared(server: Server, open_page: Open) -> None:
    older = server.call("POST", "/workflows", novel(name="versions"))["fingerprint"]
    newer = novel(name="versions")
    newer["description"] = "Another description."
    server.call("POST", "/workflows", newer)
    page = await open_page("#/workflows/versions")
    await expect(page.locator(".node")).to_have_count(6)
    await expect(page.locator(".document")).to_contain_text("Another description.")
    await tab(page, "Versions").click()
    await page.locator("tr", has_text=older[:8]).get_by_role("button", name="Compare with this").click()
    await expect(page.locator(".diff .added")).to_have_text("+ description: Another description.")
    await expect(page.locator(".diff .removed")).to_have_text("- description: A premise in, a short book out.")


async def test_workflows_beyond_the_first_page_are_shown(own_server: Server, open_page: Open) -> None:
    own_server.call("POST", "/workflows", novel(name="oldest"))
    for number in range(501):
        own_server.call("POST", "/workflows", slow(name="often", words=1000 + number))
    page = await open_page("#/workflows/oldest", server=own_server)
    names = page.get_by_role("navigation", name="Registered workflows")
    await expect(names.get_by_role("listitem")).to_have_text(["often501 versions", "oldest1 version"])
    await expect(names.get_by_role("link", name="oldest")).to_have_attribute("aria-current", "true")
    await names.get_by_role("link", name="often").click()
    await tab(page, "Versions").click()
    rows = page.locator(".tree tbody tr")
    await expect(rows).to_have_count(100)
    await button(page, "Show older ones").click()
    await expect(rows).to_have_count(200)
    await page.goto(f"{own_server.url}/#/start")
    await expect(page.get_by_label("Workflow", exact=True).locator("option")).to_have_text(["often", "oldest"])


async def test_document_is_checked_drawn_and_registered(server: Server, open_page: Open) -> None:
    page = await open_page("#/workflows")
    document = page.get_by_label("A workflow document")
    await document.fill(BROKEN)
    faults = page.locator(".faults li")
    await expect(faults.first).to_be_visible()
    assert await faults.count() >= 3
    await expect(button(page, "Register")).to_be_disabled()
    await faults.filter(has_text="outputt").get_by_role("button").click()
    selected = await document.evaluate("(area) => area.value.slice(area.selectionStart, area.selectionEnd)")
    assert "outputt" in selected
    fixed = BROKEN.replace("x}", "x, prompt: hello}").replace("outputt", "output").replace("[c]", "[a]")
    await document.fill(fixed.replace("broken", "mended") + "    config: {value: '{{ nodes.a.output }}'}\n")
    await expect(page.get_by_text("Valid.")).to_be_visible()
    await expect(page.locator(".node")).to_have_count(2)
    await button(page, "Register").click()
    await expect(page.get_by_role("heading", name="mended")).to_be_visible()
    assert server.call("GET", "/workflows/mended")["name"] == "mended"


async def test_actors_are_shown_live_with_the_reason_why_one_does_not_move(server: Server, open_page: Open) -> None:
    execution_id = server.begin(slow(name="stuck", rate=5))
    page = await open_page("#/actors")
    await expect(page.locator(".tree")).to_contain_text(
        re.compile("Supervisor.*PersistenceActor.*JournalActor", re.DOTALL)
    )
    await expect(page.locator(".figures")).to_contain_text(re.compile(r"Control loop lag\d+\.\d ms"))
    await page.get_by_label("Only executions with").fill(execution_id)
    row = page.locator(".tree tr", has_text=f"stuck/{execution_id[-8:]}")
    await expect(row).to_contain_text("running")
    await row.get_by_role("button", name="Why?").click()
    await expect(page.locator(".findings")).to_contain_text(
        "text runs, attempt 1. It is alive: it said something while it was looked at."
    )
    # What is about to be used is not made anew with each look.
    await row.get_by_role("button", name="Why?").focus()
    await row.evaluate("(row) => { row.kept = true }")
    handled = await row.locator("td").nth(3).text_content()
    await expect(row.locator("td").nth(3)).not_to_have_text(str(handled), timeout=10_000)
    await expect(row.get_by_role("button", name="Why?")).to_be_focused()
    assert await row.evaluate("(row) => row.kept")
    server.call("POST", f"/executions/{execution_id}/cancel")
    await expect(row).to_contain_text("cancelled")


async def test_only_so_many_actors_are_asked_for(server: Server, open_page: Open) -> None:
    page = await open_page("nothing")
    async with page.expect_request("**/actors?*") as asked:
        await page.goto(f"{server.url}/#/actors")
    assert "limit=200" in (await asked.value).url
    await expect(page.locator(".tree tbody tr").first).to_be_visible()
    await page.get_by_label("Only executions with").fill("no such workflow")
    await expect(page.get_by_text("No execution fits.")).to_be_visible()
    await expect(page.locator(".tree")).to_contain_text("Supervisor")


async def test_node_that_says_nothing_is_not_called_alive(server: Server, open_page: Open) -> None:
    mute = workflow(llm("mute", "x", script={"words": 3, "delay": 60}), name="mute")
    execution_id = server.begin(mute)
    page = await open_page(f"#/actors/{execution_id}")
    await expect(page.locator(".findings")).to_contain_text(
        "mute runs, attempt 1. It says nothing now; its last sign of"
    )
    server.call("POST", f"/executions/{execution_id}/cancel")
