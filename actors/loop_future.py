"""The future of LoopActors: awaited natively in any event loop, waited for with a timeout on any other thread."""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
import weakref
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar, cast

from loguru import logger as log
from pykka import Future, Timeout

from offbook.workflows.errors import OffbookError

if TYPE_CHECKING:
    from offbook.actors.loop_dispatcher import Dispatcher

T = TypeVar("T")
M = TypeVar("M")

Callback = Callable[["LoopFuture"], None]
ExceptionInfo = tuple[type[BaseException] | None, BaseException | None, Any]

_LOCK = threading.RLock()
"""Guards the moment at which a future is resolved; held for a few instructions only, so one serves all.

Reentrant: a finalizer or a signal handler that resolves a future may run between any two of them.
"""

_ACTORS_LOOPS: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
"""Loops that run a Dispatcher: blocking one of them would keep the answer from ever coming."""


class LoopDeadlockError(OffbookError):
    """Code on an actors' loop waits for an answer in a way that stops the loop."""

    def __init__(self) -> None:
        super().__init__(
            "this would block the loop that has to bring the answer: `await` the future, or use "
            "tell() and let the other actor tell back"
        )


class LoopFuture(Future[Any]):
    """A value that is there now or later."""

    __slots__ = ("_callbacks", "_done", "_error", "_get_hook", "_sources", "_value", "dispatcher")

    def __init__(self) -> None:
        # Pykka's own constructor would allocate what only futures with a hook need.
        self._get_hook = None
        self._done = False
        self.dispatcher: Dispatcher | None = None
        """Of the actor that is to give the answer."""
        self._value: Any = None
        self._error: ExceptionInfo | None = None
        self._callbacks: list[Callback] | None = None
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
            self._block(timeout)
        if self._error is not None:
            kind, error, trace = self._error
            if error is None:
                assert kind is not None
                error = kind()
            if error.__traceback__ is not trace:
                raise error.with_traceback(trace)
            raise error
        return self._value

    def _block(self, timeout: float | None) -> None:
        refuse_to_block()
        arrived = threading.Event()

        def resolved(_: LoopFuture) -> None:
            arrived.set()

        self.add_done_callback(resolved)
        if not arrived.wait(timeout) and self._forget(resolved):
            raise Timeout(f"{timeout} seconds")

    def _get_from_hook(self, timeout: float | None) -> Any:
        # Without a lock, which the loop would have to wait for: of two threads that compute it the first counts.
        if not self._done:
            assert self._get_hook is not None
            self._resolve(self._get_hook(timeout), None)
        return self._value

    def set(self, value: Any = None) -> None:
        """Give it its value; queue.Full if it has one, an exception or a hook."""
        # As _resolve, once more for speed: each answer comes this way.
        with _LOCK:
            if self._done or self._get_hook is not None:
                raise queue.Full
            self._value = value
            self._done = True
            callbacks, self._callbacks = self._callbacks, None
        if callbacks is not None:
            self._call(callbacks)

    def set_exception(self, exc_info: ExceptionInfo | None = None) -> None:
        """Give it an exception, by default the one being handled; queue.Full as for `set`."""
        assert exc_info is None or len(exc_info) == 3
        if self._get_hook is not None or not self._resolve(None, exc_info or sys.exc_info()):
            raise queue.Full

    def _resolve(self, value: Any, error: ExceptionInfo | None) -> bool:
        """Have it resolved for good; False if it was before."""
        with _LOCK:
            if self._done:
                return False
            self._value = value
            self._error = error
            self._done = True
            callbacks, self._callbacks = self._callbacks, None
        if callbacks is not None:
            self._call(callbacks)
        return True

    def _call(self, callbacks: list[Callback]) -> None:
        for callback in callbacks:
            try:
                callback(self)
            except Exception:  # noqa: BLE001 - whoever listens must not harm the actor that answers
                log.exception("callback of a future failed")

    def add_done_callback(self, function: Callback) -> None:
        """Call a function with this future once it is resolved, on the thread that resolves it; at once if it is.

        What it raises is logged. A future with a hook is resolved when its value is asked for.
        """
        with _LOCK:
            if not self._done:
                if self._callbacks is None:
                    self._callbacks = []
                self._callbacks.append(function)
                return
        self._call([function])

    def _forget(self, function: Callback) -> bool:
        """Take a callback back; False if the future was resolved before."""
        with _LOCK:
            if self._callbacks is None:
                return False
            self._callbacks.remove(function)
            return True

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
            if self.dispatcher is not None:
                self.dispatcher.help()
            if not self._done:
                # Most answers come within this turn of the loop: to look once more costs less than to be woken.
                yield
            if not self._done:
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
            else:
                with suppress(RuntimeError):
                    # The loop may be closed by now, and with it whoever waited on it.
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
            if isinstance(future, LoopFuture):
                await future
            else:
                # To await one of Pykka's own would block the loop.
                await asyncio.get_running_loop().run_in_executor(None, future.get)
        except Exception:  # noqa: BLE001 - the same exception comes out of the hook that needs this future
            continue


def note_actors_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Remember that a loop runs actors."""
    _ACTORS_LOOPS.add(loop)


def refuse_to_block() -> None:
    """Raise LoopDeadlockError if the caller is on a loop that runs actors."""
    loop = asyncio._get_running_loop()
    if loop is not None and loop in _ACTORS_LOOPS:
        raise LoopDeadlockError
