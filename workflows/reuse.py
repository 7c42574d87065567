"""What a fork may keep of the execution it comes from: outputs, and the fingerprints under which they hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from offbook.workflows.effective import Hashes, effective_of
from offbook.workflows.errors import OffbookError
from offbook.workflows.scope import Scope
from offbook.workflows.types import NodeTypeInfo
from offbook.workflows.values import NO_USAGE, JsonObject, JsonValue, Usage

Place: TypeAlias = tuple[str, int | None]
"""A node, or an item of a foreach."""

EDITED = "edited"
"""In place of a fingerprint: the output was given by hand and is taken as it is."""
CHANGED = ""
"""In place of a fingerprint: the parent had an output here that cannot hold any more."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The output of one node or item of the parent, what it had cost, and when it still holds."""

    fingerprint: str
    """Of what it depended on; or EDITED, or CHANGED."""
    usage: Usage = NO_USAGE
    seconds: float = 0.0
    output: JsonValue = None


@dataclass(frozen=True, slots=True)
class Reuse:
    """What a fork was seeded with. Shared with the node runner, which compares; nothing of it changes."""

    parent_id: str
    places: Mapping[Place, Kept]
    hashes: Hashes = field(default_factory=dict)
    """Hashes of the fork's own outputs, as the node runner computes them."""

    def had_cost(self, node_id: str, item: int | None) -> bool:
        """Whether the parent had used tokens for an output here."""
        kept = self.places.get((node_id, item))
        return kept is not None and bool(kept.usage.tokens)

    def usable(self, place: Place) -> Kept | None:
        """Return what may be kept here; None if there is nothing, or nothing that could hold."""
        kept = self.places.get(place)
        return kept if kept is not None and kept.fingerprint != CHANGED else None

    def holds(self, scope: Scope, item: int | None, info: NodeTypeInfo) -> bool:
        """Whether what is kept here is what an attempt in this scope would have to give. Renders templates."""
        kept = self.usable((scope.node.id, item))
        if kept is None or kept.fingerprint == EDITED:
            return kept is not None
        try:
            return effective_of(scope, info).fingerprint(self.hashes) == kept.fingerprint
        except (OffbookError, TypeError):
            # The attempt itself says what is wrong.
            return False

    def with_outputs(self, outputs: Mapping[Place, JsonValue]) -> Reuse:
        """Give the places their outputs back, which are stored beside the state."""
        places = {
            place: replace(kept, output=outputs[place]) if place in outputs else kept
            for place, kept in self.places.items()
        }
        return replace(self, places=places)

    def to_state(self) -> JsonObject:
        """Write all but the outputs as JSON."""
        return {
            "parent": self.parent_id,
            "places": [
                [node_id, item, kept.fingerprint, kept.usage.to_state(), kept.seconds]
                for (node_id, item), kept in self.places.items()
            ],
        }

    @classmethod
    def from_state(cls, state: JsonObject) -> Reuse:
        return cls(
            state["parent"],
            {
                (node_id, item): Kept(fingerprint, Usage.from_state(usage), seconds)
                for node_id, item, fingerprint, usage, seconds in state["places"]
            },
        )
