"""What resumes and restarts of an execution kept and repeated, as it is counted, shown and stored."""

from __future__ import annotations

from dataclasses import dataclass

from offbook.workflows.money import CURRENCY, cost_json
from offbook.workflows.reuse import Kept
from offbook.workflows.values import JsonObject, JsonValue, Usage


@dataclass(slots=True)
class Receipt:
    """What resumes and restarts of this execution kept and repeated."""

    kept_nodes: int = 0
    kept_items: int = 0
    repeated_calls: int = 0
    saved_tokens: int = 0
    saved_seconds: float = 0.0
    went_back_to: str = ""
    """`beginning` or `checkpoint`: a crash lost what was done since, because the durability is `exit`."""
    saved_cost: int = 0
    """What the attempts that were kept had cost, in billionths of the currency unit."""
    saved_unpriced: bool = False
    """Whether some of their tokens had no price."""
    saved_calls: int = 0
    """Nodes and items that were kept and had used tokens."""

    def keep(self, kept: Kept, *, item: bool) -> None:
        """Count an output that a fork kept."""
        if item:
            self.kept_items += 1
        else:
            self.kept_nodes += 1
        self.save(kept.usage, kept.seconds)

    def save(self, usage: Usage, seconds: float) -> None:
        """Count what was not done again."""
        self.saved_calls += 1 if usage.tokens else 0
        self.saved_tokens += usage.tokens
        self.saved_cost += usage.cost
        self.saved_unpriced |= usage.unpriced
        self.saved_seconds += seconds

    def to_json(self, currency: str = CURRENCY) -> JsonObject:
        saved = Usage(self.saved_tokens, cost=self.saved_cost, unpriced=self.saved_unpriced)
        return {
            "kept_nodes": self.kept_nodes,
            "kept_items": self.kept_items,
            "repeated_calls": self.repeated_calls,
            "went_back_to": self.went_back_to or None,
            "saved": {
                "calls": self.saved_calls,
                "tokens": self.saved_tokens,
                "cost": cost_json(saved, currency),
                "seconds": round(self.saved_seconds, 3),
            },
        }

    def to_state(self) -> list[JsonValue]:
        return [
            self.kept_nodes,
            self.kept_items,
            self.repeated_calls,
            self.saved_tokens,
            self.saved_seconds,
            self.went_back_to,
            self.saved_cost,
            self.saved_unpriced,
            self.saved_calls,
        ]

    @classmethod
    def from_state(cls, state: list[JsonValue]) -> Receipt:
        return cls(*state)
