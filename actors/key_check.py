"""Whether the keys are there that a workflow cannot do without, seen before it is accepted. Reads no key itself."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from offbook.nodes.providers.key_finder import KeyFinder
from offbook.workflows.document import CONTAINER_TYPE
from offbook.workflows.errors import Problem, ValidationFailed
from offbook.workflows.plan import Plan
from offbook.workflows.types import NodeTypes
from offbook.workflows.values import ExecutionUser, JsonObject

PLANS_KEPT = 1000

Needs = tuple[tuple[str, tuple[int, ...]], ...]
"""Providers, and the nodes that need their keys."""


class KeyCheck:
    """Names every key that is missing at once, so that nothing is paid for in an execution that cannot finish."""

    def __init__(self, types: NodeTypes, finder: KeyFinder | None) -> None:
        self._types = types
        self._finder = finder
        self._needs: dict[str, Needs] = {}

    async def check(self, plan: Plan, user: ExecutionUser, kept: Collection[str] = ()) -> None:
        """Raise ValidationFailed if it is known that a key is missing without which this cannot finish.

        `kept`: nodes whose output is there, and need not be made.
        """
        needs = self._needs_of(plan)
        if not needs or self._finder is None:
            return
        problems = []
        for provider, indexes in needs:
            open_ones = [index for index in indexes if plan.nodes[index].id not in kept]
            if open_ones and await self._finder.is_missing(user, provider):
                problems += [self._problem(plan, index, provider, user) for index in open_ones]
        if problems:
            raise ValidationFailed(problems)

    def describe(self, plan: Plan) -> JsonObject:
        """Return which nodes need a user, and which the key of which provider."""
        keys = {provider: [plan.nodes[index].id for index in indexes] for provider, indexes in self._needs_of(plan)}
        return {"user": list(plan.nodes_needing_user), "keys": keys}

    def _needs_of(self, plan: Plan) -> Needs:
        needs = self._needs.get(plan.fingerprint)
        if needs is None:
            if len(self._needs) >= PLANS_KEPT:
                self._needs.clear()
            needs = self._needs[plan.fingerprint] = self._find(plan)
        return needs

    def _find(self, plan: Plan) -> Needs:
        found: dict[str, list[int]] = {}
        certain: list[bool] = [False] * len(plan.nodes)
        for index in _in_order(plan):
            node = plan.nodes[index]
            certain[index] = not node.has_conditions and (not node.needs or any(certain[need] for need in node.needs))
            # A node that may be skipped, or may fail, keeps nothing from finishing.
            if certain[index] and not node.continue_on_error:
                for provider in self._keys_needed(node.body.type, node.body.config):
                    found.setdefault(provider, []).append(index)
        return tuple((provider, tuple(sorted(indexes))) for provider, indexes in found.items())

    def _keys_needed(self, type_name: str, config: Mapping[str, Any]) -> Iterable[str]:
        info = self._types.get(type_name)
        return info.keys_needed(config) if info is not None else ()

    def _problem(self, plan: Plan, index: int, provider: str, user: ExecutionUser) -> Problem:
        assert self._finder is not None
        node = plan.nodes[index]
        place = "config.do.config.model" if node.type == CONTAINER_TYPE else "config.model"
        return Problem(
            "missing-key",
            f"`{node.id}` calls the provider {provider}, and the user {user.id} has no key for it",
            f"nodes[{index}].{place}",
            node.id,
            hint=self._finder.where(user, provider),
        )


def _in_order(plan: Plan) -> list[int]:
    """Return the nodes so that each comes after those that it needs."""
    return sorted(range(len(plan.nodes)), key=lambda index: plan.nodes[index].ancestors.bit_count())
