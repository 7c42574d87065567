"""A server that speaks OpenAI's streaming protocol, and ends its answers when it is told to. Knows no browser."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from offbook.workflows.values import JsonObject

TEXT = "the lamp was lit and nobody came to see it though the sea was calm and all the ships were in"


class Model:
    """Says all its words at once; an answer that is held has no end until it is let go."""

    def __init__(self, address: str) -> None:
        self._url = f"http://{address}/v1"
        self._held: dict[str, threading.Event] = {}

    @property
    def providers(self) -> str:
        """A setting under which a server finds this one as `held/...`."""
        return json.dumps({"held": {"base_url": self._url}})

    def hold(self, beginning: str) -> threading.Event:
        """Have answers to prompts that begin so wait, before they end, for the event that is returned."""
        event = self._held[beginning] = threading.Event()
        return event

    def let_all_go(self) -> None:
        held, self._held = self._held, {}
        for event in held.values():
            event.set()

    def wait(self, prompt: str) -> None:
        """Return when the answer to a prompt may end."""
        for beginning, event in list(self._held.items()):
            if prompt.startswith(beginning):
                event.wait()


@contextmanager
def serve_model() -> Iterator[Model]:
    """Serve on a free port while the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            # Who asked may have been killed meanwhile.
            with suppress(ConnectionError):
                for word in re.split("(?= )", TEXT):
                    self._say({"choices": [{"delta": {"content": word}}]})
                model.wait(body["messages"][-1]["content"])
                self._say({"choices": [{"delta": {}, "finish_reason": "stop"}]})
                self.wfile.write(b"data: [DONE]\n\n")

        def _say(self, event: JsonObject) -> None:
            self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as site:
        model = Model(f"127.0.0.1:{site.server_port}")
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        try:
            yield model
        finally:
            model.let_all_go()
            site.shutdown()
            thread.join()
