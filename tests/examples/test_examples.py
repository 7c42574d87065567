"""Each example validates, completes with the scripted provider on a real engine, and makes the book it promises."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import orjson
import pytest

import offbook.examples.bookbinding  # registers what the examples call
from offbook.cli.arguments import parse_document
from offbook.engine import Engine
from offbook.examples import transcripts
from offbook.settings import EngineSettings
from offbook.workflows.caller import OPERATOR
from offbook.workflows.values import JsonObject, JsonValue

EXAMPLES = Path(offbook.examples.bookbinding.__file__).parent
FILES = {name: EXAMPLES / name / f"{name}.yaml" for name in ("novella", "transcript", "gated")}
LIMIT_SECONDS = 60.0

Play = Callable[..., Awaitable[JsonObject]]
Output = Callable[[JsonObject, str], Awaitable[JsonValue]]


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with Engine(EngineSettings(data_dir=tmp_path / "data")) as engine:
        yield engine


@pytest.fixture
def play(engine: Engine, tmp_path: Path) -> Play:
    """Run an example to its end and return its status."""

    async def run(name: str, **inputs: JsonValue) -> JsonObject:
        document = parse_document(FILES[name].read_text())
        assert document is not None
        execution_id = await engine.start(document, {"folder": str(tmp_path / "books"), **inputs}, user="ada")
        status = await engine.wait(execution_id, LIMIT_SECONDS)
        assert status["status"] == "completed", status["error"]
        return status

    return run


@pytest.fixture
def output(engine: Engine) -> Output:
    """Return the whole output of a node."""

    async def read(status: JsonObject, node_id: str) -> JsonValue:
        return await engine.service.output(status["execution_id"], node_id, None, caller=OPERATOR)

    return read


def written(status: JsonObject, kind: str) -> str:
    """Read the book that an execution made."""
    return Path(status["result"][kind]).read_text()


@pytest.mark.parametrize("name", FILES)
async def test_example_is_valid(engine: Engine, name: str) -> None:
    assert list(await engine.service.validate(FILES[name].read_text())) == []


@pytest.mark.parametrize("name", FILES)
def test_example_has_a_readme_that_names_it(name: str) -> None:
    assert f"examples/{name}/{name}.yaml" in (FILES[name].parent / "README.md").read_text()


async def test_novella_makes_a_book_of_its_second_draft_alone(play: Play, output: Output) -> None:
    status = await play("novella", premise="A lamp writes letters.", title="The Lamp", chapters=4)
    book = written(status, "markdown")
    assert book.count("## Chapter ") == 4
    for text in await output(status, "revised"):
        assert text.strip() in book
    for planner in ("world", "characters", "plot", "outline"):
        assert str(await output(status, planner)) not in book
    assert written(status, "html").startswith("<!doctype html>")
    assert (status["db_ops"]["writes"], status["db_ops"]["reads"]) == (2, 0)


async def test_world_characters_and_plot_are_written_side_by_side(engine: Engine) -> None:
    document = parse_document(FILES["novella"].read_text())
    assert document is not None
    for node in document["nodes"][:3]:
        node["config"]["script"] = {"words": 100_000, "tokens_per_second": 20}
    execution_id = await engine.start(document, {"premise": "A lamp."}, user="ada")
    current: list[str] = []
    revision = None
    async with asyncio.timeout(LIMIT_SECONDS):
        while len(current) < 3:
            answer = await engine.service.status(execution_id, caller=OPERATOR, since=revision, wait=LIMIT_SECONDS)
            payload = orjson.loads(answer.body)
            current, revision = payload["progress"]["current"], payload["revision"]
    assert current == ["world", "characters", "plot"]


async def test_transcript_of_200_kb_is_read_and_kept_whole(play: Play, output: Output) -> None:
    talk = transcripts.make_transcript()
    assert len(talk.encode()) >= 200_000
    status = await play("transcript", transcript=talk, title="The talk")
    passages = await output(status, "passages")
    assert "".join(passage["text"] for passage in passages) == talk
    assert status["node_results"]["insights"]["items"]["completed"] == len(passages) > 30
    # The scripted provider counts the words of its prompts: it was sent all of them.
    assert status["node_results"]["insights"]["usage"]["input_tokens"] >= len(talk.split())
    book = written(status, "markdown")
    assert talk in book
    assert "## Chapter 5: An end of sorts" in book
    html = written(status, "html")
    assert transcripts.LAST_WORDS in html
    assert (status["db_ops"]["writes"], status["db_ops"]["reads"]) == (2, 0)


@pytest.mark.parametrize("size", [1, 7, 60, 6000, 10**6])
async def test_passages_lose_nothing_whatever_their_size(size: int) -> None:
    talk = transcripts.make_transcript(3000) + "\n\nno line end"
    passages = transcripts.split_transcript(None, talk, size)  # type: ignore[arg-type]
    assert "".join(passage["text"] for passage in passages) == talk
    assert all(0 < len(passage["text"]) <= size for passage in passages)


def test_transcript_is_the_same_in_another_process() -> None:
    command = [sys.executable, "-m", "offbook.examples.transcripts", "5000"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=LIMIT_SECONDS).stdout
    assert printed == transcripts.make_transcript(5000)


@pytest.mark.parametrize("pictures", [False, True])
@pytest.mark.parametrize("cover", [False, True])
async def test_pictures_and_cover_come_only_if_asked_for(
    play: Play, tmp_path: Path, pictures: bool, cover: bool
) -> None:
    status = await play("gated", premise="Salt.", title="Salt", chapters=3, pictures=pictures, cover=cover)
    nodes = status["node_results"]
    assert nodes["pictures"]["status"] == ("completed" if pictures else "skipped")
    assert nodes["cover"]["status"] == ("completed" if cover else "skipped")
    for node_id, wanted in (("pictures", pictures), ("cover", cover)):
        assert (nodes[node_id]["usage"]["output_tokens"] > 0) is wanted
    names = {path.name for path in (tmp_path / "books").glob("*.svg")}
    drawn = {f"salt-picture-{number}.svg" for number in (1, 2, 3)} if pictures else set()
    assert names == drawn | ({"salt-cover.svg"} if cover else set())
    book = written(status, "markdown")
    assert "<svg" not in book
    assert "## Chapter 3: Night 3" in book
    assert ("salt-picture-3.svg" in book, "salt-cover.svg" in book) == (pictures, cover)
