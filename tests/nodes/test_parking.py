"""Wait and approval: when and for what they park, and which configs they refuse."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from offbook.nodes import NodeFailure, NodeRegistry, Park
from offbook.workflows.signal_forms import check_payload
from tests.nodes.recording import Attempt

REGISTRY = NodeRegistry.with_builtins(clock=lambda: 1000.0)
YES_OR_NO = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}


async def parked(type_name: str, config: dict[str, Any], **more: Any) -> Park:
    with pytest.raises(Park) as caught:
        await Attempt(REGISTRY, type_name, config, **more).run()
    return caught.value


def problems(type_name: str, config: dict[str, Any]) -> list[tuple[str, str]]:
    node_type = REGISTRY.get(type_name)
    assert node_type is not None
    return [(problem.code, problem.path) for problem in node_type.check_config(config)]


@pytest.mark.parametrize("seconds", [90, 90.0, "90", "{{ inputs.seconds }}", "{{ inputs.seconds }}0"])
async def test_wait_parks_for_a_duration(seconds: object) -> None:
    given = 9 if seconds == "{{ inputs.seconds }}0" else 90
    park = await parked("wait", {"seconds": seconds}, inputs={"seconds": given})
    assert (park.kind, park.until) == ("timer", 1090.0)


@pytest.mark.parametrize("until", ["2026-11-23T16:32:05Z", "2026-11-23T17:32:05+01:00", "2026-11-23T16:32:05"])
async def test_wait_parks_until_a_time(until: str) -> None:
    assert (await parked("wait", {"until": until})).until == 1795451525.0


async def test_wait_without_a_time_after_rendering_fails() -> None:
    with pytest.raises(NodeFailure, match="no value"):
        await Attempt(REGISTRY, "wait", {"seconds": "{{ inputs.seconds }}"}, inputs={"seconds": None}).run()


@pytest.mark.parametrize("config", [{"until": "tomorrow"}, {"seconds": -1}, {"seconds": float("inf")}, {"hours": 1}])
def test_wait_config_refuses_what_is_no_time(config: dict[str, Any]) -> None:
    node_type = REGISTRY.get("wait")
    assert node_type is not None
    with pytest.raises(ValidationError):
        node_type.config_model.model_validate(config)


def test_wait_needs_exactly_one_of_its_times() -> None:
    assert problems("wait", {}) == [("wait-time", "")]
    assert problems("wait", {"seconds": 1, "until": "2026-11-23"}) == [("wait-time", "until")]
    assert problems("wait", {"seconds": 1}) == []


async def test_approval_parks_for_its_signal() -> None:
    park = await parked("approval", {"signal": "go", "form": YES_OR_NO, "timeout": 60, "default": {"ok": False}})
    assert (park.kind, park.name, park.until, park.form) == ("signal", "go", 1060.0, YES_OR_NO)
    assert (park.default, park.has_default) == ({"ok": False}, True)


async def test_approval_without_settings_waits_for_its_own_name() -> None:
    park = await parked("approval", {})
    assert (park.name, park.until, park.form, park.has_default) == ("node", None, None, False)


async def test_default_of_null_is_a_default() -> None:
    assert (await parked("approval", {"timeout": 1, "default": None})).has_default


def test_approval_config_is_checked() -> None:
    in_time = {"form": YES_OR_NO, "timeout": 60}
    assert problems("approval", {**in_time, "default": {"ok": True}}) == []
    assert problems("approval", {"form": {"type": "objekt"}}) == [("bad-form", "form.type")]
    assert problems("approval", {**in_time, "default": {"ok": 1}}) == [("bad-default", "default.ok")]
    assert problems("approval", {**in_time, "default": {"ok": "{{ inputs.ok }}"}}) == []


@pytest.mark.parametrize("config", [{"default": "no"}, {"default": None}, {"default": "no", "timeout": None}])
def test_default_of_an_approval_that_waits_for_ever_is_refused(config: dict[str, Any]) -> None:
    assert problems("approval", config) == [("useless-field", "default")]
    assert problems("approval", {**config, "timeout": "{{ inputs.seconds }}"}) == []


def test_default_is_refused_for_its_form_and_for_having_no_timeout_at_once() -> None:
    assert problems("approval", {"form": YES_OR_NO, "default": 1}) == [
        ("useless-field", "default"),
        ("bad-default", "default"),
    ]


def test_form_that_refers_to_the_network_is_refused_and_not_fetched() -> None:
    form = {"$ref": "http://127.0.0.1:9/form.json"}
    assert problems("approval", {"form": form, "timeout": 1, "default": 1}) == [("bad-form", "form['$ref']")]


@pytest.mark.parametrize(
    "form", [{"$ref": "#/$defs/a", "$defs": {"a": {}}}, {"properties": {"mail": {"pattern": ".+@.+"}}}]
)
async def test_form_by_which_every_answer_would_be_refused_is_refused_first(form: dict[str, Any]) -> None:
    assert check_payload(form, {"mail": "a@b"})
    ((code, _),) = problems("approval", {"form": form})
    assert code == "bad-form"
    with pytest.raises(NodeFailure, match="may not use"):
        await Attempt(REGISTRY, "approval", {"form": "{{ inputs.form }}"}, inputs={"form": form}).run()
