"""The future of LoopActors: awaited natively in any event loop, waited for with a timeout on any other thread."""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
from collections.abc import Callable, Generator, Iterable
from typing import Any, TypeVar, cast

from pykka import Future, Timeout

from offbook.workflows.errors import OffbookError

T = TypeVar("T")
J = TypeVar("J")
M = TypeVar("M")
R = TypeVar("R")

ExceptionInfo = tuple[type[BaseException] | None, BaseException | None, Any]

_LOCK = threading.Lock()
"""Guards the moment at which a future is resolved; held for a few instructions only, so one serves all."""

_LOOP_THREADS: set[int] = set()
"""Threads that run a Dispatcher: blocking one of them would keep the answer from ever coming."""


class LoopDeadlockError(OffbookError):
    """Code on an actors' loop waits for an answer in a way that stops the loop."""

    def __init__(self) -> None:
        super().__init__(
            "this would block the loop that has to bring the answer: `await` the future, or use "
            "tell() and let the other actor tell back"
        )


class LoopFuture(Future[Any]):
    """A value that is there now or later."""

    __slots__ = ("_callbacks", "_done", "_error", "_get_hook", "_sources", "_value")

    def __init__(self) -> None:
        # Pykka's own constructor would allocate what only futures with a hook need.
        self._get_hook = None
        self._done = False
        self._value: Any = None
        self._error: ExceptionInfo | None = None
        self._callbacks: list[Callable[[LoopFuture], None]] | None = None
        self._sources: tuple[Future[Any], ...] | None = None

    def done(self) -> bool:
        """Return whether it has a value or an exception."""
        return self._done

    def get(self, *, timeout: float | None = None) -> Any:
        """Return the value or raise the exception; blocks up to `timeout` seconds, but never an actors' loop.

        Raises pykka.Timeout, LoopDeadlockError, or what was set as the exception.
        """
        if self._get_hook is not None:
            return self._get_from_hook(timeout)
        if not self._done:
            if threading.get_ident() in _LOOP_THREADS:
                raise LoopDeadlockError
            arrived = threading.Event()
            self.add_done_callback(lambda _: arrived.set())
            if not arrived.wait(timeout):
                raise Timeout(f"{timeout} seconds")
        if self._error is not None:
            kind, error, trace = self._error
            if error is None:
                assert kind is not None
                error = kind()
            if error.__traceback__ is not trace:
                raise error.with_traceback(trace)
            raise error
        return self._value

    def _get_from_hook(self, timeout: float | None) -> Any:
        if not self._done:
            assert self._get_hook is not None
            self._value = self._get_hook(timeout)
            self._done = True
        return self._value

    def set(self, value: Any = None) -> None:
        """Give it its value; queue.Full if it has one, an exception or a hook."""
        self._resolve(value, None)

    def set_exception(self, exc_info: ExceptionInfo | None = None) -> None:
        """Give it an exception, by default the one being handled; queue.Full as for `set`."""
        assert exc_info is None or len(exc_info) == 3
        self._resolve(None, exc_info or sys.exc_info())

    def _resolve(self, value: Any, error: ExceptionInfo | None) -> None:
        with _LOCK:
            if self._done or self._get_hook is not None:
                raise queue.Full
            self._value = value
            self._error = error
            self._done = True
            callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            callback(self)

    def add_done_callback(self, function: Callable[[LoopFuture], None]) -> None:
        """Call a function with this future once it is resolved, on the thread that resolves it; at once if it is."""
        with _LOCK:
            if not self._done:
                if self._callbacks is None:
                    self._callbacks = []
                self._callbacks.append(function)
                return
        function(self)

    def set_get_hook(self, func: Callable[[float | None], Any]) -> None:
        """Compute the value when it is asked for; queue.Full if there is a value already."""
        with _LOCK:
            if self._done:
                raise queue.Full
            self._get_hook = func

    def derived_from(self, *sources: Future[Any]) -> LoopFuture:
        """Say that the hook needs these futures and nothing else, so that awaiting them is enough."""
        self._sources = sources
        return self

    def filter(self, func: Callable[[Any], bool]) -> LoopFuture:
        """Return a future of the values in this one's iterable that pass."""
        return cast("LoopFuture", super().filter(func)).derived_from(self)

    def join(self, *futures: Future[Any]) -> LoopFuture:
        """Return a future of the list of this one's value and the others'."""
        return cast("LoopFuture", super().join(*futures)).derived_from(self, *futures)

    def map(self, func: Callable[[Any], M]) -> LoopFuture:
        """Return a future of what a function makes of the value."""
        return cast("LoopFuture", super().map(func)).derived_from(self)

    def reduce(self, func: Callable[[Any, Any], Any], *args: Any) -> LoopFuture:
        """Return a future of this one's iterable folded to one value."""
        return cast("LoopFuture", super().reduce(func, *args)).derived_from(self)

    def __await__(self) -> Generator[Any, None, Any]:
        if self._get_hook is not None and not self._done:
            yield from self._await_hook().__await__()
        elif not self._done:
            yield from self._waiter().__await__()
        return self.get()

    __iter__ = __await__

    def _waiter(self) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        waiting_thread = threading.get_ident()

        def wake() -> None:
            if not waiter.done():
                waiter.set_result(None)

        def resolved(_: LoopFuture) -> None:
            if threading.get_ident() == waiting_thread:
                wake()
            elif not loop.is_closed():
                loop.call_soon_threadsafe(wake)

        self.add_done_callback(resolved)
        return waiter

    async def _await_hook(self) -> None:
        if self._sources is None:
            # A hook we know nothing of may block: not here.
            await asyncio.get_running_loop().run_in_executor(None, self.get)
            return
        await settle(self._sources)


async def settle(futures: Iterable[Future[Any]]) -> None:
    """Wait until all are resolved, whatever to; what they hold is for `get` to say."""
    for future in futures:
        if isinstance(future, LoopFuture) and future._get_hook is None:
            if not future.done():
                await future._waiter()
            continue
        try:
            await future
        except Exception:  # noqa: BLE001 - the same exception comes out of the hook that needs this future
            continue


def note_loop_thread() -> None:
    """Remember that the calling thread runs actors."""
    _LOOP_THREADS.add(threading.get_ident())


def forget_loop_thread(thread_id: int) -> None:
    """The thread runs actors no more."""
    _LOOP_THREADS.discard(thread_id)
