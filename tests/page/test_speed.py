"""How much is shipped for a page and how soon it can be used, and lists of ten thousand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import CDPSession, Page

from offbook.workflows.values import JsonObject
from tests.page.conftest import Open
from tests.page.documents import novel
from tests.page.full import start_full
from tests.page.looking import expect
from tests.page.server import Server
from tests.scenarios.documents import foreach, llm, output, template, workflow

MOST_BYTES = 100_000
MOST_SECONDS = 1.0
"""Of the processor, until a page can be used: how long that takes by the clock depends on what else runs there."""
NODES, ITEMS = 200, 500
ROWS = 10_000
MOST_ELEMENTS = 120
"""Rows that may be elements at once."""
MOST_A_STEP = 0.25
"""Seconds of the processor that a step of scrolling may take; several times what it takes."""

USABLE = """
([selector, number]) =>
  document.querySelectorAll(selector).length >= number && document.querySelector(".buttons button, .button") !== null
"""


def large() -> JsonObject:
    """Two hundred nodes in ranks of ten, each after two of the rank before, one of them over five hundred items."""
    nodes = [
        template(
            f"n{number}",
            f"text {number}",
            needs=[f"n{number - 10}", f"n{number // 10 * 10 - 10 + (number + 3) % 10}"] if number >= 10 else [],
        )
        for number in range(NODES - 2)
    ]
    each = llm("do", "Item {{ index }}", script={"words": 3})
    return workflow(
        *nodes,
        foreach("items", each, count=ITEMS, concurrency=50, needs=["n0"], label="Items"),
        output("all", "{{ nodes.items.output | length }}", needs=["items", f"n{NODES - 3}"]),
        name="large",
    )


class Meter:
    """Counts what the main thread of a page asks of the processor, in seconds."""

    def __init__(self, session: CDPSession) -> None:
        self.session = session

    @classmethod
    async def of(cls, page: Page) -> Meter:
        session = await page.context.new_cdp_session(page)
        await session.send("Performance.enable", {"timeDomain": "threadTicks"})
        return cls(session)

    async def seconds(self) -> float:
        told = await self.session.send("Performance.getMetrics")
        return next(float(each["value"]) for each in told["metrics"] if each["name"] == "TaskDuration")


async def shipped(page: Page, url: str, selector: str, number: int) -> tuple[int, float]:
    """Load a page that has nothing in its cache; return the bytes that came, and the seconds until it was usable."""
    meter = await Meter.of(page)
    network = meter.session
    await network.send("Network.enable")
    sizes: dict[str, int] = {}
    network.on("Network.dataReceived", lambda event: _count(sizes, event))
    network.on("Network.responseReceived", lambda event: _count(sizes, event["response"] | event))
    before = await meter.seconds()
    await page.goto(url)
    await page.wait_for_function(USABLE, arg=[selector, number])
    return sum(sizes.values()), await meter.seconds() - before


def _count(sizes: dict[str, int], event: dict[str, int]) -> None:
    name = str(event["requestId"])
    sizes[name] = sizes.get(name, 0) + int(event["encodedDataLength"])


async def measured(open_page: Open, url: str, selector: str, number: int) -> None:
    size, seconds = await shipped(await open_page("nothing"), url, selector, number)
    print(f"{url}: {size} bytes, usable after {seconds:.3f} s of the processor")
    assert 10_000 < size < MOST_BYTES
    assert 0 < seconds < MOST_SECONDS


async def test_first_page_is_small_and_usable_at_once(server: Server, open_page: Open) -> None:
    server.begin(novel(rate=0), {"premise": "rain"})
    await measured(open_page, f"{server.url}/", ".rows .row", 1)


async def test_large_execution_is_small_and_usable_at_once(server: Server, open_page: Open) -> None:
    execution_id = server.begin(large())
    server.until(execution_id, "completed")
    await measured(open_page, f"{server.url}/#/executions/{execution_id}", ".graph .node", NODES)


async def test_large_execution_is_followed_without_getting_behind(server: Server, open_page: Open) -> None:
    execution_id = server.begin(large())
    page = await open_page(f"#/executions/{execution_id}")
    await expect(page.locator(".title-line .pill")).to_have_text("completed")
    await expect(page.locator("#node-items .strip-done")).to_have_attribute("width", "152.0")
    await expect(page.locator(".node")).to_have_count(NODES)
    assert await page.locator("*").count() < 12_000


@pytest.fixture
def full_server(tmp_path: Path) -> Iterator[Server]:
    """A server with ten thousand ended executions."""
    server = Server(tmp_path / "data")
    start_full(server, ROWS)
    yield server
    server.stop()


async def test_ten_thousand_rows_are_scrolled_through_smoothly(full_server: Server, open_page: Open) -> None:
    page = await open_page("#/executions", server=full_server)
    await page.locator(".rows .row").first.wait_for()
    meter = await Meter.of(page)
    seconds, steps = await meter.seconds(), []
    table = page.locator(".table")
    most = 0
    for _ in range(400):
        place = await table.evaluate("(table) => { table.scrollTop += 20_000; return table.scrollTop }")
        most = max(most, await page.locator(".rows .row").count())
        before, seconds = seconds, await meter.seconds()
        steps.append(seconds - before)
        told = await page.get_by_role("status").first.text_content()
        if told == f"{ROWS:,} executions" and place + 1000 > ROWS * 42:
            break
    await expect(page.get_by_role("status").first).to_have_text(f"{ROWS:,} executions")
    await expect(page.locator(".rows .row").last).to_contain_text(f"{ROWS - 1:032x}"[-8:])
    assert most < MOST_ELEMENTS
    print(f"{len(steps)} steps, {max(steps):.3f} s of the processor at most")
    assert max(steps) < MOST_A_STEP
    await page.get_by_label("Search").fill(f"{4711:032x}"[-6:])
    await expect(page.locator(".rows .row")).to_have_count(1)
