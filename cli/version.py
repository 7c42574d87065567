"""Which version of Offbook this is."""

from __future__ import annotations

from importlib import metadata

UNINSTALLED = "0+source"
"""Shown where the package runs from its sources without being installed."""


def version() -> str:
    try:
        return metadata.version("offbook")
    except metadata.PackageNotFoundError:
        return UNINSTALLED
