"""What tests look at on the page, in the words of a reader of the screen."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Locator, Page, expect

__all__ = ["button", "expect", "node", "state", "stream", "tab"]


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def tab(page: Page, name: str) -> Locator:
    return page.get_by_role("tab", name=name)


def state(page: Page) -> Locator:
    """The state of the execution that is shown."""
    return page.locator(".title-line .pill")


def node(page: Page, node_id: str) -> Locator:
    """A node of the picture."""
    return page.locator(f"#node-{node_id}")


def stream(page: Page) -> Locator:
    """The text as it streams."""
    return page.get_by_role("log", name="Steps and text")


async def evaluate(page: Page, script: str) -> Any:
    return await page.evaluate(script)
