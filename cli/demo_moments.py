"""The moments that the demo watches for: a chapter has begun, a chapter is in its middle. Does nothing then."""

from __future__ import annotations

from offbook.cli.watched import Watched

PARTLY = 100
"""Characters of a chapter with which it is in its middle."""


def has_begun(watched: Watched, node_id: str, chapter: int) -> bool:
    """Say whether a chapter is being written."""
    return chapter in watched.running_items(node_id)


def is_in_the_middle(watched: Watched, node_id: str, chapter: int) -> bool:
    """Say whether a chapter is partly written."""
    written = len(watched.latest_text("text", node_id=node_id, item=chapter))
    return has_begun(watched, node_id, chapter) and written >= PARTLY
