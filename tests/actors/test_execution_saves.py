"""How often an execution's actor has its state stored: once each time that it comes to rest."""

from __future__ import annotations

from pathlib import Path

from offbook.actors.execution_messages import BeginExecution, PauseExecution
from offbook.workflows.caller import OPERATOR
from tests.actors.embedded import StumblingJournal, StumblingStore, open_engine
from tests.scenarios.documents import approval, workflow

PATIENCE = 60.0


async def test_what_is_paused_as_its_turn_comes_is_stored_once(tmp_path: Path) -> None:
    waits = workflow(approval("press"))
    async with open_engine(tmp_path, store=StumblingStore(), journal=StumblingJournal(), max_live=1) as engine:
        await engine.start(waits, user="ada")
        execution_id = await engine.start(waits, user="ada")
        assert (await engine.status(execution_id))["status"] == "queued"
        entry = engine.service._directory.find(execution_id)
        assert entry is not None
        ref = entry.ref
        assert ref is not None
        ref.tell(PauseExecution(execution_id))
        ref.tell(BeginExecution(1))
        status = await engine.wait(execution_id, PATIENCE)
        assert (status["status"], status["db_ops"]["writes"]) == ("paused", 2)
        await engine.service.resume(execution_id, caller=OPERATOR)
        assert (await engine.status(execution_id))["db_ops"]["writes"] == 3
