"""Node types for tests of documents: the shapes of the real ones, and nothing that runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from offbook.nodes.checks import CheckFunctions, CheckRegistry
from offbook.workflows.errors import Problem
from offbook.workflows.types import Sight
from offbook.workflows.values import Usage


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LlmConfig(Strict):
    model: str = ""
    prompt: str = ""
    temperature: float = 0.7
    max_tokens: int | None = None
    script: dict[str, Any] | None = None


class TemplateConfig(Strict):
    text: str


class OutputConfig(Strict):
    value: Any = None


class PythonConfig(Strict):
    function: str
    args: dict[str, Any] = {}


class WaitConfig(Strict):
    seconds: float | None = None
    until: str | None = None


class ApprovalConfig(Strict):
    signal: str | None = None
    form: dict[str, Any] | None = None
    timeout: float | None = None


class FakeType:
    def __init__(
        self,
        name: str,
        config_model: type[BaseModel],
        *,
        produces_content: bool = False,
        needs_last_output: bool = False,
        needs_model: bool = False,
        expression_fields: Iterable[str] = (),
    ) -> None:
        self.name = name
        self.config_model = config_model
        self.produces_content = produces_content
        self.needs_last_output = needs_last_output
        self.needs_user = False
        self.sees = Sight.EVERYTHING if name == "python" else Sight.CONFIG
        self.expression_fields = frozenset(expression_fields)
        self._needs_model = needs_model

    def check_config(self, config: Mapping[str, object]) -> Iterable[Problem]:
        if self._needs_model and not config.get("model"):
            yield Problem("missing-model", "no model is chosen", "model", hint="write `model: provider/name`")

    def estimate(self, config: Mapping[str, object]) -> Usage | None:
        return Usage(10, 100, estimated=True) if self._needs_model else None

    def model_of(self, config: Mapping[str, object]) -> str:
        return ""

    def keys_needed(self, config: Mapping[str, object]) -> Iterable[str]:
        return ()


class FakeTypes:
    """llm, refine, template, python, output, wait and approval."""

    def __init__(self) -> None:
        types = [
            FakeType("llm", LlmConfig, produces_content=True, needs_model=True),
            FakeType("refine", LlmConfig, produces_content=True, needs_model=True, needs_last_output=True),
            FakeType("template", TemplateConfig, produces_content=True),
            FakeType("python", PythonConfig, produces_content=True),
            FakeType("output", OutputConfig),
            FakeType("wait", WaitConfig, expression_fields=["until"]),
            FakeType("approval", ApprovalConfig),
        ]
        self._types = {each.name: each for each in types}

    checks = CheckRegistry.with_builtins(CheckFunctions())

    def get(self, name: str) -> FakeType | None:
        return self._types.get(name)

    def names(self) -> Iterable[str]:
        return self._types


TYPES = FakeTypes()

NOVELLA = r"""
format: 1
name: novella
inputs:                       # text, integer, number, boolean, select, list, object, file
  premise: {type: text, required: true}
  chapters: {type: integer, default: 3}
  cover: {type: boolean, default: false}
nodes:
  - id: outline               # ^[a-z][a-z0-9_]{0,63}$ ; label: free text
    type: llm
    config: {model: local/gemma3-270m, prompt: "An outline for: {{ inputs.premise }}"}
    retry: {attempts: 3, delay: 2.0, factor: 2.0, max_delay: 60.0}   # attempts: the first included
    timeout: {total: 600, idle: 60}                                  # seconds, per attempt
  - id: chapters
    type: foreach
    needs: [outline]
    config:
      count: inputs.chapters                   # or items: an expression for a list
      concurrency: 1
      do:
        type: llm
        config: {model: local/gemma3-270m, prompt: "Chapter {{ index + 1 }}, after {{ items_so_far | last }}"}
        retry: {attempts: 3}
  - id: picture
    type: llm
    when: inputs.cover                         # on the node, or on one edge: {node: outline, when: ...}
    needs: [outline]
    continue_on_error: true
    config: {model: scripted/painter, prompt: "..."}
  - id: book
    type: output
    needs: [chapters, picture]                 # a join: a skipped predecessor is fine
    config: {value: "{{ nodes.chapters.output | join('\\n\\n') }}"}
durability: async
restart: {max_restarts: 3, within: 60, auto_resume: 0, delay: 5.0}
"""
"""The example of the document's description."""
