"""Ways of breaking a promise on purpose: each must be found, or the simulator proves nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from offbook.actors import execution_effects, recorder
from offbook.actors.account import AccountActor
from offbook.actors.event_ring import EventRing
from offbook.actors.execution import ExecutionActor
from offbook.actors.recorder import Recorder
from offbook.actors.supervisor import Supervisor
from offbook.persistence.group_commit import GroupCommit
from offbook.persistence.group_journal import GroupJournal
from offbook.persistence.memory_store import MemoryStore
from offbook.workflows import checkpoint, recovery
from offbook.workflows.errors import StaleMessage, StorageUnavailable
from offbook.workflows.events import Telling
from offbook.workflows.messages import NodeFinished
from offbook.workflows.records import ClaimExecution, SaveState, WriteResult
from offbook.workflows.reuse import Reuse
from offbook.workflows.run import Run
from offbook.workflows.states import NodeStatus
from offbook.workflows.transitions import attempts, calls, charges, epochs, fan_out
from offbook.workflows.work import Checked, Work

Patch = tuple[Any, str, Any]


def _drop_a_record() -> list[Patch]:
    append = GroupJournal.append

    def forgetful(self: Any, execution_id: str, seq: int, message: Any, gauge: Any, notify: Any) -> None:
        if isinstance(message, NodeFinished) and seq % 3 == 0:
            gauge.confirmed = max(gauge.confirmed, seq)
            return
        append(self, execution_id, seq, message, gauge, notify)

    return [(GroupJournal, "append", forgetful)]


def _confirm_before_commit() -> list[Patch]:
    append = GroupJournal.append

    def hasty(self: Any, execution_id: str, seq: int, message: Any, gauge: Any, notify: Any) -> None:
        gauge.confirmed = max(gauge.confirmed, seq)
        if notify is not None:
            notify(seq, True)
        append(self, execution_id, seq, message, gauge, None)

    return [(GroupJournal, "append", hasty)]


def _skip_the_attempt_guard() -> list[Patch]:
    def trusting(run: Run, node_id: str, item: int | None, attempt: int, epoch: int) -> Any:
        node = run.plan.nodes[run.plan.index[node_id]]
        try:
            work = run.work_at(node.index, item)
        except KeyError:
            raise StaleMessage("no such item") from None
        return node, work

    return [(calls, "in_flight_work", trusting)]


def _leave_the_row_to_another_user() -> list[Patch]:
    save_of = checkpoint.save_of

    def careless(run: Run) -> SaveState:
        return replace(save_of(run), user=None)

    return [(execution_effects, "save_of", careless)]


def _forget_for_whom_it_goes_on() -> list[Patch]:
    claim = MemoryStore._claim

    def forgetful(self: Any, write: ClaimExecution) -> bool:
        return claim(self, replace(write, user=None))

    return [(MemoryStore, "_claim", forgetful)]


def _delete_the_checkpoint_early() -> list[Patch]:
    claim = MemoryStore._claim

    def eager(self: Any, write: ClaimExecution) -> bool:
        applied = claim(self, write)
        kept = self._executions.get(write.execution_id)
        if applied and kept is not None:
            kept.stored = replace(kept.stored, checkpoint=None, state=None)
        return applied

    return [(MemoryStore, "_claim", eager)]


def _keep_the_checkpoint_for_ever() -> list[Patch]:
    save = MemoryStore._save

    def hoarding(self: Any, write: SaveState) -> bool:
        kept = self._executions.get(write.execution_id)
        before = kept.stored.checkpoint if kept is not None else None
        applied = save(self, write)
        if applied and kept is not None and write.checkpoint is None:
            kept.stored = replace(kept.stored, checkpoint=before)
        return applied

    return [(MemoryStore, "_save", hoarding)]


def _fold_twice() -> list[Patch]:
    fold = recovery.fold

    def stuttering(run: Run, records: Sequence[Any]) -> Any:
        first = fold(run, records)
        run.journal_seq = records[0].seq - 1 if records else run.journal_seq
        for node, work in zip(run.plan.nodes, run.works, strict=True):
            if work.status is NodeStatus.COMPLETED and node.foreach is None:
                work.status = NodeStatus.RUNNING
                work.in_flight = True
        fold(run, records)
        return first

    return [(recovery, "fold", stuttering)]


def _forget_recovered() -> list[Patch]:
    def forgetful(self: Any, loaded: Any) -> None:
        return

    return [(Supervisor, "_recover", forgetful)]


def _forget_the_journal_early() -> list[Patch]:
    save = ExecutionActor._save

    def early(self: Any) -> None:
        save(self)
        self._recorder.stored(self._run.journal_seq)

    return [(ExecutionActor, "_save", early)]


def _let_sync_run_ahead() -> list[Patch]:
    record = Recorder.record

    def careless(self: Any, message: Any) -> int:
        record(self, message)
        return 0

    return [(Recorder, "record", careless)]


def _let_async_run_ahead() -> list[Patch]:
    return [(recorder, "LAG_SECONDS", 10.0)]


def _forget_what_it_cost() -> list[Patch]:
    return [(epochs, "count_transactions", lambda run, message: None)]


def _lose_a_kept_write() -> list[Patch]:
    keep = GroupCommit._keep

    def dropping(self: Any, error: StorageUnavailable) -> float:
        delay = keep(self, error)
        self._waiting = self._waiting[1:]
        return delay

    return [(GroupCommit, "_keep", dropping)]


def _answer_before_the_insert() -> list[Patch]:
    accept = ExecutionActor._accept

    def hasty(self: Any, message: Any) -> Any:
        future = accept(self, message)
        future.set(self._run.execution_id)
        return future

    return [(ExecutionActor, "_accept", hasty)]


def _let_progress_go_back() -> list[Patch]:
    percent = Run.percent

    def frank(self: Any) -> float:
        self.restore_percent(0.0)
        value = percent(self)
        return value if self.revision % 4 else value / 2

    return [(Run, "percent", frank)]


def _forget_an_accepted_stop() -> list[Patch]:
    recovered = Run._handlers[_kind("Recovered")]

    def stubborn(run: Run, message: Any, effects: Any) -> None:
        run.stopping = None
        recovered(run, message, effects)

    return [(Run, "_handlers", {**Run._handlers, _kind("Recovered"): stubborn})]


def _start_a_second_run() -> list[Patch]:
    resume = ExecutionActor._resume

    def twice(self: Any, message: Any) -> Any:
        future = resume(self, message)
        run = self._run
        for node, work in zip(run.plan.nodes, run.works, strict=True):
            if work.status is NodeStatus.COMPLETED and node.foreach is None:
                work.status = NodeStatus.PENDING
        return future

    return [(ExecutionActor, "_resume", twice)]


def _store_an_output_nowhere() -> list[Patch]:
    take = Run.take_unstored

    def losing(self: Any) -> Any:
        return take(self)[1:]

    return [(Run, "take_unstored", losing)]


def _write_once_more() -> list[Patch]:
    save = ExecutionActor._save

    def twice(self: Any) -> None:
        save(self)
        save(self)

    return [(ExecutionActor, "_save", twice)]


def _show_an_epoch_before_it_is_on_disk() -> list[Patch]:
    def bare(self: Any, since: int | None) -> Any:
        self._recorder._veil = 0
        return shown(self, since)

    shown = ExecutionActor._status
    return [(ExecutionActor, "_status", bare)]


def _pause_a_tolerant_fan_out_for_good() -> list[Patch]:
    def final(run: Run, node: Any, work: Work) -> None:
        if work.items is None or work.status is not NodeStatus.RUNNING:
            return
        if any(item.status is NodeStatus.FAILED for item in work.items):
            work.status = NodeStatus.FAILED

    return [(fan_out, "rest", final)]


def _tell_a_text_twice() -> list[Patch]:
    steps = Telling.steps

    def stuttering(self: Any) -> Any:
        events = steps(self)
        self._length = min(self._length, 30)
        return events

    return [(Telling, "steps", stuttering)]


def _skip_an_event_for_who_comes_back() -> list[Patch]:
    def hasty(self: Any, position: Any) -> Any:
        if not self._base <= position <= self.position:
            return None
        return b"".join([data for each, data in self._frames if each > position][1:])

    return [(EventRing, "after", hasty)]


def _tell_an_epoch_before_it_is_on_disk() -> list[Patch]:
    return [(ExecutionActor, "is_veiled", lambda self: False)]


def _own(owner: Any, attribute: str) -> Any:
    return (
        next(each.__dict__[attribute] for each in owner.__mro__ if attribute in each.__dict__)
        if isinstance(owner, type)
        else getattr(owner, attribute)
    )


def _kind(name: str) -> type[Any]:
    return next(kind for kind in Run._handlers if kind.__name__ == name)


def _refuse_nothing_stale() -> list[Patch]:
    def open_door(self: Any, write: SaveState) -> bool:
        kept = self._executions.get(write.execution_id)
        if kept is not None and kept.stored.epoch > write.epoch:
            kept.stored = replace(kept.stored, epoch=write.epoch)
        return save(self, write)

    save = MemoryStore._save
    return [(MemoryStore, "_save", open_door)]


def _count_a_refused_save_as_done() -> list[Patch]:
    commit = MemoryStore.commit

    def lying(self: Any, writes: Sequence[Any]) -> list[WriteResult]:
        kept = [write for write in writes if not isinstance(write, SaveState) or write.epoch % 2]
        results = iter(commit(self, kept))
        return [next(results) if write in kept else WriteResult() for write in writes]

    return [(MemoryStore, "commit", lying)]


def _forget_a_lost_call() -> list[Patch]:
    def careless(run: Run, node: Any, item: Any, work: Work, usage: Any, model: str = "") -> None:
        assert run.lost_calls is not None
        run.lost_calls.pop((node.index, item), ())

    return [(charges, "_write_off", careless)]


def _enter_all_but_one() -> list[Patch]:
    owner: Any = checkpoint
    settlement = owner.settlement

    def losing(run: Any) -> Any:
        books = settlement(run)
        return replace(books, entries=books.entries[1:]) if books is not None else None

    return [(owner, "settlement", losing)]


def _keep_whatever_there_is() -> list[Patch]:
    return [(Reuse, "holds", lambda self, scope, item, info: self.usable((scope.node.id, item)) is not None)]


def _keep_nothing() -> list[Patch]:
    return [(Reuse, "holds", lambda self, scope, item, info: False)]


def _forget_the_seed() -> list[Patch]:
    def bare(self: Any, write: Any) -> WriteResult:
        return insert(self, replace(write, outputs=()))

    insert = MemoryStore._insert
    return [(MemoryStore, "_insert", bare)]


def _spend_without_asking() -> list[Patch]:
    owner: Any = execution_effects
    return [(owner, "make_purse", lambda run, around, ref: None)]


def _forget_what_was_spent() -> list[Patch]:
    return [(AccountActor, "_enter", lambda self, entered, entry: None)]


def _forget_why_it_was_refused() -> list[Patch]:
    def forgetful(state: list[Any]) -> Checked:
        return Checked(state[0], state[1])

    return [(Checked, "from_json", staticmethod(forgetful))]


def _lose_what_was_refused() -> list[Patch]:
    check_failed = attempts._check_failed

    def careless(run: Run, node: Any, message: Any, work: Work, effects: Any) -> None:
        work.partial = ""
        check_failed(run, node, message, work, effects)

    return [(attempts, "_check_failed", careless)]


MUTATIONS: dict[str, Callable[[], list[Patch]]] = {
    "drop a record": _drop_a_record,
    "confirm before the commit": _confirm_before_commit,
    "skip the attempt guard": _skip_the_attempt_guard,
    "leave the row to another user": _leave_the_row_to_another_user,
    "forget for whom it goes on": _forget_for_whom_it_goes_on,
    "delete the checkpoint early": _delete_the_checkpoint_early,
    "keep the checkpoint for ever": _keep_the_checkpoint_for_ever,
    "fold twice": _fold_twice,
    "forget Recovered": _forget_recovered,
    "forget the journal early": _forget_the_journal_early,
    "let sync run ahead": _let_sync_run_ahead,
    "let async run ahead": _let_async_run_ahead,
    "forget what it cost": _forget_what_it_cost,
    "lose a kept write": _lose_a_kept_write,
    "answer before the insert": _answer_before_the_insert,
    "let progress go back": _let_progress_go_back,
    "forget an accepted stop": _forget_an_accepted_stop,
    "start a second run": _start_a_second_run,
    "store an output nowhere": _store_an_output_nowhere,
    "write once more": _write_once_more,
    "show an epoch before it is on disk": _show_an_epoch_before_it_is_on_disk,
    "tell a text twice": _tell_a_text_twice,
    "skip an event for who comes back": _skip_an_event_for_who_comes_back,
    "tell an epoch before it is on disk": _tell_an_epoch_before_it_is_on_disk,
    "pause a tolerant fan-out for good": _pause_a_tolerant_fan_out_for_good,
    "spend without asking": _spend_without_asking,
    "forget what was spent": _forget_what_was_spent,
    "forget a lost call": _forget_a_lost_call,
    "enter all but one": _enter_all_but_one,
    "forget why it was refused": _forget_why_it_was_refused,
    "lose what was refused": _lose_what_was_refused,
    "refuse nothing stale": _refuse_nothing_stale,
    "count a refused save as done": _count_a_refused_save_as_done,
    "keep whatever there is": _keep_whatever_there_is,
    "keep nothing": _keep_nothing,
    "forget the seed": _forget_the_seed,
}


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """Break the engine in one way while the context lasts."""
    patches = MUTATIONS[name]()
    before = [(owner, attribute, _own(owner, attribute)) for owner, attribute, _ in patches]
    try:
        for owner, attribute, value in patches:
            setattr(owner, attribute, value)
        yield
    finally:
        for owner, attribute, value in before:
            setattr(owner, attribute, value)
