"""An actor that does what a test sends it, and tools to hold it up and to wait for it."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any, cast

from pykka import ActorRef

from offbook.actors.loop import Dispatcher, LoopActor, LoopRef

LIMIT_SECONDS = 60.0
"""How long a test waits for what must happen."""


class Notebook(LoopActor):
    """Writes down what it is sent, and answers how much there is; a function is called with it, and answers."""

    registered = False

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Any] = []
        self.hooks: list[str] = []
        self.children: list[tuple[ActorRef[Any], BaseException | None]] = []

    @classmethod
    def spawn(cls, dispatcher: Dispatcher, *args: Any, parent: ActorRef[Any] | None = None, **kwargs: Any) -> LoopRef:
        return cast("LoopRef", super().spawn(dispatcher, *args, parent=parent, **kwargs))

    def on_start(self) -> None:
        self.hooks.append("start")

    def on_stop(self) -> None:
        self.hooks.append("stop")

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.hooks.append("failure")

    def on_child_stopped(self, child: ActorRef[Any], reason: BaseException | None) -> None:
        self.children.append((child, reason))

    def on_receive(self, message: Any) -> Any:
        if callable(message):
            return message(self)
        self.heard.append(message)
        return len(self.heard)


class Registered(Notebook):
    """The same in Pykka's registry."""

    registered = True


def heard(notebook: Notebook) -> list[Any]:
    """Answer what was written down; to be sent."""
    return list(notebook.heard)


def children(notebook: Notebook) -> list[tuple[ActorRef[Any], BaseException | None]]:
    """Answer who has stopped; to be sent."""
    return list(notebook.children)


class Gate:
    """Something to send that keeps the actor, and its whole loop, busy until it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()

    def __call__(self, _: Notebook) -> None:
        self.reached.set()
        assert self._open.wait(LIMIT_SECONDS)

    def open(self) -> None:
        self._open.set()


class Crash:
    """Something to send that raises."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, _: Notebook) -> None:
        raise self.error
