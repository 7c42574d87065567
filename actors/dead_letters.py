"""Messages that came too late or could not be handled: counted, and the latest of them kept. Decides nothing."""

from __future__ import annotations

from collections import Counter, deque

from offbook.workflows.values import JsonObject, format_time

LETTERS_KEPT = 200


class DeadLetters:
    """What was refused, by reason. Added to from any thread."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._latest: deque[tuple[float, str, str, str]] = deque(maxlen=LETTERS_KEPT)

    @property
    def count(self) -> int:
        return sum(self._counts.values())

    def add(self, at: float, reason: str, execution_id: str, detail: str) -> None:
        """Note a letter: `reason` is one of few words (`stale`, `stale-write`, `nobody`, `unrecoverable`)."""
        self._counts[reason] += 1
        self._latest.append((at, reason, execution_id, detail[:300]))

    def to_json(self) -> JsonObject:
        """Show how many there were of each kind, and the latest, newest first."""
        return {
            "count": self.count,
            "reasons": dict(self._counts),
            "latest": [
                {"at": format_time(at), "reason": reason, "execution_id": execution_id or None, "detail": detail}
                for at, reason, execution_id, detail in reversed(self._latest)
            ],
        }
