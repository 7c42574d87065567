"""Request bodies: read within limits, parsed, and checked field by field with every problem at once."""

from __future__ import annotations

import orjson
from aiohttp import web

from offbook.web.errors import RequestRefused
from offbook.workflows.errors import Problem, ValidationFailed
from offbook.workflows.values import ExecutionUser, JsonObject, JsonValue

JSON_TYPE = "application/json"
YAML_TYPES = frozenset({"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"})
MAX_USER_LENGTH = 200
MAX_LABELS = 50
MAX_LABEL_LENGTH = 500

KINDS = {str: "text", dict: "an object", list: "a list", bool: "true or false", int: "an integer"}


async def read_json(request: web.Request, *, default: JsonValue = None) -> JsonValue:
    """Return the parsed body, `default` if there is none; RequestRefused if it is not JSON or too large."""
    if not request.body_exists:
        return default
    if request.content_type != JSON_TYPE:
        raise RequestRefused("unsupported-media-type", f"the body's type is {request.content_type}: send {JSON_TYPE}")
    return _parse(await _read(request))


async def read_object(request: web.Request) -> JsonObject:
    """Return the body, which must be a JSON object; empty if there is none."""
    return _object(await read_json(request, default={}))


async def read_document(request: web.Request) -> str | JsonObject:
    """Return a workflow document: an object from JSON, text from YAML, so that problems can name lines."""
    if request.content_type not in YAML_TYPES:
        if not request.body_exists:
            raise RequestRefused("malformed-body", "there is no body: send the workflow document as JSON or YAML")
        return await read_object(request)
    try:
        return (await _read(request)).decode()
    except UnicodeDecodeError as error:
        raise RequestRefused("malformed-body", f"the body is not UTF-8: {error}") from None


async def _read(request: web.Request) -> bytes:
    limit = request.client_max_size
    if request.content_length is not None and request.content_length > limit:
        raise web.HTTPRequestEntityTooLarge(limit, request.content_length)
    return await request.read()


def _parse(text: bytes) -> JsonValue:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise RequestRefused("malformed-body", f"the body is not JSON: {error}") from None


def _object(body: JsonValue) -> JsonObject:
    if not isinstance(body, dict):
        raise ValidationFailed([Problem("bad-body", f"the body must be a JSON object, not {_shown(body)}")])
    return body


class Fields:
    """The fields of a request's object. Each reader takes one; `done` raises what was wrong with all of them."""

    def __init__(self, body: JsonObject, path: str = "") -> None:
        self._body = body
        self._path = path
        self._asked: list[str] = []
        self.problems: list[Problem] = []

    def take(self, name: str, *kinds: type, required: bool = False) -> JsonValue:
        """Return a field that has one of these types; None, and a problem noted, if it has not."""
        self._asked.append(name)
        value = self._body.get(name)
        if value is None:
            if required:
                self.refuse("missing-field", name, f"is missing: give {_alternatives(kinds)}")
            return None
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            self.refuse("bad-field", name, f"must be {_alternatives(kinds)}, not {_shown(value)}")
            return None
        if isinstance(value, str) and "\0" in value:
            self.refuse("bad-field", name, "must not contain a NUL character")
            return None
        return value

    def text(self, name: str, *, required: bool = False) -> str | None:
        found: str | None = self.take(name, str, required=required)
        return found

    def object(self, name: str) -> JsonObject:
        found: JsonObject | None = self.take(name, dict)
        return found or {}

    def labels(self, name: str) -> dict[str, str]:
        """Return an object of texts, bounded in number and length."""
        labels = self.object(name)
        if len(labels) > MAX_LABELS:
            self.refuse("bad-field", name, f"has {len(labels)} labels: at most {MAX_LABELS}")
        for key, value in labels.items():
            if not isinstance(value, str):
                self.refuse("bad-field", f"{name}.{key}", f"must be text, not {_shown(value)}")
            elif not key or len(key) > MAX_LABEL_LENGTH or len(value) > MAX_LABEL_LENGTH or "\0" in key + value:
                problem = f"a label has 1 to {MAX_LABEL_LENGTH} characters on either side, and no NUL"
                self.refuse("bad-field", f"{name}.{key[:40]}", problem)
        return labels

    def user(self, name: str) -> ExecutionUser | None:
        """Return an execution user: `{id, role, tier}`, of which the id is needed."""
        data = self.take(name, dict)
        if data is None:
            return None
        fields = Fields(data, self._full(name))
        user_id = fields.text("id", required=True)
        role, tier = fields.text("role"), fields.text("tier")
        fields.note_unknown()
        if user_id is not None and not user_id.strip():
            fields.refuse("bad-field", "id", "must not be empty")
        for word, text in (("id", user_id), ("role", role), ("tier", tier)):
            if text and (len(text) > MAX_USER_LENGTH or not text.isprintable()):
                fields.refuse("bad-field", word, f"must have at most {MAX_USER_LENGTH} printable characters")
        self.problems.extend(fields.problems)
        return ExecutionUser(user_id or "", role or "user", tier or "")

    def refuse(self, code: str, name: str, message: str, *, hint: str = "") -> None:
        path = self._full(name)
        self.problems.append(Problem(code, f"{path}: {message}", path, hint=hint))

    def note_unknown(self) -> None:
        """Note fields that nobody asked for: a misspelt one would be left out in silence."""
        for name in self._body:
            if name not in self._asked:
                self.refuse("unknown-field", name, "is not a field here", hint=f"known: {', '.join(self._asked)}")

    def done(self) -> None:
        """Raise ValidationFailed with all that was noted, unknown fields included."""
        self.note_unknown()
        if self.problems:
            raise ValidationFailed(self.problems)

    def _full(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name


def _alternatives(kinds: tuple[type, ...]) -> str:
    return " or ".join(KINDS[kind] for kind in kinds)


def _shown(value: JsonValue) -> str:
    if value is None:
        return "null"
    return KINDS.get(type(value), "a number")
