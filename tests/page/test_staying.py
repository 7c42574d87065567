"""A page that stays open while things change: no older answer wins, nothing grows, what is used stays where it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Page, Route

from tests.page.conftest import Open
from tests.page.documents import novel, slow
from tests.page.full import start_full
from tests.page.looking import expect, state
from tests.page.server import Server

COUNT_LISTENERS = """
(() => {
  window.listeners = 0;
  const { addEventListener: add, removeEventListener: remove } = AbortSignal.prototype;
  AbortSignal.prototype.addEventListener = function (...given) {
    window.listeners += 1;
    return add.apply(this, given);
  };
  AbortSignal.prototype.removeEventListener = function (...given) {
    window.listeners -= 1;
    return remove.apply(this, given);
  };
})()
"""


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[Server]:
    """A server that keeps what has ended for a moment only."""
    server = Server(tmp_path / "data", OFFBOOK_RETAIN_SECONDS="0.2")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_folder(tmp_path: Path) -> Iterator[Server]:
    """A server of its own, not started yet."""
    server = Server(tmp_path / "data")
    yield server
    server.stop()


async def test_list_that_was_asked_for_before_the_news_does_not_undo_it(server: Server, open_page: Open) -> None:
    execution_id = server.begin(slow(name="overtaken"))
    page = await open_page("nothing")
    rows = page.locator(".rows .row")

    async def answer_late(route: Route) -> None:
        response = await route.fetch()
        server.call("POST", f"/executions/{execution_id}/cancel")
        await expect(rows.first).to_contain_text("cancelled")
        await route.fulfill(response=response)

    await page.route("**/executions?limit=*", answer_late)
    async with page.expect_response("**/executions?limit=*"):
        await page.goto(f"{server.url}/#/executions?workflow=overtaken")
    await expect(page.get_by_role("status").first).to_have_text("1 execution")
    await expect(rows.first).to_contain_text("cancelled")


async def test_what_is_refused_in_a_filter_is_said_once(server: Server, open_page: Open) -> None:
    page = await open_page("#/executions")
    label = page.get_by_label("Only with this label")
    await label.fill("order")
    await label.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("label='order': expected key=value")
    await expect(page.locator(".table")).to_be_hidden()
    await label.fill("order=none")
    await label.press("Enter")
    await expect(page.locator(".empty")).to_have_text("Nothing fits. Show all executions")
    await page.get_by_role("link", name="Show all executions").click()
    await expect(label).to_have_value("")


async def test_search_that_finds_nothing_leads_back_to_all(server: Server, open_page: Open) -> None:
    server.until(server.begin(novel(rate=0), {"premise": "rain"}), "completed")
    page = await open_page("#/executions")
    search = page.get_by_label("Search")
    await search.fill("no such thing")
    await page.get_by_role("link", name="Show all executions").click()
    await expect(page.locator(".rows .row").first).to_be_visible()
    await expect(search).to_have_value("")


async def test_back_leads_to_what_was_found(server: Server, open_page: Open) -> None:
    wanted = server.begin(slow(name="sought"), labels={"order": "one"})
    server.begin(slow(name="sought"), labels={"order": "two"})
    page = await open_page("#/executions?workflow=sought")
    await page.get_by_label("Search").fill("order=one")
    await expect(page.locator(".rows .row")).to_have_count(1)
    await page.locator(".rows a").click()
    await expect(page.locator(".crumb")).to_contain_text(wanted)
    await page.go_back()
    await expect(page.get_by_label("Search")).to_have_value("order=one")
    await expect(page.locator(".rows .row")).to_have_count(1)
    for row in server.call("GET", "/executions?workflow=sought")["executions"]:
        server.call("POST", f"/executions/{row['execution_id']}/cancel")


async def test_list_is_found_as_it_was_left(own_folder: Server, open_page: Open) -> None:
    start_full(own_folder, 1500)
    page = await open_page("#/executions", server=own_folder)
    table = page.locator(".table")
    await page.locator(".rows .row").first.wait_for()

    async def go_down(row: str) -> float:
        """Scroll until a row is in sight, and leave for its execution by the keyboard; return where the list was."""
        link = page.locator(f'a[href="#/executions/{row}"]')
        while not await link.count():
            await table.evaluate("(table) => { table.scrollTop += 300 }")
        await link.focus()
        place = await table.evaluate("(table) => table.scrollTop")
        await page.keyboard.press("Enter")
        await expect(page.locator(".crumb")).to_contain_text(row)
        return float(place)

    async def expect_found(row: str, place: float) -> None:
        await expect(page.locator(f'a[href="#/executions/{row}"]')).to_be_focused()
        assert await table.evaluate("(table) => table.scrollTop") == pytest.approx(place, abs=1)

    far = f"{1200:032x}"
    place = await go_down(far)
    await page.go_back()
    await expect_found(far, place)
    # Others, in the same view, begin at their top, and Back leads to where these were.
    await page.get_by_role("button", name="failed", exact=True).click()
    await expect(page.locator(".rows .row", has_text="cancelled")).to_have_count(0)
    await expect(page.locator(".rows .row").first).to_be_visible()
    assert await table.evaluate("(table) => table.scrollTop") == 0
    near = f"{600:032x}"
    filtered = await go_down(near)
    await page.locator(".crumb a").click()
    await expect_found(near, filtered)
    assert page.url.endswith("status=failed")
    for _ in range(3):
        await page.go_back()
    await expect(page.locator(f'a[href="#/executions/{far}"]')).to_be_visible()
    assert await table.evaluate("(table) => table.scrollTop") == pytest.approx(place, abs=1)
    # Who asks for the list anew gets what is new.
    await page.get_by_role("link", name="Workflows").click()
    await page.get_by_role("link", name="Executions").click()
    await expect(page.locator(".rows .row").first).to_be_visible()
    assert await table.evaluate("(table) => table.scrollTop") == 0


async def test_view_that_is_open_for_long_keeps_nothing_of_each_look(server: Server, open_page: Open) -> None:
    page = await open_page("nothing")
    await page.add_init_script(COUNT_LISTENERS)
    await page.goto(f"{server.url}/#/actors")
    await page.reload()
    counts = []
    for _ in range(4):
        async with page.expect_response("**/actors*"):
            pass
        counts.append(await page.evaluate("window.listeners"))
    # One, while it waits for the next look.
    assert max(counts) <= 1, counts


async def test_execution_that_is_resumed_elsewhere_is_followed_though_it_was_out_of_memory(
    forgetful: Server, open_page: Open
) -> None:
    fail = [{"item": 1, "error": "invalid_key"}]
    execution_id = forgetful.begin(novel(rate=0, fail=fail), {"premise": "rain", "chapters": 2})
    forgetful.until(execution_id, "failed")
    while forgetful.call("GET", f"/status/{execution_id}")["source"] == "memory":
        pass
    page = await open_page("nothing", server=forgetful)
    async with page.expect_response("**/events?*"):
        await page.goto(f"{forgetful.url}/#/executions/{execution_id}")
    await expect(state(page)).to_have_text("failed")
    forgetful.call("POST", f"/executions/{execution_id}/resume")
    await expect(state(page)).to_have_text("completed")
    forgetful.call("DELETE", f"/executions/{execution_id}")
    await expect(page.get_by_role("heading", name="No such execution")).to_be_visible()


async def test_what_was_focused_is_not_lost_with_the_view(server: Server, open_page: Open) -> None:
    page = await open_page("#/executions")
    link = page.get_by_role("link", name="Workflows")
    await link.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Workflows")).to_be_visible()
    assert await focused(page) == "main"


async def test_address_that_nobody_can_read_shows_something(server: Server, open_page: Open) -> None:
    page = await open_page("#/%")
    await expect(page.get_by_role("heading", name="Executions")).to_be_visible()
    await page.goto(f"{server.url}/#/workflows/%")
    await expect(page.get_by_role("alert")).to_contain_text("no workflow '%'")


async def focused(page: Page) -> str:
    """The id of the element that has the focus, else its tag."""
    return str(await page.evaluate("document.activeElement.id || document.activeElement.tagName"))


async def test_view_that_waits_for_its_answer_says_so(server: Server, open_page: Open) -> None:
    page = await open_page("#/executions")
    await expect(page.get_by_role("heading", name="Executions")).to_be_visible()

    async def answer_late(route: Route) -> None:
        await expect(page.get_by_text("Loading …")).to_be_visible()
        await expect(page.get_by_text("Loading …")).to_have_css("opacity", "1")
        await route.continue_()

    await page.route("**/workflows?*", answer_late)
    await page.goto(f"{server.url}/#/workflows")
    await page.locator("#document").wait_for()
    await expect(page.get_by_text("Loading …")).to_have_count(0)
