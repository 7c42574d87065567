"""Running a command's coroutine to an exit code, and what Ctrl-C means meanwhile. Knows no command."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, NoReturn, Self

import typer

from offbook.cli.exits import ExitCode, exit_code_of, tell
from offbook.cli.logs import configure_logs
from offbook.workflows.errors import OffbookError

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def execute(work: Coroutine[Any, Any, int], *, log_level: str = "WARNING") -> NoReturn:
    """Run a command and leave with its exit code; an expected error is told, without a traceback."""
    configure_logs(log_level)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            code = runner.run(work)
    except OffbookError as error:
        tell(error)
        code = exit_code_of(error)
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    raise typer.Exit(int(code))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


class Interrupts:
    """Counts Ctrl-C and SIGTERM while it is open, in place of ending the process."""

    def __init__(self) -> None:
        self.count = 0
        self._came = asyncio.Event()

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._notice)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)

    async def next(self) -> int:
        """Wait for the next one; return how many there were so far."""
        await self._came.wait()
        self._came.clear()
        return self.count

    def _notice(self) -> None:
        self.count += 1
        self._came.set()
