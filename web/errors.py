"""One table from errors to RFC 9457 problems. The errors themselves know no HTTP; internals never leave here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import orjson
from aiohttp import web
from loguru import logger

from offbook.workflows.changes import WorkflowChanged
from offbook.workflows.checkpoint import UnreadableState
from offbook.workflows.errors import (
    BudgetNotFound,
    CheckpointNotFound,
    CommandRefused,
    Draining,
    ExecutionNotFound,
    ExecutionUserMissing,
    Forbidden,
    IdempotencyConflict,
    IllegalTransition,
    NodeNotFound,
    NotResumable,
    OffbookError,
    OverCapacity,
    StaleMessage,
    StatusUnavailable,
    StorageUnavailable,
    ValidationFailed,
    WorkflowNotFound,
)
from offbook.workflows.key_errors import KeyNotFound, KeysKeptElsewhere, MasterKeyMissing, UserNotFound
from offbook.workflows.plan import UnknownNodeType
from offbook.workflows.values import JsonObject

PROBLEM_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One kind of problem: `/problems/<name>`."""

    status: int
    title: str
    retry_after: float | None = None
    """Seconds after which the request may be sent again, where the error does not know better."""


PROBLEMS: dict[str, ProblemKind] = {
    "malformed-body": ProblemKind(400, "The body cannot be read"),
    "bad-request": ProblemKind(400, "The request cannot be understood"),
    "unauthorized": ProblemKind(401, "The request does not say who sends it"),
    "forbidden": ProblemKind(403, "The caller may not do this"),
    "not-found": ProblemKind(404, "There is no such thing"),
    "method-not-allowed": ProblemKind(405, "The route has no such method"),
    "not-resumable": ProblemKind(409, "The execution cannot be resumed"),
    "workflow-changed": ProblemKind(409, "The workflow is another one, or does not fit this worker"),
    "idempotency-conflict": ProblemKind(409, "The idempotency key belongs to another request"),
    "command-refused": ProblemKind(409, "The execution's state does not allow this"),
    "body-too-large": ProblemKind(413, "The body is too large"),
    "unsupported-media-type": ProblemKind(415, "The body has a type that is not read here"),
    "misdirected-host": ProblemKind(421, "The server does not answer to this host name"),
    "validation-failed": ProblemKind(422, "The request was checked and refused"),
    "execution-user-missing": ProblemKind(422, "Nobody is named on whose behalf to run"),
    "over-capacity": ProblemKind(429, "The worker has as much to do as it may", 1.0),
    "internal-error": ProblemKind(500, "Offbook made a mistake"),
    "draining": ProblemKind(503, "The worker is shutting down", 10.0),
    "storage-unavailable": ProblemKind(503, "Storage cannot be used now", 5.0),
    "no-master-key": ProblemKind(503, "There is no master key to store keys under"),
    "status-unavailable": ProblemKind(503, "The execution did not answer in time", 1.0),
}

NAMES: dict[type[OffbookError], str] = {
    ValidationFailed: "validation-failed",
    ExecutionUserMissing: "execution-user-missing",
    ExecutionNotFound: "not-found",
    WorkflowNotFound: "not-found",
    NodeNotFound: "not-found",
    CheckpointNotFound: "not-found",
    BudgetNotFound: "not-found",
    UserNotFound: "not-found",
    KeyNotFound: "not-found",
    Forbidden: "forbidden",
    KeysKeptElsewhere: "forbidden",
    NotResumable: "not-resumable",
    WorkflowChanged: "workflow-changed",
    UnknownNodeType: "workflow-changed",
    UnreadableState: "workflow-changed",
    IdempotencyConflict: "idempotency-conflict",
    CommandRefused: "command-refused",
    IllegalTransition: "command-refused",
    StaleMessage: "command-refused",
    OverCapacity: "over-capacity",
    Draining: "draining",
    StorageUnavailable: "storage-unavailable",
    StatusUnavailable: "status-unavailable",
    MasterKeyMissing: "no-master-key",
}

STATUS_NAMES = {400: "bad-request", 404: "not-found", 405: "method-not-allowed", 413: "body-too-large"}
"""Problems for what aiohttp itself refuses."""


class RequestRefused(OffbookError):
    """An HTTP request is refused before the engine hears of it."""

    def __init__(self, problem: str, detail: str) -> None:
        self.problem = problem
        """A name in PROBLEMS."""
        super().__init__(detail)


def problem_of(error: OffbookError, request: web.BaseRequest) -> web.Response:
    """Answer an error that was raised on purpose."""
    name = error.problem if isinstance(error, RequestRefused) else _name_of(error)
    if name == "internal-error":
        return internal_error(error, request)
    extra: JsonObject = {}
    if isinstance(error, ValidationFailed):
        extra["errors"] = [problem.to_json() for problem in error.problems]
    if isinstance(error, WorkflowChanged):
        fork = {
            "method": "POST",
            "url": f"/executions/{error.execution_id}/fork",
            "body": {"workflow": error.workflow},
        }
        extra.update(changes=error.changes.to_json(), fork=fork)
    headers: dict[str, str] = {}
    retry_after = error.retry_after if isinstance(error, OverCapacity) else PROBLEMS[name].retry_after
    if retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(retry_after)))
    if name == "unauthorized":
        headers["WWW-Authenticate"] = "Bearer"
    return problem_response(name, str(error), request, headers=headers, extra=extra)


def problem_of_http(error: web.HTTPException, request: web.BaseRequest, max_body_bytes: int) -> web.Response:
    """Answer what aiohttp refuses: no such route or method, a body past the limit."""
    name = STATUS_NAMES.get(error.status, "bad-request")
    headers: dict[str, str] = {}
    if isinstance(error, web.HTTPMethodNotAllowed):
        headers["Allow"] = ", ".join(sorted(error.allowed_methods))
        detail = f"{request.method} is not for {request.path}: use {headers['Allow']}"
    elif error.status == 404:
        detail = f"there is no {request.method} {request.path}: `GET /` names the routes"
    elif error.status == 413:
        detail = f"a body may have {max_body_bytes} bytes: send less, or raise the server's --max-body-bytes"
    else:
        detail = error.reason
    return problem_response(name, detail, request, headers=headers)


def internal_error(error: BaseException, request: web.BaseRequest) -> web.Response:
    """Answer an error that nobody meant to raise: logged whole, told without internals."""
    logger.opt(exception=error).error("request failed", method=request.method, path=request.path)
    return problem_response(
        "internal-error", "the request failed by a fault of the server; its log says why", request
    )


def problem_response(
    name: str,
    detail: str,
    request: web.BaseRequest,
    *,
    headers: Mapping[str, str] | None = None,
    extra: Mapping[str, object] | None = None,
) -> web.Response:
    """Build the answer for a problem named in PROBLEMS."""
    kind = PROBLEMS[name]
    body = {
        "type": f"/problems/{name}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "instance": request.path,
        **(extra or {}),
    }
    return web.Response(status=kind.status, body=_encode(body), content_type=PROBLEM_TYPE, headers=headers)


def _encode(body: JsonObject) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:
        # A path or parameter that is not Unicode is repeated in the detail.
        shown = {key: _printable(value) for key, value in body.items()}
        return orjson.dumps(shown, default=str)


def _printable(value: object) -> object:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _name_of(error: OffbookError) -> str:
    for kind in type(error).__mro__:
        if kind in NAMES:
            return NAMES[kind]
    return "internal-error"
