"""Books out of chapters: what a model wrote stays text, and files stay in their folder."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from offbook.examples.bookbinding import assemble_book, export_book, find_svg, finish, page, slug
from offbook.nodes import NodeContext, NodeFailure
from offbook.workflows.scope import Scope
from offbook.workflows.values import Usage

SVG = '<svg xmlns="http://www.w3.org/2000/svg"><circle r="3"/></svg>'


class HeardSink:
    """Keeps what a function reports."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def report(self, kind: str, text: str) -> None:
        self.heard.append((kind, text))

    def fraction(self, value: float) -> None:
        return

    def usage(self, usage: Usage, model: str = "") -> None:
        return

    async def call_plain(self, function: object, *args: object, **kwargs: object) -> None:
        raise AssertionError("nothing here calls plain functions")

    def turn(self, provider: str, key: str | None, tokens: int) -> AbstractAsyncContextManager[bool]:
        raise AssertionError("nothing here calls a provider")


@pytest.fixture
def sink() -> HeardSink:
    return HeardSink()


@pytest.fixture
def ctx(sink: HeardSink) -> NodeContext:
    scope = Scope(plan=None, node=None, inputs={}, outputs={}, user=None)  # type: ignore[arg-type]
    return NodeContext("e" * 32, "book", None, 1, scope, sink)


def test_tags_in_chapters_and_titles_are_shown_and_not_obeyed(ctx: NodeContext) -> None:
    text = "<script>alert(1)</script>\n\nShe said <b onclick='x()'>no</b>. [here](javascript:alert(1))"
    html = page("A <i>title</i>", "<u>me</u>", assemble_book(ctx, "t", [text], titles=["<img src=x onerror=y()>"]))
    for tag in ("<script", "<b ", "<i>", "<u>", "<img", 'href="javascript'):
        assert tag not in html
    assert "&lt;script&gt;" in html
    assert "<title>A &lt;i&gt;title&lt;/i&gt;</title>" in html


def test_contents_lead_to_the_chapters(ctx: NodeContext) -> None:
    html = page("t", "a", assemble_book(ctx, "t", ["One.", "Two."], titles=["First", "Second"]))
    assert '<a href="#part-2">Chapter 2: Second</a>' in html
    assert '<h2 id="part-2">Chapter 2: Second</h2>' in html


def test_appendix_cannot_end_its_own_frame(ctx: NodeContext) -> None:
    appendix = "before\n````\n# not a heading\n<b>\n````\nafter"
    markdown = assemble_book(ctx, "t", ["One."], appendix=appendix)
    assert appendix in markdown
    assert "<h1>not a heading" not in page("t", "a", markdown)


def test_unfinished_sentence_gets_an_ellipsis() -> None:
    assert finish(" The lamp went ") == "The lamp went …"
    assert finish("“The lamp went.”\n") == "“The lamp went.”"
    assert finish("") == ""


def test_as_many_titles_as_chapters_are_needed(ctx: NodeContext) -> None:
    with pytest.raises(NodeFailure, match="2 chapters and 1 titles"):
        assemble_book(ctx, "t", ["One.", "Two."], titles=["First"])


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("The Lamp", "the-lamp"),
        ("../../etc/passwd", "etc-passwd"),
        ("Ärger, übel", "arger-ubel"),
        ("灯", "book"),
    ],
)
def test_file_name_is_no_path(title: str, name: str) -> None:
    assert slug(title) == name


def test_book_is_written_again_in_the_same_place(ctx: NodeContext, tmp_path: Path) -> None:
    first = export_book(ctx, "../The Lamp", "me", "## Chapter 1\n\nOne.\n", str(tmp_path / "books"))
    again = export_book(ctx, "../The Lamp", "me", "## Chapter 1\n\nTwo.\n", str(tmp_path / "books"))
    assert again == first
    assert sorted(path.name for path in (tmp_path / "books").iterdir()) == ["the-lamp.html", "the-lamp.md"]
    assert "Two." in Path(again["html"]).read_text()
    assert "Two." in Path(again["markdown"]).read_text()


def test_only_the_picture_of_an_answer_is_used(ctx: NodeContext, sink: HeardSink, tmp_path: Path) -> None:
    answers = [f"Here it is:\n```svg\n{SVG}\n```\nDo you like it?", "I cannot draw."]
    markdown = assemble_book(ctx, "Lamp", ["One.", "Two."], pictures=answers)
    export_book(ctx, "Lamp", "me", markdown, str(tmp_path), pictures=answers, cover=SVG)
    assert (tmp_path / "lamp-picture-1.svg").read_text() == SVG
    assert (tmp_path / "lamp-cover.svg").read_text() == SVG
    assert not (tmp_path / "lamp-picture-2.svg").exists()
    assert "lamp-picture-2.svg" not in markdown
    assert any("picture 2 has no SVG" in text for _, text in sink.heard)
    html = (tmp_path / "lamp.html").read_text()
    assert '<img src="lamp-picture-1.svg"' in html
    assert '<img src="lamp-cover.svg"' in html


def test_text_without_a_picture_has_none() -> None:
    assert find_svg("<svg> never closed") == ""
