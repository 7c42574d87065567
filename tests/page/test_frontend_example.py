"""The example of a page of somebody else's, which shows a run from elsewhere, in a real browser."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Route

import tests
from tests.page.server import Server

FOLDER = Path(tests.__file__).parent.parent / "examples" / "frontend"
PLANTED = "<img src=x onerror=\"document.title='planted'\"><b>bold</b>"
STORY: dict[str, Any] = {
    "name": "story",
    "nodes": [
        {
            "id": "book",
            "type": "llm",
            "config": {
                "model": "scripted/writer",
                "prompt": "A book.",
                "script": {"text": f"Once {PLANTED} upon a time there was a lamp.", "tokens_per_second": 20},
            },
        },
        {"id": "yes", "type": "approval", "needs": ["book"]},
    ],
}


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """Somebody else's site, which serves the example."""
    handler = functools.partial(_Quiet, directory=str(FOLDER))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as site:
        thread = threading.Thread(target=site.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{site.server_port}"
        site.shutdown()
        thread.join()


async def test_run_is_shown_in_a_page_of_another_site(browser: Browser, elsewhere: str, tmp_path: Path) -> None:
    server = Server(tmp_path / "data", OFFBOOK_CORS_ORIGINS=elsewhere)
    server.start()
    context = await browser.new_context()
    try:
        execution_id = server.begin(STORY)
        page = await context.new_page()
        refusals = []

        async def refuse_once(route: Route) -> None:
            refusals.append(route)
            if len(refusals) > 1:
                await route.continue_()
            else:
                # As a proxy does while the server is started again: a browser does not come back by itself then.
                await route.fulfill(status=502, body="bad gateway")

        await page.route("**/events", refuse_once)
        await page.goto(f"{elsewhere}/?offbook={server.url}&execution={execution_id}")
        await page.get_by_text("there was a lamp").wait_for()
        await page.get_by_text("story: waiting").wait_for()
        # What a model says is text, whatever it looks like.
        assert PLANTED in await page.locator("section p").inner_text()
        assert await page.title() == "Your book"
        assert await page.locator("section img, section b").count() == 0
        server.call("POST", f"/executions/{execution_id}/signals/yes", {})
        await page.get_by_text("story: completed").wait_for()
        assert await page.locator("#progress").get_attribute("value") is not None
        assert len(refusals) == 2
        await page.goto(f"{elsewhere}/?offbook={server.url}&execution={'0' * 32}")
        await page.get_by_text("There is no such execution.").wait_for()
    finally:
        await context.close()
        server.stop()
