"""How calls end, told to their executions: each once, whatever comes of it later. Stops and frees nothing."""

from __future__ import annotations

from collections.abc import Callable

from offbook.actors import replies
from offbook.actors.calls import Call
from offbook.actors.outcomes import as_stored_error
from offbook.actors.time_limits import disarm, stop_error
from offbook.nodes.context import NodeFailure, Park
from offbook.workflows.values import JsonValue, NodeError


class CallEnds:
    """Tells the end of a call, after its last reports. A call that was stopped failed because of that."""

    def __init__(self, clock: Callable[[], float], chance: Callable[[], float], scrub: Callable[[str], str]) -> None:
        """`scrub` takes keys out of what is told of failures."""
        self._clock = clock
        self._chance = chance
        self._scrub = scrub

    def finish(self, call: Call, output: JsonValue) -> None:
        if call.stop_reason:
            # It took its cancellation for an end: nobody knows whether this is the whole.
            self.fail(call, stop_error(call), output if isinstance(output, str) else "")
        elif self._end(call):
            call.tell(replies.finished(call, output, self._clock()))

    def reuse(self, call: Call) -> None:
        """Nothing was run: what a fork keeps of its parent holds here."""
        if self._end(call):
            call.tell(replies.reused(call, self._clock()))

    def fail(
        self,
        call: Call,
        error: NodeError,
        partial_text: str = "",
        reasons: tuple[str, ...] = (),
        *,
        begun: bool = True,
    ) -> None:
        if self._end(call):
            stored = as_stored_error(stop_error(call) if call.stop_reason else error, self._scrub)
            begun = begun and not (call.passage is not None and call.passage.stopped_unbegun)
            shown = tuple(self._scrub(each) for each in reasons)
            call.tell(replies.failed(call, stored, partial_text, shown, self._clock(), self._chance(), begun=begun))

    def park(self, call: Call, park: Park) -> None:
        if call.stop_reason:
            self.fail(call, stop_error(call))
            return
        try:
            parked = replies.parked(call, park, self._clock())
        except NodeFailure as refused:
            self.fail(call, refused.error)
            return
        if self._end(call):
            call.tell(parked)

    def _end(self, call: Call) -> bool:
        """Send the last reports; return whether this is the first end of the call."""
        if call.ended:
            return False
        if call.has_news:
            call.tell(replies.progressed(call, self._clock()))
        call.ended = True
        if call.timers:
            disarm(call)
        return True
