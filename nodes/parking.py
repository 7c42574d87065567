"""The node types that wait without occupying anything: wait (for a time) and approval (for a signal)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import BaseModel, Field, field_validator

from offbook.nodes.context import NodeContext, NodeFailure, Park
from offbook.nodes.node_type import NodeConfig, NodeType
from offbook.workflows.errors import Problem
from offbook.workflows.signal_forms import MAX_CHECKS, check_value, form_problems
from offbook.workflows.templates import has_template
from offbook.workflows.types import Clock
from offbook.workflows.values import JsonObject, JsonValue, parse_time

LONGEST_WAIT = 10 * 366 * 86_400.0
"""Seconds."""


class WaitConfig(NodeConfig):
    """How long, or until when: one of the two."""

    seconds: float | None = Field(default=None, ge=0, le=LONGEST_WAIT, allow_inf_nan=False)
    until: str | None = None
    """ISO 8601, UTC unless it says otherwise."""

    @field_validator("until")
    @classmethod
    def _until_is_a_time(cls, until: str | None) -> str | None:
        if until is not None:
            try:
                parse_time(until)
            except ValueError:
                raise ValueError("must be an ISO 8601 time, such as 2026-11-23T16:32:05Z") from None
        return until


class WaitNode(NodeType):
    """Waits for a duration or a time; its output is None."""

    name = "wait"
    is_call = False
    config_model: type[BaseModel] = WaitConfig

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def check_config(self, config: Mapping[str, object]) -> Iterable[Problem]:
        given = [key for key in ("seconds", "until") if config.get(key) is not None]
        if len(given) != 1:
            yield Problem(
                "wait-time",
                "has both `seconds` and `until`" if given else "has neither `seconds` nor `until`",
                path=given[-1] if given else "",
                hint="give one of them: a duration in seconds, or an ISO 8601 time",
            )

    async def run(self, ctx: NodeContext, config: WaitConfig) -> JsonValue:
        if config.until is not None:
            raise Park("timer", name=ctx.node_id, until=parse_time(config.until))
        if config.seconds is None:
            raise NodeFailure.of("validation", "`seconds` or `until` has no value")
        raise Park("timer", name=ctx.node_id, until=self._clock() + config.seconds)


class ApprovalConfig(NodeConfig):
    """Which signal, what its payload must be like, how long to wait for it, and what to take in its place."""

    signal: str = Field(default="", pattern=r"^([a-z][a-z0-9_]{0,63})?$")
    """Empty: the id of the node."""
    form: JsonObject | None = None
    """JSON Schema of the payload; None accepts any."""
    timeout: float | None = Field(default=None, gt=0, le=LONGEST_WAIT, allow_inf_nan=False)
    """Seconds; None waits for ever."""
    default: JsonValue = None
    """Output when the time is over; without one the node fails then."""


class ApprovalNode(NodeType):
    """Waits for a signal; its output is the signal's payload."""

    name = "approval"
    is_call = False
    config_model: type[BaseModel] = ApprovalConfig

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def check_config(self, config: Mapping[str, object]) -> Iterable[Problem]:
        if "default" in config and config.get("timeout") is None:
            yield Problem(
                "useless-field",
                "`default` is never used: without `timeout` the node waits for its signal for ever",
                path="default",
                hint="add `timeout` beside it, in seconds, or remove `default`",
            )
        form = config.get("form")
        if not isinstance(form, dict) or has_template(form):
            return
        problems = form_problems(form)
        yield from problems
        default: JsonValue = config.get("default")
        if problems or "default" not in config or has_template(default):
            return
        for each in check_value(form, default, "default", max_checks=MAX_CHECKS):
            yield Problem("bad-default", f"`default` does not fit `form`: {each.message}", path=each.path)

    async def run(self, ctx: NodeContext, config: ApprovalConfig) -> JsonValue:
        # One that came of templates: whoever answered would be refused for ever.
        problems = form_problems(config.form) if config.form is not None else []
        if problems:
            raise NodeFailure.of("validation", f"{problems[0].path}: {problems[0].message}", hint=problems[0].hint)
        raise Park(
            "signal",
            name=config.signal or ctx.node_id,
            until=None if config.timeout is None else self._clock() + config.timeout,
            form=config.form,
            default=config.default,
            has_default="default" in config.model_fields_set,
        )
