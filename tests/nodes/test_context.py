"""What a node is given to work with: its view, its reports, its signal to stop, and how it may end."""

from __future__ import annotations

import math
import threading
from typing import Any

import pytest

from offbook.nodes import NodeContext, NodeFailure, NodeRegistry, Park
from offbook.nodes.context import Cancellation
from offbook.nodes.prices import Price, PriceTable
from offbook.workflows.values import NodeError, Usage
from tests.nodes.recording import Attempt

REGISTRY = NodeRegistry.with_builtins()


def context(**more: Any) -> tuple[NodeContext, Attempt]:
    made = Attempt(REGISTRY, "template", {"text": "a"}, **more)
    return made.context, made


def test_output_of_a_skipped_node_is_none_and_of_one_that_is_not_upstream_an_error() -> None:
    ctx, made = context(upstream="given")
    assert ctx.output("before") == "given"
    assert isinstance(made.scope.outputs, dict)
    made.scope.outputs.clear()
    assert ctx.output("before") is None
    for node_id in ("node", "nobody"):
        with pytest.raises(KeyError):
            ctx.output(node_id)


def test_last_output_is_none_if_nothing_has_made_any() -> None:
    assert context()[0].last_output is None
    assert context(upstream="a draft")[0].last_output == "a draft"


def test_idempotency_key_tells_executions_nodes_items_and_attempts_apart() -> None:
    keys = {
        NodeContext(execution, node, item, attempt, made.scope, made.sink).idempotency_key
        for _, made in [context()]
        for execution in ("e1", "e2")
        for node in ("a", "a_1", "a_1_1")
        for item in (None, 0, 1, 11)
        for attempt in (1, 2, 11)
    }
    assert len(keys) == 2 * 3 * 4 * 3
    again, other = (context(item=6, attempt=2)[0].idempotency_key for _ in range(2))
    assert again == other


@pytest.mark.parametrize(
    ("given", "reported"), [(0, 0.0), (0.5, 0.5), (1, 1.0), (-3, 0.0), (7, 1.0), (math.inf, 1.0), (math.nan, 0.0)]
)
def test_progress_is_a_fraction(given: float, reported: float) -> None:
    ctx, made = context()
    ctx.progress(given)
    assert (made.sink.fractions, made.sink.reports) == ([reported], [])


NO_USAGES: list[Any] = [None, 7, {}, Usage(1, None), Usage(1.5, 2), Usage(1, 2, cost=1.5)]  # type: ignore[arg-type]


@pytest.mark.parametrize("given", NO_USAGES)
def test_usage_that_is_none_is_refused_where_it_is_given(given: Any) -> None:
    ctx, made = context()
    with pytest.raises(TypeError):
        ctx.usage(given)
    assert made.sink.usages == []


def test_cancellation_wakes_every_thread_that_waits_for_it() -> None:
    for _ in range(50):
        cancelled = Cancellation()
        begin = threading.Barrier(4)
        woken: list[bool] = []

        def wait(
            cancelled: Cancellation = cancelled, begin: threading.Barrier = begin, woken: list[bool] = woken
        ) -> None:
            begin.wait(60)
            woken.append(cancelled.wait(60))

        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        begin.wait(60)
        cancelled.set()
        for thread in threads:
            thread.join(60)
        assert woken == [True] * 3


def test_cancellation_that_was_set_is_not_waited_for() -> None:
    cancelled = Cancellation()
    assert not cancelled.is_set()
    assert not cancelled.wait(0.0)
    cancelled.set()
    assert cancelled.is_set()
    assert cancelled.wait()


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("rest", {}),
        ("timer", {}),
        ("timer", {"until": math.nan}),
        ("timer", {"until": math.inf}),
        ("signal", {"until": 1e300}),
    ],
)
def test_park_that_could_not_end_is_refused(kind: str, more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="parks"):
        Park(kind, **more)


def test_park_until_a_time_before_all_times_is_over_at_once() -> None:
    assert Park("timer", until=-5).until == 0.0
    assert Park("signal").until is None


def test_failure_carries_its_error_and_what_had_come() -> None:
    failure = NodeFailure.of("too_dark", "no light", retryable=True, retry_after=2.0, hint="wait", partial="half")
    assert failure.error == NodeError("too_dark", "no light", True, 2.0, "wait")
    assert (failure.partial, str(failure)) == ("half", "too_dark: no light")


def test_usage_is_priced_by_the_model_that_it_names() -> None:
    ctx, made = context()
    ctx.prices = PriceTable({"a/b": Price(1_000_000, 2_000_000)})
    ctx.usage(Usage(3, 4), model="a/b")
    ctx.usage(Usage(3, 4), model="a/c")
    ctx.usage(Usage(3, 4))
    assert made.sink.usages == [Usage(3, 4, cost=11), Usage(3, 4, unpriced=True), Usage(3, 4, unpriced=True)]


@pytest.mark.parametrize(
    "given", [Usage(-1, 0), Usage(0, 10**9 + 1), Usage(1, 1, cost=-5), Usage(1, 1, cost=2**63 - 1)]
)
def test_usage_that_no_ledger_could_hold_is_refused_where_it_is_given(given: Usage) -> None:
    ctx, made = context()
    with pytest.raises(ValueError, match="usage has from 0"):
        ctx.usage(given)
    assert made.sink.usages == []
