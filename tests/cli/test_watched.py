"""Status answers put together, and how they look."""

from __future__ import annotations

import io

from rich.console import Console

from offbook.cli.display import render
from offbook.cli.watched import Change, Watched
from offbook.workflows.values import JsonObject


def payload(revision: int, *, partial: bool, **fields: object) -> JsonObject:
    return {
        "execution_id": "e" * 32,
        "workflow": {"name": "novella", "fingerprint": "f" * 64},
        "status": "running",
        "waiting": None,
        "partial": partial,
        "revision": revision,
        "epoch": 1,
        "result": None,
        "progress": {"percent": 41.7, "completed": 1, "total": 3, "current": ["chapters"]},
        "node_results": {},
        "processing_steps": [],
        "usage": {"input_tokens": 120, "output_tokens": 3400, "estimated": True},
        "cost": None,
        "db_ops": {"reads": 0, "writes": 1},
        "checkpoint": {"saved": False, "failed_at_node": None, "completed_nodes": []},
        "receipt": None,
        "error": None,
        **fields,
    }


def node(status: str, **fields: object) -> JsonObject:
    usage = {"input_tokens": 0, "output_tokens": 0, "estimated": False}
    return {"status": status, "attempt": 1, "usage": usage, "error": None, **fields}


def step(seq: int, kind: str, text: str = "", item: int | None = None, node_id: str = "chapters") -> JsonObject:
    return {"seq": seq, "at": None, "node_id": node_id, "item": item, "kind": kind, "text": text}


def items(completed: int, failed: int = 0) -> JsonObject:
    return {"completed": completed, "failed": failed, "total": 3}


def first() -> JsonObject:
    nodes = {"outline": node("completed"), "chapters": node("running", items=items(1)), "book": node("pending")}
    steps = [
        step(1, "started", item=0),
        step(2, "finished", item=0),
        step(3, "started", item=1),
        step(4, "thinking", "who is she?", item=1),
        step(5, "text", "It rained ", item=1),
    ]
    return payload(10, partial=False, node_results=nodes, processing_steps=steps)


def test_first_answer_tells_what_is_not_pending() -> None:
    assert Watched().apply(first()) == [
        Change(None, "running"),
        Change("outline", "completed"),
        Change("chapters", "running 1 of 3 items"),
    ]


def test_partial_answer_changes_only_what_it_has() -> None:
    watched = Watched()
    watched.apply(first())
    changes = watched.apply(
        payload(
            12,
            partial=True,
            node_results={"chapters": node("running", items=items(1), attempt=1)},
            processing_steps=[step(5, "text", "It rained on and ", item=1), step(6, "text", "on.", item=1)],
        )
    )
    assert changes == []
    assert watched.revision == 12
    assert list(watched.nodes) == ["outline", "chapters", "book"]
    assert watched.latest_text("text") == "It rained on and on."
    assert watched.latest_text("thinking") == "who is she?"
    assert watched.running_items("chapters") == [1]


def test_failure_is_told_with_its_reason() -> None:
    watched = Watched()
    watched.apply(first())
    error = {"type": "rate_limit", "message": "slow down", "hint": ""}
    changes = watched.apply(
        payload(
            13,
            partial=True,
            status="failed",
            node_results={"chapters": node("failed", items=items(1, 1), attempt=2, error=error)},
        )
    )
    assert changes == [
        Change(None, "failed"),
        Change("chapters", "failed 1 of 3 items (1 failed) attempt 2 - rate_limit: slow down"),
    ]


def test_resumed_execution_is_told_with_its_epoch() -> None:
    watched = Watched()
    watched.apply(payload(13, partial=False, status="failed"))
    assert watched.apply(payload(20, partial=True, epoch=2)) == [Change(None, "running (epoch 2)")]


def test_failed_execution_is_settled_once_its_checkpoint_is_saved() -> None:
    watched = Watched()
    settled = []
    for answer in (
        payload(12, partial=False),
        payload(13, partial=True, status="failed"),
        payload(14, partial=True, status="failed", checkpoint={"saved": True}),
        payload(15, partial=True, status="completed"),
    ):
        watched.apply(answer)
        settled.append(watched.settled)
    assert settled == [False, False, True, True]


def drawn(watched: Watched) -> str:
    out = io.StringIO()
    Console(file=out, width=120, force_terminal=False).print(render(watched))
    return out.getvalue()


def test_display_shows_bars_items_thinking_text_and_tokens() -> None:
    watched = Watched()
    watched.apply(first())
    screen = drawn(watched)
    for expected in (
        "novella",
        "running",
        "epoch 1",
        "42%",
        "~3400 out",
        "1/3 items",
        "[1]",
        "who is she?",
        "It rained",
    ):
        assert expected in screen
    assert "[0]" not in screen


def test_display_shows_where_it_failed_and_no_route_as_a_hint() -> None:
    watched = Watched()
    error = {"type": "timeout", "message": "[red]too slow[/]", "node_id": "chapters", "item": 1}
    watched.apply(payload(13, partial=False, status="failed", error={**error, "hint": "raise timeout.total"}))
    screen = drawn(watched)
    assert "chapters[1] failed" in screen
    assert "timeout: [red]too slow[/]" in screen
    assert "raise timeout.total" in screen
    watched.apply(payload(14, partial=False, status="failed", error={**error, "hint": "resume with POST /x"}))
    assert "POST" not in drawn(watched)


def test_display_shows_what_is_waited_for() -> None:
    watched = Watched()
    waiting = {"kind": "signal", "name": "approve", "until": "2026-11-23T16:32:05.123Z"}
    watched.apply(payload(13, partial=False, status="waiting", waiting=waiting))
    assert "waiting for signal approve until 2026-11-23" in drawn(watched)


def test_limit_that_is_waited_for_is_named() -> None:
    watched = Watched()
    limit = {"kind": "user", "why": "concurrency"}
    waiting = {"kind": "provider", "name": "ada", "until": None, "node_id": "chapters", "limit": limit}
    assert watched.apply(payload(10, partial=False, status="waiting", waiting=waiting)) == [
        Change(None, "waiting for the limit of the user ada")
    ]
    out = Console(file=io.StringIO(), width=100)
    out.print(render(watched))
    assert "waiting for the limit of the user ada" in out.file.getvalue()  # type: ignore[attr-defined]
