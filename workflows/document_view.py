"""A document read leniently: whatever of its graph can be read, so that all problems are found at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from offbook.workflows.document import CONTAINER_TYPE
from offbook.workflows.source_lines import child_path
from offbook.workflows.values import JsonObject, JsonValue


@dataclass(frozen=True, slots=True)
class NeedView:
    """An edge that leads to a node."""

    node: str
    when: JsonValue
    path: str


@dataclass(frozen=True, slots=True)
class BodyView:
    """What an attempt runs: a node, or the `do` of a foreach."""

    type: str | None
    config: JsonObject
    path: str
    """Of what holds `type` and `config`."""
    checks: JsonValue = None

    @property
    def config_path(self) -> str:
        return child_path(self.path, "config")


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node. What cannot be read is None or empty."""

    index: int
    path: str
    id: str | None
    type: str | None
    config: JsonObject
    needs: tuple[NeedView, ...]
    when: JsonValue
    body: BodyView | None
    """None for a foreach without a readable `do`."""
    words: frozenset[str]
    """The fields that it has."""

    @property
    def name(self) -> str:
        return self.id if self.id is not None else self.path

    @property
    def is_foreach(self) -> bool:
        return self.type == CONTAINER_TYPE

    @property
    def config_path(self) -> str:
        return child_path(self.path, "config")


@dataclass(frozen=True, slots=True)
class DocumentView:
    """What can be read of a document."""

    nodes: tuple[NodeView, ...]
    by_id: dict[str, NodeView]
    """The first node of each id."""
    inputs: dict[str, JsonObject] | None
    """None if they cannot be read."""
    checks: dict[str, JsonValue]
    """Lists of checks by name."""

    def input_kind(self, name: str) -> str | None:
        """Return an input's type; None if it is not known."""
        field = (self.inputs or {}).get(name)
        kind = field.get("type", "text") if field is not None else None
        return kind if isinstance(kind, str) else None


def read_view(document: JsonObject) -> DocumentView:
    """Read what can be read of a document that may be wrong everywhere."""
    nodes = tuple(_read_nodes(document.get("nodes")))
    by_id: dict[str, NodeView] = {}
    for node in nodes:
        if node.id is not None:
            by_id.setdefault(node.id, node)
    inputs = document.get("inputs", {})
    fields = None
    if isinstance(inputs, dict):
        fields = {name: field if isinstance(field, dict) else {} for name, field in inputs.items()}
    checks = document.get("checks")
    return DocumentView(nodes, by_id, fields, dict(checks) if isinstance(checks, dict) else {})


def _read_nodes(nodes: JsonValue) -> Iterator[NodeView]:
    if not isinstance(nodes, list | tuple):
        return
    for index, node in enumerate(nodes):
        if isinstance(node, dict):
            yield _read_node(index, node)


def _read_node(index: int, node: JsonObject) -> NodeView:
    path = f"nodes[{index}]"
    own = _read_body(node, path)
    body: BodyView | None = own
    if own.type == CONTAINER_TYPE:
        do = own.config.get("do")
        body = _read_body(do, child_path(own.config_path, "do")) if isinstance(do, dict) else None
    return NodeView(
        index=index,
        path=path,
        id=_text(node.get("id")),
        type=own.type,
        config=own.config,
        needs=tuple(_read_needs(node.get("needs"), path)),
        when=node.get("when"),
        body=body,
        words=frozenset(node),
    )


def _read_body(body: JsonObject, path: str) -> BodyView:
    config = body.get("config")
    return BodyView(_text(body.get("type")), config if isinstance(config, dict) else {}, path, body.get("checks"))


def _read_needs(needs: JsonValue, path: str) -> Iterator[NeedView]:
    if isinstance(needs, str):
        needs = [needs]
    if not isinstance(needs, list | tuple):
        return
    for position, need in enumerate(needs):
        need_path = f"{path}.needs[{position}]"
        if isinstance(need, str):
            yield NeedView(need, None, need_path)
        elif isinstance(need, dict) and isinstance(need.get("node"), str):
            yield NeedView(need["node"], need.get("when"), need_path)


def _text(value: JsonValue) -> str | None:
    return value if isinstance(value, str) and value else None
