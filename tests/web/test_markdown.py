"""Markdown as a tree: what models write becomes tags of a short list, and nothing else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbook.web.markdown import ALLOWED, MAX_CHARACTERS, Tree, as_markdown, render
from offbook.workflows.values import JsonValue

PLANTED = "<script>alert(1)</script><img src=x onerror=alert(1)>"


def blocks(text: str) -> Tree:
    found: Tree = render(text)["blocks"]
    return found


def test_common_markdown_becomes_a_tree() -> None:
    assert blocks("# Night\n\nA *lamp* and a **moth**.\n\n- one\n- two") == [
        ["h1", ["Night"]],
        ["p", ["A ", ["em", ["lamp"]], " and a ", ["strong", ["moth"]], "."]],
        ["ul", [["li", ["one"]], ["li", ["two"]]]],
    ]
    assert blocks("3. c\n4. d") == [["ol", [["li", ["c"]], ["li", ["d"]]], {"start": 3}]]
    assert blocks("```py\nx = 1\n```") == [["pre", [["code", ["x = 1\n"]]]]]
    assert blocks("a|b\n-|-\n1|2")[0][0] == "table"


def test_html_stays_text() -> None:
    assert blocks(PLANTED) == [["p", [PLANTED]]]
    assert blocks(f"<div>\n{PLANTED}\n</div>") == [["p", ["<div>", "\n", PLANTED, "\n", "</div>"]]]


@pytest.mark.parametrize(
    "href", ["javascript:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "/actors"]
)
def test_link_that_is_none_leads_nowhere(href: str) -> None:
    assert "href" not in json.dumps(blocks(f"[here]({href}) and <{href}>"))


def test_link_keeps_its_address_and_a_picture_only_its_description() -> None:
    assert blocks("[here](https://example.org/a)") == [["p", [["a", ["here"], {"href": "https://example.org/a"}]]]]
    assert blocks("![a lamp](https://example.org/spy.png)") == [["p", [["em", ["[picture: a lamp]"]]]]]


@given(st.text(alphabet="<>/\\`*_[]()!#-+|&;:\"'= \nabjs", max_size=200))
def test_no_text_gives_a_tag_or_an_attribute_that_is_not_allowed(text: str) -> None:
    for tag, attributes in _elements(blocks(text)):
        assert tag in ALLOWED
        assert set(attributes) <= {"href", "start"}
        assert not str(attributes.get("href", "http://")).lower().startswith("javascript")


def test_deep_nesting_is_cut_and_not_followed() -> None:
    assert render(">" * 5000 + " deep")["characters"] == 5005
    assert render("*" * 20_000)["end"] == 20_000


def test_long_text_comes_in_parts_that_end_between_paragraphs() -> None:
    paragraph = "word " * 200
    text = "\n\n".join([paragraph.strip()] * 500)
    start, shown = 0, 0
    while True:
        part = render(text, start)
        shown += len(part["blocks"])
        assert part["end"] - start <= MAX_CHARACTERS
        if part["end"] == part["characters"]:
            break
        start = part["end"]
    assert (part["characters"], shown) == (len(text), 500)
    assert render(text, 10**9)["blocks"] == []


def test_outputs_that_are_no_text_are_shown_as_what_they_are() -> None:
    assert as_markdown("a") == "a"
    assert as_markdown(["a", "b"]) == "a\n\nb"
    assert blocks(as_markdown({"a": "```"})) == [["pre", [["code", ['{\n  "a": "```"\n}\n']]]]]
    assert blocks(as_markdown([])) == [["pre", [["code", ["[]\n"]]]]]


def _elements(tree: JsonValue) -> list[tuple[str, dict[str, JsonValue]]]:
    found = []
    for each in tree:
        if isinstance(each, list):
            found.append((each[0], each[2] if len(each) > 2 else {}))
            found.extend(_elements(each[1]))
    return found
