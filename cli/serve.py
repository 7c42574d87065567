"""The serve command: an engine and its web server until SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from loguru import logger

from offbook.cli import options, parent
from offbook.cli.connect import TOKEN_VARIABLE
from offbook.cli.exits import ExitCode
from offbook.cli.imports import import_modules
from offbook.cli.running import Interrupts, execute
from offbook.cli.server_file import ServerFile, remove_server_file
from offbook.cli.tuning import keep_collector_still, tune_process
from offbook.cli.version import version
from offbook.web.settings import MEGABYTE, WebSettings, check_bind
from offbook.workflows.errors import StorageUnavailable

if TYPE_CHECKING:
    from offbook.engine import Engine
    from offbook.settings import EngineSettings

DEFAULT_PORT = 8000
STORAGE_PATIENCE = 60.0
"""Seconds that a start waits for a database that is away; then the service manager hears of it."""
FIRST_STORAGE_DELAY = 0.2
LONGEST_STORAGE_DELAY = 1.0
LIMITS = "Limits"
WHO = "Who may ask"


def serve(
    host: Annotated[str, typer.Option("--host", envvar="OFFBOOK_HOST")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", envvar="OFFBOOK_PORT", min=0, max=65535, help="0: any.")
    ] = DEFAULT_PORT,
    data_dir: options.DataDir = options.DEFAULT_DATA_DIR,
    database: options.Database = None,
    imports: options.Imports = None,
    max_live: Annotated[
        int | None, typer.Option("--max-live", min=1, help="Executions at once.", rich_help_panel=LIMITS)
    ] = None,
    max_queued: Annotated[
        int | None, typer.Option("--max-queued", min=0, help="Executions that wait.", rich_help_panel=LIMITS)
    ] = None,
    max_calls: Annotated[
        int | None, typer.Option("--max-calls", min=1, help="Attempts at nodes at once.", rich_help_panel=LIMITS)
    ] = None,
    limits: Annotated[
        Path | None,
        typer.Option(
            "--limits",
            metavar="FILE",
            help="Calls per provider, user and node type: a TOML file. OFFBOOK_LIMITS.",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    retain_seconds: Annotated[
        float | None,
        typer.Option("--retain-seconds", min=0, help="How long the ended stay in memory.", rich_help_panel=LIMITS),
    ] = None,
    drain_grace: Annotated[
        float | None,
        typer.Option("--drain-grace", min=0, help="Seconds that calls have to finish.", rich_help_panel=LIMITS),
    ] = None,
    with_parent: Annotated[
        bool,
        typer.Option(
            "--with-parent", help="End when standard input does: whoever started this has gone, or was killed."
        ),
    ] = False,
    max_body_bytes: Annotated[
        int, typer.Option("--max-body-bytes", envvar="OFFBOOK_MAX_BODY_BYTES", min=1, rich_help_panel=LIMITS)
    ] = 4 * MEGABYTE,
    max_requests: Annotated[
        int,
        typer.Option("--max-requests", envvar="OFFBOOK_MAX_REQUESTS", min=1, help="At once.", rich_help_panel=LIMITS),
    ] = 4096,
    allowed_hosts: Annotated[
        str,
        typer.Option(
            "--allowed-hosts",
            envvar="OFFBOOK_ALLOWED_HOSTS",
            metavar="NAMES",
            help="Host names besides loopback's, commas between; * is any.",
            rich_help_panel=WHO,
        ),
    ] = "",
    cors_origins: Annotated[
        str,
        typer.Option(
            "--cors-origins",
            envvar="OFFBOOK_CORS_ORIGINS",
            metavar="ORIGINS",
            help="Origins whose pages may send requests, commas between.",
            rich_help_panel=WHO,
        ),
    ] = "",
) -> None:
    """Serve executions over HTTP. OFFBOOK_INTERNAL_TOKEN is what requests must carry; without it, loopback only."""
    web = WebSettings(
        internal_token=os.environ.get(TOKEN_VARIABLE) or None,
        cors_origins=_words(cors_origins),
        max_body_bytes=max_body_bytes,
        max_concurrent_requests=max_requests,
        allowed_hosts=(*_words(allowed_hosts), host),
        version=version(),
    )
    engine: dict[str, Any] = {
        "data_dir": data_dir,
        "database": database,
        "imports": tuple(imports) if imports else None,
        "max_live": max_live,
        "max_queued": max_queued,
        "max_calls": max_calls,
        "limits": limits,
        "retain_seconds": retain_seconds,
        "drain_grace": drain_grace,
    }
    execute(_serve(host, port, engine, web, with_parent=with_parent), log_level="INFO")


async def _serve(
    host: str, port: int, engine_settings: dict[str, Any], web: WebSettings, *, with_parent: bool
) -> int:
    check_bind(host, web.internal_token)
    from offbook.settings import EngineSettings
    from offbook.web.app import create_app
    from offbook.web.server import serve_app

    tune_process()
    settings = EngineSettings.from_environment(**engine_settings)
    import_modules(settings.imports)
    with Interrupts() as interrupts:
        async with (
            _open_engine(settings, interrupts) as engine,
            serve_app(create_app(engine.service, web), host, port) as url,
        ):
            folder = Path(settings.data_dir)
            try:
                ServerFile(url, os.getpid()).write(folder)
            except OSError as error:
                # The worker is what others need; only commands on this machine need its address from a file.
                logger.warning("server file cannot be written, commands need --server", why=error.strerror)
            try:
                typer.echo(f"offbook serves {url}")
                logger.info("server started", url=url, data_dir=str(folder))
                hearing = asyncio.create_task(_stop_at_signals(interrupts, engine))
                collecting = asyncio.create_task(keep_collector_still(engine.service.recovered()))
                watching = asyncio.create_task(_stop_with_parent(engine)) if with_parent else None
                try:
                    await engine.stop_requested()
                    logger.info("server drains; a second signal hurries it")
                    await engine.drain()
                finally:
                    hearing.cancel()
                    collecting.cancel()
                    if watching is not None:
                        watching.cancel()
            finally:
                remove_server_file(folder)
    return ExitCode.COMPLETED


@asynccontextmanager
async def _open_engine(settings: EngineSettings, interrupts: Interrupts) -> AsyncIterator[Engine]:
    """Start an engine; a database that is away is waited for: a worker may have been killed while it was."""
    from offbook.engine import Engine

    until = time.monotonic() + STORAGE_PATIENCE
    delay = FIRST_STORAGE_DELAY
    async with AsyncExitStack() as stack:
        while True:
            try:
                engine = await stack.enter_async_context(Engine(settings))
                break
            except StorageUnavailable as away:
                if time.monotonic() + delay > until:
                    raise
                logger.warning("storage is away, the start waits for it", retry_in=delay, why=away.detail)
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await interrupts.next()
                raise KeyboardInterrupt
            delay = min(2 * delay, LONGEST_STORAGE_DELAY)
        yield engine


async def _stop_at_signals(interrupts: Interrupts, engine: Engine) -> None:
    """Ask for the end at the first signal, and for haste at each further one."""
    while True:
        await interrupts.next()
        engine.request_stop()


async def _stop_with_parent(engine: Engine) -> None:
    """Ask for the end, without a grace period, when nobody is there any more who wants this server."""
    await parent.gone()
    logger.info("whoever started this server has gone")
    engine.request_stop(0.0)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
