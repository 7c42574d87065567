"""Keys are sealed so that only a master key opens them, in their place alone, and no error shows any key."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from offbook.persistence.key_vault import KeyVault, new_master_key, read_masters
from offbook.workflows.key_errors import KeyUnreadable, MasterKeyMissing, MasterKeyRefused

KEY = "sk-of-ada-0123456789"
OLD, NEW = new_master_key(), new_master_key()


def vault(*masters: str) -> KeyVault:
    return KeyVault([("OFFBOOK_MASTER_KEY", master) for master in masters])


def test_key_is_sealed_and_opened_again() -> None:
    sealed = vault(OLD).seal("ada", "openai", KEY)
    assert KEY.encode() not in sealed
    assert sealed != vault(OLD).seal("ada", "openai", KEY)
    assert vault(OLD).open("ada", "openai", sealed) == KEY


def test_first_master_key_seals_and_every_one_opens() -> None:
    sealed = vault(OLD).seal("ada", "openai", KEY)
    both = vault(NEW, OLD)
    assert both.open("ada", "openai", sealed) == KEY
    with pytest.raises(KeyUnreadable):
        vault(NEW).open("ada", "openai", sealed)
    resealed = both.reseal("ada", "openai", sealed)
    assert vault(NEW).open("ada", "openai", resealed) == KEY
    with pytest.raises(KeyUnreadable):
        vault(OLD).open("ada", "openai", resealed)


@pytest.mark.parametrize("place", [("eve", "openai"), ("ada", "local")])
def test_key_that_was_moved_to_another_place_opens_for_nobody(place: tuple[str, str]) -> None:
    sealed = vault(OLD).seal("ada", "openai", KEY)
    with pytest.raises(KeyUnreadable) as refused:
        vault(OLD).open(*place, sealed)
    assert KEY not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize("damaged", [b"", b"no token", b"gAAAA"])
def test_damaged_key_is_unreadable(damaged: bytes) -> None:
    with pytest.raises(KeyUnreadable, match=r"user ada for the provider openai"):
        vault(OLD).open("ada", "openai", damaged)


def test_without_a_master_key_nothing_is_sealed_or_opened() -> None:
    sealed = vault(OLD).seal("ada", "openai", KEY)
    assert not vault().has_master
    with pytest.raises(MasterKeyMissing, match="offbook keys master"):
        vault().seal("ada", "openai", KEY)
    with pytest.raises(KeyUnreadable):
        vault().open("ada", "openai", sealed)


def test_master_keys_come_from_the_variable_and_then_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "masters"
    file.write_text(f"\n{OLD}\n\n {NEW} \n")
    assert read_masters(None, None) == []
    assert read_masters(f" {NEW}, {OLD},", None) == [("OFFBOOK_MASTER_KEY", NEW), ("OFFBOOK_MASTER_KEY", OLD)]
    third = new_master_key()
    assert [master for _, master in read_masters(third, file)] == [third, OLD, NEW]


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe"])
def test_file_without_a_master_key_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "masters"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(MasterKeyRefused, match="OFFBOOK_MASTER_KEY_FILE"):
        read_masters(None, file)


@pytest.mark.parametrize("wrong", ["a-passphrase", NEW[:-2], "é" * 44], ids=["passphrase", "too short", "no ASCII"])
def test_what_is_no_master_key_is_refused_without_being_shown(wrong: str) -> None:
    with pytest.raises(MasterKeyRefused, match="master key 2 of 2") as refused:
        vault(OLD, wrong)
    assert wrong not in "".join(traceback.format_exception(refused.value))
