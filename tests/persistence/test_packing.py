"""Values as they lie in the database: compressed, outputs in parts."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from offbook.persistence.packing import PART_BYTES, digest, pack, pack_outputs, unpack, unpack_outputs
from offbook.workflows.records import StoredOutput

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        TEXTS,
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=50, deadline=None)
@given(VALUES)
def test_value_is_unpacked_as_it_was_packed(value: object) -> None:
    assert unpack(pack(value)) == value
    assert unpack(memoryview(pack(value))) == value  # type: ignore[arg-type]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(TEXTS, st.none() | st.integers(0, 9), VALUES), max_size=5))
def test_outputs_are_unpacked_as_they_were_packed(outputs: list[tuple[str, int | None, object]]) -> None:
    stored = tuple(StoredOutput(*each) for each in outputs)
    assert unpack_outputs(pack_outputs(stored)) == stored


def test_what_repeats_takes_little_room() -> None:
    assert len(pack("chapter " * 10_000)) < 1000


def test_small_value_takes_a_byte_more_than_its_json() -> None:
    assert len(pack({"a": 1})) == len('{"a":1}') + 1


def test_outputs_are_parted_by_size_and_a_large_one_stays_whole() -> None:
    chance = random.Random(1)
    sizes = [100_000, 100_000, 100_000, 3 * PART_BYTES, 10, 10]
    outputs = tuple(StoredOutput("n", item, chance.randbytes(size // 2).hex()) for item, size in enumerate(sizes))
    parts = pack_outputs(outputs)
    assert [len(unpack_outputs([part])) for part in parts] == [2, 1, 1, 2]
    assert unpack_outputs(parts) == outputs


def test_no_outputs_are_no_parts() -> None:
    assert pack_outputs([]) == []
    assert unpack_outputs([]) == ()


def test_digests_tell_texts_apart_wherever_they_are_parted() -> None:
    pairs = [
        ("ab", "c"),
        ("a", "bc"),
        ("abc", ""),
        ("abc",),
        (None, "abc"),
        ("null", "abc"),
        ('a","b', "c"),
        ("a\0b", "c"),
    ]
    assert len({digest(*pair) for pair in pairs}) == len(pairs)
    assert all(len(digest(*pair)) == 64 for pair in pairs)
