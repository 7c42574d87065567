"""A browser and a server for the session, and pages that fail their test for what a page must never do."""

from __future__ import annotations

import inspect
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright, expect

from tests.page.model import Model, serve_model
from tests.page.server import Server

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS = 60_000
"""How long a page may take for what is waited for."""
expect.set_options(timeout=PATIENCE_MS)

TOLD_BY_THE_BROWSER = "Failed to load resource"
"""How Chromium itself notes a refused or lost request, which tests bring about on purpose."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run everything here on the loop that the browser belongs to."""
    for item in items:
        if item.path.parent == Path(__file__).parent and inspect.iscoroutinefunction(getattr(item, "obj", None)):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture
def _no_task_stays_alive() -> None:
    """The browser's tasks stay for the session."""


@pytest.fixture(scope="session")
def chromium() -> str | None:
    """Where Chromium is; None: the one that Playwright brings. A machine without one fails, it does not skip."""
    found = os.environ.get("OFFBOOK_CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None and not list(Path.home().glob(".cache/ms-playwright/chromium*")):
        pytest.fail("no Chromium: `make chromium` installs one, OFFBOOK_CHROMIUM names one", pytrace=False)
    return found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: str | None) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
def site_of_model() -> Iterator[Model]:
    with serve_model() as model:
        yield model


@pytest.fixture
def model(site_of_model: Model) -> Iterator[Model]:
    """A model that both servers know as `held/...`; what a test has held is let go when it ends."""
    yield site_of_model
    site_of_model.let_all_go()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, site_of_model: Model) -> Iterator[Server]:
    """A server that every test may use, each for executions of its own."""
    server = Server(tmp_path_factory.mktemp("page") / "data", OFFBOOK_PROVIDERS=site_of_model.providers)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_server(tmp_path: Path, site_of_model: Model) -> Iterator[Server]:
    """A server that a test may kill."""
    server = Server(tmp_path / "data", OFFBOOK_PROVIDERS=site_of_model.providers)
    server.start()
    yield server
    server.stop()


class Open(Protocol):
    """`await open_page("#/executions", server=..., **options of a context)`."""

    async def __call__(self, path: str = "", *, server: Server | None = None, **options: Any) -> Page: ...


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser: Browser, server: Server) -> AsyncIterator[Open]:
    """Open pages, each in a context of its own; what their scripts complain of fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(TOLD_BY_THE_BROWSER):
            complaints.append(message.text)

    async def open_one(path: str = "", *, server: Server | None = server, **options: Any) -> Page:
        assert server is not None
        context = await browser.new_context(**{"viewport": {"width": 1360, "height": 860}, **options})
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = await context.new_page()
        page.on("console", note)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"a dialog opened: {dialog.message}"))
        await page.goto(f"{server.url}/{path}")
        return page

    yield open_one
    for context in contexts:
        await context.close()
    assert not complaints
