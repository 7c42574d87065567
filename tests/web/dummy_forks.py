"""Forks of the dummy service: they note what was asked, and keep nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offbook.workflows.caller import Caller
from offbook.workflows.forking import ForkRequest
from offbook.workflows.values import ExecutionUser

if TYPE_CHECKING:
    from tests.web.dummy_service import DummyService


class DummyForks:
    """Answers like a worker's forks."""

    def __init__(self, service: DummyService) -> None:
        self._service = service
        self.asked: list[ForkRequest] = []

    async def start(
        self,
        execution_id: str,
        request: ForkRequest,
        *,
        caller: Caller,
        user: ExecutionUser | None = None,
        labels: dict[str, str] | None = None,
        durability: str | None = None,
        idempotency_key: str | None = None,
    ) -> str:
        parent = self._service.find(execution_id, caller)
        self.asked.append(request)
        return await self._service.start(
            {"nodes": []},
            request.inputs,
            caller=caller,
            user=user or parent.user,
            labels=parent.labels if labels is None else labels,
            durability=durability,
            idempotency_key=idempotency_key,
        )
