"""Promise 7: a planted key is in no status, error, checkpoint, journal, file, log, answer or output of a command."""

from __future__ import annotations

from pathlib import Path

import pytest

from offbook.nodes.functions import FunctionRegistry
from offbook.nodes.providers import openai
from offbook.nodes.providers.secrets import Secrets
from offbook.persistence.key_vault import new_master_key
from tests.nodes.providers.model_server import serve
from tests.scenarios.conftest import Close, Open
from tests.scenarios.planted import KEY, Application, Search, names, play, register

LOOKED_THROUGH = ["answer", "command", "database", "file", "journal", "log", "status"]


async def search_for_it(
    source: str, opened: Open, closed: Close, functions: FunctionRegistry, tmp_path: Path, search: Search
) -> list[str]:
    """Plant the key where one comes from, have everything fail, and say where it is found."""
    named = register(functions)
    async with serve() as server:
        providers = {"fake": {"base_url": f"{server.url}/v1", "requires_key": True}}
        with search:
            worker = await opened(
                providers=providers,
                master_key=new_master_key(),
                keys=Application() if source == "application" else None,
            )
            if source == "stored":
                put = await worker.call("PUT", "/users/ada/keys/fake", {"key": KEY}, user="ada")
                search.add("answer", put)
                assert put.status == 204
            execution_ids = await play(worker, server, named, search)
            assert {each.headers["Authorization"] for each in server.asked} == {f"Bearer {KEY}"}
            assert server.elsewhere == 0
            await closed(worker)
    search.add_files(tmp_path / "data")
    search.add_database(tmp_path / "data", execution_ids)
    assert list(names(search)) == LOOKED_THROUGH
    return search.places()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("source", ["stored", "environment", "application"])
async def test_planted_key_is_found_nowhere(
    source: str,
    opened: Open,
    closed: Close,
    functions: FunctionRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if source == "environment":
        monkeypatch.setenv("OFFBOOK_KEY_FAKE", KEY)
    assert await search_for_it(source, opened, closed, functions, tmp_path, Search(monkeypatch)) == []


@pytest.mark.timeout(300)
async def test_search_finds_it_everywhere_where_nothing_is_taken_out(
    opened: Open, closed: Close, functions: FunctionRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search above could fail: without what takes keys out of texts it does."""
    monkeypatch.setattr(Secrets, "scrub", lambda secrets, text: text)
    monkeypatch.setattr(openai, "scrub", lambda text, key, prompts: text)
    places = await search_for_it("stored", opened, closed, functions, tmp_path, Search(monkeypatch))
    found = {place.split()[0] for place in places}
    # What is in the files is compressed: there it is found once it is read as the engine reads it.
    assert set(LOOKED_THROUGH) - found <= {"file"}
