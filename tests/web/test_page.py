"""The page's files: what a browser is sent, and with which headers."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import offbook.web
from offbook.web.page import PageFiles
from tests.web.conftest import Client, Connect

STATIC = Path(offbook.web.__file__).parent / "static"
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
FIRST_LOAD = 100_000
"""Bytes that may be shipped for the first page."""


async def test_browser_gets_the_page_and_anybody_else_json(client: Client) -> None:
    page = await client.get("/", headers=HTML)
    assert (page.status, page.content_type) == (200, "text/html")
    assert "<main" in await page.text()
    assert (await client.get("/", headers={"Accept": "*/*"})).content_type == "application/json"


async def test_policy_lets_a_browser_load_only_what_the_server_serves(client: Client) -> None:
    page = await client.get("/", headers=HTML)
    policy = dict(part.split(" ", 1) for part in page.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert page.headers["X-Content-Type-Options"] == "nosniff"


async def test_files_are_kept_for_ever_and_the_entry_is_asked_for_again(client: Client) -> None:
    page = await client.get("/", headers=HTML)
    addresses = re.findall(r'(?:src|href)="(/static/[^"]+)"', await page.text())
    assert len(addresses) >= 5
    for address in addresses:
        found = await client.get(address)
        assert (found.status, "immutable" in found.headers["Cache-Control"]) == (200, True)
        assert found.headers["X-Content-Type-Options"] == "nosniff"
        assert ("Content-Security-Policy" in found.headers) == address.endswith(".svg")
    again = await client.get("/", headers={**HTML, "If-None-Match": page.headers["ETag"]})
    assert (again.status, page.headers["Cache-Control"]) == (304, "no-cache")


async def test_files_of_another_version_and_other_files_are_not_found(client: Client) -> None:
    build = PageFiles().build
    assert (await client.get(f"/static/{build}/app.js")).status == 200
    assert (await client.get("/static/0000000000000000/app.js")).status == 404
    for name in ("..%2fapp.py", "%2e%2e/app.py", "nothing.js", "app.js%00"):
        assert (await client.get(f"/static/{build}/{name}")).status in (400, 404)


async def test_page_is_served_without_a_token_and_nothing_else_is(connect: Connect) -> None:
    client = await connect(internal_token="secret")
    assert (await client.get("/", headers=HTML)).status == 200
    assert (await client.get(f"/static/{PageFiles().build}/app.js")).status == 200
    for path in (
        "/",
        "/executions",
        "/workflows",
        "/actors",
        "/workflows/x/layout",
        f"/executions/{'0' * 32}/inputs",
    ):
        assert (await client.get(path)).status == 401, path


async def test_foreign_host_is_refused_the_page_too(client: Client) -> None:
    assert (await client.get("/", headers={**HTML, "Host": "evil.example"})).status == 421


def test_whole_page_is_small_and_names_no_other_server() -> None:
    files = PageFiles().files
    assert sum(len(file.compressed) for file in files.values()) < FIRST_LOAD
    for name, file in files.items():
        text = file.body.decode()
        assert gzip.decompress(file.compressed) == file.body
        foreign = set(re.findall(r"(?:https?:)?//[\w.-]+\.[a-z]{2,}", text)) - {"http://www.w3.org"}
        assert not foreign, f"{name} names {foreign}"


def test_no_script_or_style_can_parse_html_or_is_inline() -> None:
    for path in STATIC.glob("*.js"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|srcdoc", text
        ), path
        for line in text.splitlines():
            assert 'setAttribute("style"' not in line
    entry = (STATIC / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*src=)", entry)
