"""JSON as it lies in the database: compressed, outputs packed into parts, texts as digests. Knows no table."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
import zstandard

from offbook.workflows.ledger import Entry, EntryKind
from offbook.workflows.records import StoredOutput
from offbook.workflows.values import JsonValue, Usage

LEVEL = 1
PART_BYTES = 262_144
"""JSON bytes after which a part is full; only one output that is larger by itself makes a larger part."""

_RAW = b"\x00"
_ZSTD = b"\x01"
_WORTH_COMPRESSING = 128

_local = threading.local()


def pack(value: JsonValue) -> bytes:
    """Write a value as compressed JSON."""
    return _compress(orjson.dumps(value))


def unpack(data: bytes) -> JsonValue:
    """Read what `pack` wrote."""
    return orjson.loads(_decompress(data))


def pack_outputs(outputs: Sequence[StoredOutput]) -> list[bytes]:
    """Write outputs as parts of about 256 KB of JSON each, in order."""
    parts: list[bytes] = []
    rows: list[bytes] = []
    size = 0
    for output in outputs:
        row = orjson.dumps([output.node_id, output.item, output.value, *([True] if output.kept else [])])
        if rows and size + len(row) > PART_BYTES:
            parts.append(_compress(b"[" + b",".join(rows) + b"]"))
            rows, size = [], 0
        rows.append(row)
        size += len(row)
    if rows:
        parts.append(_compress(b"[" + b",".join(rows) + b"]"))
    return parts


def unpack_outputs(parts: Iterable[bytes]) -> tuple[StoredOutput, ...]:
    """Read the outputs of all parts."""
    return tuple(
        StoredOutput(node_id, item, value, bool(kept))
        for part in parts
        for node_id, item, value, *kept in orjson.loads(_decompress(part))
    )


def pack_entries(entries: Sequence[Entry]) -> bytes:
    """Write entries of one kind and model. They are few bytes: it would take longer to compress them."""
    return _RAW + orjson.dumps([entry[1:6] + entry.usage for entry in entries])


def unpack_entries(kind: EntryKind, model: str, data: bytes) -> list[Entry]:
    """Read what `pack_entries` wrote."""
    rows: list[list[Any]] = orjson.loads(_decompress(data))
    return [
        Entry(kind, node_id, item, attempt, epoch, at, model, Usage(*usage))
        for node_id, item, attempt, epoch, at, *usage in rows
    ]


def digest(*texts: str | None) -> str:
    """Return 64 characters that stand for texts in an index, however long they are and whatever they hold."""
    return hashlib.sha256(orjson.dumps(texts)).hexdigest()


def _compress(text: bytes) -> bytes:
    if len(text) < _WORTH_COMPRESSING:
        return _RAW + text
    compressor: zstandard.ZstdCompressor | None = getattr(_local, "compressor", None)
    if compressor is None:
        _local.compressor = compressor = zstandard.ZstdCompressor(level=LEVEL)
    return _ZSTD + compressor.compress(text)


def _decompress(data: bytes) -> bytes:
    # PostgreSQL's driver hands out memoryviews where it can.
    data = bytes(data)
    if data[:1] == _RAW:
        return data[1:]
    decompressor: zstandard.ZstdDecompressor | None = getattr(_local, "decompressor", None)
    if decompressor is None:
        _local.decompressor = decompressor = zstandard.ZstdDecompressor()
    return decompressor.decompress(data[1:])
