"""What every store does with writes: fenced by epochs, repeated without harm, in order, outputs stored once."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from offbook.workflows.records import (
    CheckpointSummary,
    DeleteExecution,
    ExecutionFilter,
    ExecutionStore,
    InsertExecution,
    StoredExecution,
    StoredOutput,
    Write,
    WriteResult,
)
from offbook.workflows.values import ExecutionUser, JsonObject
from tests.persistence.writes import (
    ADA,
    BEGAN,
    BOB,
    claim,
    completed,
    document_of,
    failed,
    fingerprint_of,
    id_of,
    insert,
    loaded,
    summary,
)

APPLIED = WriteResult()
REFUSED = WriteResult(applied=False)

TEXT = 'Kapitel 七: «naïve» 🎭 \x00 \x1f \\ " \u2028 end'


def large_text() -> str:
    """5 MB that hardly compress, of every kind of character."""
    chance = random.Random(5)
    codes = (*range(0x250), *range(0x4E00, 0x5200), *range(0x1F300, 0x1F600))
    alphabet = [chr(code) for code in codes]
    return "".join(chance.choices(alphabet, k=2_100_000))


# Insert


def test_accepted_execution_is_loaded_as_it_was_inserted(store: ExecutionStore) -> None:
    write = insert(
        1, labels={"book": "七"}, inputs={"premise": TEXT, "chapters": 3, "list": [None, True, 0.1, -(2**63)]}
    )
    assert store.writer.commit([write]) == [APPLIED]
    assert loaded(store.reader, 1) == StoredExecution(
        execution_id=id_of(1),
        workflow_name="novella",
        fingerprint=fingerprint_of("novella"),
        document=document_of("novella"),
        status="running",
        epoch=1,
        worker_id="w1",
        user=ADA,
        labels={"book": "七"},
        inputs=write.inputs,
        durability="async",
        created_at=BEGAN + 1,
        started_at=None,
        finished_at=None,
        state=None,
        outputs=(),
        checkpoint=None,
    )


@pytest.mark.parametrize("user", [None, ExecutionUser("eve"), ExecutionUser("юзер", "", "")])
def test_user_comes_back_as_it_was(store: ExecutionStore, user: ExecutionUser | None) -> None:
    store.writer.commit([insert(1, user=user), failed(1, checkpoint=summary(user=user))])
    stored = loaded(store.reader, 1)
    assert stored.user == user
    assert stored.checkpoint is not None
    assert stored.checkpoint.user == user


def test_fork_is_inserted_with_its_state_and_what_it_may_keep(store: ExecutionStore) -> None:
    seed = (StoredOutput("outline", None, "kept text", kept=True), StoredOutput("chapters", 1, ["kept"], kept=True))
    state: JsonObject = {"epoch": 1, "status": "queued", "reuse": {"parent": id_of(1)}}
    fork = insert(2, parent_id=id_of(1), state=state, outputs=seed)
    # Between others, and repeated as after an uncertain commit.
    store.writer.commit([insert(1), fork, insert(3)])
    store.writer.commit([fork])
    found = loaded(store.reader, 2)
    assert (found.parent_id, found.state, found.outputs, found.checkpoint) == (id_of(1), state, seed, None)
    assert (loaded(store.reader, 1).parent_id, loaded(store.reader, 1).state) == (None, None)
    listed = store.reader.list_executions(ExecutionFilter(parent_id=id_of(1)), before=None, limit=10)
    assert [(row.execution_id, row.parent_id) for row in listed] == [(id_of(2), id_of(1))]


def test_fork_keeps_its_seed_beside_its_own_outputs(store: ExecutionStore) -> None:
    seed = StoredOutput("outline", None, "the parent's", kept=True)
    own = StoredOutput("outline", None, "its own")
    store.writer.commit([insert(1, parent_id=id_of(9), state={"epoch": 1}, outputs=(seed,))])
    store.writer.commit([failed(1, outputs=(own,))])
    assert loaded(store.reader, 1).outputs == (seed, own)
    store.writer.commit([DeleteExecution(id_of(1))])
    store.writer.commit([insert(1)])
    assert loaded(store.reader, 1).outputs == ()


def test_fork_whose_key_was_used_stores_no_seed(store: ExecutionStore) -> None:
    seed = (StoredOutput("outline", None, "kept", kept=True),)
    store.writer.commit([insert(1, idempotency_key="k", request_hash="a")])
    fork = insert(2, idempotency_key="k", request_hash="a", parent_id=id_of(1), state={"epoch": 1}, outputs=seed)
    (result,) = store.writer.commit([fork])
    assert (result.applied, result.existing_id) == (False, id_of(1))
    store.writer.commit([insert(2)])
    assert loaded(store.reader, 2).outputs == ()


def test_repeated_insert_changes_nothing(store: ExecutionStore) -> None:
    store.writer.commit([insert(1, labels={"a": "1"}), failed(1)])
    before = loaded(store.reader, 1)
    assert store.writer.commit([insert(1, labels={"a": "1"})]) == [APPLIED]
    assert loaded(store.reader, 1) == before


def test_nothing_to_write_is_a_transaction_without_results(store: ExecutionStore) -> None:
    assert store.writer.commit([]) == []


def test_document_is_stored_with_the_first_execution_that_uses_it(store: ExecutionStore) -> None:
    first = insert(1)
    store.writer.commit([first, replace(insert(2), document={"another": "under the same fingerprint"})])
    assert loaded(store.reader, 2).document == first.document


def test_document_with_a_number_beyond_32_bits_and_a_nul_comes_back(store: ExecutionStore) -> None:
    document = {"nodes": [{"seed": 2**63, "text": "\0"}], "\0": -0.0}
    store.writer.commit([replace(insert(1), document=document)])
    assert loaded(store.reader, 1).document == document


# Idempotency keys


def keyed(number: int, user: ExecutionUser | None = ADA, key: str = "k", request: str = "r") -> InsertExecution:
    return insert(number, user=user, idempotency_key=key, request_hash=request)


@pytest.mark.parametrize("user", [ADA, None])
def test_used_key_names_who_has_it_and_inserts_nothing(store: ExecutionStore, user: ExecutionUser | None) -> None:
    assert store.writer.commit([keyed(1, user, request="first")]) == [APPLIED]
    assert store.writer.commit([keyed(2, user, request="second")]) == [WriteResult(False, id_of(1), "first")]
    assert store.reader.load(id_of(2)) is None


@pytest.mark.parametrize("user", [ADA, None])
def test_of_two_with_one_key_in_a_batch_the_first_is_inserted(
    store: ExecutionStore, user: ExecutionUser | None
) -> None:
    results = store.writer.commit([keyed(2, user, request="a"), insert(3), keyed(1, user, request="b")])
    assert results == [APPLIED, APPLIED, WriteResult(False, id_of(2), "a")]
    assert store.reader.load(id_of(1)) is None


def test_first_with_a_key_has_it_also_if_it_is_not_its_first_write(store: ExecutionStore) -> None:
    results = store.writer.commit([claim(2, 2), keyed(2), keyed(1)])
    assert results == [REFUSED, APPLIED, WriteResult(False, id_of(2), "r")]


def test_key_of_another_user_is_another_key(store: ExecutionStore) -> None:
    writes: list[Write] = [keyed(1, ADA), keyed(2, BOB), keyed(3, None), keyed(4, ADA, key="K")]
    assert store.writer.commit(writes) == [APPLIED] * 4


def test_user_and_key_are_not_run_together(store: ExecutionStore) -> None:
    writes: list[Write] = [keyed(1, ExecutionUser("a"), key="bc"), keyed(2, ExecutionUser("ab"), key="c")]
    assert store.writer.commit(writes) == [APPLIED] * 2


def test_insert_repeated_after_an_uncertain_commit_is_not_refused_for_its_own_key(store: ExecutionStore) -> None:
    writes: list[Write] = [keyed(1), insert(2), failed(1)]
    assert store.writer.commit(writes) == [APPLIED] * 3
    assert store.writer.commit(writes) == [APPLIED] * 3
    assert len(store.reader.load_many([id_of(1), id_of(2)])) == 2


def test_key_is_free_again_once_its_execution_is_deleted(store: ExecutionStore) -> None:
    store.writer.commit([keyed(1)])
    store.writer.commit([DeleteExecution(id_of(1))])
    assert store.writer.commit([keyed(2)]) == [APPLIED]


def test_key_is_free_for_what_comes_after_the_delete_and_for_nothing_before_it(store: ExecutionStore) -> None:
    store.writer.commit([keyed(1)])
    results = store.writer.commit([keyed(2), DeleteExecution(id_of(1)), keyed(3)])
    assert results == [WriteResult(False, id_of(1), "r"), APPLIED, APPLIED]
    # The insert waits for an earlier write of its own, and the delete still comes after it.
    results = store.writer.commit([DeleteExecution(id_of(4)), keyed(4), DeleteExecution(id_of(3)), keyed(5)])
    assert results == [REFUSED, WriteResult(False, id_of(3), "r"), APPLIED, APPLIED]


# Claims


def test_claim_opens_a_new_epoch_for_its_worker(store: ExecutionStore) -> None:
    store.writer.commit([insert(1), failed(1)])
    assert store.writer.commit([claim(1, 2, "w2")]) == [APPLIED]
    stored = loaded(store.reader, 1)
    assert (stored.epoch, stored.worker_id, stored.status) == (2, "w2", "running")
    assert stored.state == {"epoch": 1, "save": 2, "status": "failed"}
    assert stored.checkpoint == summary()


@pytest.mark.parametrize("epoch", [1, 2])
def test_claim_of_an_epoch_that_is_over_is_refused(store: ExecutionStore, epoch: int) -> None:
    store.writer.commit([insert(1), claim(1, 3)])
    assert store.writer.commit([claim(1, epoch)]) == [REFUSED]
    assert loaded(store.reader, 1).epoch == 3


def test_claim_repeated_after_an_uncertain_commit_is_won_again(store: ExecutionStore) -> None:
    store.writer.commit([insert(1)])
    assert store.writer.commit([claim(1, 2)]) == [APPLIED]
    assert store.writer.commit([claim(1, 2)]) == [APPLIED]


def test_epoch_that_another_worker_has_is_refused(store: ExecutionStore) -> None:
    store.writer.commit([insert(1), claim(1, 2, "w1")])
    assert store.writer.commit([claim(1, 2, "w2")]) == [REFUSED]
    assert loaded(store.reader, 1).worker_id == "w1"


def test_claim_of_what_does_not_exist_is_refused(store: ExecutionStore) -> None:
    assert store.writer.commit([claim(1, 2)]) == [REFUSED]


def test_each_claim_of_a_batch_has_its_own_answer(store: ExecutionStore) -> None:
    store.writer.commit([insert(1), insert(2), insert(3), claim(2, 5), claim(3, 2)])
    writes: list[Write] = [claim(1, 2), claim(2, 3), claim(3, 2), claim(4, 2), claim(1, 2, "w2"), claim(1, 3, "w2")]
    assert store.writer.commit(writes) == [APPLIED, REFUSED, APPLIED, REFUSED, REFUSED, APPLIED]
    stored = loaded(store.reader, 1)
    assert (stored.epoch, stored.worker_id) == (3, "w2")


# Saves


def test_failed_execution_is_loaded_with_its_checkpoint(store: ExecutionStore) -> None:
    outputs = (StoredOutput("outline", None, TEXT), StoredOutput("chapters", 0, {"text": TEXT, "n": [1.5, None]}))
    kept = CheckpointSummary(
        1, fingerprint_of("novella"), ADA, "chapters", ("outline", "plot"), "outline", BEGAN + 61
    )
    state = {"schema": 1, "steps": [[1, BEGAN, TEXT]], "nested": {"\0": [None, False]}}
    write = failed(1, outputs=outputs, checkpoint=kept, state=state)
    assert store.writer.commit([insert(1), write]) == [APPLIED] * 2
    stored = loaded(store.reader, 1)
    assert stored.checkpoint == kept
    assert (stored.state, stored.outputs) == (state, outputs)
    assert (stored.status, stored.started_at, stored.finished_at) == ("failed", BEGAN + 1.5, BEGAN + 61)


def test_checkpoint_may_lack_what_has_not_happened(store: ExecutionStore) -> None:
    kept = summary(user=None, failed_node=None, completed_nodes=(), last_output_node=None)
    store.writer.commit([insert(1), failed(1, checkpoint=kept, started_at=None, finished_at=None, error_type=None)])
    stored = loaded(store.reader, 1)
    assert stored.checkpoint == kept
    assert (stored.started_at, stored.finished_at) == (None, None)


def test_save_of_an_epoch_that_is_over_is_refused_and_leaves_nothing(store: ExecutionStore) -> None:
    store.writer.commit([insert(1), claim(1, 2, "w2")])
    before = loaded(store.reader, 1)
    assert store.writer.commit([failed(1, outputs=(StoredOutput("outline", None, "late"),))]) == [REFUSED]
    assert loaded(store.reader, 1) == before


def test_save_of_what_does_not_exist_is_refused_and_leaves_nothing(store: ExecutionStore) -> None:
    assert store.writer.commit([failed(1, outputs=(StoredOutput("outline", None, "x"),))]) == [REFUSED]
    store.writer.commit([insert(1)])
    stored = loaded(store.reader, 1)
    assert (stored.outputs, stored.state, stored.checkpoint) == ((), None, None)


def test_save_may_open_the_epoch_it_is_of(store: ExecutionStore) -> None:
    store.writer.commit([insert(1)])
    assert store.writer.commit([failed(1, epoch=3)]) == [APPLIED]
    assert loaded(store.reader, 1).epoch == 3


def test_stale_saves_in_a_batch_do_not_harm_the_others(store: ExecutionStore) -> None:
    store.writer.commit([insert(number) for number in range(1, 5)] + [claim(2, 2), claim(4, 7)])
    outputs = (StoredOutput("outline", None, "kept"),)
    writes: list[Write] = [
        failed(1, outputs=outputs),
        failed(2, outputs=outputs),
        completed(3, outputs=outputs),
        completed(4, outputs=outputs),
        failed(9, outputs=outputs),
        failed(2, epoch=2, save=4, outputs=outputs),
    ]
    assert store.writer.commit(writes) == [APPLIED, REFUSED, APPLIED, REFUSED, REFUSED, APPLIED]
    stored = {number: loaded(store.reader, number) for number in range(1, 5)}
    assert [stored[number].status for number in range(1, 5)] == ["failed", "failed", "completed", "running"]
    assert [stored[number].outputs for number in range(1, 5)] == [outputs, outputs, outputs, ()]
    assert stored[2].state == {"epoch": 2, "save": 4, "status": "failed"}


def test_writes_of_one_execution_are_applied_in_their_order(store: ExecutionStore) -> None:
    first, second = StoredOutput("outline", None, "one"), StoredOutput("book", None, "two")
    writes: list[Write] = [
        insert(1),
        failed(1, outputs=(first,)),
        claim(1, 2, "w2"),
        failed(1, save=3),
        claim(1, 2, "w1"),
        completed(1, epoch=2, save=4, outputs=(second,)),
        claim(1, 2, "w2"),
    ]
    assert store.writer.commit(writes) == [APPLIED, APPLIED, APPLIED, REFUSED, REFUSED, APPLIED, APPLIED]
    stored = loaded(store.reader, 1)
    assert (stored.status, stored.epoch, stored.worker_id, stored.checkpoint) == ("completed", 2, "w2", None)
    assert stored.outputs == (first, second)


def test_large_batch_is_applied_whole(store: ExecutionStore) -> None:
    numbers = range(1, 1201)
    assert store.writer.commit([insert(number) for number in numbers]) == [APPLIED] * 1200
    store.writer.commit([claim(number, 2) for number in numbers if number % 3 == 0])
    results = store.writer.commit([completed(number) for number in numbers])
    assert [result.applied for result in results] == [number % 3 != 0 for number in numbers]
    found = {stored.execution_id: stored.status for stored in store.reader.load_many([id_of(n) for n in numbers])}
    assert found == {id_of(number): "completed" if number % 3 else "running" for number in numbers}


# Outputs


def test_repeated_save_stores_its_outputs_once(store: ExecutionStore) -> None:
    write = failed(1, outputs=(StoredOutput("outline", None, "one"), StoredOutput("chapters", 0, "two")))
    for _ in range(3):
        assert store.writer.commit([insert(1), write]) == [APPLIED] * 2
    assert loaded(store.reader, 1).outputs == write.outputs


def test_outputs_of_all_saves_come_back_in_the_order_in_which_they_were_stored(store: ExecutionStore) -> None:
    chapters = [StoredOutput("chapters", item, f"chapter {item}") for item in range(30)]
    store.writer.commit([insert(1), failed(1, save=2, outputs=tuple(chapters[:10]))])
    store.writer.commit([claim(1, 2), failed(1, epoch=2, save=4, outputs=tuple(chapters[10:12]))])
    store.writer.commit([claim(1, 10)])
    store.writer.commit([completed(1, epoch=10, save=12, outputs=tuple(chapters[12:]))])
    assert loaded(store.reader, 1).outputs == tuple(chapters)


@pytest.mark.parametrize("value", [None, False, 0, -0.5, 2**64 - 1, "", "\0", [], {}, [[{"a": {"\0": "七"}}]]])
def test_output_keeps_its_value_and_type(store: ExecutionStore, value: object) -> None:
    output = StoredOutput("n", None, value)
    store.writer.commit([insert(1), completed(1, outputs=(output,))])
    (found,) = loaded(store.reader, 1).outputs
    assert found == output
    assert type(found.value) is type(value)


def test_output_of_five_megabytes_comes_back_whole(store: ExecutionStore) -> None:
    text = large_text()
    assert len(text.encode()) > 5_000_000
    outputs = (
        StoredOutput("a", None, "before"),
        StoredOutput("book", None, text),
        StoredOutput("z", None, ["after"]),
    )
    store.writer.commit([insert(1), completed(1, outputs=outputs)])
    assert loaded(store.reader, 1).outputs == outputs


def test_outputs_of_more_than_one_part_come_back_in_order(store: ExecutionStore) -> None:
    outputs = tuple(StoredOutput("chapters", item, f"{item} " + "七" * 30_000) for item in range(25))
    store.writer.commit([insert(1), failed(1, outputs=outputs)])
    store.writer.commit([insert(1), failed(1, outputs=outputs)])
    assert loaded(store.reader, 1).outputs == outputs


def test_what_is_handed_in_or_out_can_be_changed_without_changing_what_is_stored(store: ExecutionStore) -> None:
    inputs, state, value = {"list": [1]}, {"nodes": {"a": [1]}}, ["text"]
    store.writer.commit([insert(1, inputs=inputs), failed(1, state=state, outputs=(StoredOutput("a", None, value),))])
    expected = loaded(store.reader, 1)
    inputs["list"].append(2)
    state["nodes"]["a"].append(2)
    value.append("more")
    found = loaded(store.reader, 1)
    assert found == expected
    assert found.state is not None
    found.state["nodes"].clear()
    found.outputs[0].value.append("more")
    found.document.clear()
    assert loaded(store.reader, 1) == expected


# Checkpoints


def test_completion_takes_the_checkpoint_away(store: ExecutionStore) -> None:
    store.writer.commit([insert(1), failed(1, outputs=(StoredOutput("a", None, 1),)), claim(1, 2)])
    done = {"epoch": 2, "save": 4, "status": "completed"}
    store.writer.commit([completed(1, epoch=2, save=4, state=done, outputs=(StoredOutput("b", None, 2),))])
    stored = loaded(store.reader, 1)
    assert (stored.checkpoint, stored.state) == (None, done)
    assert [output.value for output in stored.outputs] == [1, 2]


def test_completion_in_the_first_epoch_takes_the_checkpoint_away(store: ExecutionStore) -> None:
    store.writer.commit([insert(1), failed(1)])
    store.writer.commit([completed(1, save=3)])
    stored = loaded(store.reader, 1)
    assert (stored.checkpoint, stored.state) == (None, {"epoch": 1, "save": 3, "status": "failed"})


def test_failing_again_replaces_the_checkpoint(store: ExecutionStore) -> None:
    store.writer.commit([insert(1), failed(1), claim(1, 2)])
    again = summary(failed_node="cover", completed_nodes=("outline", "chapters"), last_output_node="chapters")
    store.writer.commit([failed(1, epoch=2, save=4, checkpoint=again)])
    stored = loaded(store.reader, 1)
    assert stored.checkpoint == again
    assert stored.state == {"epoch": 2, "save": 4, "status": "failed"}


# Delete


def test_deleted_execution_is_gone_with_all_it_had(store: ExecutionStore) -> None:
    store.writer.commit([insert(1, labels={"a": "1"}), failed(1, outputs=(StoredOutput("a", None, 1),)), insert(2)])
    assert store.writer.commit([DeleteExecution(id_of(1))]) == [APPLIED]
    assert store.reader.load(id_of(1)) is None
    store.writer.commit([insert(1)])
    stored = loaded(store.reader, 1)
    assert (stored.labels, stored.outputs, stored.checkpoint, stored.state) == ({}, (), None, None)
    assert store.reader.load(id_of(2)) is not None


def test_delete_of_what_does_not_exist_says_so(store: ExecutionStore) -> None:
    assert store.writer.commit([DeleteExecution(id_of(1))]) == [REFUSED]


def test_insert_and_delete_in_one_batch_leave_nothing(store: ExecutionStore) -> None:
    writes: list[Write] = [
        insert(1, labels={"a": "1"}),
        DeleteExecution(id_of(1)),
        failed(1),
        DeleteExecution(id_of(1)),
    ]
    assert store.writer.commit(writes) == [APPLIED, APPLIED, REFUSED, REFUSED]
    assert store.reader.load(id_of(1)) is None
