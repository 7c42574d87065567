"""Checks of outputs: what a node's output must pass, else its attempt has failed."""

from offbook.nodes.checks.checker import Checker, check_failure
from offbook.nodes.checks.functions import CHECKS, CheckFunctions, check
from offbook.nodes.checks.kind import CheckKind, CheckParams, Produced
from offbook.nodes.checks.registry import CheckRegistry, DuplicateCheck

__all__ = [
    "CHECKS",
    "CheckFunctions",
    "CheckKind",
    "CheckParams",
    "CheckRegistry",
    "Checker",
    "DuplicateCheck",
    "Produced",
    "check",
    "check_failure",
]
