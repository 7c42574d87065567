"""The server goes away and comes back while the page is open: said at once, nothing invented, gone on by itself."""

from __future__ import annotations

import re

from tests.page.conftest import Open
from tests.page.documents import novel, slow
from tests.page.looking import expect, state, stream
from tests.page.model import Model
from tests.page.server import Server


async def test_killed_server_is_noticed_and_its_successor_followed_to_the_end(
    own_server: Server, open_page: Open, model: Model
) -> None:
    held = model.hold("Where rain")
    execution_id = own_server.begin(novel(model="held/writer"), {"premise": "rain", "chapters": 2}, durability="sync")
    page = await open_page(f"#/executions/{execution_id}", server=own_server)
    await expect(stream(page).locator(".prose").first).to_have_text(re.compile(".{30}", re.DOTALL))
    own_server.kill()
    banner = page.locator("#banner")
    await expect(banner).to_have_text(
        re.compile(r"Connection lost. This is the state of \d\d:\d\d:\d\d; trying again")
    )
    await expect(state(page)).to_have_text("running")
    shown = await stream(page).text_content()
    time = page.locator(".facts").first.locator("div", has_text="Time").locator("dd")
    lasted = await time.text_content()
    percent = await page.get_by_role("progressbar").get_attribute("aria-valuenow")
    # A look of the page's clock must change nothing that only the server can know.
    await page.evaluate("() => new Promise((done) => setTimeout(done, 1200))")
    assert await stream(page).text_content() == shown
    assert await page.get_by_role("progressbar").get_attribute("aria-valuenow") == percent
    assert await time.text_content() == lasted
    own_server.start()
    await expect(banner).to_be_hidden()
    await expect(state(page)).to_have_text("running")
    held.set()
    await expect(state(page)).to_have_text("completed")
    await expect(page.locator(".facts")).to_contain_text("Epoch2")


async def test_list_is_followed_over_a_restart(own_server: Server, open_page: Open) -> None:
    page = await open_page("#/executions", server=own_server)
    await expect(page.get_by_role("heading", name="Nothing has run here yet")).to_be_visible()
    own_server.kill()
    await expect(page.locator("#banner")).to_contain_text("Connection lost")
    own_server.start()
    own_server.begin(slow(name="after"))
    await expect(page.locator(".rows .row").first).to_contain_text("after")
    await expect(page.locator("#banner")).to_be_hidden()


async def test_view_that_could_not_be_loaded_is_shown_once_the_server_is_back(
    own_server: Server, open_page: Open
) -> None:
    page = await open_page("#/executions", server=own_server)
    await expect(page.get_by_role("heading", name="Nothing has run here yet")).to_be_visible()
    own_server.kill()
    await expect(page.locator("#banner")).to_contain_text("Connection lost")
    async with page.expect_event("requestfailed", lambda request: "workflows.js" in request.url):
        await page.get_by_role("link", name="Workflows").click()
    await expect(page.locator("#banner")).to_contain_text("Connection lost")
    own_server.start()
    await expect(page.get_by_label("A workflow document")).to_be_visible()
    await expect(page.locator("#banner")).to_be_hidden()
