"""Random batches of writes do the same to the store in memory and to SQLite, and both answer the same."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from offbook.persistence.memory_store import MemoryStore
from offbook.workflows.key_records import DeleteKey, PutKey
from offbook.workflows.records import (
    DeleteExecution,
    ExecutionFilter,
    ExecutionReader,
    SaveState,
    StoredOutput,
    Write,
)
from offbook.workflows.states import ExecutionStatus
from tests.persistence.stores import sqlite_store
from tests.persistence.writes import (
    ADA,
    BEGAN,
    BOB,
    claim,
    failed,
    fingerprint_of,
    id_of,
    insert,
    put,
    summary,
)

USERS = {1: BOB, 2: None, 3: ADA, 4: ADA, 5: None, 6: None}
"""Whose execution each is; all but the first two come with one and the same idempotency key."""
NUMBERS = tuple(USERS)
WORKERS = ("w1", "w2")
KEY_PLACES = (("ada", "local"), ("ada", "openai"), ("bob", "openai"))
NAMES = ("novella", "report")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        TEXTS,
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


class _History:
    """What the writes so far make legal: an execution counts its writes, and saves nothing before its insert."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._written: Counter[int] = Counter()

    def write(self) -> Write:
        draw = self._draw
        number = draw(st.sampled_from(NUMBERS))
        kinds = ["insert", "put", "delete", "claim", "key"] + ["save"] * 4 * bool(self._written[number])
        match draw(st.sampled_from(kinds)):
            case "insert":
                self._written[number] += 1
                return self._insert(number)
            case "put":
                name = draw(st.sampled_from(NAMES))
                version = draw(st.sampled_from([fingerprint_of(name), fingerprint_of(name)[:-1] + "1"]))
                return put(name, BEGAN + draw(st.integers(0, 3)), version)
            case "delete":
                return DeleteExecution(id_of(number))
            case "claim":
                return claim(number, draw(st.integers(1, 4)), draw(st.sampled_from(WORKERS)))
            case "key":
                return self._key()
            case _:
                self._written[number] += 1
                return self._save(number, self._written[number])

    def _key(self) -> Write:
        draw = self._draw
        user, provider = draw(st.sampled_from(KEY_PLACES))
        if not draw(st.integers(0, 2)):
            return DeleteKey(user, provider)
        sealed, before = draw(st.sampled_from([b"a", b"b"])), draw(st.sampled_from([None, None, b"a", b"b"]))
        return PutKey(user, provider, sealed, BEGAN + draw(st.integers(0, 3)), before)

    def _insert(self, number: int) -> Write:
        """An execution is always the same one, also after it was deleted; some share a key and a time."""
        return insert(
            number,
            workflow=NAMES[number % 2],
            user=USERS[number],
            labels={"parity": str(number % 2), "number": str(number)},
            worker_id=WORKERS[number % 2],
            created_at=BEGAN + number // 2,
            idempotency_key="k" if number > 2 else None,
            request_hash=str(number),
        )

    def _save(self, number: int, save: int) -> SaveState:
        draw = self._draw
        status = draw(st.sampled_from([each.value for each in ExecutionStatus]))
        values = draw(st.lists(VALUES, max_size=3))
        completed = draw(st.lists(TEXTS, max_size=2))
        return failed(
            number,
            epoch=draw(st.integers(1, 4)),
            save=save,
            status=status,
            state=draw(st.dictionaries(TEXTS, VALUES, max_size=3)),
            outputs=tuple(StoredOutput(f"n{save}", item, value) for item, value in enumerate(values)),
            error_type=draw(st.sampled_from([None, "rate_limit"])),
            percent=draw(st.floats(0, 100)),
            checkpoint=None if status == "completed" else summary(completed_nodes=tuple(completed)),
        )


@st.composite
def histories(draw: st.DrawFn) -> list[list[Write]]:
    """Batches of writes; one that is repeated whole stands for a commit whose end was not heard of."""
    history = _History(draw)
    batches: list[list[Write]] = []
    for _ in range(draw(st.integers(1, 5))):
        batch = [history.write() for _ in range(draw(st.integers(0, 12)))]
        batches.append(batch)
        if not any(isinstance(write, DeleteExecution) for write in batch) and draw(st.booleans()):
            batches.append(batch)
    return batches


filters = st.builds(
    ExecutionFilter,
    statuses=st.lists(st.sampled_from([each.value for each in ExecutionStatus]), max_size=4).map(tuple),
    workflow=st.sampled_from([None, None, *NAMES, fingerprint_of("novella")]),
    user_id=st.sampled_from([None, None, "ada", "bob"]),
    labels=st.sampled_from([{}, {"parity": "1"}, {"parity": "0", "number": "2"}, {"number": "1"}]),
    worker_id=st.sampled_from([None, None, *WORKERS]),
)
cursors = st.none() | st.tuples(st.integers(0, 4).map(lambda each: BEGAN + each), st.sampled_from(NUMBERS).map(id_of))


def answers(
    reader: ExecutionReader, where: ExecutionFilter, before: tuple[float, str] | None, limit: int
) -> list[object]:
    """Everything that a store can be asked."""
    ids = [id_of(number) for number in NUMBERS]
    references: Sequence[str] = [*NAMES, *map(fingerprint_of, NAMES), "nothing"]
    return [
        [reader.load(each) for each in ids],
        sorted(reader.load_many(ids), key=lambda stored: stored.execution_id),
        [reader.load_row(each) for each in ids],
        reader.list_executions(ExecutionFilter(), before=None, limit=100),
        reader.list_executions(where, before=before, limit=limit),
        [reader.unfinished(worker) for worker in WORKERS],
        [reader.workflow(each) for each in references],
        reader.list_workflows(limit=100),
        reader.list_workflows(name=NAMES[0], after=before, limit=limit),
        [reader.provider_key(*place) for place in KEY_PLACES],
        [reader.provider_keys(user) for user in ("ada", "bob")],
        reader.sealed_keys(after=("ada", "local"), limit=limit),
    ]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(histories(), filters, cursors, st.integers(1, 4))
def test_sqlite_does_what_memory_does(
    batches: list[list[Write]], where: ExecutionFilter, before: tuple[float, str] | None, limit: int
) -> None:
    memory = MemoryStore()
    with tempfile.TemporaryDirectory() as folder, closing(sqlite_store(Path(folder))) as sqlite:
        for batch in batches:
            expected = memory.writer.commit(batch)
            assert sqlite.writer.commit(batch) == expected
            event(f"refused: {any(not each.applied for each in expected)}")
        assert answers(sqlite.reader, where, before, limit) == answers(memory.reader, where, before, limit)
        assert sqlite.transactions() == memory.transactions()
