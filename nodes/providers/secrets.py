"""What must never be shown: keys in use, taken out of texts that are to be stored or logged. Kept in memory only."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from urllib.parse import quote

KEPT = 1000
"""Keys that are remembered at most; those used last."""
SHORTEST = 6
"""Characters; what is shorter is in any text."""
MARK = "[key]"


class Secrets:
    """Keys that were handed out, and those that can be looked up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used: OrderedDict[str, None] = OrderedDict()
        self._sources: list[Callable[[], Iterable[str]]] = []

    def remember(self, secret: str) -> None:
        """Take a key out of texts from now on, until a thousand others have been used since. From any thread."""
        with self._lock:
            self._used[secret] = None
            self._used.move_to_end(secret)
            if len(self._used) > KEPT:
                self._used.popitem(last=False)

    def watch(self, source: Callable[[], Iterable[str]]) -> None:
        """Take out what a source gives whenever a text is looked through, also what was never used."""
        if source not in self._sources:
            self._sources.append(source)

    def scrub(self, text: str) -> str:
        """Return a text with each key in it replaced, also as it stands in a URL."""
        with self._lock:
            secrets = set(self._used)
        for source in self._sources:
            secrets.update(source())
        # The longest first: one may be the beginning of another.
        for secret in sorted(secrets, key=len, reverse=True):
            if len(secret) >= SHORTEST:
                text = text.replace(secret, MARK)
                quoted = quote(secret, safe="")
                if quoted != secret:
                    text = text.replace(quoted, MARK)
        return text
