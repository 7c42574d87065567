"""Plans before anything is paid for, and forks with one thing changed."""

from __future__ import annotations

import re

from tests.page.conftest import Open
from tests.page.documents import novel
from tests.page.looking import button, expect, node, state, tab
from tests.page.server import Server


async def test_start_is_planned_with_its_cost_and_starts_nothing(server: Server, open_page: Open) -> None:
    server.call("POST", "/workflows", novel(name="planned"))
    page = await open_page("#/start/planned")
    await page.get_by_label("What the story is about").fill("rain")
    await page.get_by_label("For the user").fill("ada")
    await button(page, "Plan it").click()
    plan = page.locator(".plan")
    await expect(plan).to_contain_text(re.compile(r"Estimated\s*[\d,]+ tokens"))
    await expect(plan).to_contain_text("Runs8 attempts")
    assert server.call("GET", "/executions?workflow=planned")["executions"] == []
    await page.get_by_role("textbox", name="Chapters").fill("many")
    await button(page, "Plan it").click()
    await expect(page.locator(".said-refused")).to_contain_text("The plan was refused")
    await expect(plan).to_be_empty()


async def test_resume_is_planned_before_it_is_made(server: Server, open_page: Open) -> None:
    execution_id = server.begin(
        novel(rate=0, fail=[{"item": 1, "error": "invalid_key"}]), {"premise": "rain", "chapters": 3}
    )
    server.until(execution_id, "failed")
    page = await open_page(f"#/executions/{execution_id}")
    await button(page, "Resume …").click()
    plan = page.get_by_role("dialog").locator(".plan")
    await expect(plan).to_contain_text(re.compile("Keeps.*1 item", re.DOTALL))
    await expect(plan).to_contain_text("Chapters 2: it failed: invalid_key")
    await button(page, "Not now").click()
    assert server.call("GET", f"/status/{execution_id}")["epoch"] == 1


async def test_fork_with_an_edited_output_runs_only_what_it_reaches(server: Server, open_page: Open) -> None:
    execution_id = server.begin(novel(rate=0), {"premise": "rain", "chapters": 2})
    parent = server.until(execution_id, "completed")
    page = await open_page(f"#/executions/{execution_id}")
    await tab(page, "Outputs").click()
    await page.get_by_role("combobox", name="Node").select_option("outline")
    await expect(page.locator(".reading strong")).to_have_text("Night")
    await button(page, "Edit and fork").click()
    dialog = page.get_by_role("dialog", name="Edit the output of Outline and fork")
    await dialog.get_by_role("textbox", name="The output").fill("# Another lamp")
    await button(page, "Plan it").click()
    reason = "Chapters 1: prompt is evaluated differently"
    await expect(dialog.locator(".plan")).to_contain_text(re.compile(rf"Keeps\d nodes.*Runs.*{reason}", re.DOTALL))
    await dialog.get_by_role("button", name="Fork", exact=True).click()
    await expect(page.locator(".facts").first).to_contain_text(f"Fork of{execution_id[-8:]}")
    await expect(state(page)).to_have_text("completed")
    fork = (await page.evaluate("location.hash")).rpartition("/")[2]
    assert fork != execution_id
    payload = server.until(fork, "completed")
    assert payload["receipt"]["kept_nodes"] >= 2
    assert payload["node_results"]["world"]["output"] == parent["node_results"]["world"]["output"]
    assert payload["node_results"]["outline"]["output"] == "# Another lamp"
    assert server.call("GET", f"/executions/{fork}/nodes/book/output") != server.call(
        "GET", f"/executions/{execution_id}/nodes/book/output"
    )
    await expect(node(page, "world")).to_have_attribute("aria-label", re.compile("kept"))


async def test_fork_with_an_edited_prompt_and_with_other_inputs(server: Server, open_page: Open) -> None:
    execution_id = server.begin(novel(rate=0), {"premise": "rain", "chapters": 2})
    server.until(execution_id, "completed")
    page = await open_page(f"#/executions/{execution_id}")
    await node(page, "people").click()
    await button(page, "Edit its prompt and fork").click()
    await page.get_by_role("textbox", name="The prompt").fill("Who else {{ inputs.premise }}")
    await page.get_by_role("dialog").get_by_role("button", name="Fork", exact=True).click()
    await expect(page.locator(".crumb")).not_to_contain_text(execution_id)
    await expect(state(page)).to_have_text("completed")
    await button(page, "Fork …").click()
    await page.get_by_role("dialog").get_by_label("Chapters").fill("3")
    await page.get_by_role("dialog").get_by_role("button", name="Fork", exact=True).click()
    await expect(node(page, "chapters")).to_have_attribute("aria-label", re.compile("3 items of 3"))
    fork = (await page.evaluate("location.hash")).rpartition("/")[2]
    assert server.until(fork, "completed")["receipt"]["kept_items"] == 2


async def test_edit_that_makes_no_workflow_is_refused_in_the_dialog(server: Server, open_page: Open) -> None:
    execution_id = server.begin(novel(rate=0), {"premise": "rain", "chapters": 1})
    server.until(execution_id, "completed")
    page = await open_page(f"#/executions/{execution_id}")
    await node(page, "people").click()
    await button(page, "Edit its prompt and fork").click()
    await page.get_by_role("textbox", name="The prompt").fill("Who {{ inputs.nothing }}")
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Fork", exact=True).click()
    await expect(dialog.get_by_role("alert")).to_contain_text("nothing")
    await expect(dialog).to_be_visible()
