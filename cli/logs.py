"""Logs of the command: one sink on standard error, the standard library's logging taken in. Configures once."""

from __future__ import annotations

import logging
import os
import sys
from types import FrameType

from loguru import logger

FORMAT = "{time:YYYY-MM-DDTHH:mm:ss.SSS} {level: <7} {message} {extra}"
QUIET_BELOW = logging.WARNING
"""Libraries talk from here on."""


class Intercept(logging.Handler):
    """Hands records of the standard library's logging to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        level: str | int
        try:
            level = logger.level(record.levelname).name
        except ValueError:
            level = record.levelno
        frame: FrameType | None = logging.currentframe()
        depth = 2
        while frame is not None and frame.f_code.co_filename == logging.__file__:
            frame = frame.f_back
            depth += 1
        bound = logger.opt(depth=depth, exception=record.exc_info).bind(source=record.name)
        bound.log(level, record.getMessage())


def configure_logs(default_level: str) -> None:
    """Send logs to standard error, from OFFBOOK_LOG_LEVEL or else `default_level` on.

    `diagnose` is off: it would write the values of variables, keys and prompts among them.
    """
    level = os.environ.get("OFFBOOK_LOG_LEVEL", "").upper() or default_level
    logger.remove()
    try:
        logger.add(_write, level=level, format=FORMAT, diagnose=False, backtrace=False)
    except ValueError:
        logger.add(_write, level=default_level, format=FORMAT, diagnose=False, backtrace=False)
        logger.warning("unknown log level", given=level, used=default_level)
    logging.basicConfig(handlers=[Intercept()], level=QUIET_BELOW, force=True)


def _write(line: str) -> None:
    """Look standard error up each time: a live display puts itself in its place."""
    sys.stderr.write(line)
