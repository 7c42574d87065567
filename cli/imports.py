"""Importing the modules that `--import` names, which register functions and node types."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from offbook.cli.exits import UsageRefused


def import_modules(modules: Sequence[str]) -> None:
    """Import each module, from the present folder too; UsageRefused for one that is not there.

    The folder comes last in the search, so that nothing in it can stand in for a module of ours.
    """
    if modules and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise UsageRefused(
                f"--import {module}: {error}", hint="name a module that this folder or environment has"
            ) from error
