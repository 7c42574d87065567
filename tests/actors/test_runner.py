"""The node runner with real threads: what attempts return and raise, how they stop, and that each ends once."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from offbook.actors.calls import NodeTask
from offbook.nodes import NodeConfig, NodeContext, NodeFailure, NodeType, Park, provider_registry
from offbook.workflows.messages import NodeFinished, NodeParked, NodeProgressed
from offbook.workflows.values import JsonValue, NodeError, Usage
from tests.actors.stage import AN_EXECUTION, ANOTHER, LIMIT_SECONDS, Heard, Hold, Stage
from tests.nodes.providers.model_server import ModelServer, ending, hang, said, serve, stream


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage(abort_grace=0.05) as opened:
        yield opened


class Gate:
    """Functions that say that they have begun, and go on when they may."""

    def __init__(self, stage: Stage) -> None:
        self.begun: list[str] = []
        self._stage = stage
        self._opened = asyncio.Event()
        self._opened_for_threads = threading.Event()
        self._changed = threading.Condition()
        stage.functions.register(self.plain, "plain")
        stage.functions.register(self.asynchronous, "asynchronous")
        stage.functions.register(self.stubborn, "stubborn")

    def plain(self, ctx: NodeContext, name: str = "plain") -> str:
        """Take no notice of being stopped."""
        self._begin(ctx, name)
        assert self._opened_for_threads.wait(LIMIT_SECONDS)
        return f"{name} at last"

    async def asynchronous(self, ctx: NodeContext, name: str = "asynchronous") -> str:
        self._begin(ctx, name)
        await self._opened.wait()
        return f"{name} at last"

    async def stubborn(self, ctx: NodeContext, name: str = "stubborn") -> str:
        """Go on when cancelled."""
        self._begin(ctx, name)
        while not self._opened.is_set():
            with suppress(asyncio.CancelledError):
                await self._opened.wait()
        return f"{name} at last"

    def _begin(self, ctx: NodeContext, name: str) -> None:
        ctx.text(f"{name} begins")
        with self._changed:
            self.begun.append(name)
            self._changed.notify_all()

    def open(self) -> None:
        """Let all of them end."""
        self._opened_for_threads.set()
        self._stage.runner.call_threadsafe(self._opened.set)

    def until_begun(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.begun) >= count, LIMIT_SECONDS), self.begun


@pytest.fixture
def gate(stage: Stage) -> Iterator[Gate]:
    made = Gate(stage)
    yield made
    made.open()
    stage.threads_ended()


# How attempts end


def test_output_of_an_async_function_is_told_with_what_it_belongs_to(stage: Stage) -> None:
    @stage.functions.node
    async def write(ctx: NodeContext, word: str) -> str:
        ctx.usage(Usage(3, 4))
        return f"{word}, {threading.current_thread().name}"

    heard = stage.play("write", args={"word": "{{ inputs.word }}"}, inputs={"word": "sea"}, number=3, epoch=2)
    assert heard.next(NodeFinished) == NodeFinished("node", None, 3, 2, "sea, offbook-nodes", Usage(3, 4), 1000.0)
    assert stage.play("write", args={"word": "sea"}, item=6).next(NodeFinished).item == 6


def test_plain_functions_run_on_threads_of_their_own_side_by_side(stage: Stage) -> None:
    together = threading.Barrier(3)

    @stage.functions.node
    def meet(ctx: NodeContext) -> str:
        together.wait(LIMIT_SECONDS)
        return threading.current_thread().name

    heard = [stage.play("meet") for _ in range(3)]
    assert {each.output() for each in heard} == {"offbook-node-node"}
    stage.threads_ended()
    assert stage.runner.figures() == {"live_calls": 0, "queued_calls": 0, "abandoned": 0}


def test_function_that_blocks_holds_up_nobody_else(stage: Stage, gate: Gate) -> None:
    blocked = stage.play("plain")
    gate.until_begun(1)
    assert stage.attempt("template", {"text": "quick"}).output() == "quick"
    assert blocked.ends == []


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "plain"])
def test_node_that_raises_has_crashed_and_nothing_else_has(stage: Stage, is_async: bool) -> None:
    async def asynchronous(ctx: NodeContext) -> None:
        ctx.text("so far")
        raise LookupError("no such ship")

    def plain(ctx: NodeContext) -> None:
        ctx.text("so far")
        raise LookupError("no such ship")

    stage.functions.register(asynchronous if is_async else plain, "sink")
    failed = stage.play("sink", number=2, epoch=4).failed()
    assert failed.error == NodeError("crash", "LookupError: no such ship")
    assert (failed.attempt, failed.epoch, failed.partial, failed.jitter) == (2, 4, "so far", 0.25)
    assert stage.attempt("template", {"text": "still here"}).output() == "still here"


class Wordless(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (SystemExit(3), "SystemExit"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (Wordless(), "Wordless: (it has no text)"),
        (asyncio.CancelledError("by itself"), ""),
        (ValueError(), "ValueError"),
        (ValueError("\udcff" + "x" * 5000), "ValueError: ?xxx"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
@pytest.mark.parametrize("is_async", [True, False], ids=["async", "plain"])
def test_whatever_a_node_raises_is_its_own_crash(
    stage: Stage, raised: BaseException, said: str, is_async: bool
) -> None:
    async def asynchronous(ctx: NodeContext) -> None:
        raise raised

    def plain(ctx: NodeContext) -> None:
        raise raised

    stage.functions.register(asynchronous if is_async else plain, "sink")
    error = stage.play("sink").error()
    assert (error.type, error.retryable) == ("crash", False)
    assert said in error.message
    assert len(error.message) <= 1000
    assert error.message.encode()
    assert stage.attempt("template", {"text": "still here"}).output() == "still here"
    stage.settle()
    assert stage.runner.figures() == {"live_calls": 0, "queued_calls": 0, "abandoned": 0}


def test_plain_function_that_leaves_the_process_ends_no_loop_from_a_task_of_the_node(stage: Stage) -> None:
    def leave() -> None:
        raise SystemExit(3)

    @stage.functions.node
    async def ask(ctx: NodeContext) -> None:
        await asyncio.gather(ctx.call_plain(leave))

    assert "SystemExit(3)" in stage.play("ask").error().message
    assert stage.attempt("template", {"text": "still here"}).output() == "still here"


def test_stop_iteration_of_a_plain_function_is_a_crash(stage: Stage) -> None:
    @stage.functions.node
    def exhausted(ctx: NodeContext) -> object:
        return next(iter(()))

    assert "StopIteration" in stage.play("exhausted").error().message


def test_failure_that_a_node_names_is_told_as_it_is(stage: Stage) -> None:
    @stage.functions.node
    async def fail(ctx: NodeContext) -> None:
        ctx.text("streamed")
        ctx.usage(Usage(1, 2))
        raise NodeFailure.of("too_dark", "no light", retryable=True, retry_after=7.0, hint="wait", partial="kept")

    failed = stage.play("fail").failed()
    assert failed.error == NodeError("too_dark", "no light", True, 7.0, "wait")
    assert (failed.partial, failed.usage) == ("kept", Usage(1, 2))


def test_model_is_told_in_characters_that_can_be_stored(stage: Stage) -> None:
    @stage.functions.node
    async def count(ctx: NodeContext) -> None:
        ctx.usage(Usage(1, 2), model="a/\ud800")
        raise NodeFailure.of("too_dark", "no light")

    assert stage.play("count").failed().model == "a/?"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (NodeError("", "", retryable=1), NodeError("crash", "", True)),  # type: ignore[arg-type]
        (NodeError("x", ValueError("why")), NodeError("x", "why")),  # type: ignore[arg-type]
        (NodeError("x", "\ud800", hint="\ud800"), NodeError("x", "?", hint="?")),
        (NodeError("x", "y" * 9000), NodeError("x", "y" * 2000)),
        (NodeError("x", "", True, "7"), NodeError("x", "", True)),  # type: ignore[arg-type]
        (NodeError("x", "", True, math.nan), NodeError("x", "", True)),
        (NodeError("x", "", True, math.inf), NodeError("x", "", True, 86_400.0)),
        (NodeError("x", "", True, -1), NodeError("x", "", True, 0.0)),
    ],
)
def test_failure_that_could_not_be_kept_is_made_fit(stage: Stage, given: NodeError, told: NodeError) -> None:
    @stage.functions.node
    async def fail(ctx: NodeContext) -> None:
        raise NodeFailure(given)

    assert stage.play("fail").error() == told


def test_park_is_told_with_its_terms(stage: Stage) -> None:
    @stage.functions.node
    async def ask(ctx: NodeContext) -> None:
        raise Park("signal", name="go", until=2000.0, form={"type": "object"}, default=(1,), has_default=True)

    @stage.functions.node
    def sleep(ctx: NodeContext) -> None:
        raise Park("timer", until=3000.0)

    assert stage.play("ask", number=2).parked() == NodeParked(
        "node", None, 2, 1, "signal", "go", 2000.0, {"type": "object"}, [1], True, 1000.0
    )
    parked = stage.play("sleep").parked()
    assert (parked.kind, parked.name, parked.until, parked.has_default) == ("timer", "node", 3000.0, False)
    stage.threads_ended()
    assert stage.runner.figures()["live_calls"] == 0


def test_park_that_could_not_be_kept_is_a_failure(stage: Stage) -> None:
    @stage.functions.node
    async def ask(ctx: NodeContext) -> None:
        raise Park("signal", default=object(), has_default=True)

    @stage.functions.node
    async def sleep(ctx: NodeContext) -> None:
        raise Park("timer")

    assert stage.play("ask").error().type == "validation"
    assert stage.play("sleep").error().message.startswith("ValueError")


# What an output may be


class Colour(Enum):
    """A value that JSON libraries write by themselves."""

    RED = "red"


class Text(str):
    """Text that is more than text."""

    __slots__ = ()


def endless() -> list[Any]:
    inner: list[Any] = []
    inner.append(inner)
    return inner


@pytest.mark.parametrize(
    "output",
    [
        object(),
        {1, 2},
        b"bytes",
        {1: "a"},
        {"a": [{"b": object()}]},
        datetime(2026, 11, 25, tzinfo=UTC),
        math.nan,
        [1, {"a": (None, math.inf)}],
        2**64,
        "\ud800",
        ["\ud800"],
        Text("text"),
        Usage(1, 2),
        endless(),
        lambda: None,
    ],
    ids=lambda value: type(value).__name__,
)
def test_output_that_is_not_json_is_refused(stage: Stage, output: object) -> None:
    @stage.functions.node
    async def give(ctx: NodeContext) -> object:
        return output

    error = stage.play("give").error()
    assert (error.type, error.retryable) == ("validation", False)
    assert error.message.startswith("the output is not JSON: ")
    assert "lists or dicts" in error.hint


@pytest.mark.parametrize(
    ("output", "kept"),
    [
        (None, None),
        (True, True),
        (0, 0),
        (2**63, 2**63),
        (-0.5, -0.5),
        ("Grüße \u2028", "Grüße \u2028"),
        ([None, {"a": None}], [None, {"a": None}]),
        ((1, (2,)), [1, [2]]),
        (Colour.RED, "red"),
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    ],
)
def test_output_is_kept_as_json(stage: Stage, output: object, kept: JsonValue) -> None:
    @stage.functions.node
    async def give(ctx: NodeContext) -> object:
        return output

    told = stage.play("give").output()
    assert told == kept
    assert type(told) is type(kept)


def test_output_cannot_be_changed_by_its_node_any_more(stage: Stage) -> None:
    mine: dict[str, Any] = {"a": [1]}

    @stage.functions.node
    async def give(ctx: NodeContext) -> object:
        return mine

    told = stage.play("give").output()
    mine["a"].append(2)
    assert told == {"a": [1]}


# What a config may be


def test_node_of_a_type_that_this_process_lacks_fails(stage: Stage) -> None:
    with Stage(Alarm(), start=False) as other:
        scope = other.scope([{"id": "node", "type": "alarm", "config": {"hour": 7}}])
    heard = Heard()
    stage.runner.submit(NodeTask(AN_EXECUTION, 1, None, 1, scope, heard.hear))
    error = heard.error()
    assert (error.type, error.message) == ("validation", "the node type 'alarm' is not registered here")


def test_config_that_renders_to_nonsense_fails_without_repeating_it(stage: Stage) -> None:
    config = {"model": "scripted/x", "prompt": "go", "temperature": "{{ inputs.heat }}"}
    error = stage.attempt("llm", config, inputs={"heat": "the secret plan"}).error()
    assert (error.type, error.retryable) == ("validation", False)
    assert "temperature" in error.message
    assert "secret" not in error.message


def test_template_that_misses_something_fails_its_node(stage: Stage) -> None:
    error = stage.attempt("template", {"text": "{{ inputs.nothing }}"}).error()
    assert (error.type, error.retryable) == ("validation", False)
    assert "inputs.nothing" in error.message


class Alarm(NodeType):
    """A plug-in with a field that is an expression."""

    class Config(NodeConfig):
        hour: int
        label: str = ""

    name = "alarm"
    config_model: type[BaseModel] = Config
    expression_fields = frozenset({"hour"})

    async def run(self, ctx: NodeContext, config: Config) -> JsonValue:
        return [config.hour, config.label]


@pytest.mark.parametrize("hour", ["inputs.hour + 1", "{{ inputs.hour + 1 }}", 7, "7"])
def test_expression_of_a_plug_in_is_evaluated_with_and_without_braces(hour: object) -> None:
    with Stage(Alarm()) as stage:
        config = {"hour": hour, "label": "inputs.hour + 1"}
        assert stage.attempt("alarm", config, inputs={"hour": 6}).output() == [7, "inputs.hour + 1"]
        if isinstance(hour, str) and "inputs" in hour:
            assert stage.attempt("alarm", config, inputs={"hour": 7}).output() == [8, "inputs.hour + 1"]


# Reports


def test_reports_of_a_moment_are_told_at_once_and_in_order(stage: Stage) -> None:
    @stage.functions.node
    async def talk(ctx: NodeContext) -> str:
        for number in range(1000):
            ctx.text(f"{number} ")
        ctx.think("hm, ")
        ctx.think("well")
        ctx.text("end")
        ctx.progress(0.25, "a quarter")
        ctx.progress(0.5, "half")
        ctx.usage(Usage(1, 2), model="a/b")
        return "done"

    heard = stage.play("talk")
    assert heard.output() == "done"
    assert heard.entries == [
        ("text", "".join(f"{number} " for number in range(1000))),
        ("thinking", "hm, well"),
        ("text", "end"),
        ("progress", "a quarter"),
        ("progress", "half"),
    ]
    (progressed, _) = heard.all
    assert isinstance(progressed, NodeProgressed)
    assert progressed.usage is not None
    assert (progressed.fraction, progressed.usage.tokens, progressed.model) == (0.5, 3, "a/b")


def test_reports_of_a_thread_are_told_while_it_runs_and_few_times(stage: Stage) -> None:
    heard_half = threading.Event()

    @stage.functions.node
    def talk(ctx: NodeContext) -> None:
        for number in range(20_000):
            ctx.text(f"{number} ")
        ctx.text("half")
        assert heard_half.wait(LIMIT_SECONDS)
        ctx.text("whole")

    heard = stage.play("talk")
    heard.until_text("half")
    assert heard.ends == []
    heard_half.set()
    assert heard.output() is None
    assert heard.entries[-1] == ("text", "whole")
    # One message for each 50 ms, not for each of 20,000 pieces.
    assert len(heard.all) < 200
    stage.threads_ended()


def test_reports_that_nobody_takes_are_bounded_and_the_partial_text_is_whole(stage: Stage) -> None:
    piece = "x" * 99 + "|"

    @stage.functions.node
    async def talk(ctx: NodeContext) -> None:
        for _ in range(3000):
            ctx.text(piece)
        for number in range(3000):
            ctx.think(str(number))
            ctx.progress(0.5, f"step {number}")
        ctx.text("y" * 300_000)
        ctx.text("the last words")
        raise NodeFailure.of("tired", "enough said")

    heard = stage.play("talk")
    failed = heard.failed()
    assert sum(len(text) for _, text in heard.entries) <= 100_000
    assert len(heard.entries) <= 1000
    assert heard.entries[-1][1].endswith("the last words")
    assert failed.partial == piece * 3000 + "y" * 300_000 + "the last words"


def test_one_long_report_is_bounded_too(stage: Stage) -> None:
    @stage.functions.node
    async def talk(ctx: NodeContext) -> None:
        ctx.text("y" * 300_000 + "the end")

    heard = stage.play("talk")
    heard.output()
    assert heard.entries == [
        ("progress", "[200007 characters came faster than they can be shown]"),
        ("text", "y" * 99_993 + "the end"),
    ]


def test_many_short_reports_are_bounded_too(stage: Stage) -> None:
    @stage.functions.node
    async def talk(ctx: NodeContext) -> None:
        for number in range(5000):
            ctx.progress(0.5, f"step {number}")

    heard = stage.play("talk")
    heard.output()
    dropped = sum(len(f"step {number}") for number in range(4000))
    told, *last = [text for _, text in heard.entries]
    assert told == f"[{dropped} characters came faster than they can be shown]"
    assert last == [f"step {number}" for number in range(4000, 5000)]


def test_report_that_is_no_text_harms_nobody(stage: Stage, gate: Gate) -> None:
    other = stage.play("asynchronous")

    @stage.functions.node
    async def talk(ctx: NodeContext) -> str:
        ctx.text(7)  # type: ignore[arg-type]
        ctx.think(None)  # type: ignore[arg-type]
        ctx.text("\ud800")
        return "done"

    heard = stage.play("talk")
    assert heard.output() == "done"
    assert heard.entries == [("text", "7"), ("thinking", "None"), ("text", "?")]
    other.until_text("asynchronous begins")


def test_report_after_the_end_is_refused(stage: Stage) -> None:
    kept: list[NodeContext] = []

    @stage.functions.node
    async def leak(ctx: NodeContext) -> str:
        kept.append(ctx)
        return "done"

    heard = stage.play("leak")
    assert heard.output() == "done"
    kept[0].text("late")
    kept[0].progress(0.9, "late")
    kept[0].usage(Usage(9, 9))
    again = stage.play("leak")
    again.output()
    stage.settle()
    assert (heard.entries, len(heard.all)) == ([], 1)


# Time limits


@pytest.mark.parametrize("kind", ["total", "idle"])
def test_time_limit_ends_an_attempt_that_may_then_be_tried_again(stage: Stage, gate: Gate, kind: str) -> None:
    heard = stage.play("asynchronous", timeout={kind: 0.05})
    failed = heard.failed()
    assert (failed.error.type, failed.error.retryable) == ("timeout" if kind == "total" else "idle_timeout", True)
    assert "0.05 s" in failed.error.message
    assert failed.partial == "asynchronous begins"
    stage.settle()
    assert stage.runner.figures() == {"live_calls": 0, "queued_calls": 0, "abandoned": 0}


def test_sign_of_life_puts_the_idle_limit_off(stage: Stage) -> None:
    signs: list[Callable[[NodeContext], None]] = [
        lambda ctx: ctx.text("a"),
        lambda ctx: ctx.think("b"),
        lambda ctx: ctx.progress(0.5),
        lambda ctx: ctx.usage(Usage(1, 1)),
    ]

    @stage.functions.node
    async def live(ctx: NodeContext) -> str:
        for sign in signs:
            await told_to.wait()
            told_to.clear()
            sign(ctx)
        return "alive"

    told_to = asyncio.Event()
    heard = stage.play("live", timeout={"idle": 40})
    for _ in signs:
        # Three times as long in all as it may be silent.
        stage.pass_time(30)
        stage.on_loop(told_to.set)
        stage.settle()
    assert heard.output() == "alive"


def test_limits_begin_with_the_attempt_and_not_while_it_is_queued() -> None:
    with Stage(max_calls=1) as stage:
        gate = Gate(stage)
        first = stage.play("asynchronous")
        gate.until_begun(1)

        @stage.functions.node
        async def quick(ctx: NodeContext) -> str:
            return "quick"

        queued = stage.play("quick", timeout={"total": 20, "idle": 20})
        # This attempt outlasts the limit of the one behind it.
        stage.pass_time(100)
        assert queued.all == []
        gate.open()
        assert (first.output(), queued.output()) == ("asynchronous at last", "quick")


@pytest.mark.parametrize("raised", [RuntimeError("while it closed"), NodeFailure.of("dropped", "while it closed")])
def test_what_goes_wrong_in_stopping_does_not_hide_why_it_stopped(stage: Stage, raised: Exception) -> None:
    @stage.functions.node
    async def clumsy(ctx: NodeContext) -> None:
        ctx.text("half")
        try:
            await asyncio.Event().wait()
        finally:
            raise raised

    failed = stage.play("clumsy", timeout={"total": 0.02}).failed()
    assert (failed.error.type, failed.error.retryable, failed.partial) == ("timeout", True, "half")
    heard = stage.play("clumsy")
    heard.until_text("half")
    stage.runner.abort(AN_EXECUTION)
    assert heard.error().type == "cancelled"


def test_attempt_that_is_stopped_sees_the_signal_too(stage: Stage) -> None:
    seen: list[bool] = []

    @stage.functions.node
    async def watchful(ctx: NodeContext) -> None:
        seen.append(ctx.cancelled.is_set())
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(ctx.cancelled.is_set())

    stage.play("watchful", timeout={"total": 0.02}).failed()
    assert seen == [False, True]


def test_attempt_that_is_stopped_twice_may_still_close_in_peace() -> None:
    closing, closed = threading.Event(), threading.Event()
    with Stage(abort_grace=LIMIT_SECONDS) as stage:

        @stage.functions.node
        async def tidy(ctx: NodeContext) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                closing.set()
                await asyncio.sleep(0.01)
                closed.set()

        heard = stage.play("tidy", timeout={"total": 0.01})
        assert closing.wait(LIMIT_SECONDS)
        stage.runner.abort(AN_EXECUTION)
        stage.runner.abort(AN_EXECUTION)
        assert heard.error().type == "timeout"
        assert closed.is_set()


# Abandoned calls


@pytest.mark.parametrize("function", ["plain", "stubborn"])
def test_what_cannot_be_stopped_is_abandoned_counted_and_its_late_result_refused(
    stage: Stage, gate: Gate, function: str
) -> None:
    heard = stage.play(function)
    heard.until_text(f"{function} begins")
    stage.runner.abort(AN_EXECUTION)
    failed = heard.failed()
    assert (failed.error.type, failed.partial) == ("cancelled", f"{function} begins")
    stage.settle()
    assert stage.runner.figures() == {"live_calls": 0, "queued_calls": 0, "abandoned": 1}
    next_attempt = stage.play(function, number=2)
    gate.until_begun(2)
    gate.open()
    assert next_attempt.output() == f"{function} at last"
    stage.threads_ended()
    assert len(heard.ends) == 1
    assert stage.runner.figures() == {"live_calls": 0, "queued_calls": 0, "abandoned": 0}


def test_plain_function_past_its_limit_is_abandoned(stage: Stage, gate: Gate) -> None:
    heard = stage.play("plain", timeout={"total": 0.05})
    assert heard.error().type == "timeout"
    stage.settle()
    assert stage.runner.figures() == {"live_calls": 0, "queued_calls": 0, "abandoned": 1}
    gate.open()
    stage.threads_ended()
    assert (len(heard.ends), stage.runner.figures()["abandoned"]) == (1, 0)


def test_plain_function_that_heeds_its_signal_is_soon_back(stage: Stage) -> None:
    waiting, told = threading.Event(), threading.Event()

    @stage.functions.node
    def heedful(ctx: NodeContext) -> str:
        waiting.set()
        if ctx.cancelled.wait(LIMIT_SECONDS):
            told.set()
        return "late"

    heard = stage.play("heedful")
    assert waiting.wait(LIMIT_SECONDS)
    stage.runner.abort(AN_EXECUTION)
    assert heard.error().type == "cancelled"
    assert told.wait(LIMIT_SECONDS)
    stage.threads_ended()
    assert (len(heard.ends), stage.runner.figures()["abandoned"]) == (1, 0)


def test_result_that_meets_the_cancel_half_way_is_not_counted_as_abandoned(stage: Stage) -> None:
    may_return = threading.Event()

    @stage.functions.node
    def prompt(ctx: NodeContext) -> str:
        ctx.text("begun")
        assert may_return.wait(LIMIT_SECONDS)
        return "just in time"

    heard = stage.play("prompt")
    heard.until_text("begun")
    (thread,) = [each for each in threading.enumerate() if each.name == "offbook-node-node"]
    with Hold(stage):
        # The result waits for the loop when the cancel comes: both are found at once, in this order.
        may_return.set()
        thread.join(LIMIT_SECONDS)
        stage.runner.abort(AN_EXECUTION)
    assert heard.error().type == "cancelled"
    stage.settle()
    assert stage.runner.figures() == {"live_calls": 0, "queued_calls": 0, "abandoned": 0}


@pytest.mark.parametrize("function", ["plain", "stubborn"])
def test_abandoned_call_gives_its_slot_to_the_next(function: str) -> None:
    with Stage(max_calls=1, abort_grace=0.05) as stage:
        gate = Gate(stage)
        stage.play(function)
        gate.until_begun(1)
        queued = stage.attempt("template", {"text": "next"}, execution_id=ANOTHER)
        stage.settle()
        assert stage.runner.figures()["queued_calls"] == 1
        stage.runner.abort(AN_EXECUTION)
        assert queued.output() == "next"
        gate.open()
        stage.threads_ended()


# Abort


def test_abort_ends_every_attempt_of_one_execution_and_of_no_other(stage: Stage, gate: Gate) -> None:
    mine = [stage.play("asynchronous", item=item) for item in range(3)]
    others = stage.play("asynchronous", execution_id=ANOTHER)
    gate.until_begun(4)
    stage.runner.abort(AN_EXECUTION)
    for item, each in enumerate(mine):
        failed = each.failed()
        assert (failed.error.type, failed.item, failed.partial) == ("cancelled", item, "asynchronous begins")
    stage.settle()
    assert stage.runner.figures() == {"live_calls": 1, "queued_calls": 0, "abandoned": 0}
    gate.open()
    assert others.output() == "asynchronous at last"


@pytest.mark.parametrize("reason", ["cancelled", "timeout"])
def test_what_a_node_returns_that_was_told_to_stop_is_no_output_but_partial_text(stage: Stage, reason: str) -> None:
    @stage.functions.node
    async def evasive(ctx: NodeContext) -> str:
        ctx.progress(0.5)
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return "as far as it came"

    heard = stage.play("evasive", timeout={"total": 0.05} if reason == "timeout" else None)
    heard.next(NodeProgressed)
    if reason == "cancelled":
        stage.runner.abort(AN_EXECUTION)
    failed = heard.failed()
    assert (failed.error.type, failed.partial) == (reason, "as far as it came")
    stage.settle()
    assert len(heard.ends) == 1
    assert stage.runner.figures() == {"live_calls": 0, "queued_calls": 0, "abandoned": 0}


def test_node_that_was_told_to_stop_does_not_park(stage: Stage) -> None:
    @stage.functions.node
    async def evasive(ctx: NodeContext) -> None:
        ctx.progress(0.5)
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        raise Park("signal")

    heard = stage.play("evasive")
    heard.next(NodeProgressed)
    stage.runner.abort(AN_EXECUTION)
    assert heard.error().type == "cancelled"


def test_abort_of_nothing_is_nothing(stage: Stage) -> None:
    stage.runner.abort(AN_EXECUTION)
    stage.runner.abort("nobody", silently=True)
    assert stage.attempt("template", {"text": "a"}).output() == "a"
    stage.runner.abort(AN_EXECUTION)
    stage.settle()
    assert stage.runner.figures() == {"live_calls": 0, "queued_calls": 0, "abandoned": 0}


@pytest.mark.parametrize("silently", [False, True])
def test_attempt_that_is_aborted_before_its_first_step_ends_and_leaves_nothing(stage: Stage, silently: bool) -> None:
    ran: list[int] = []

    @stage.functions.node
    async def run(ctx: NodeContext) -> None:
        ran.append(ctx.attempt)

    with Hold(stage):
        heard = stage.play("run")
        stage.runner.abort(AN_EXECUTION, silently=silently)
    if not silently:
        assert heard.error().type == "cancelled"
    stage.settle()
    assert (ran, len(heard.ends)) == ([], 0 if silently else 1)
    assert stage.runner.figures() == {"live_calls": 0, "queued_calls": 0, "abandoned": 0}


def test_abort_reaches_what_is_queued_before_it_begins() -> None:
    with Stage(max_calls=1) as stage:
        gate = Gate(stage)
        running = stage.play("asynchronous", args={"name": "first"})
        gate.until_begun(1)
        queued = [stage.play("asynchronous", args={"name": f"queued {number}"}, item=number) for number in range(3)]
        other = stage.play("asynchronous", args={"name": "other"}, execution_id=ANOTHER)
        stage.settle()
        assert stage.runner.figures() == {"live_calls": 1, "queued_calls": 4, "abandoned": 0}
        stage.runner.abort(AN_EXECUTION)
        assert running.error().type == "cancelled"
        assert [each.failed().item for each in queued] == [0, 1, 2]
        gate.open()
        assert other.output() == "other at last"
        assert gate.begun == ["first", "other"]


def test_silent_abort_tells_nothing(stage: Stage, gate: Gate) -> None:
    heard = stage.play("asynchronous", timeout={"total": 20, "idle": 20})
    heard.until_text("asynchronous begins")
    stage.runner.abort(AN_EXECUTION, silently=True)
    stage.pass_time(30)
    assert stage.runner.figures()["live_calls"] == 0
    # The same execution goes on in a new epoch.
    again = stage.play("asynchronous", epoch=2)
    gate.until_begun(2)
    gate.open()
    assert again.output() == "asynchronous at last"
    assert heard.ends == []


# How many at once


def test_no_more_calls_run_than_may_and_the_rest_run_in_turn() -> None:
    with Stage(max_calls=3) as stage:
        begun: list[int] = []
        running = 0
        most = 0

        @stage.functions.node
        async def count(ctx: NodeContext, number: int) -> int:
            nonlocal running, most
            running += 1
            most = max(most, running)
            begun.append(number)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            running -= 1
            return number

        heard = [stage.play("count", args={"number": number}) for number in range(50)]
        assert [each.output() for each in heard] == list(range(50))
        assert (most, begun) == (3, list(range(50)))
        stage.settle()
        assert stage.runner.figures() == {"live_calls": 0, "queued_calls": 0, "abandoned": 0}


def test_slot_of_a_crashed_attempt_is_given_back() -> None:
    with Stage(max_calls=1) as stage:

        @stage.functions.node
        def leave(ctx: NodeContext) -> None:
            raise SystemExit

        heard = [stage.play("leave") for _ in range(5)]
        assert {each.error().type for each in heard} == {"crash"}
        stage.threads_ended()


# Begin and end of the runner


class Closing(NodeType):
    """Notes that it was closed, and on which thread; perhaps fails to."""

    name = "closing"
    config_model: type[BaseModel] = NodeConfig

    def __init__(self, fault: Exception | None = None) -> None:
        self.closed: list[str] = []
        self._fault = fault

    async def run(self, ctx: NodeContext, config: NodeConfig) -> JsonValue:
        return None

    async def close(self) -> None:
        self.closed.append(threading.current_thread().name)
        if self._fault is not None:
            raise self._fault


@pytest.mark.parametrize("fault", [None, OSError("will not close")])
def test_close_ends_what_runs_begins_nothing_queued_and_closes_the_types(fault: Exception | None) -> None:
    closing = Closing(fault)
    stage = Stage(closing, max_calls=1)
    gate = Gate(stage)
    running = stage.play("asynchronous", args={"name": "running"})
    gate.until_begun(1)
    queued = stage.play("asynchronous", args={"name": "queued"})
    stage.settle()
    stage.runner.close()
    assert (running.error().type, queued.error().type) == ("cancelled", "cancelled")
    assert gate.begun == ["running"]
    assert closing.closed == ["offbook-nodes"]
    stage.runner.close()
    late = stage.attempt("template", {"text": "a"})
    stage.runner.abort(AN_EXECUTION)
    assert late.all == []
    assert closing.closed == ["offbook-nodes"]


def test_attempt_that_comes_while_the_runner_closes_is_told_so() -> None:
    stage = Stage()
    late: list[Heard] = []

    @stage.functions.node
    async def linger(ctx: NodeContext) -> None:
        ctx.text("here")
        try:
            await asyncio.Event().wait()
        finally:
            late.append(stage.attempt("template", {"text": "a"}))
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    heard = stage.play("linger")
    heard.until_text("here")
    stage.runner.close()
    assert heard.error().type == "cancelled"
    assert late[0].error().type == "cancelled"


def test_what_was_submitted_before_the_start_is_run() -> None:
    stage = Stage(start=False)
    early = stage.attempt("template", {"text": "early"})
    stage.runner.close()
    with stage:
        stage.runner.start()
        assert early.output() == "early"
        assert stage.attempt("template", {"text": "later"}).output() == "later"


def test_runner_whose_loop_does_not_start_says_so() -> None:
    def no_loop() -> asyncio.AbstractEventLoop:
        raise LookupError("no loop here")

    stage = Stage(start=False, loop_factory=no_loop)
    threading.excepthook, before = (lambda _: None), threading.excepthook
    try:
        with pytest.raises(RuntimeError, match="did not start"):
            stage.runner.start()
    finally:
        stage.runner.close(LIMIT_SECONDS)
        threading.excepthook = before


# Conditions and items


def test_conditions_and_items_are_evaluated_on_the_runners_thread(stage: Stage) -> None:
    decided = stage.decide(
        [{"id": "node", "type": "output", "when": "inputs.cover", "config": {}}], inputs={"cover": True}
    )
    assert (decided.taken, decided.error) == (True, None)
    expanded = stage.expand({"items": "inputs.names"}, inputs={"names": ["a", "b"]})
    assert (expanded.items, expanded.error, expanded.at) == (("a", "b"), None, 1000.0)
    assert stage.expand({"count": "inputs.names"}, inputs={"names": []}).error is not None
    assert stage.attempt("template", {"text": "still here"}).output() == "still here"


# What went wrong before, against a real server that sees who hangs up


HALF = stream(said("half "), said("a chapter"), then=hang)


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with serve() as served:
        yield served


@asynccontextmanager
async def writing(server: ModelServer, **options: Any) -> AsyncIterator[Stage]:
    """Open a stage whose llm nodes ask the server."""
    stage = Stage(providers=provider_registry({"fake": {"base_url": f"{server.url}/v1"}}), **options)
    try:
        yield stage
    finally:
        await asyncio.to_thread(stage.runner.close)


def ask(stage: Stage, **more: Any) -> Heard:
    return stage.attempt("llm", {"model": "fake/writer", "prompt": "a chapter, please"}, **more)


async def test_pain_29_stop_hangs_up_on_the_provider_and_begins_nothing_that_waits(server: ModelServer) -> None:
    """Stop did not stop, billing went on: it called a method that no longer existed, and the error was swallowed."""
    server.answer = HALF
    async with writing(server, max_calls=3) as stage:
        running = [ask(stage, item=item) for item in range(3)]
        queued = [ask(stage, item=item) for item in range(3, 6)]
        for each in running:
            await asyncio.to_thread(each.until_text, "half a chapter")
        assert (len(server.asked), server.hung_up) == (3, 0)
        stage.runner.abort(AN_EXECUTION)
        await server.until(lambda: server.hung_up == 3)
        told = [await asyncio.to_thread(each.failed) for each in [*running, *queued]]
        assert [(each.error.type, each.item) for each in told] == [("cancelled", item) for item in range(6)]
        assert [each.partial for each in told] == ["half a chapter"] * 3 + [""] * 3
        # What had come is paid for, and counted; what had not begun is neither.
        assert [each.usage.output_tokens > 0 for each in told] == [True] * 3 + [False] * 3
        await asyncio.to_thread(stage.settle)
        assert stage.runner.figures() == {"live_calls": 0, "queued_calls": 0, "abandoned": 0}
        assert len(server.asked) == 3
        server.answer = stream(said("fine"), ending())
        assert await asyncio.to_thread(ask(stage, number=2, item=0).output) == "fine"


@pytest.mark.parametrize(
    ("timeout", "type"), [({"total": 60}, "timeout"), ({"idle": 60}, "idle_timeout")], ids=["total", "idle"]
)
@pytest.mark.parametrize("silent", [False, True], ids=["half said", "nothing said"])
async def test_pain_31_call_that_is_given_up_is_hung_up_on(
    server: ModelServer, timeout: dict[str, float], type: str, silent: bool
) -> None:
    """Abandoned model calls were still billed: they could not be aborted."""
    server.answer = stream(then=hang) if silent else HALF
    async with writing(server) as stage:
        heard = ask(stage, timeout=timeout)
        if silent:
            await server.until(lambda: len(server.asked) == 1)
        else:
            await asyncio.to_thread(heard.until_text, "half a chapter")
        await asyncio.to_thread(stage.pass_time, 61)
        failed = await asyncio.to_thread(heard.failed)
        await server.until(lambda: server.hung_up == 1)
        assert (failed.error.type, failed.error.retryable) == (type, True)
        assert failed.partial == ("" if silent else "half a chapter")
        await asyncio.to_thread(stage.settle)
        assert stage.runner.figures() == {"live_calls": 0, "queued_calls": 0, "abandoned": 0}


async def test_pain_31_close_of_the_worker_hangs_up_too(server: ModelServer) -> None:
    """Abandoned model calls were still billed: they could not be aborted."""
    server.answer = HALF
    async with writing(server) as stage:
        heard = ask(stage)
        await asyncio.to_thread(heard.until_text, "half a chapter")
        await asyncio.to_thread(stage.runner.close)
        await server.until(lambda: server.hung_up == 1)
        assert heard.error().type == "cancelled"


async def test_each_attempt_has_one_idempotency_key_however_often_it_is_made(server: ModelServer) -> None:
    async with writing(server) as stage:
        for more in (
            {"item": 6, "number": 2},
            {"item": 6, "number": 2, "epoch": 2},
            {"item": 6, "number": 3},
            {"item": 7, "number": 2},
            {"number": 2},
            {"item": 6, "number": 2, "execution_id": ANOTHER},
        ):
            assert await asyncio.to_thread(ask(stage, **more).output) == "fine"
    keys = [asked.headers["Idempotency-Key"] for asked in server.asked]
    # A repeat after a crash, in a new epoch, is the same attempt; all others are calls of their own.
    assert keys[0] == keys[1] == f"{AN_EXECUTION}-node-6-2"
    assert len(set(keys)) == 5
