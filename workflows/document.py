"""The workflow document: the words of YAML, JSON and Python alike. Checks shapes only; `validation` checks sense."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StringConstraints, field_validator, model_validator

from offbook.workflows.budgets import Budget, BudgetMode, budget_problems
from offbook.workflows.checks import CHECK_ATTEMPTS, MAX_REGENERATIONS, CheckEntry
from offbook.workflows.states import Durability
from offbook.workflows.values import JsonObject, JsonValue

NodeId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]

CONTAINER_TYPE = "foreach"


class DocumentModel(BaseModel):
    """Base of the document's parts: immutable, and no word it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class InputField(DocumentModel):
    """One input: its type, whether it must be given, and what it may be."""

    type: Literal["text", "integer", "number", "boolean", "select", "list", "object", "file"] = "text"
    label: str = ""
    description: str = ""
    required: bool = False
    default: JsonValue = None
    options: tuple[JsonValue, ...] = ()
    """For `select`: what may be chosen."""
    multiple: bool = False
    """For `select`: whether the value is a list of choices."""


class Need(DocumentModel):
    """An edge: after that node, perhaps on a condition."""

    node: str
    when: str | bool | None = None


class RetryPolicy(DocumentModel):
    """How often a node or item is tried in one epoch, and how long to wait between tries (seconds)."""

    attempts: int = Field(default=1, ge=1, le=100)
    """The first included."""
    delay: float = Field(default=2.0, ge=0, le=86_400)
    factor: float = Field(default=2.0, ge=1, le=100)
    max_delay: float = Field(default=60.0, ge=0, le=86_400)


class CheckRetryPolicy(DocumentModel):
    """How often a node or item is tried in one epoch where its output fails its checks; the next try is at once."""

    attempts: int = Field(default=CHECK_ATTEMPTS, ge=1, le=100)
    """The first included; failures of other kinds are counted by `retry`, apart."""


class TimeoutPolicy(DocumentModel):
    """Limits of one attempt, in seconds; None is no limit."""

    total: float | None = Field(default=None, gt=0)
    idle: float | None = Field(default=None, gt=0)
    """Seconds without a sign of life: text, thinking, progress or usage."""


class RestartPolicy(DocumentModel):
    """What the Supervisor does when the actor crashes (restart) or the execution fails (resume)."""

    max_restarts: int = Field(default=3, ge=0, le=1000)
    within: float = Field(default=60.0, gt=0)
    """Seconds: more than `max_restarts` crashes within this fail the execution."""
    auto_resume: int = Field(default=0, ge=0, le=1000)
    """How often a failed execution is resumed without being asked."""
    delay: float = Field(default=5.0, ge=0)
    """Seconds before the first automatic resume; doubled each time."""


class BudgetPolicy(DocumentModel):
    """What each execution may spend, unless it is started with a budget of its own."""

    tokens: StrictInt | None = None
    money: str | None = None
    """Decimal text, in the currency of the price table: `"1.50"`."""
    mode: BudgetMode = BudgetMode.HARD

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        problems = budget_problems(self.model_dump(mode="json", exclude_none=True), "budget")
        if problems:
            raise ValueError("; ".join(problem.message for problem in problems))
        return self


class NodeBody(DocumentModel):
    """What a node does: shared by nodes and by the `do` of a foreach."""

    type: str
    config: JsonObject = Field(default_factory=dict)
    retry: RetryPolicy = RetryPolicy()
    timeout: TimeoutPolicy = TimeoutPolicy()
    checks: tuple[CheckEntry, ...] = ()
    """What the output must pass, else the attempt has failed."""
    check_retry: CheckRetryPolicy = CheckRetryPolicy()
    max_regenerations: int = Field(default=MAX_REGENERATIONS, ge=0, le=1000)
    """How often an output that failed its checks is written again, over all epochs and resumes."""


class Node(NodeBody):
    """One step of a workflow."""

    id: NodeId
    label: str = ""
    needs: tuple[Need, ...] = ()
    when: str | bool | None = None
    continue_on_error: bool = False

    @field_validator("needs", mode="before")
    @classmethod
    def _needs_may_be_plain_ids(cls, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [{"node": entry} if isinstance(entry, str) else entry for entry in value]
        return value


class ForeachConfig(DocumentModel):
    """The config of a foreach: its items, how many at once, and what is done for each."""

    count: str | StrictInt | None = None
    """An expression or number: items are 0 to count - 1. Either this or `items`."""
    items: str | list[Any] | None = None
    """An expression for a list, or the list."""
    concurrency: int = Field(default=1, ge=1, le=1000)
    do: NodeBody


class Workflow(DocumentModel):
    """A graph of nodes and edges, known by its fingerprint."""

    format: Literal[1] = 1
    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    description: str = ""
    inputs: dict[str, InputField] = Field(default_factory=dict)
    nodes: tuple[Node, ...] = Field(min_length=1)
    checks: dict[NodeId, tuple[CheckEntry, ...]] = Field(default_factory=dict)
    """Lists of checks that nodes refer to by name."""
    durability: Durability | None = None
    budget: BudgetPolicy | None = None
    restart: RestartPolicy = RestartPolicy()

    @property
    def fingerprint(self) -> str:
        """SHA-256, 64 hex digits, over the canonical JSON of what was written, without defaults."""
        return fingerprint_of(self.to_json())

    @property
    def budget_of_each(self) -> Budget | None:
        return Budget.from_json(self.budget.model_dump(mode="json")) if self.budget is not None else None

    def to_json(self) -> JsonObject:
        """The document as written: defaults left out, so that its fingerprint survives new fields."""
        return self.model_dump(mode="json", exclude_unset=True)


def fingerprint_of(document: JsonObject) -> str:
    """Hash a document's canonical JSON (sorted keys, no spaces)."""
    return hashlib.sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).hexdigest()
