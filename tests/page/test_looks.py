"""Light and dark, a phone, a keyboard, a screen reader: the page is for everybody."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.page.conftest import Open
from tests.page.documents import novel, reviewed, slow
from tests.page.looking import button, expect, state, tab
from tests.page.server import Server
from tests.scenarios.documents import llm, workflow

PROBES = Path(__file__).parent / "probes"
LEAST_CONTRAST = 4.5
"""WCAG 2.2, AA, for text."""

CONTRASTS = (PROBES / "contrasts.js").read_text(encoding="utf-8")

SCALE = "document.querySelector('.graph-canvas > g').transform.baseVal.consolidate().matrix.a"
"""How large the graph is."""

NAMELESS = (PROBES / "nameless.js").read_text(encoding="utf-8")


async def all_views(server: Server, page: Page, execution_id: str) -> AsyncIterator[str]:
    """Show each view in turn."""
    for path, ready in (
        (f"executions/{execution_id}", ".graph .node"),
        ("executions", ".rows .row"),
        ("start/novel", ".start-form"),
        ("workflows/novel", ".document"),
        ("workflows", "#document"),
        ("actors", ".tree tbody tr"),
    ):
        await page.goto(f"{server.url}/#/{path}")
        await page.locator(ready).first.wait_for()
        yield path


@pytest.fixture
def failed(server: Server) -> str:
    """An execution that failed in chapter 2 and has a skipped node."""
    server.call("POST", "/workflows", novel())
    execution_id = server.begin(
        novel(rate=0, fail=[{"item": 1, "error": "invalid_key"}]), {"premise": "rain", "chapters": 3}
    )
    server.until(execution_id, "failed")
    return execution_id


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_text_has_enough_contrast_everywhere(server: Server, open_page: Open, failed: str, scheme: str) -> None:
    page = await open_page(color_scheme=scheme)
    async for path in all_views(server, page, failed):
        found = await page.evaluate(CONTRASTS)
        assert len(found) > 10
        poor = [each for each in found if each[0] < LEAST_CONTRAST]
        assert not poor, f"{path}: {poor}"


async def test_dark_follows_the_system_until_the_button_says_otherwise(server: Server, open_page: Open) -> None:
    page = await open_page("#/start", color_scheme="dark")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    dark = await page.evaluate(ground)
    await button(page, "Use light colours").click()
    light = await page.evaluate(ground)
    assert (dark, light) == ("rgb(20, 22, 26)", "rgb(246, 245, 241)")
    await page.reload()
    assert await page.evaluate(ground) == light
    await expect(button(page, "Use dark colours")).to_be_visible()


async def test_nothing_is_wider_than_a_phone(server: Server, open_page: Open, failed: str) -> None:
    page = await open_page(viewport={"width": 375, "height": 740}, has_touch=True, is_mobile=True)
    async for path in all_views(server, page, failed):
        width = await page.evaluate("document.documentElement.scrollWidth")
        assert width <= 375, f"{path} is {width} wide"
    await page.goto(f"{server.url}/#/executions/{failed}")
    await expect(button(page, "Resume …")).to_be_visible()


async def test_everything_that_is_used_has_a_name(server: Server, open_page: Open, failed: str) -> None:
    page = await open_page()
    async for path in all_views(server, page, failed):
        assert await page.evaluate(NAMELESS) == [], path
        assert await page.locator("h1:visible").count() == 1, path
        assert await page.evaluate("document.title") != "Offbook"


async def test_keyboard_alone_opens_looks_and_cancels(server: Server, open_page: Open) -> None:
    execution_id = server.begin(slow(name="by_keyboard"))
    page = await open_page("#/executions?workflow=by_keyboard")
    await page.locator(".rows .row").first.wait_for()
    await page.keyboard.press("Tab")
    await expect(button(page, "Skip to content")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.locator(".table").focus()
    await page.keyboard.press("ArrowDown")
    await expect(page.locator(".rows a").first).to_be_focused()
    outline = await page.locator(".rows .row").first.evaluate("(row) => getComputedStyle(row).outlineStyle")
    assert outline == "solid"
    await page.keyboard.press("Enter")
    await expect(state(page)).to_have_text("running")
    await page.get_by_role("group", name="Arrow keys go from node to node").focus()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await expect(page.locator(".node-panel")).to_contain_text("Text")
    before = await page.locator(".graph-canvas > g").get_attribute("transform")
    await page.keyboard.press("+")
    assert await page.locator(".graph-canvas > g").get_attribute("transform") != before
    await page.keyboard.press("Escape")
    await expect(page.locator(".node-panel")).to_be_hidden()
    await tab(page, "Thinking").focus()
    await page.keyboard.press("ArrowRight")
    await expect(tab(page, "Outputs")).to_have_attribute("aria-selected", "true")
    await button(page, "Cancel …").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(button(page, "Cancel …")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Tab")
    await expect(button(page, "Cancel it")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator(".actions .said")).to_contain_text("Cancel was accepted")
    server.until(execution_id, "cancelled")


async def test_state_that_changes_is_said_and_not_only_coloured(server: Server, open_page: Open) -> None:
    execution_id = server.begin(reviewed())
    page = await open_page(f"#/executions/{execution_id}")
    await expect(state(page)).to_have_text("waiting")
    await expect(page.locator("#node-review")).to_have_attribute("aria-label", re.compile("waiting"))
    await expect(page.get_by_role("form", name="Answer review")).to_be_visible()


async def test_long_names_make_no_view_wider_than_its_screen(server: Server, open_page: Open) -> None:
    name = "a_name_that_has_no_place_to_break_" * 4
    execution_id = server.begin(slow(name=name))
    server.call("POST", "/workflows", slow(name=name))
    for width in (375, 1360):
        page = await open_page(viewport={"width": width, "height": 800})
        for view, ready in (("workflows", "#document"), (f"workflows/{name}", ".document"), ("actors", ".tree a")):
            await page.goto(f"{server.url}/#/{view}")
            await page.locator(ready).first.wait_for()
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, view
            if view.startswith("workflows/"):
                await tab(page, "Versions").click()
                assert await page.evaluate("document.documentElement.scrollWidth") <= width, "versions"
            if view != "actors":
                card = await page.get_by_role("navigation", name="Registered workflows").bounding_box()
                assert card is not None
                assert card["width"] <= 360
        if width > 1000:
            await expect(page.locator(".tree").get_by_text("Now, or last reason")).to_be_in_viewport()
    server.call("POST", f"/executions/{execution_id}/cancel")


async def test_two_fingers_move_and_enlarge_the_graph_and_one_scrolls_the_page(
    server: Server, open_page: Open, failed: str
) -> None:
    page = await open_page(
        f"#/executions/{failed}",
        viewport={"width": 375, "height": 740},
        has_touch=True,
        is_mobile=True,
        bypass_csp=True,
    )
    await page.locator(".node").first.wait_for()
    box = await page.locator(".graph-canvas").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = await page.context.new_cdp_session(page)

    async def fingers(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x + right, "y": y + down, "id": number} for number, (right, down) in enumerate(places)]
        await touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    before = await placed(page)
    await fingers("touchStart", (-20, 0), (20, 0))
    for apart in (30, 40):
        await fingers("touchMove", (-apart, 10), (apart, 10))
    await fingers("touchEnd")
    after = await placed(page)
    assert after[2] == pytest.approx(2 * before[2], rel=0.05)
    await expect(page.locator(".node-panel")).to_be_hidden()
    await fingers("touchStart", (0, 0))
    for down in range(-10, -110, -10):
        await fingers("touchMove", (0, down))
    await fingers("touchEnd")
    await page.wait_for_function("scrollY > 50")
    assert await placed(page) == after


async def test_wheel_scrolls_the_page_and_zooms_the_graph_with_ctrl_only(
    server: Server, open_page: Open, failed: str
) -> None:
    # Asking a page again and again for what it has come to is what its policy forbids.
    page = await open_page(f"#/executions/{failed}", viewport={"width": 900, "height": 500}, bypass_csp=True)
    await page.locator(".node").first.wait_for()
    hint = page.get_by_text("Ctrl and the wheel zoom")
    await expect(hint).to_be_hidden()
    await page.locator(".graph-canvas").hover()
    before = await placed(page)
    await page.mouse.wheel(0, 200)
    await page.wait_for_function("scrollY > 100")
    assert await placed(page) == before
    await expect(hint).to_be_visible()
    await page.locator(".graph-canvas").hover()
    scrolled = await page.evaluate("scrollY")
    for key in ("Control", "Meta"):
        size = (await placed(page))[2]
        await page.keyboard.down(key)
        await page.mouse.wheel(0, -100)
        await page.keyboard.up(key)
        await page.wait_for_function(f"{SCALE} > {size}")
    assert await page.evaluate("scrollY") == scrolled
    await page.get_by_role("button", name="Show the whole workflow").click()
    assert await placed(page) == before


async def test_end_of_an_id_is_shown_on_the_narrowest_screen(server: Server, open_page: Open, failed: str) -> None:
    page = await open_page(f"#/executions/{failed}", viewport={"width": 280, "height": 600})
    shown = page.locator(".crumb .id")
    await expect(shown).to_have_text(failed)
    assert await shown.evaluate("(id) => id.scrollWidth <= id.clientWidth")


async def test_graph_is_as_high_as_its_picture_needs(server: Server, open_page: Open) -> None:
    for length, name in ((2, "short"), (9, "long")):
        chain = [llm(f"n{place}", "x", needs=[f"n{place - 1}"] if place else []) for place in range(length)]
        server.call("POST", "/workflows", workflow(*chain, name=name))
    page = await open_page("#/workflows/short")
    heights = []
    for name in ("short", "long"):
        await page.goto(f"{server.url}/#/workflows/{name}")
        await page.get_by_role("heading", name=name).wait_for()
        box = await page.locator(".graph").bounding_box()
        assert box is not None
        heights.append(box["height"])
    short, long = heights
    assert short < 0.3 * 860, "little is in it, and what is below comes sooner"
    assert long > 0.6 * 860, "much is in it, and it can be read"
    assert long < 0.65 * 860, "what is said of a node below it is in sight"


async def placed(page: Page) -> list[float]:
    """Where the graph is, and how large."""
    transform = await page.locator(".graph-canvas > g").get_attribute("transform")
    return [float(number) for number in re.findall(r"-?\d+\.\d+", str(transform))]


async def test_times_are_told_by_the_clock_of_the_server(server: Server, open_page: Open) -> None:
    execution_id = server.begin(slow(name="timed", rate=10))
    page = await open_page("nothing")
    await page.clock.set_system_time(datetime.now(UTC) + timedelta(hours=1))
    await page.goto(f"{server.url}/#/executions/{execution_id}")
    time = page.locator(".facts").first.locator("div", has_text="Time").locator("dd")
    await expect(time).to_have_text(re.compile(r"^\d+(\.\d)? s$"))
    await page.goto(f"{server.url}/#/executions?workflow=timed")
    await expect(page.locator(".rows .col-age").first).to_have_text(re.compile(r"^\d+ s$"))
    server.call("POST", f"/executions/{execution_id}/cancel")
