"""Clients that watch: they come and go, and what they have heard must be what there is, at every moment."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import orjson
from pykka import ActorDeadError

from offbook.actors.event_ring import Position, read_event_id
from offbook.actors.execution_messages import UnwatchExecution, WatchExecution
from offbook.cli.watched import Watched
from offbook.workflows.run import Run
from offbook.workflows.server_events import EventParser
from offbook.workflows.status import StatusContext, status_payload
from offbook.workflows.values import JsonObject
from tests.simulation.auditor import PromiseBroken

SHARE = 0.35
"""Of the seeds that are watched."""
COMPARED = ("status", "epoch", "node_results", "progress", "usage", "result", "error", "receipt", "waiting")

World = Any


class Onlooker:
    """One client that watches one execution, and comes back after every interruption."""

    def __init__(self, world: World, execution_id: str, chance: random.Random, heard: Counter[str]) -> None:
        self._world = world
        self._execution_id = execution_id
        self._chance = chance
        self._heard = heard
        self._connection: _Connection | None = None
        self._state = Watched()
        self._last: Position | None = None
        self._has_ended_at: int | None = None

    def turn(self) -> None:
        """Perhaps connect, or go away."""
        connection = self._connection
        if connection is not None and connection.incarnation != self._world.auditor.incarnation:
            # The process that told is no more.
            self._connection = connection = None
        if connection is None:
            if self._chance.random() < 0.2:
                self._connect()
        elif self._chance.random() < 0.05:
            self._leave(connection)

    def _connect(self) -> None:
        entry = self._world.directory.find(self._execution_id)
        if entry is None or entry.ref is None or not entry.accepted:
            return
        if self._has_ended_at == entry.run.revision:
            return
        self._connection = connection = _Connection(self, entry.ref, self._world.auditor.incarnation)
        self._heard["watched"] += 1
        entry.ref.ask(WatchExecution(connection, self._last), block=False)

    def _leave(self, connection: _Connection) -> None:
        self._connection = None
        connection.closed = True
        try:
            connection.ref.tell(UnwatchExecution(connection))
        except ActorDeadError:
            self._heard["left a dead actor"] += 1

    # What is told

    def hear(self, frames: bytes) -> None:
        for event in EventParser().events(frames):
            said = orjson.loads(event.data)
            if event.name == "gap":
                self._heard["gap told"] += 1
                continue
            position = read_event_id(event.id)
            if position is None:
                raise PromiseBroken(f"4: {event.name} has the id {event.id!r}")
            self._check_order(event.name, position)
            self._last = position
            if event.name == "snapshot":
                self._world.auditor.shown(said)
            if event.name != "end":
                self._state.hear(event.name, said)
        self._check_steps()

    def _check_order(self, name: str, position: Position) -> None:
        if self._last is None or self._world.auditor.journal_failed:
            return
        if name == "snapshot":
            # Once it was read from the database again, it counts anew within a revision.
            position, before = (position[0], 0), (self._last[0] - 1, 0)
        else:
            before = self._last
        if position <= before:
            raise PromiseBroken(f"4: {self._execution_id}: {name} at {position} was told after {self._last}")

    def _run(self) -> Run:
        run: Run = self._world.directory.find(self._execution_id).run
        return run

    def _check_steps(self) -> None:
        """What is known of the steps must be what the run has of them, to the letter."""
        for seq, _, _, _, kind, text, _ in self._run().steps:
            known = self._state.steps.get(seq)
            if known is None or known["text"] != text:
                raise PromiseBroken(
                    f"4: {self._execution_id}: step {seq} ({kind}) was told as {known}, it is {text!r}"
                )

    def end(self) -> None:
        """All must be known now."""
        self._connection = None
        self._heard["watched to the end"] += 1
        run = self._run()
        self._has_ended_at = run.revision
        there = status_payload(run, StatusContext())
        known: JsonObject = {**self._state.payload, "node_results": self._state.nodes}
        for name in COMPARED:
            if known[name] != there[name]:
                raise PromiseBroken(f"4: {self._execution_id}: {name} was told as {known[name]}, it is {there[name]}")

    def lose(self) -> None:
        self._connection = None
        self._heard["lost the actor"] += 1


class _Connection:
    """What a publisher tells. Nothing may be raised there: what is wrong is the world's failure."""

    def __init__(self, onlooker: Onlooker, ref: Any, incarnation: int) -> None:
        self._onlooker = onlooker
        self.ref = ref
        self.incarnation = incarnation
        self.closed = False

    def send(self, frames: bytes) -> None:
        self._tell("hear", frames)

    def end(self) -> None:
        self._tell("end")

    def lose(self) -> None:
        self._tell("lose")

    def _tell(self, name: str, *said: bytes) -> None:
        world = self._onlooker._world
        if self.closed or self.incarnation != world.auditor.incarnation or world.killed:
            return
        try:
            getattr(self._onlooker, name)(*said)
        except PromiseBroken as broken:
            world.failure = world.failure or broken
