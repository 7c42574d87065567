"""A real node runner without executions: attempts are submitted to it, and what it tells of them is kept in order."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from offbook.actors.calls import NodeTask
from offbook.actors.decisions import DecideTask, ExpandTask
from offbook.actors.runner import NodeRunner
from offbook.nodes.checks import CheckFunctions, CheckRegistry
from offbook.nodes.functions import FunctionRegistry
from offbook.nodes.providers import ProviderRegistry
from offbook.nodes.registry import NodeRegistry, NodeType
from offbook.workflows.document import Workflow
from offbook.workflows.messages import (
    EdgesDecided,
    ItemsExpanded,
    NodeBegan,
    NodeFailed,
    NodeFinished,
    NodeHeld,
    NodeParked,
    NodeProgressed,
    RunMessage,
)
from offbook.workflows.plan import compile_plan
from offbook.workflows.scope import Scope
from offbook.workflows.values import ExecutionUser, JsonObject, JsonValue, NodeError
from tests.actors.clock_ahead import put_forward

LIMIT_SECONDS = 60.0
"""How long a test waits for what must happen."""

ADA = ExecutionUser("ada")
AN_EXECUTION = "e" * 32
ANOTHER = "f" * 32

End = NodeFinished | NodeFailed | NodeParked
E = TypeVar("E", bound=RunMessage)


class Heard:
    """What the runner told of one attempt, decision or expansion."""

    def __init__(self) -> None:
        self.all: list[RunMessage] = []
        self._waiting: queue.SimpleQueue[RunMessage] = queue.SimpleQueue()

    def hear(self, message: RunMessage) -> None:
        self.all.append(message)
        self._waiting.put(message)

    def next(self, kind: type[E]) -> E:
        """Wait for the next message of a kind; those of others before it are passed over."""
        while True:
            message = self._waiting.get(timeout=LIMIT_SECONDS)
            if isinstance(message, kind):
                return message
            assert isinstance(message, NodeProgressed | NodeHeld | NodeBegan), message

    @property
    def ends(self) -> list[End]:
        """Every end that was told: there must never be two."""
        return [message for message in self.all if isinstance(message, NodeFinished | NodeFailed | NodeParked)]

    @property
    def entries(self) -> list[tuple[str, str]]:
        """All reports, in order."""
        return [entry for message in self.all if isinstance(message, NodeProgressed) for entry in message.entries]

    @property
    def text(self) -> str:
        return "".join(text for kind, text in self.entries if kind == "text")

    def until_text(self, text: str) -> None:
        """Wait until so much of its text has been told."""
        while text not in self.text:
            self.next(NodeProgressed)

    def output(self) -> JsonValue:
        """Wait for the end, which must be an output."""
        message = self._end()
        assert isinstance(message, NodeFinished), message
        return message.output

    def failed(self) -> NodeFailed:
        """Wait for the end, which must be a failure."""
        message = self._end()
        assert isinstance(message, NodeFailed), message
        return message

    def error(self) -> NodeError:
        return self.failed().error

    def parked(self) -> NodeParked:
        message = self._end()
        assert isinstance(message, NodeParked), message
        return message

    def _end(self) -> End:
        while True:
            message = self._waiting.get(timeout=LIMIT_SECONDS)
            if isinstance(message, NodeFinished | NodeFailed | NodeParked):
                return message


class Stage:
    """A runner, started; functions to call are registered on `functions`, those that check on `checks`."""

    def __init__(
        self, *types: NodeType, providers: ProviderRegistry | None = None, start: bool = True, **options: Any
    ) -> None:
        self.functions = FunctionRegistry()
        self.checks = CheckFunctions()
        checks = CheckRegistry.with_builtins(self.checks)
        self.registry = NodeRegistry.with_builtins(providers, self.functions, checks=checks)
        for each in types:
            self.registry.register(each)
        self.runner = NodeRunner(self.registry, **{"clock": lambda: 1000.0, "chance": lambda: 0.25, **options})
        if start:
            self.runner.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.runner.close()

    def play(self, function: str, /, **more: Any) -> Heard:
        """Submit an attempt at a `python` node that calls a registered function."""
        return self.attempt("python", {"function": function, "args": more.pop("args", {})}, **more)

    def attempt(
        self,
        type_name: str,
        config: JsonObject,
        *,
        timeout: JsonObject | None = None,
        checks: Sequence[str | JsonObject] = (),
        execution_id: str = AN_EXECUTION,
        number: int = 1,
        epoch: int = 1,
        item: int | None = None,
        inputs: JsonObject | None = None,
        user: ExecutionUser = ADA,
    ) -> Heard:
        """Submit an attempt at a node, or at an item of a foreach that does the same."""
        body: JsonObject = {"type": type_name, "config": config, "timeout": timeout or {}, "checks": list(checks)}
        node: JsonObject = {"id": "node", **body}
        if item is not None:
            node = {"id": "node", "type": "foreach", "config": {"count": 10, "do": body}}
        scope = self.scope([node], inputs=inputs, item=item, user=user)
        heard = Heard()
        self.runner.submit(NodeTask(execution_id, epoch, item, number, scope, heard.hear))
        return heard

    def decide(self, nodes: list[JsonObject], **view: Any) -> EdgesDecided:
        """Have the conditions of the last node evaluated."""
        heard = Heard()
        self.runner.submit(DecideTask(1, self.scope(nodes, **view), heard.hear))
        return heard.next(EdgesDecided)

    def expand(self, config: JsonObject, **view: Any) -> ItemsExpanded:
        """Have the items of a foreach evaluated."""
        heard = Heard()
        do = {"type": "template", "config": {"text": "a"}}
        node = {"id": "node", "type": "foreach", "config": {**config, "do": do}}
        self.runner.submit(ExpandTask(1, self.scope([node], **view), heard.hear))
        return heard.next(ItemsExpanded)

    def scope(
        self,
        nodes: list[JsonObject],
        *,
        inputs: JsonObject | None = None,
        outputs: JsonObject | None = None,
        item: int | None = None,
        user: ExecutionUser = ADA,
    ) -> Scope:
        """Return what the last of some nodes may see."""
        plan = compile_plan(Workflow.model_validate({"name": "stage", "nodes": nodes}), self.registry)
        return Scope(plan, plan.nodes[-1], inputs or {}, outputs or {}, user, item=item, index=item)

    def on_loop(self, function: Callable[[], None]) -> None:
        """Have the runner's loop call a function, and return when it has: all before it is done then."""
        done = threading.Event()
        self.runner.call_threadsafe(function)
        self.runner.call_threadsafe(done.set)
        assert done.wait(LIMIT_SECONDS)

    def settle(self) -> None:
        """Return when the loop has done what was due, and what became due by that."""
        for _ in range(5):
            self.on_loop(lambda: None)

    def pass_time(self, seconds: float) -> None:
        """Have so many seconds pass at once; return when timers of the loop that were due in them have fired."""
        put_forward(self.runner, seconds)
        self.settle()

    def threads_ended(self) -> None:
        """Return when no plain function runs any more, and the loop has heard of it."""
        for thread in threading.enumerate():
            if thread.name.startswith("offbook-node-"):
                thread.join(LIMIT_SECONDS)
                assert not thread.is_alive(), thread.name
        self.settle()


class Hold:
    """Keeps the runner's loop busy, so that what is submitted meanwhile is found all at once."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._held = threading.Event()
        self._open = threading.Event()

    def __enter__(self) -> None:
        self._stage.runner.call_threadsafe(self._hold)
        assert self._held.wait(LIMIT_SECONDS)

    def __exit__(self, *_: object) -> None:
        self._open.set()

    def _hold(self) -> None:
        self._held.set()
        assert self._open.wait(LIMIT_SECONDS)
