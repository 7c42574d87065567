"""The page: its files, read once, served with the headers that let a browser do nothing but show them.

No secrets are in the files, so that they are served without a token: the form to sign in is one of them.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from offbook.web.errors import RequestRefused

TYPES = {
    "css": "text/css",
    "html": "text/html",
    "js": "text/javascript",
    "json": "application/json",
    "svg": "image/svg+xml",
    "webmanifest": "application/manifest+json",
}
DOCUMENTS = frozenset({"text/html", "image/svg+xml"})
"""What a browser shows by itself, and what the policy is therefore for."""
ENTRY = "index.html"
BUILD = "{{build}}"
"""Stands in the entry for the folder under which its files are found."""
FOR_EVER = "public, max-age=31536000, immutable"

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
NOT_SNIFFED = {"X-Content-Type-Options": "nosniff"}
GUARDED = {
    "Content-Security-Policy": POLICY,
    **NOT_SNIFFED,
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file of the page, as it is sent."""

    content_type: str
    body: bytes
    compressed: bytes

    @classmethod
    def of(cls, name: str, body: bytes) -> StaticFile:
        return cls(TYPES[name.rpartition(".")[2]], body, gzip.compress(body, mtime=0))


class PageFiles:
    """Everything in `web/static`. Its build is a hash over all of it: a changed file has another address."""

    def __init__(self) -> None:
        folder = files("offbook.web") / "static"
        raw = {each.name: each.read_bytes() for each in folder.iterdir() if each.name.rpartition(".")[2] in TYPES}
        digest = hashlib.sha256()
        for name in sorted(raw):
            digest.update(name.encode() + b"\0" + raw[name] + b"\0")
        self.build = digest.hexdigest()[:16]
        raw[ENTRY] = raw[ENTRY].replace(BUILD.encode(), self.build.encode())
        self.files = {name: StaticFile.of(name, body) for name, body in raw.items()}


class PageRoutes:
    """Handlers for the page's files. The entry itself is what `GET /` answers to a browser."""

    def __init__(self, index: Handler) -> None:
        """`index` answers `GET /` for whoever does not ask for HTML."""
        self._index = index
        self._found = PageFiles()

    def routes(self) -> Iterable[web.RouteDef]:
        return (web.get("/", self.entry), web.get("/static/{build}/{name}", self.file))

    async def entry(self, request: web.Request) -> web.StreamResponse:
        """Answer the page's document, which names the build it belongs to."""
        if "text/html" not in request.headers.get(hdrs.ACCEPT, ""):
            return await self._index(request)
        etag = f'"{self._found.build}"'
        headers = {hdrs.ETAG: etag, hdrs.CACHE_CONTROL: "no-cache", hdrs.VARY: "Accept, Accept-Encoding", **GUARDED}
        if request.headers.get(hdrs.IF_NONE_MATCH, "").removeprefix("W/") == etag:
            return web.Response(status=304, headers=headers)
        return _send(self._found.files[ENTRY], request, headers)

    async def file(self, request: web.Request) -> web.Response:
        found = self._found.files.get(request.match_info["name"])
        if found is None or request.match_info["build"] != self._found.build:
            raise RequestRefused("not-found", f"{request.path} is not a file of this version's page: load / again")
        guarded = GUARDED if found.content_type in DOCUMENTS else NOT_SNIFFED
        return _send(found, request, {hdrs.CACHE_CONTROL: FOR_EVER, hdrs.VARY: "Accept-Encoding", **guarded})


def _send(file: StaticFile, request: web.Request, headers: dict[str, str]) -> web.Response:
    zipped = "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "")
    body = file.compressed if zipped else file.body
    response = web.Response(body=body, content_type=file.content_type, charset="utf-8", headers=headers)
    if zipped:
        response.headers[hdrs.CONTENT_ENCODING] = "gzip"
    return response
