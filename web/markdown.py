"""Markdown as a tree of plain values, for a page to build elements from: no HTML is ever written or read.

A block or span is `[tag, children, attributes?]`, text is text. Tags are those of ALLOWED, attributes those named
beside them; what a document writes as HTML stays text.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

import orjson
from markdown_it import MarkdownIt
from markdown_it.token import Token

from offbook.workflows.values import JsonObject, JsonValue

Tree: TypeAlias = list[JsonValue]

MAX_CHARACTERS = 200_000
"""Of one answer: what is longer is shown in parts."""
MAX_DEPTH = 40

ALLOWED = frozenset(
    [
        "p",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "blockquote",
        "ul",
        "ol",
        "li",
        "pre",
        "code",
        "em",
        "strong",
        "s",
        "a",
        "br",
        "hr",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    ]
)
SCHEMES = ("http://", "https://", "mailto:")


def as_markdown(value: JsonValue) -> str:
    """Write an output as Markdown: text as it is, texts with blank lines between, anything else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        return "\n\n".join(value)
    fence = "`" * 8
    return f"{fence}\n{orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()}\n{fence}"


def render(text: str, start: int = 0) -> JsonObject:
    """Render a part of a text: `{blocks, start, end, characters}`; a part ends between two paragraphs."""
    end = _end_of_part(text, start)
    return {
        "blocks": _tree(_parser().parse(text[start:end])),
        "start": start,
        "end": end,
        "characters": len(text),
    }


def _end_of_part(text: str, start: int) -> int:
    limit = start + MAX_CHARACTERS
    if limit >= len(text):
        return len(text)
    between = text.rfind("\n\n", start + 1, limit)
    return between + 2 if between > 0 else limit


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    # Its own limit of nesting holds; raw HTML and what only looks like an address stay text.
    return MarkdownIt("commonmark", {"html": False, "linkify": False, "maxNesting": MAX_DEPTH}).enable(
        ["table", "strikethrough"]
    )


def _tree(tokens: list[Token]) -> Tree:
    root: Tree = []
    stack: list[Tree] = [root]
    for token in tokens:
        if token.type == "inline":
            stack[-1].extend(_tree(token.children or []))
        elif token.hidden:
            continue
        elif token.nesting == 1:
            children: Tree = []
            if token.tag in ALLOWED:
                stack[-1].append(_element(token, children))
                stack.append(children)
            else:
                stack.append(stack[-1])
        elif token.nesting == -1:
            stack.pop()
        else:
            stack[-1].extend(_single(token))
    return root


def _element(token: Token, children: Tree) -> Tree:
    attributes: JsonObject = {}
    if token.tag == "a":
        href = str(token.attrGet("href") or "")
        if href.lower().startswith(SCHEMES):
            attributes["href"] = href
    elif token.tag == "ol":
        start = token.attrGet("start")
        if isinstance(start, int):
            attributes["start"] = start
    return [token.tag, children, attributes] if attributes else [token.tag, children]


def _single(token: Token) -> Tree:
    match token.type:
        case "text" | "html_inline" | "html_block" | "text_special":
            return [token.content]
        case "softbreak":
            return ["\n"]
        case "hardbreak":
            return [["br", []]]
        case "hr":
            return [["hr", []]]
        case "code_inline":
            return [["code", [token.content]]]
        case "fence" | "code_block":
            return [["pre", [["code", [token.content]]]]]
        case "image":
            # Nothing is fetched from an address in a text: its description stands for it.
            return [["em", [f"[picture: {token.content}]"]]]
        case _:
            return [token.content] if token.content else []
