"""How much is shipped for a page and how soon it can be used, and lists of ten thousand."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Page

from offbook.workflows.values import JsonObject
from tests.page.conftest import Open
from tests.page.documents import novel
from tests.page.looking import expect
from tests.page.server import Server
from tests.scenarios.documents import foreach, llm, output, template, workflow

MOST_BYTES = 100_000
MOST_SECONDS = 1.0
ATTEMPTS = 3
"""Loads of which the fastest counts: other tests and people use the machine too."""
NODES, ITEMS = 200, 500
ROWS = 10_000
MOST_ELEMENTS = 120
"""Rows that may be elements at once."""
SLOWEST_FRAME = 0.25
"""Seconds that a frame may take while the list is scrolled; several times what it takes on a machine of its own."""

USABLE = """
() => {
  const look = () => {
    const ready = document.querySelectorAll(%r).length >= %d && document.querySelector(".buttons button, .button");
    if (ready) window.usable = performance.now();
    else requestAnimationFrame(look);
  };
  look();
}
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


async def shipped(page: Page, url: str, selector: str, number: int) -> tuple[int, float]:
    """Load a page that has nothing in its cache; return the bytes that came, and the seconds until it was usable."""
    network = await page.context.new_cdp_session(page)
    await network.send("Network.enable")
    sizes: dict[str, int] = {}
    network.on("Network.dataReceived", lambda event: _count(sizes, event))
    network.on("Network.responseReceived", lambda event: _count(sizes, event["response"] | event))
    await page.add_init_script(f"({USABLE % (selector, number)})()")
    await page.goto(url)
    await page.locator(selector).nth(number - 1).wait_for(state="attached")
    usable: float | None = None
    while usable is None:
        usable = await page.evaluate("() => window.usable ?? null")
    return sum(sizes.values()), usable / 1000


def _count(sizes: dict[str, int], event: dict[str, int]) -> None:
    name = str(event["requestId"])
    sizes[name] = sizes.get(name, 0) + int(event["encodedDataLength"])


async def measured(open_page: Open, url: str, selector: str, number: int) -> None:
    found = []
    for _ in range(ATTEMPTS):
        page = await open_page("nothing")
        found.append(await shipped(page, url, selector, number))
    size, seconds = max(size for size, _ in found), min(seconds for _, seconds in found)
    print(f"{url}: {size} bytes, usable after {seconds:.3f} s")
    assert 10_000 < size < MOST_BYTES
    assert seconds < MOST_SECONDS


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
    await expect(page.locator(".title-line .pill")).to_have_text("completed", timeout=20_000)
    await expect(page.locator("#node-items .strip-done")).to_have_attribute("width", "152.0")
    await expect(page.locator(".node")).to_have_count(NODES)
    assert await page.locator("*").count() < 12_000


@pytest.fixture
def full_server(tmp_path: Path) -> Iterator[Server]:
    """A server with ten thousand ended executions: one that ran, and copies of its row."""
    server = Server(tmp_path / "data")
    server.start()
    server.until(server.begin(novel(rate=0), {"premise": "rain", "chapters": 1}), "completed")
    server.stop()
    database = sqlite3.connect(next((tmp_path / "data").glob("*.db")))
    columns = [row[1] for row in database.execute("PRAGMA table_info(executions)")]
    changed = {
        "execution_id": "printf('%032x', n)",
        "created_at": "created_at - 60 * n",
        "status": "CASE n % 3 WHEN 0 THEN 'failed' WHEN 1 THEN 'cancelled' ELSE 'completed' END",
    }
    values = ", ".join(changed.get(column, column) for column in columns)
    database.execute(
        f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {ROWS - 1}) "
        f"INSERT INTO executions ({', '.join(columns)}) SELECT {values} FROM executions, numbers"
    )
    database.commit()
    database.close()
    server.start()
    yield server
    server.stop()


async def test_ten_thousand_rows_are_scrolled_through_smoothly(full_server: Server, open_page: Open) -> None:
    page = await open_page("#/executions", server=full_server)
    await page.locator(".rows .row").first.wait_for()
    await page.evaluate(
        """
        () => {
          window.frames_seen = [];
          let last = performance.now();
          const frame = (now) => {
            window.frames_seen.push(now - last);
            last = now;
            requestAnimationFrame(frame);
          };
          requestAnimationFrame(frame);
        }
        """
    )
    table = page.locator(".table")
    most = 0
    for _ in range(400):
        place = await table.evaluate("(table) => { table.scrollTop += 20_000; return table.scrollTop }")
        most = max(most, await page.locator(".rows .row").count())
        told = await page.get_by_role("status").first.text_content()
        if told == f"{ROWS:,} executions" and place + 1000 > ROWS * 42:
            break
    await expect(page.get_by_role("status").first).to_have_text(f"{ROWS:,} executions")
    await expect(page.locator(".rows .row").last).to_contain_text(f"{ROWS - 1:032x}"[:8])
    assert most < MOST_ELEMENTS
    frames = sorted(await page.evaluate("window.frames_seen"))
    assert frames[int(0.99 * len(frames))] / 1000 < SLOWEST_FRAME
    await page.get_by_label("Search").fill(f"{4711:032x}"[-6:])
    await expect(page.locator(".rows .row")).to_have_count(1)
