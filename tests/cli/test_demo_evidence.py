"""What the demo holds its worker to: each check is red where something was written again that was kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from offbook.cli.demo_evidence import (
    Calls,
    DemoFailed,
    check_calls,
    check_chapters,
    check_receipt,
    count_calls,
    show_book,
)
from offbook.workflows.values import JsonObject


def status(*started: tuple[int, str], kept_items: int = 2, repeated_calls: int = 1) -> JsonObject:
    """A status whose steps say that these items of `chapters` were started."""
    return {
        "processing_steps": [
            {"seq": 1, "node_id": "chapters", "item": None, "kind": "started", "text": ""},
            {"seq": 2, "node_id": "revised", "item": 0, "kind": "started", "text": ""},
            *(
                {"seq": 3 + place, "node_id": "chapters", "item": item, "kind": "started", "text": text}
                for place, (item, text) in enumerate(started)
            ),
        ],
        "receipt": {
            "kept_nodes": 4,
            "kept_items": kept_items,
            "repeated_calls": repeated_calls,
            "saved": {"tokens": 9, "seconds": 1.0},
        },
    }


def test_attempt_that_was_repeated_keeps_its_number() -> None:
    told = status((0, ""), (1, ""), (1, ""), (2, ""), (2, "repeated"))
    assert [str(count_calls(told, "chapters", chapter)) for chapter in range(3)] == [
        "attempt 1",
        "attempt 2",
        "attempt 1, repeated",
    ]


def test_chapter_with_other_words_is_told() -> None:
    check_chapters({0: "one", 1: "two"}, {0: "one", 1: "two"})
    with pytest.raises(DemoFailed, match="chapter 2 was kept, and it has been written again"):
        check_chapters({0: "one", 1: "two"}, {0: "one", 1: "another"})


def test_call_that_was_not_due_is_told() -> None:
    before = Calls(attempts=4)
    check_calls(before, Calls(attempts=4, repeats=1), 2, repeats=1)
    for after in (Calls(attempts=5), Calls(attempts=4, repeats=2), before):
        with pytest.raises(DemoFailed, match=r"chapter 3 was at attempt 4 .* at attempt"):
            check_calls(before, after, 2, repeats=1)


def test_receipt_of_more_than_one_repeated_call_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    check_receipt(status(), kept_items=2, repeated_calls=1)
    assert "kept 4 nodes and 2 items, repeated 1 calls" in capsys.readouterr().out
    for wrong in (status(repeated_calls=2), status(kept_items=1)):
        with pytest.raises(DemoFailed, match="2 chapters were to be kept and 1 calls repeated"):
            check_receipt(wrong, kept_items=2, repeated_calls=1)


def test_book_that_is_not_there_is_told(tmp_path: Path) -> None:
    book = {"words": 3, "markdown": str(tmp_path / "book.md"), "html": str(tmp_path / "book.html")}
    (tmp_path / "book.md").write_text("# Book")
    with pytest.raises(DemoFailed, match=r"book\.html was to be the book"):
        show_book(book, 1.0)
