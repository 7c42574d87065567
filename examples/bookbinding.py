"""Functions of the example workflows that make a book of chapters: Markdown, and HTML out of it. They ask no model.

What a model wrote is never trusted as HTML: tags in it are shown as text, and scripts and links that run code are not
let through.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from offbook.nodes import NodeContext, NodeFailure, node
from offbook.workflows.values import JsonObject

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 1.1rem/1.6 Georgia, serif; max-width: 38rem; margin: 3rem auto; padding: 0 1rem; color: #222; }}
h1, h2 {{ line-height: 1.2; font-weight: normal; }}
h2 {{ margin-top: 4rem; }}
nav {{ margin: 2rem 0; }}
img {{ max-width: 100%; }}
pre {{ white-space: pre-wrap; font-size: 0.8rem; }}
</style>
</head>
<body>
{cover}<h1>{title}</h1>
<p>{author}</p>
<nav><ol>
{contents}
</ol></nav>
{body}</body>
</html>
"""
FINISHED_SENTENCE = re.compile(r"[.!?…][\"'\u201d\u2019)*_]*$")
SVG = re.compile(r"<svg\b.*?</svg\s*>", re.DOTALL | re.IGNORECASE)
LONGEST_SLUG = 60


@node
def assemble_book(
    ctx: NodeContext,
    title: str,
    chapters: Sequence[str],
    titles: Sequence[str] = (),
    pictures: Sequence[str] | None = None,
    appendix: str = "",
) -> str:
    """Put chapters together as the Markdown of a book, each under a heading; the appendix is kept as it is.

    `pictures`: one answer of a model for each chapter; the SVG in it is shown before the chapter.
    """
    if titles and len(titles) != len(chapters):
        raise NodeFailure.of("check_failed", f"there are {len(chapters)} chapters and {len(titles)} titles")
    parts: list[str] = []
    for number, text in enumerate(chapters, start=1):
        called = one_line(titles[number - 1]) if titles else ""
        parts.append(f"## Chapter {number}: {called}" if called else f"## Chapter {number}")
        if pictures and find_svg(pictures[number - 1]):
            parts.append(f"![Chapter {number}]({picture_name(title, number)})")
        parts.append(finish(text))
        ctx.progress(number / len(chapters), f"chapter {number}")
    if appendix:
        fence = _fence_around(appendix)
        parts += ["## Appendix", f"{fence}text\n{appendix}\n{fence}"]
    return "\n\n".join(parts) + "\n"


@node
def export_book(
    ctx: NodeContext,
    title: str,
    author: str,
    markdown: str,
    folder: str,
    pictures: Sequence[str] | None = None,
    cover: str | None = None,
) -> JsonObject:
    """Write a book to `folder` as Markdown and HTML, named after its title; return the paths and the words.

    A repeat writes the same files again: each is there whole or not at all.
    """
    target = Path(folder).expanduser().resolve()
    target.mkdir(parents=True, exist_ok=True)
    name = slug(title)
    cover_name = f"{name}-cover.svg" if find_svg(cover or "") else ""
    if cover_name:
        write_whole(target / cover_name, find_svg(cover or ""))
    for number, answer in enumerate(pictures or (), start=1):
        picture = find_svg(answer)
        if picture:
            write_whole(target / picture_name(title, number), picture)
        else:
            ctx.think(f"the answer for picture {number} has no SVG in it: it is left out\n")
    heading = f"# {one_line(title)}\n\n{one_line(author)}\n\n"
    image = f"![Cover]({cover_name})\n\n" if cover_name else ""
    write_whole(target / f"{name}.md", image + heading + markdown)
    ctx.progress(0.5, "Markdown written")
    write_whole(target / f"{name}.html", page(title, author, markdown, cover=cover_name))
    return {
        "markdown": str(target / f"{name}.md"),
        "html": str(target / f"{name}.html"),
        "words": len(markdown.split()),
    }


def page(title: str, author: str, markdown: str, *, cover: str = "") -> str:
    """Render a book as one HTML page with contents; tags in its text are shown, not obeyed. `cover`: a file name."""
    renderer = MarkdownIt("commonmark", {"html": False})
    tokens = renderer.parse(markdown)
    entries: list[str] = []
    for number, (opening, text) in enumerate(_headings(tokens), start=1):
        opening.attrSet("id", f"part-{number}")
        entries.append(f'<li><a href="#part-{number}">{escape(text)}</a></li>')
    return PAGE.format(
        title=escape(one_line(title)),
        author=escape(one_line(author)),
        cover=f'<p><img src="{escape(cover)}" alt="Cover"></p>\n' if cover else "",
        contents="\n".join(entries),
        body=renderer.renderer.render(tokens, renderer.options, {}),
    )


def finish(text: str) -> str:
    """Trim a text; one that stops in the middle of a sentence gets an ellipsis."""
    text = text.strip()
    return text if not text or FINISHED_SENTENCE.search(text) else f"{text} …"


def find_svg(text: str) -> str:
    """Return the first SVG picture in a model's answer; empty if there is none."""
    found = SVG.search(text)
    return found.group() if found else ""


def one_line(text: str) -> str:
    return " ".join(text.split())


def slug(title: str) -> str:
    """Name a file after a title: lower-case ASCII letters, digits and hyphens, and so never a path."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return "-".join(re.findall(r"[a-z0-9]+", plain))[:LONGEST_SLUG].strip("-") or "book"


def picture_name(title: str, number: int) -> str:
    return f"{slug(title)}-picture-{number}.svg"


def write_whole(path: Path, text: str) -> None:
    """Write a file so that nobody ever sees half of it."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def _headings(tokens: Sequence[Token]) -> Iterator[tuple[Token, str]]:
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open" and opening.tag == "h2":
            yield opening, inline.content


def _fence_around(text: str) -> str:
    """Return a code fence that nothing in the text can close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    return "`" * max(3, longest + 1)
