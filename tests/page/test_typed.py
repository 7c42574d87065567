"""What is typed stays, is checked as it is now, and is sent once."""

from __future__ import annotations

from playwright.async_api import Route

from tests.page.conftest import Open
from tests.page.documents import novel, slow
from tests.page.looking import button, expect
from tests.page.server import Server


async def test_what_is_typed_into_a_start_stays_for_whoever_comes_back(server: Server, open_page: Open) -> None:
    server.call("POST", "/workflows", novel(name="typed"))
    server.call("POST", "/workflows", slow(name="other"))
    page = await open_page("#/start/typed")
    await page.get_by_label("What the story is about").fill("A lamp writes letters")
    await page.get_by_label("A cover").check()
    await page.get_by_label("For the user").fill("ada")
    await page.get_by_text("Labels, durability, budget").click()
    await page.get_by_label("Labels", exact=True).fill("order=20")
    await page.get_by_label("Workflow", exact=True).select_option("other")
    await expect(page.locator("#node-text")).to_be_visible()
    await expect(page.get_by_label("For the user")).to_have_value("ada")
    await expect(page.get_by_label("Labels", exact=True)).to_be_visible()
    await expect(page.get_by_label("Labels", exact=True)).to_have_value("order=20")
    await page.go_back()
    await expect(page.get_by_label("What the story is about")).to_have_value("A lamp writes letters")
    await expect(page.get_by_label("A cover")).to_be_checked()


async def test_start_whose_answer_was_lost_is_not_made_twice(server: Server, open_page: Open) -> None:
    server.call("POST", "/workflows", novel(name="once", rate=0))
    page = await open_page("#/start/once")
    await page.get_by_label("What the story is about").fill("rain")
    await page.get_by_label("For the user").fill("ada")
    lost = []

    async def lose_the_first(route: Route) -> None:
        response = await route.fetch()
        lost.append(response.status)
        if len(lost) == 1:
            await route.abort()
        else:
            await route.fulfill(response=response)

    await page.route("**/executions", lose_the_first)
    await button(page, "Start").click()
    await expect(page.locator(".said")).to_contain_text("The start did not work: the server cannot be reached")
    await button(page, "Start").click()
    await expect(page.locator(".crumb")).to_be_visible()
    assert lost == [202, 202]
    assert len(server.call("GET", "/executions?workflow=once")["executions"]) == 1


async def test_document_that_is_written_stays_and_only_its_last_check_counts(server: Server, open_page: Open) -> None:
    server.call("POST", "/workflows", slow(name="beside"))
    page = await open_page("#/workflows")
    document = page.get_by_label("A workflow document")
    checked = []

    async def answer_the_first_last(route: Route) -> None:
        checked.append(route)
        if len(checked) == 2:
            await checked[1].continue_()
            await expect(page.locator(".faults")).to_be_visible()
            await checked[0].continue_()

    await page.route("**/workflows/validate", answer_the_first_last)
    whole = "name: whole\nnodes:\n  - {id: a, type: template, config: {text: hello}}\n"
    async with page.expect_request("**/workflows/validate"):
        await document.fill(whole)
    async with page.expect_response(lambda response: response.request.post_data == whole):
        await document.fill(f"{whole}broken: yes\n")
    await expect(page.locator(".faults")).to_contain_text("broken")
    await expect(button(page, "Register")).to_be_disabled()
    await page.get_by_role("link", name="beside").click()
    await expect(page.locator("#node-text")).to_be_visible()
    await page.go_back()
    await expect(document).to_have_value(f"{whole}broken: yes\n")


async def test_only_operators_are_offered_to_register(server: Server, open_page: Open) -> None:
    page = await open_page("#/workflows", extra_http_headers={"X-Offbook-User": "ben"})
    await expect(button(page, "Validate")).to_be_visible()
    await expect(button(page, "Register")).to_have_count(0)
    await expect(page.get_by_text("Registering is for operators")).to_be_visible()
