"""Pictures of the main pages, with something on them: into docs/images with OFFBOOK_SCREENSHOTS=1.

Without it they are taken all the same, to see that they can be.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Page

from offbook.workflows.values import JsonObject
from tests.page.conftest import Open
from tests.page.looking import expect, node, state, stream
from tests.page.server import ROOT, Server
from tests.scenarios.documents import approval, foreach, llm, output, workflow

LARGEST = 200_000
"""Bytes of a picture."""
PRICES = """
currency = "USD"
[models."scripted/writer"]
input = "2.50"
output = "10.00"
"""
BREAK = "\n\n---\n\n"
PLACE, PEOPLE, *CHAPTERS = (Path(__file__).parent / "probes" / "lamp.txt").read_text(encoding="utf-8").split(BREAK)
OUTLINE = (
    "# The lamp at the end of the pier\n\n1. **Fog**, in which a letter is found under a lamp\n"
    "2. **The undeliverable**, in which Maarten breaks a rule\n3. **Three flickers**, in which somebody answers\n"
)


def lamp(*, rate: float, fails: bool = False) -> JsonObject:
    """A short book with real sentences; its second chapter may be refused once."""
    texts = "".join(
        f"{{% {'el' if number else ''}if index == {number} %}}{text.strip()}" for number, text in enumerate(CHAPTERS)
    )
    chapter = llm(
        "chapter",
        "Chapter {{ index + 1 }} of {{ inputs.premise }}",
        script={
            "text": texts + "{% endif %}",
            "tokens_per_second": rate,
            "fail": [{"item": 1, "error": "rate_limit"}] if fails else [],
        },
        retry={"attempts": 3, "delay": 0.2},
    )
    return workflow(
        llm(
            "place",
            "Where {{ inputs.premise }}",
            label="The place",
            script={"text": PLACE, "tokens_per_second": 90},
        ),
        llm("people", "Who", label="The people", script={"text": PEOPLE, "tokens_per_second": 60}),
        llm("outline", "An outline", label="Outline", needs=["place", "people"], script={"text": OUTLINE}),
        foreach("chapters", chapter, label="Chapters", needs=["outline"], count=len(CHAPTERS)),
        llm("cover", "A cover", label="Cover", needs=["outline"], when="inputs.cover", script={"words": 5}),
        approval("review", needs=["chapters"], form={"type": "object", "properties": {}}),
        output("book", "{{ nodes.chapters.output | join('\n\n') }}", label="Book", needs=["review", "cover"]),
        name="lamplighter",
        description="A premise in, a short book out, with somebody's approval in between.",
        inputs={
            "premise": {"type": "text", "required": True, "label": "What the story is about"},
            "tone": {"type": "select", "options": ["warm", "dry", "dark"], "default": "warm", "label": "Tone"},
            "cover": {"type": "boolean", "label": "A cover"},
        },
    )


@pytest.fixture
def busy_server(tmp_path: Path) -> Iterator[Server]:
    """A server with prices, on which executions are in many states."""
    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES)
    server = Server(tmp_path / "data", OFFBOOK_PRICES=str(prices))
    server.start()
    server.call("POST", "/workflows", {**lamp(rate=0), "description": "A premise in, a short book out."})
    server.call("POST", "/workflows", lamp(rate=0))
    yield server
    server.stop()


def fill(server: Server) -> None:
    """Leave executions of several users in several states."""
    plain = {"premise": "a lamp that is written to"}
    for user, order in (("ada", 4711), ("grace", 4712), ("ben", 4713), ("ada", 4714)):
        waiting = server.begin(lamp(rate=0), plain, user={"id": user}, labels={"order": str(order)})
        server.until(waiting, "waiting")
        if user == "ben":
            server.call("POST", f"/executions/{waiting}/cancel")
        elif order != 4714:
            server.call("POST", f"/executions/{waiting}/signals/review", {})
            server.until(waiting, "completed")
    broken = workflow(
        llm("summary", "A summary", script={"words": 90}),
        llm("check", "Checked", needs=["summary"], script={"fail": [{"error": "invalid_key", "attempt": "all"}]}),
        output("report", "{{ nodes.check.output }}", needs=["check"]),
        name="weekly report",
    )
    server.until(server.begin(broken, user={"id": "grace"}), "failed")
    report = llm("text", "A text", script={"words": 400, "tokens_per_second": 30})
    for user in ("grace", "ben"):
        server.begin(workflow(report, name="translation"), user={"id": user})


async def test_main_pages_can_be_shown(busy_server: Server, open_page: Open, tmp_path: Path) -> None:
    folder = ROOT / "docs" / "images" if os.environ.get("OFFBOOK_SCREENSHOTS") == "1" else tmp_path
    fill(busy_server)
    execution_id = busy_server.begin(
        lamp(rate=16, fails=True), {"premise": "a lamp that is written to"}, labels={"order": "4715"}
    )
    page = await open_page(
        f"#/executions/{execution_id}", server=busy_server, viewport={"width": 1360, "height": 900}
    )
    last = stream(page).get_by_role("region", name="Chapters 2", exact=True)
    await expect(last).to_have_text(re.compile("tries again.*Maarten.{300}", re.DOTALL))
    await expect(page.locator(".facts").first).to_contain_text("USD")
    await take(page, folder / "execution.png")
    await page.emulate_media(color_scheme="dark")
    await take(page, folder / "execution-dark.png")
    await page.emulate_media(color_scheme="light")
    await page.set_viewport_size({"width": 390, "height": 844})
    await take(page, folder / "phone.png")
    await page.set_viewport_size({"width": 1360, "height": 760})
    await page.goto(f"{busy_server.url}/#/executions")
    await expect(page.locator(".rows .row")).to_have_count(8)
    await take(page, folder / "executions.png")
    await page.goto(f"{busy_server.url}/#/actors/{execution_id}")
    await expect(page.locator(".findings")).to_be_visible()
    await expect(page.locator(".spark polyline")).to_have_attribute("points", re.compile(r"\S+ \S+"))
    await take(page, folder / "actors.png")
    await page.goto(f"{busy_server.url}/#/start/lamplighter")
    await page.get_by_label("What the story is about").fill("A lamp that is written to, and answers")
    await page.get_by_label("For the user").fill("ada")
    await page.get_by_role("button", name="Plan it").click()
    await expect(page.locator(".plan")).to_contain_text("USD")
    await take(page, folder / "start.png")
    await page.set_viewport_size({"width": 1360, "height": 1000})
    await page.goto(f"{busy_server.url}/#/workflows/lamplighter")
    await expect(node(page, "book")).to_be_visible()
    await page.get_by_role("tab", name="Versions").click()
    await page.get_by_role("button", name="Compare with this").click()
    await expect(page.locator(".diff .added")).to_be_visible()
    await take(page, folder / "workflows.png")
    await page.goto(f"{busy_server.url}/#/executions/{execution_id}")
    await expect(state(page)).not_to_have_text("completed")


async def take(page: Page, path: Path) -> None:
    """Write a picture, and see that it has something on it and is not too large."""
    await page.mouse.move(0, 0)
    data = await page.screenshot(animations="disabled")
    keep(path, data)
    size = page.viewport_size
    assert size is not None
    assert struct.unpack(">II", data[16:24]) == (size["width"], size["height"])
    assert 15_000 < len(data) < LARGEST, f"{path.name} has {len(data)} bytes"


def keep(path: Path, data: bytes) -> None:
    path.write_bytes(data)
