"""How a plan of a resume or a fork is printed for people. Asks no engine."""

from __future__ import annotations

from collections.abc import Iterator

import typer

from offbook.cli.outcome import as_json_text
from offbook.workflows.values import JsonObject

TITLES = (("repeats", "runs"), ("runs", "runs"), ("may_run", "may run"))
"""Lists of a plan, and what they are called."""


def print_plan(plan: JsonObject, *, as_json: bool) -> None:
    """Print what is kept, what runs, and what that is likely to cost."""
    if as_json:
        typer.echo(as_json_text(plan))
        return
    for line in _lines(plan):
        typer.echo(line)


def _lines(plan: JsonObject) -> Iterator[str]:
    keeps = plan["keeps"]
    yield f"keeps {keeps['nodes']} nodes and {keeps['items']} items: {_cost(keeps)}, {keeps['seconds']:.1f} s"
    for name, title in TITLES:
        for each in plan.get(name, ()):
            yield f"{title} {_place(each)}: {each['why']} ({_estimate(each['estimate'])})"
    if plan.get("skips"):
        yield f"skips {', '.join(plan['skips'])}"
    yield f"estimated: {_total(plan['estimated'])}"
    if "at_most" in plan and plan["at_most"] != plan["estimated"]:
        yield f"at most: {_total(plan['at_most'])}"


def _place(planned: JsonObject) -> str:
    node_id: str = planned["node_id"]
    if planned["item"] is not None:
        return f"{node_id}[{planned['item']}]"
    return node_id if planned["count"] == 1 else f"{node_id} ({planned['count']} items)"


def _estimate(estimate: JsonObject) -> str:
    if estimate["basis"] == "free":
        return "no tokens"
    if estimate["tokens"] is None:
        return "tokens unknown"
    about = "about " if estimate["basis"] == "guess" else ""
    return about + _cost(estimate)


def _total(total: JsonObject) -> str:
    unknown = f", and {total['unknown']} attempts of which nothing is known" if total["unknown"] else ""
    return f"{total['calls']} calls, {_cost(total)}{unknown}"


def _cost(counted: JsonObject) -> str:
    cost = counted["cost"]
    if cost is None:
        return f"{counted['tokens']} tokens"
    more = " or more" if cost["partial"] else ""
    return f"{counted['tokens']} tokens, {cost['amount']} {cost['currency']}{more}"
