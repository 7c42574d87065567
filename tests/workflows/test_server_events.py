"""Events out of bytes: wherever they are cut, however their lines end, and within bounds."""

from __future__ import annotations

import pytest

from offbook.workflows.server_events import MAX_EVENT_BYTES, EventParser, EventTooLong

TEXT = (
    "\ufeffdata: erstes Stück „grün“ €\n\n"
    ": a comment\n"
    "event: message\r\nid: 7\r\ndata:no space\r\ndata:  two spaces\r\n\r\n"
    "data\n\n"
    "retry: 10\n\n"
    "data: last\r\rdata: [DONE]\n\n"
).encode()
EVENTS = ["erstes Stück „grün“ €", "no space\n two spaces", "", "last", "[DONE]"]


def parse(*chunks: bytes) -> list[str]:
    parser = EventParser()
    return [event for chunk in chunks for event in parser.feed(chunk)] + list(parser.finish())


def test_events_cut_at_every_byte_are_the_same() -> None:
    assert parse(TEXT) == EVENTS
    for cut in range(len(TEXT) + 1):
        assert parse(TEXT[:cut], TEXT[cut:]) == EVENTS, TEXT[:cut]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_events_in_small_pieces_are_the_same(size: int) -> None:
    assert parse(*(TEXT[start : start + size] for start in range(0, len(TEXT), size))) == EVENTS


def test_event_is_given_as_soon_as_it_is_complete() -> None:
    parser = EventParser()
    assert list(parser.feed(b"data: a\n")) == []
    assert list(parser.feed(b"\n")) == ["a"]
    # A carriage return ends a line by itself: what follows it may never come.
    assert list(parser.feed(b"data: b\r\n\r")) == ["b"]
    assert list(parser.feed(b"\ndata: c\n\n")) == ["c"]


def test_end_of_the_stream_ends_the_last_event() -> None:
    assert parse(b"data: a\n\ndata: b") == ["a", "b"]
    assert parse(b"data: a\ndata: b\n") == ["a\nb"]
    assert parse(b"") == []


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert parse(b"data: a\xff\xfeb\n\n") == ["a\ufffd\ufffdb"]


@pytest.mark.parametrize("line_end", [b"", b"\n"])
def test_event_without_end_is_refused(line_end: bytes) -> None:
    parser = EventParser()
    chunk = b"data: " + b"x" * (1_000_000 - 6 - len(line_end)) + line_end
    for _ in range(MAX_EVENT_BYTES // 1_000_000):
        list(parser.feed(chunk))
    with pytest.raises(EventTooLong):
        list(parser.feed(chunk + chunk))


def test_many_events_are_not_one_too_long() -> None:
    parser = EventParser()
    chunk = b"data: " + b"x" * 999_000 + b"\n\n"
    assert sum(len(list(parser.feed(chunk))) for _ in range(20)) == 20
