"""What others wrote is shown as text, and nobody sees what is another's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.page.conftest import Open
from tests.page.documents import slow
from tests.page.looking import button, expect, state, tab
from tests.page.server import Server
from tests.scenarios.documents import approval, foreach, llm, output, workflow

PLANTED = "<img src=x onerror=alert(1)><script>alert(2)</script><b>bold</b>"
TOKEN = "a-token-of-tests"
MARKDOWN = f"# {PLANTED}\n\n[click](javascript:alert(3)) {PLANTED}\n\n<iframe src='/'></iframe>\n\n- {PLANTED}"


@pytest.fixture
def token_server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "data", OFFBOOK_INTERNAL_TOKEN=TOKEN)
    server.start()
    yield server
    server.stop()


def planted() -> dict[str, object]:
    """Markup in everything that users, models and documents write."""
    form = {
        "title": PLANTED,
        "description": PLANTED,
        "type": "object",
        "properties": {"note": {"type": "string", "title": PLANTED, "description": PLANTED}},
    }
    return workflow(
        llm("text", f"{PLANTED} {{{{ inputs.premise }}}}", label=PLANTED, script={"text": MARKDOWN}),
        foreach(
            "items", llm("do", "x", script={"text": MARKDOWN}), label=PLANTED, needs=["text"], items=[PLANTED, 1]
        ),
        approval("review", needs=["items"], form=form),
        output("told", "{{ nodes.text.output }}", label=PLANTED, needs=["review"]),
        name=PLANTED,
        description=PLANTED,
        inputs={"premise": {"type": "text", "required": True, "label": PLANTED, "description": PLANTED}},
    )


async def assert_clean(page: Page) -> None:
    """No element may come from what was planted; `open_page` fails for dialogs and policy violations."""
    for selector in ("img[src=x]", "main script", "main iframe", "main b", "[onerror]", "a[href^='javascript:']"):
        await expect(page.locator(selector)).to_have_count(0)


async def test_markup_is_text_wherever_it_is_planted(server: Server, open_page: Open) -> None:
    server.call("POST", "/workflows", planted())
    execution_id = server.begin(planted(), {"premise": PLANTED}, labels={PLANTED: PLANTED}, user={"id": PLANTED})
    page = await open_page(f"#/executions/{execution_id}")
    await expect(state(page)).to_have_text("waiting")
    await expect(page.get_by_role("heading", level=1)).to_have_text(PLANTED)
    await expect(page.locator(".facts").first).to_contain_text(f"{PLANTED}={PLANTED}")
    await expect(page.locator(".approval")).to_contain_text(PLANTED)
    await assert_clean(page)
    await tab(page, "Outputs").click()
    await page.get_by_role("combobox", name="Node").select_option("text")
    await expect(page.locator(".reading .was-h1")).to_have_count(1)
    await expect(page.locator(".reading .was-h1")).to_have_text(PLANTED)
    await expect(page.locator(".reading li")).to_have_text(PLANTED)
    await assert_clean(page)
    await button(page, "Raw").click()
    await expect(page.locator(".reading pre")).to_contain_text("<iframe src='/'>")
    await tab(page, "Inputs").click()
    await expect(page.locator(".entries:visible")).to_contain_text(PLANTED)
    await page.locator("#node-text").click()
    await expect(page.locator(".node-panel")).to_contain_text(PLANTED)
    await assert_clean(page)
    await page.goto(f"{server.url}/#/executions")
    await expect(page.locator(".rows")).to_contain_text(PLANTED)
    await assert_clean(page)
    for view in ("start", "workflows"):
        reference = server.call("GET", f"/status/{execution_id}")["workflow"]["fingerprint"]
        await page.goto(f"{server.url}/#/{view}/{reference}")
        await expect(page.locator("#node-text")).to_be_visible()
        await expect(page.locator("main")).to_contain_text(PLANTED)
        await assert_clean(page)
    await page.goto(f"{server.url}/#/actors")
    await expect(page.locator(".tree")).to_contain_text(PLANTED)
    await assert_clean(page)


async def test_failure_and_refusal_are_text(server: Server, open_page: Open) -> None:
    broken = workflow(
        llm("a", "x", script={"text": "{{ inputs.model }}"}), output("b", "{{ nodes.a.output }}", needs=["a"])
    )
    page = await open_page("#/workflows")
    await page.get_by_label("A workflow document").fill(
        str({**broken, "name": PLANTED, PLANTED: 1}).replace("'", '"')
    )
    await expect(page.locator(".faults li").first).to_contain_text("<img")
    await assert_clean(page)


async def test_user_sees_and_steers_only_what_is_theirs(server: Server, open_page: Open) -> None:
    hers = server.begin(slow(name="hers"), user={"id": "ada"})
    his = server.begin(slow(name="his"), user={"id": "ben"})
    page = await open_page("#/executions", extra_http_headers={"X-Offbook-User": "ben"})
    await expect(page.locator(".rows")).to_contain_text("his")
    await expect(page.locator(".rows")).not_to_contain_text("hers")
    await page.goto(f"{server.url}/#/executions/{hers}")
    await expect(page.get_by_role("heading", name="No such execution")).to_be_visible()
    await page.goto(f"{server.url}/#/executions/{his}")
    await expect(state(page)).to_have_text("running")
    await expect(page.get_by_role("link", name="Workflows")).to_be_visible()
    await expect(page.get_by_role("link", name="Actors")).to_have_count(0)
    await page.goto(f"{server.url}/#/actors")
    await expect(page.get_by_role("alert")).to_contain_text("for operators")
    for execution_id in (hers, his):
        server.call("POST", f"/executions/{execution_id}/cancel")


async def test_server_with_a_token_is_signed_into_for_one_user_and_out_of(
    token_server: Server, open_page: Open
) -> None:
    headers = {"X_Internal_Auth": TOKEN}
    body = {"workflow": slow(), "inputs": {}, "user": {"id": "ada"}}
    execution_id = token_server.call("POST", "/executions", body, **headers)["execution_id"]
    page = await open_page(f"#/executions/{execution_id}", server=token_server)
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    await expect(page.locator("main")).not_to_contain_text("slow")
    await page.get_by_label("Token").fill("wrong")
    await button(page, "Sign in").click()
    await expect(page.get_by_role("alert")).to_have_text("The server does not know this token.")
    await page.get_by_label("Token").fill(TOKEN)
    await page.get_by_label("As user").fill("ada")
    await button(page, "Sign in").click()
    await expect(state(page)).to_have_text("running")
    await expect(page.locator("header.top")).to_contain_text("ada")
    assert TOKEN not in await page.evaluate("document.cookie + JSON.stringify({...localStorage, ...sessionStorage})")
    # A server that has been started again knows no session: the page says so, and goes on once it is signed in.
    token_server.kill()
    await expect(page.locator("#banner")).to_contain_text("Connection lost")
    token_server.start()
    await expect(page.get_by_role("alert")).to_contain_text("The session is over")
    await page.get_by_label("Token").fill(TOKEN)
    await page.get_by_label("As user").fill("eve")
    await button(page, "Sign in").click()
    await expect(page.get_by_role("heading", name="No such execution")).to_be_visible()
    await button(page, "Sign out").click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_who_is_signed_in_finds_every_view_and_the_way_out_on_a_phone(
    token_server: Server, open_page: Open
) -> None:
    page = await open_page(
        server=token_server, viewport={"width": 375, "height": 740}, is_mobile=True, has_touch=True
    )
    await page.get_by_label("Token").fill(TOKEN)
    await button(page, "Sign in").click()
    await expect(page.get_by_role("heading", name="Executions")).to_be_visible()
    for name in ("Executions", "Start", "Workflows", "Actors"):
        link = page.get_by_role("navigation").get_by_role("link", name=name)
        await expect(link).to_be_in_viewport(ratio=1)
    await expect(button(page, "Sign out")).to_be_in_viewport(ratio=1)
    assert await page.evaluate("document.documentElement.scrollWidth") <= 375
